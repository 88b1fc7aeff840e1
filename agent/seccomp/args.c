/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One row per call. Masks are 32 bits wide: the arguments are ints to the kernel, the upper half of
 * the register is garbage that a 64-bit comparison would trip over.
 */
#include "batten/seccomp/args.h"

#include <string.h>

#include "batten/base/macros.h"

#define INT_MASK 0xffffffffu
#define SOCK_TYPE_BITS 0xfu
#define WRITE_EXEC_BITS 0x6u	     /* PROT_WRITE | PROT_EXEC */
#define NAMESPACE_BITS 0x7e020000u /* CLONE_NEW* but CLONE_NEWTIME, which clone() cannot carry */

static const struct arg_rule rows[] = {
	{ "bpf", 1, { 0 }, { INT_MASK }, 40 },
	{ "clone", 1, { 0 }, { NAMESPACE_BITS }, 0 },
	{ "ioctl", 1, { 1 }, { INT_MASK }, 0 },
	{ "keyctl", 1, { 0 }, { INT_MASK }, 33 },
	{ "mmap", 1, { 2 }, { WRITE_EXEC_BITS }, 8 },
	{ "mprotect", 1, { 2 }, { WRITE_EXEC_BITS }, 8 },
	{ "personality", 1, { 0 }, { INT_MASK }, 0 },
	{ "pkey_mprotect", 1, { 2 }, { WRITE_EXEC_BITS }, 8 },
	{ "prctl", 1, { 0 }, { INT_MASK }, 80 },
	{ "ptrace", 1, { 0 }, { INT_MASK }, 32 },
	{ "setns", 1, { 1 }, { INT_MASK }, 0 },
	{ "socket", 2, { 0, 1 }, { INT_MASK, SOCK_TYPE_BITS }, 47 },
	{ "unshare", 1, { 0 }, { INT_MASK }, 0 },
};

const struct arg_rule *arg_rule_nth(unsigned int i)
{
	return i < ARRAY_SIZE(rows) ? &rows[i] : NULL;
}

const struct arg_rule *arg_rule_find(enum abi a, const char *name)
{
	/* mmap of 32-bit x86 takes a pointer to its arguments, which a filter cannot follow. */
	if (a == ABI_X86 && strcmp(name, "mmap") == 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}
