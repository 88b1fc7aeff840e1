/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The calls whose arguments matter for what they can do, and which bits of which argument decide.
 * Values are kept under these masks, so "socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC)" and the same
 * without SOCK_CLOEXEC are one value.
 */
#include <stdint.h>

#include "batten/seccomp/abi.h"

/* Distinct values kept for one call; one more and the call is kept without arguments. */
#define MAX_ARG_VALUES 32

struct arg_rule {
	const char *name;
	uint8_t n;	   /* arguments that matter: 1 or 2 */
	uint8_t index[2];  /* 0 … 5 */
	uint32_t mask[2];  /* of the lower half: all of them are int or unsigned int to the kernel */
	uint32_t domain;   /* values of the first from 0 on that a profile denies by name; others get the default */
};

/* The rule for a call, or NULL when its arguments are not looked at in this interface. */
const struct arg_rule *arg_rule_find(enum abi a, const char *name);

/* The rows one after the other; NULL past the last. */
const struct arg_rule *arg_rule_nth(unsigned int i);
