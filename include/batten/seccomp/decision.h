/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What a compiled filter makes of one call, as far as that is known before the call is made: it passes,
 * it is denied, or its arguments decide. Then the filter, whose other inputs are known, has become a
 * short chain of questions about them, which also a BPF program can ask.
 */
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/macros.h"

#define DECISION_PASS UINT32_MAX
#define DECISION_DENY (UINT32_MAX - 1)

enum question_kind {
	QUESTION_EQUAL, /* one of @cases leads on, else @no */
	QUESTION_GREATER,
	QUESTION_AT_LEAST,
	QUESTION_ANY_BIT,
};

struct question_case {
	uint32_t value, then;
};

/* Each of @then, @yes and @no is the index of another question, which comes later, or DECISION_PASS or DECISION_DENY. */
struct question {
	enum question_kind kind;
	uint32_t word; /* of args[], in halves: 0 is the lower half of the first, 1 its upper half */
	uint32_t mask; /* what of the word is compared */
	uint32_t value, yes, no; /* @value and @yes of all but QUESTION_EQUAL */
	struct question_case *cases; /* owned; each value once */
	size_t n_cases;
};

struct decision {
	uint32_t first; /* 0, or DECISION_PASS or DECISION_DENY when no question is left */
	struct question *questions; /* owned */
	size_t n_questions;
	unsigned int depth; /* how many are asked at most */
};

/*
 * decision_make - follow the filter for one call
 * @arch: AUDIT_ARCH_*
 * Return: 0; -EOPNOTSUPP for a filter that does with arguments what libseccomp's never do; -E2BIG for one
 *         that asks too much; -EINVAL for no filter; -ENOMEM. @ret is filled on success only.
 */
int decision_make(const struct sock_filter *code, size_t n_code, int number, uint32_t arch, struct decision *ret)
	_must_check_;
void decision_done(struct decision *d);
