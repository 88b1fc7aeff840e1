/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The filter is run with the number and the architecture known. Where it would branch on an argument, both
 * ways are followed; each such place becomes a question. Jumps lead forward only, so the questions that are
 * found in the order of the code come in an order in which each leads to later ones. Questions in a row for
 * one value each of the same word become one question with cases, which costs one look-up.
 */
#include "batten/seccomp/decision.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "batten/seccomp/filter.h"

#define MAX_QUESTIONS 4096
#define MAX_CASES 65536 /* of all questions of a call */

/* The accumulator: a number that is known, or what of an argument's word is left by a mask. */
struct accumulator {
	bool known;
	uint32_t value;
	uint32_t word, mask;
};

/* A branch on an argument: where in the code, and on what. */
struct branch {
	size_t at;
	struct accumulator a;
	uint32_t yes, no; /* indices of branches, or an end */
	uint32_t next_here; /* another branch at the same place, on something else; 0: none, else index + 1 */
	uint32_t question;  /* index + 1 of the question that it became */
};

struct follower {
	const struct sock_filter *code;
	size_t n_code;
	uint32_t number, arch;
	uint32_t *here; /* by place in the code: index + 1 of a branch */
	struct branch *branches;
	size_t n_branches, size_branches;
	size_t n_cases;
};

static int load(const struct follower *f, const struct sock_filter *i, struct accumulator *a)
{
	if (i->code == (BPF_LD | BPF_IMM)) {
		*a = (struct accumulator){ .known = true, .value = i->k };
		return 0;
	}
	if (i->code != (BPF_LD | BPF_W | BPF_ABS))
		return -EOPNOTSUPP;
	if (i->k % 4 != 0 || i->k > sizeof(struct seccomp_data) - 4)
		return -EINVAL;
	if (i->k == offsetof(struct seccomp_data, nr))
		*a = (struct accumulator){ .known = true, .value = f->number };
	else if (i->k == offsetof(struct seccomp_data, arch))
		*a = (struct accumulator){ .known = true, .value = f->arch };
	else if (i->k >= offsetof(struct seccomp_data, args))
		*a = (struct accumulator){ .word = (i->k - offsetof(struct seccomp_data, args)) / 4, .mask = UINT32_MAX };
	else
		return -EOPNOTSUPP; /* the instruction pointer */
	return 0;
}

static int compare(const struct sock_filter *i, uint32_t value, bool *ret)
{
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		*ret = value == i->k;
		return 0;
	case BPF_JGT:
		*ret = value > i->k;
		return 0;
	case BPF_JGE:
		*ret = value >= i->k;
		return 0;
	case BPF_JSET:
		*ret = value & i->k;
		return 0;
	default:
		return -EINVAL;
	}
}

/* The branch at that place on that word, made if it is new. @ret: its index */
static int branch_at(struct follower *f, size_t at, const struct accumulator *a, uint32_t *ret)
{
	struct branch *b;

	for (uint32_t n = f->branches ? f->here[at] : 0; n > 0; n = f->branches[n - 1].next_here) {
		b = &f->branches[n - 1];
		if (b->a.word == a->word && b->a.mask == a->mask) {
			*ret = n - 1;
			return 0;
		}
	}
	if (f->n_branches == MAX_QUESTIONS)
		return -E2BIG;
	if (f->n_branches == f->size_branches) {
		size_t size = f->size_branches ? f->size_branches * 2 : 32;

		b = reallocarray(f->branches, size, sizeof(*b));
		if (!b)
			return -ENOMEM;
		f->branches = b;
		f->size_branches = size;
	}
	b = &f->branches[f->n_branches];
	*b = (struct branch){ .at = at, .a = *a, .next_here = f->here[at] };
	*ret = (uint32_t)f->n_branches++;
	f->here[at] = *ret + 1;
	return 0;
}

/* From a place in the code to an end or to the next branch on an argument. */
static int run_on(struct follower *f, size_t at, struct accumulator a, uint32_t *ret)
{
	for (; at < f->n_code; at++) {
		const struct sock_filter *i = &f->code[at];
		bool yes = true;
		int r = 0;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			r = load(f, i, &a);
			break;
		case BPF_ALU:
			if (i->code != (BPF_ALU | BPF_AND | BPF_K))
				return -EOPNOTSUPP;
			a.value &= i->k;
			a.mask &= i->k;
			a.known |= a.mask == 0; /* of a word nothing is left but zeros */
			break;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA) {
				if (i->k >= f->n_code - at)
					return -EINVAL;
				at += i->k;
				break;
			}
			if (BPF_SRC(i->code) != BPF_K)
				return -EOPNOTSUPP;
			r = compare(i, a.value, &yes);
			if (r == 0 && !a.known)
				return branch_at(f, at, &a, ret);
			at += yes ? i->jt : i->jf;
			break;
		case BPF_RET:
			if (BPF_RVAL(i->code) != BPF_K)
				return -EOPNOTSUPP;
			*ret = filter_answer_passes(i->k) ? DECISION_PASS : DECISION_DENY;
			return 0;
		default:
			return -EOPNOTSUPP;
		}
		if (r < 0)
			return r;
	}
	return -EINVAL;
}

/* Both ways of each branch, in the order of the code. */
static int follow_branches(struct follower *f)
{
	for (size_t at = 0; at < f->n_code; at++) {
		for (uint32_t n = f->here[at]; n > 0; n = f->branches[n - 1].next_here) {
			struct accumulator a = f->branches[n - 1].a;
			uint32_t yes, no;
			int r;

			r = run_on(f, at + 1 + f->code[at].jt, a, &yes);
			if (r == 0)
				r = run_on(f, at + 1 + f->code[at].jf, a, &no);
			if (r < 0)
				return r;
			/* The array may have moved. */
			f->branches[n - 1].yes = yes;
			f->branches[n - 1].no = no;
		}
	}
	return 0;
}

/* ---- from branches to questions ---------------------------------------------------------------- */

static bool is_end(uint32_t n)
{
	return n == DECISION_PASS || n == DECISION_DENY;
}

static bool asks_for_one_value(const struct follower *f, const struct branch *b)
{
	return BPF_OP(f->code[b->at].code) == BPF_JEQ;
}

static bool has_case(const struct question *q, uint32_t value)
{
	for (size_t i = 0; i < q->n_cases; i++)
		if (q->cases[i].value == value)
			return true;
	return false;
}

/* The branch and those that it leads to in a row when each is one more value of the same word. */
static int gather_cases(struct follower *f, const struct branch *b, struct question *q)
{
	const struct branch *at = b;
	size_t n = 0;

	for (; !is_end(at->no); at = &f->branches[at->no], n++) {
		const struct branch *next = &f->branches[at->no];

		if (!asks_for_one_value(f, next) || next->a.word != b->a.word || next->a.mask != b->a.mask)
			break;
	}
	f->n_cases += n + 1;
	if (f->n_cases > MAX_CASES)
		return -E2BIG;
	q->cases = calloc(n + 1, sizeof(*q->cases));
	if (!q->cases)
		return -ENOMEM;
	q->no = at->no;
	for (at = b;; at = &f->branches[at->no]) {
		uint32_t value = f->code[at->at].k;

		/* The first that asks for a value has it. What the mask leaves is never another value. */
		if ((value & ~at->a.mask) == 0 && !has_case(q, value))
			q->cases[q->n_cases++] = (struct question_case){ value, at->yes };
		if (at->no == q->no)
			return 0;
	}
}

static int ask(struct follower *f, const struct branch *b, struct question *q)
{
	const struct sock_filter *i = &f->code[b->at];

	*q = (struct question){ .word = b->a.word, .mask = b->a.mask, .value = i->k, .yes = b->yes, .no = b->no };
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		q->kind = QUESTION_EQUAL;
		return gather_cases(f, b, q);
	case BPF_JGT:
		q->kind = QUESTION_GREATER;
		return 0;
	case BPF_JGE:
		q->kind = QUESTION_AT_LEAST;
		return 0;
	default:
		q->kind = QUESTION_ANY_BIT;
		return 0;
	}
}

/* The question that a branch has become or becomes now. */
static void renumber(struct follower *f, struct decision *d, uint32_t *to)
{
	struct branch *b;

	if (is_end(*to))
		return;
	b = &f->branches[*to];
	if (b->question == 0) {
		/* Its place; who it is stands there until it is asked. */
		d->questions[d->n_questions].value = *to;
		b->question = (uint32_t)++d->n_questions;
	}
	*to = b->question - 1;
}

static int ask_all(struct follower *f, struct decision *d)
{
	d->questions = calloc(f->n_branches, sizeof(*d->questions));
	if (!d->questions)
		return -ENOMEM;
	renumber(f, d, &d->first);
	for (size_t n = 0; n < d->n_questions; n++) {
		struct question *q = &d->questions[n];
		int r = ask(f, &f->branches[q->value], q);

		if (r < 0)
			return r;
		for (size_t i = 0; i < q->n_cases; i++)
			renumber(f, d, &q->cases[i].then);
		if (q->kind != QUESTION_EQUAL)
			renumber(f, d, &q->yes);
		renumber(f, d, &q->no);
	}
	return 0;
}

struct place {
	size_t at;
	uint32_t question;
};

static int later_first(const void *a, const void *b)
{
	size_t x = ((const struct place *)a)->at, y = ((const struct place *)b)->at;

	return x < y ? 1 : x > y ? -1 : 0;
}

static unsigned int deeper(unsigned int depth, const unsigned int *depths, uint32_t to)
{
	return !is_end(to) && depths[to] > depth ? depths[to] : depth;
}

/* Later code first: what a question leads to has been measured when its turn comes. */
static int measure(const struct follower *f, struct decision *d)
{
	_cleanup_(freep) unsigned int *depths = calloc(d->n_questions, sizeof(*depths));
	_cleanup_(freep) struct place *places = calloc(d->n_questions, sizeof(*places));
	size_t n = 0;

	if (!depths || !places)
		return -ENOMEM;
	for (size_t i = 0; i < f->n_branches; i++)
		if (f->branches[i].question > 0)
			places[n++] = (struct place){ f->branches[i].at, f->branches[i].question - 1 };
	qsort(places, n, sizeof(*places), later_first);
	for (size_t i = 0; i < n; i++) {
		const struct question *q = &d->questions[places[i].question];
		unsigned int depth = deeper(0, depths, q->no);

		if (q->kind != QUESTION_EQUAL)
			depth = deeper(depth, depths, q->yes);
		for (size_t k = 0; k < q->n_cases; k++)
			depth = deeper(depth, depths, q->cases[k].then);
		depths[places[i].question] = depth + 1;
	}
	d->depth = depths[0];
	return 0;
}

int decision_make(const struct sock_filter *code, size_t n_code, int number, uint32_t arch, struct decision *ret)
{
	struct follower f = { .code = code, .n_code = n_code, .number = (uint32_t)number, .arch = arch };
	struct decision d = { 0 };
	int r;

	f.here = calloc(n_code + 1, sizeof(*f.here));
	if (!f.here)
		return -ENOMEM;
	r = run_on(&f, 0, (struct accumulator){ .known = true }, &d.first);
	if (r == 0)
		r = follow_branches(&f);
	if (r == 0 && f.n_branches > 0)
		r = ask_all(&f, &d);
	if (r == 0 && d.n_questions > 0)
		r = measure(&f, &d);
	free(f.here);
	free(f.branches);
	if (r < 0) {
		decision_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void decision_done(struct decision *d)
{
	for (size_t i = 0; i < d->n_questions; i++)
		free(d->questions[i].cases);
	free(d->questions);
	*d = (struct decision){ .first = DECISION_PASS };
}
