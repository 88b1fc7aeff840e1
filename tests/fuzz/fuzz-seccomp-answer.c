/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a profile says, three times: as its rules read, as our interpreter runs what libseccomp made of
 * it, and as the kernel's machine does (socket-machine.h). The calls that are tried stand at the edges
 * of the profile's own comparisons. The rules are believed only where one rule names the call; what
 * several make together is libseccomp's to say, and the other two have to agree. So have they for x32,
 * beside which 2.5.4 can forget to load the call's number.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <string.h>

#include <seccomp.h>

#include "batten/seccomp/filter.h"
#include "socket-machine.h"

#define MAX_RULES 32
#define MAX_NAMES 8
#define MAX_ARGS 3 /* of all rules: two of one call that compare two arguments each keep 2.5.4 busy without end */
#define MAX_ANSWERS (sizeof(struct seccomp_data) - 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t answer_of(enum profile_action a, int error)
{
	static const uint32_t plain[_ACTION_MAX] = {
		[ACTION_KILL_THREAD] = SECCOMP_RET_KILL_THREAD, [ACTION_KILL_PROCESS] = SECCOMP_RET_KILL_PROCESS,
		[ACTION_TRAP] = SECCOMP_RET_TRAP, [ACTION_ERRNO] = SECCOMP_RET_ERRNO, [ACTION_TRACE] = SECCOMP_RET_TRACE,
		[ACTION_ALLOW] = SECCOMP_RET_ALLOW, [ACTION_LOG] = SECCOMP_RET_LOG, [ACTION_NOTIFY] = SECCOMP_RET_USER_NOTIF,
	};

	return plain[a] | (a == ACTION_ERRNO || a == ACTION_TRACE ? (uint32_t)error & SECCOMP_RET_DATA : 0);
}

static bool holds(const struct profile_arg *a, const struct seccomp_data *call)
{
	uint64_t v = call->args[a->index];

	switch (a->op) {
	case OP_NE:
		return v != a->value;
	case OP_LT:
		return v < a->value;
	case OP_LE:
		return v <= a->value;
	case OP_EQ:
		return v == a->value;
	case OP_GE:
		return v >= a->value;
	case OP_GT:
		return v > a->value;
	default:
		return (v & a->value) == (a->value_two & a->value);
	}
}

static bool matches(const struct profile_rule *r, const struct seccomp_data *call)
{
	bool all = true;

	for (unsigned int i = 0; i < r->n_args; i++)
		all &= holds(&r->args[i], call);
	return all;
}

/* Several comparisons of one argument are alternatives: rules of their own. */
static unsigned int n_alternatives(const struct profile_rule *r)
{
	unsigned int used = 0;

	for (unsigned int i = 0; i < r->n_args; i++) {
		if (used >> r->args[i].index & 1)
			return r->n_args;
		used |= 1u << r->args[i].index;
	}
	return 1;
}

/* How many rules libseccomp gets for the call's number; @ret the last of them. */
static unsigned int rules_of(const struct profile *p, int number, const struct profile_rule **ret)
{
	unsigned int n = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct profile_rule *r = &p->rules[i];
		bool here = false;

		/* Those that say what is said anyway are left out. */
		if (r->with || answer_of(r->action, r->error) == answer_of(p->default_action, p->default_error))
			continue;
		for (size_t k = 0; k < r->n_names; k++)
			here |= seccomp_syscall_resolve_name(r->names[k]) == number;
		if (here) {
			n += n_alternatives(r);
			*ret = r;
		}
	}
	return n;
}

/* The program with its answers numbered from 1, or 0 when they are too many. */
static size_t number_answers(const struct filter *f, struct sock_filter *code, uint32_t *answers)
{
	size_t n = 0;

	memcpy(code, f->code, f->n_code * sizeof(*code));
	for (size_t i = 0; i < f->n_code; i++) {
		size_t at = 0;

		if (code[i].code != (BPF_RET | BPF_K))
			continue;
		while (at < n && answers[at] != code[i].k)
			at++;
		if (at == MAX_ANSWERS)
			return 0;
		if (at == n)
			answers[n++] = code[i].k;
		code[i].k = (uint32_t)at + 1;
	}
	return n;
}

struct trial {
	const struct profile *p;
	const struct filter *f;
	const uint32_t *answers; /* NULL: the kernel did not take the program */
	size_t n_answers;
};

static void try_call(const struct trial *t, const struct seccomp_data *call)
{
	const struct profile_rule *rule = NULL;
	unsigned int n = rules_of(t->p, call->nr, &rule);
	uint32_t answer, said = answer_of(t->p->default_action, t->p->default_error);

	if (filter_run(t->f->code, t->f->n_code, call, &answer) < 0)
		abort();
	if (n == 1 && matches(rule, call))
		said = answer_of(rule->action, rule->error);
	if (n <= 1 && call->arch == abi_audit_arch(abi_native()) && t->p->abis[abi_native()] && !t->p->abis[ABI_X32] &&
	    answer != said)
		abort();
	if (t->answers) {
		int kernel = machine_answer(call);

		if (kernel < 1 || (size_t)kernel > t->n_answers || t->answers[kernel - 1] != answer)
			abort();
	}
}

static void try_rule(const struct trial *t, const struct profile_rule *r)
{
	for (size_t i = 0; i < r->n_names && i < MAX_NAMES; i++) {
		struct seccomp_data call = { .arch = abi_audit_arch(abi_native()) };
		int number = seccomp_syscall_resolve_name(r->names[i]);

		if (number < 0)
			continue;
		call.nr = number;
		try_call(t, &call);
		call.arch = abi_audit_arch(ABI_X86);
		try_call(t, &call);
		call.arch = abi_audit_arch(abi_native());
		for (unsigned int k = 0; k < r->n_args; k++) {
			const struct profile_arg *a = &r->args[k];
			const uint64_t edges[] = { a->value, a->value - 1, a->value + 1, a->value_two, ~a->value,
						   a->value ^ 1ull << 32, a->value_two | ~a->value };

			/* The others stay where the one before left them, at an edge of their own. */
			for (size_t e = 0; e < sizeof(edges) / sizeof(*edges); e++) {
				call.args[a->index] = edges[e];
				try_call(t, &call);
			}
			call.args[a->index] = a->op == OP_MASKED_EQ ? a->value_two : a->value;
		}
	}
}

static bool small(const struct profile *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_rules; i++)
		n += p->rules[i].n_args * p->rules[i].n_names;
	return p->n_rules <= MAX_RULES && n <= MAX_ARGS;
}

static int compile(const struct profile *p, struct filter *ret)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), r = fd < 0 ? -1 : filter_write(p, fd, NULL, NULL);

	if (r == 0)
		r = filter_take(ret, fd);
	(void)close(fd);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sock_filter *code = NULL;
	uint32_t answers[MAX_ANSWERS];
	struct profile_context context;
	struct filter f = { 0 };
	struct profile *p = NULL;
	struct trial t;

	profile_context_docker(&context);
	if (profile_parse((const char *)data, size, "input", &context, &p, NULL) < 0 || !small(p) ||
	    compile(p, &f) < 0)
		goto out;
	code = calloc(f.n_code, sizeof(*code));
	if (!code)
		goto out;
	t = (struct trial){ .p = p, .f = &f, .n_answers = number_answers(&f, code, answers) };
	if (t.n_answers > 0 && machine_load(code, f.n_code))
		t.answers = answers;
	for (size_t i = 0; i < p->n_rules; i++)
		try_rule(&t, &p->rules[i]);
out:
	free(code);
	filter_done(&f);
	profile_free(p);
	return 0;
}
