/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A profile out of an observation: what was needed is allowed, what is deliberately denied answers
 * EPERM, and what programs probe for (clone3, and calls newer than what this profile knows)
 * answers ENOSYS, so that libraries fall back instead of failing.
 */
#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/observation.h"
#include "batten/seccomp/profile.h"
#include "batten/seccomp/runtime-base.h"

struct generate_options {
	struct runtime_choice runtime;
	bool args;	     /* rules on arguments where all values are known, not only on clone's */
	bool host;	     /* for dockerd's seccomp-profile: with what an ECS host needs besides */
	bool without_exec;   /* leave out what only exec sessions needed */
	const struct profile *base; /* allowed besides, may be NULL */
};

/*
 * profile_generate - the profile
 * @o: of this machine or another; the profile is for the observation's machine
 * Return: 0; -EINVAL for an observation without any call; -E2BIG for a filter larger than the kernel
 *         takes; -ENOMEM
 */
int profile_generate(const struct observation *o, const struct generate_options *options, struct profile **ret,
		     struct diag *d) _must_check_;

/* How many calls of the machine's native interface a profile lets through, at least for some arguments. */
size_t profile_count_allowed(const struct profile *p, enum abi machine);
