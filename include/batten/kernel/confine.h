/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What a process gives up for good before it reads foreign bytes: capabilities, new privileges,
 * memory, and every system call that is not on its list.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* A set of capabilities, of CAP_ numbers. */
#define CONFINE_CAP(number) (1ull << (number))

/* A call that is allowed when the bits of @mask in an argument are those of @value, or refused then. */
struct confinement_when {
	int call;
	unsigned int argument;
	uint64_t mask, value;
	bool refused; /* EACCES */
};

struct confinement {
	uint64_t keep; /* capabilities that stay, where they are there */
	size_t max_data_bytes;
	size_t max_files; /* descriptors; 0: as it is */
	/* System calls by libseccomp's numbers, beside those that every process makes; any other kills it. */
	const int *calls;
	size_t n_calls;
	/* These are refused with EACCES instead: what a library asks for and can do without. */
	const int *refused;
	size_t n_refused;
	/* These are answered as an older kernel would, with ENOSYS: the caller knows another way. */
	const int *absent;
	size_t n_absent;
	const struct confinement_when *when;
	size_t n_when;
};

/*
 * confine_capabilities - give up all capabilities but some, and new privileges
 * Return: 0 or a negative errno; the caller must exit then
 */
int confine_capabilities(uint64_t keep, struct diag *d) _must_check_;

/*
 * confine - give all of it up
 * The filter is not loaded, and memory not limited, under AddressSanitizer.
 * Return: 0 or a negative errno; the caller must exit then
 */
int confine(const struct confinement *c, struct diag *d) _must_check_;
