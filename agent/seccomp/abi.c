/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A table of the five interfaces that the hosts we serve can run. What is not in it (MIPS, s390)
 * is refused by name, not guessed at.
 */
#include "batten/seccomp/abi.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batten/base/macros.h"
#include "batten/base/parse.h"

static const struct abi_row {
	const char *name, *profile_name;
	uint32_t token, audit_arch;
	enum abi machine;
} rows[_ABI_MAX] = {
	[ABI_X86_64] = { "x86_64", "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, SCMP_ARCH_X86_64, ABI_X86_64 },
	[ABI_X86] = { "x86", "SCMP_ARCH_X86", SCMP_ARCH_X86, SCMP_ARCH_X86, ABI_X86_64 },
	[ABI_X32] = { "x32", "SCMP_ARCH_X32", SCMP_ARCH_X32, SCMP_ARCH_X86_64, ABI_X86_64 },
	[ABI_AARCH64] = { "aarch64", "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, SCMP_ARCH_AARCH64, ABI_AARCH64 },
	[ABI_ARM] = { "arm", "SCMP_ARCH_ARM", SCMP_ARCH_ARM, SCMP_ARCH_ARM, ABI_AARCH64 },
};

/* The kernel marks x32 calls with this bit in the number. */
#define X32_BIT 0x40000000

const char *abi_name(enum abi a)
{
	return a < _ABI_MAX ? rows[a].name : "unknown";
}

const char *abi_profile_name(enum abi a)
{
	return a < _ABI_MAX ? rows[a].profile_name : "unknown";
}

uint32_t abi_token(enum abi a)
{
	return rows[a].token;
}

uint32_t abi_audit_arch(enum abi a)
{
	return rows[a].audit_arch;
}

enum abi abi_machine(enum abi a)
{
	return rows[a].machine;
}

enum abi abi_native(void)
{
	uint32_t token = seccomp_arch_native();

	for (enum abi a = 0; a < _ABI_MAX; a++)
		if (rows[a].token == token)
			return a;
	return _ABI_MAX;
}

enum abi abi_by_name(const char *name)
{
	for (enum abi a = 0; a < _ABI_MAX; a++)
		if (strcmp(rows[a].name, name) == 0 || strcmp(rows[a].profile_name, name) == 0)
			return a;
	return _ABI_MAX;
}

static char *resolve(enum abi a, int number)
{
	return seccomp_syscall_resolve_num_arch(rows[a].token, a == ABI_X32 ? number | X32_BIT : number);
}

/* They stay: a process asks for the same few hundred again and again. */
static struct {
	bool loaded;
	char *names[ABI_NUMBERS];
} tables[_ABI_MAX];

int abi_load_names(enum abi a)
{
	for (int i = 0; i < ABI_NUMBERS && !tables[a].loaded; i++) {
		if (tables[a].names[i])
			continue;
		errno = 0;
		tables[a].names[i] = resolve(a, i);
		if (!tables[a].names[i] && errno == ENOMEM)
			return -ENOMEM;
	}
	tables[a].loaded = true;
	return 0;
}

const char *abi_call_name(enum abi a, int number, char buf[static ABI_NAME_SIZE])
{
	bool known = tables[a].loaded && number >= 0 && number < ABI_NUMBERS;
	_cleanup_(freep) char *own = known ? NULL : resolve(a, number);
	const char *name = known ? tables[a].names[number] : own;

	if (name)
		(void)snprintf(buf, ABI_NAME_SIZE, "%s", name);
	else
		(void)snprintf(buf, ABI_NAME_SIZE, "#%d", number);
	return buf;
}

int abi_call_number(enum abi a, const char *name)
{
	uint64_t number;
	int n;

	if (name[0] == '#')
		return parse_u64(slice_of(name + 1), 0, INT32_MAX & ~X32_BIT, &number) == 0 ? (int)number : -1;
	n = seccomp_syscall_resolve_name_arch(rows[a].token, name);
	if (n < 0) /* unknown, or a stand-in that libseccomp rewrites for other machines */
		return -1;
	return a == ABI_X32 ? n & ~X32_BIT : n;
}

bool abi_call_known(const char *name)
{
	/* Stand-ins below -1 are names of calls that some other machine has. */
	return seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;
}

bool abi_name_valid(const char *name)
{
	size_t n = strlen(name);
	uint64_t number;

	if (name[0] == '#')
		return parse_u64(slice_of(name + 1), 0, INT32_MAX, &number) == 0;
	return n > 0 && n < ABI_NAME_SIZE && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}
