/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * System call interfaces: which kernels speak them, what profiles call them, and what their calls
 * are named. Names and numbers come from libseccomp.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/macros.h"

enum abi {
	ABI_X86_64,
	ABI_X86,
	ABI_X32,
	ABI_AARCH64,
	ABI_ARM,
	_ABI_MAX,
};

/* Room for every call name: libseccomp's longest and our "#NUMBER". */
#define ABI_NAME_SIZE 64

/* "x86_64": the key in observations. */
const char *abi_name(enum abi a);
/* "SCMP_ARCH_X86_64": the word of OCI and Docker profiles. */
const char *abi_profile_name(enum abi a);
/* libseccomp's token, which is also the AUDIT_ARCH value (x32 shares that of x86_64). */
uint32_t abi_token(enum abi a);
uint32_t abi_audit_arch(enum abi a);

/* The one this machine is built for; _ABI_MAX on a machine that batten does not know. */
enum abi abi_native(void);
/* The native interface of the machine that also runs @a: x86_64 for x86. */
enum abi abi_machine(enum abi a);
/* By either name; _ABI_MAX when it is unknown. */
enum abi abi_by_name(const char *name);

/*
 * abi_load_names - the names of all calls of an interface, once
 * libseccomp copies each name that it is asked for, and without memory would not know the call: a profile would lack it.
 * Return: 0 or -ENOMEM
 */
int abi_load_names(enum abi a) _must_check_;

/*
 * abi_call_name - what a call is called
 * Return: @buf, or "#NUMBER" in it for a number that this libseccomp has no name for
 */
const char *abi_call_name(enum abi a, int number, char buf[static ABI_NAME_SIZE]);

/* Number of a call (or of "#NUMBER"); -1 when the interface has no such call. */
int abi_call_number(enum abi a, const char *name);

/* Does any interface have a call of that name? */
bool abi_call_known(const char *name);

/* Could it be a call's name at all: [a-z0-9_]+ or #NUMBER, short enough. */
bool abi_name_valid(const char *name);

/* The highest number that this libseccomp can name plus one; for walks over all calls. */
#define ABI_NUMBERS 1024
