/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What a process gives up for good before it reads foreign bytes: capabilities, new privileges,
 * memory, and every system call that is not on its list.
 */
#include <stddef.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

/* AddressSanitizer maps terabytes and asks for more calls than any list of ours has. */
#if defined(__SANITIZE_ADDRESS__)
#define CONFINE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONFINE_SANITIZED 1
#endif
#endif
#ifndef CONFINE_SANITIZED
#define CONFINE_SANITIZED 0
#endif

/* A system call that is allowed with one value of one argument, an int. */
struct confined_call {
	int call;
	unsigned int argument;
	unsigned int value;
};

struct confinement {
	size_t max_data_bytes;
	size_t max_files; /* descriptors; 0: as it is */
	/* System calls by libseccomp's numbers; any other kills the process. */
	const int *calls;
	size_t n_calls;
	/* These are refused with EACCES instead: what a library asks for and can do without. */
	const int *refused;
	size_t n_refused;
	/* These only with the descriptor as their first argument. */
	const int *on_fd;
	size_t n_on_fd;
	int fd;
	const struct confined_call *exactly;
	size_t n_exactly;
};

/*
 * confine - give all of it up
 * The filter is not loaded, and memory not limited, under AddressSanitizer.
 * Return: 0 or a negative errno; the caller must exit then
 */
int confine(const struct confinement *c, struct diag *d) _must_check_;
