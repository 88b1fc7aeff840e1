/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A filter that was followed for a call says what the filter itself says, whatever the arguments. */
#include "unit.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <string.h>

#include "batten/seccomp/base.h"
#include "batten/seccomp/filter.h"
#include "decision-passes.h"

#define N_PROFILES 300
#define N_CALLS 40

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % below;
}

/* Few numbers, and their neighbours and those with another upper half, so that comparisons are met and missed. */
static uint64_t number(void)
{
	static const uint64_t some[] = { 0, 1, 2, 7, 8, 38, 40, 0x20000, 0x7e020000, 0xffffffff, 0x100000000, 0x7000000008,
					 0xffffffff00000001, 0xffffffffffffffff };

	return some[draw(ARRAY_SIZE(some))] + (draw(4) == 0 ? draw(3) - 1 : 0);
}

static void add_random_rule(struct profile *p)
{
	static const char *const names[] = { "getppid", "ioctl", "socket", "prctl", "mmap", "read" };
	static const enum profile_action actions[] = { ACTION_ALLOW, ACTION_ERRNO, ACTION_LOG, ACTION_KILL_PROCESS };
	enum profile_action action = actions[draw(ARRAY_SIZE(actions))];
	struct profile_rule *r;

	assert_int_equal(profile_add_rule(p, action, 13, NULL, &r), 0);
	assert_int_equal(profile_rule_add_name(r, names[draw(ARRAY_SIZE(names))]), 0);
	r->n_args = draw(4);
	for (unsigned int i = 0; i < r->n_args; i++)
		r->args[i] = (struct profile_arg){ draw(6), draw(_OP_MAX), number(), number() };
}

static uint32_t ask(const struct filter *f, int call, uint32_t arch, const uint64_t args[6])
{
	struct seccomp_data data = { .nr = call, .arch = arch };
	uint32_t answer;

	memcpy(data.args, args, sizeof(data.args));
	assert_int_equal(filter_run(f->code, f->n_code, &data, &answer), 0);
	return answer;
}

static bool leads_on(const struct decision *d, size_t from, uint32_t to)
{
	return to >= DECISION_DENY || (to < d->n_questions && to != from);
}

static void check_call(const struct filter *f, int call, uint32_t arch, size_t *ret_asked)
{
	struct decision d;

	assert_int_equal(decision_make(f->code, f->n_code, call, arch, &d), 0);
	assert_true(d.first == 0 || d.first >= DECISION_DENY);
	*ret_asked += d.n_questions;
	assert_in_range(d.depth, d.n_questions > 0, d.n_questions);
	for (size_t i = 0; i < d.n_questions; i++) {
		const struct question *q = &d.questions[i];

		assert_true(q->word < 12 && leads_on(&d, i, q->no));
		for (size_t k = 0; k < q->n_cases; k++)
			assert_true(leads_on(&d, i, q->cases[k].then));
	}
	for (int i = 0; i < N_CALLS; i++) {
		uint64_t args[6];

		for (int k = 0; k < 6; k++)
			args[k] = number();
		if (decision_passes(&d, args) != filter_answer_passes(ask(f, call, arch, args)))
			fail_msg("call %d of %x: another answer", call, arch);
	}
	decision_done(&d);
}

static void says_what_the_filter_says(void **unused)
{
	size_t asked = 0, refused = 0;

	for (int n = 0; n < N_PROFILES; n++) {
		struct profile *p = profile_new();
		struct filter f = { 0 };

		p->default_action = draw(2) ? ACTION_ALLOW : ACTION_ERRNO;
		p->abis[ABI_X86_64] = p->abis[ABI_X86] = true;
		p->abis[abi_native()] = true;
		for (uint32_t i = 1 + draw(6); i > 0; i--)
			add_random_rule(p);
		/* libseccomp refuses what says two things about the same arguments. */
		if (filter_compile(p, FILTER_PATIENCE, &f, NULL, NULL) < 0) {
			refused++;
		} else {
			for (int call = 0; call < 170; call++)
				check_call(&f, call, call % 2 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_I386, &asked);
			check_call(&f, 110, AUDIT_ARCH_X86_64, &asked);
			check_call(&f, 16, AUDIT_ARCH_X86_64, &asked);
			check_call(&f, 39, AUDIT_ARCH_AARCH64, &asked);
		}
		filter_done(&f);
		profile_free(p);
	}
	assert_true(asked > N_PROFILES && refused < N_PROFILES / 2);
}

static void thirty_values_are_one_question(void **unused)
{
	struct profile *p = profile_new();
	struct filter f = { 0 };
	struct profile_rule *r;
	struct decision d;

	p->abis[abi_native()] = true;
	for (uint64_t i = 0; i < 30; i++) {
		assert_int_equal(profile_add_rule(p, ACTION_ALLOW, 0, NULL, &r), 0);
		assert_int_equal(profile_rule_add_name(r, "ioctl"), 0);
		r->n_args = 1;
		r->args[0] = (struct profile_arg){ 1, OP_MASKED_EQ, 0xffffffff, 0x5400 + i };
	}
	assert_int_equal(filter_compile(p, FILTER_PATIENCE, &f, NULL, NULL), 0);
	assert_int_equal(decision_make(f.code, f.n_code, abi_call_number(abi_native(), "ioctl"),
				       abi_audit_arch(abi_native()), &d), 0);
	assert_true(d.first == 0 && d.depth <= 2);
	assert_true(decision_passes(&d, (uint64_t[6]){ 0, 0xffffffff00005407 }));
	assert_false(decision_passes(&d, (uint64_t[6]){ 0, 0x5430 }));
	decision_done(&d);
	filter_done(&f);
	profile_free(p);
}

static void what_cannot_be_followed_is_said(void **unused)
{
	static const struct sock_filter pointer[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8), BPF_STMT(BPF_RET, 0) };
	static const struct sock_filter computed[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16), BPF_STMT(BPF_RET | BPF_A, 0) };
	static const struct sock_filter sum[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),
						  BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1), BPF_STMT(BPF_RET, 0) };
	static const struct sock_filter no_end[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),
						     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 7), BPF_STMT(BPF_RET, 0) };
	struct decision d;

	assert_int_equal(decision_make(pointer, ARRAY_SIZE(pointer), 1, 2, &d), -EOPNOTSUPP);
	assert_int_equal(decision_make(computed, ARRAY_SIZE(computed), 1, 2, &d), -EOPNOTSUPP);
	assert_int_equal(decision_make(sum, ARRAY_SIZE(sum), 1, 2, &d), -EOPNOTSUPP);
	assert_int_equal(decision_make(no_end, ARRAY_SIZE(no_end), 1, 2, &d), -EINVAL);
	assert_int_equal(decision_make(NULL, 0, 1, 2, &d), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_the_filter_says),
		cmocka_unit_test(thirty_values_are_one_question),
		cmocka_unit_test(what_cannot_be_followed_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
