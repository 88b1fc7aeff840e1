/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The questions of a decision answered in C, as the observer's BPF program (observer-trial.bpf.h) answers them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/seccomp/decision.h"

static inline uint32_t decision_answer(const struct question *q, uint32_t value)
{
	switch (q->kind) {
	case QUESTION_GREATER:
		return value > q->value ? q->yes : q->no;
	case QUESTION_AT_LEAST:
		return value >= q->value ? q->yes : q->no;
	case QUESTION_ANY_BIT:
		return value & q->value ? q->yes : q->no;
	default:
		for (size_t i = 0; i < q->n_cases; i++)
			if (q->cases[i].value == value)
				return q->cases[i].then;
		return q->no;
	}
}

/* What comes out for these arguments: does the call pass? */
static inline bool decision_passes(const struct decision *d, const uint64_t args[static 6])
{
	uint32_t at = d->first;

	while (at < DECISION_DENY) {
		const struct question *q = &d->questions[at];

		at = decision_answer(q, (uint32_t)(args[q->word / 2] >> (q->word % 2 * 32)) & q->mask);
	}
	return at == DECISION_PASS;
}
