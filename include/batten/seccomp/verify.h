/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Would a profile stop what was observed? Answered by running its filter, not by reading it.
 */
#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/observation.h"
#include "batten/seccomp/profile.h"

struct verify_denial {
	char name[ABI_NAME_SIZE];
	enum abi abi;
	uint32_t answer; /* SECCOMP_RET_* */
	bool has_value;	 /* denied with these arguments only */
	struct arg_value value;
	const char *why; /* a constant */
};

struct verify_result {
	struct verify_denial *denials; /* owned; sorted as they were found */
	size_t n_denials;
	struct labels unknown;	    /* names that this libseccomp does not know */
	bool thread_trap;	    /* clone3 answers neither ENOSYS nor success */
	uint64_t n_checked;	    /* filter runs */
	size_t n_instructions;
	bool too_long;		    /* the kernel takes no filter of so many: no container would start */
};

void verify_result_done(struct verify_result *r);

/*
 * profile_verify - run the filter over everything that was observed
 * @o: may be NULL: only what every program needs is checked
 * Return: 0 (the result may still hold denials); -EINVAL when the profile cannot be compiled or is
 *         for another machine than the observation
 */
int profile_verify(const struct profile *p, const struct observation *o, struct verify_result *ret,
		   struct diag *d) _must_check_;
