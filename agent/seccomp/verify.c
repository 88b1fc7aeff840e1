/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Each observed call is put before the compiled filter as the kernel would: number, interface and
 * arguments. Upper halves of int arguments are garbage to the kernel, so each value is tried with
 * zeros and with ones there; a rule that compares 64 bits trips over the latter.
 */
#include "batten/seccomp/verify.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "batten/seccomp/base.h"
#include "batten/seccomp/filter.h"

#define X32_BIT 0x40000000

/* Names that libseccomp gives to parts of socketcall and ipc, by numbers below these. */
#define PART_OF_SOCKETCALL (-100)
#define PART_OF_IPC (-200)
#define PARTS 100

struct verifier {
	struct filter filter;
	struct verify_result *out;
};

void verify_result_done(struct verify_result *r)
{
	free(r->denials);
	for (size_t i = 0; i < r->unknown.n; i++)
		free(r->unknown.v[i]);
	free(r->unknown.v);
	memset(r, 0, sizeof(*r));
}

static int deny(struct verifier *v, enum abi a, const char *name, uint32_t answer, const struct arg_value *value,
		const char *why)
{
	struct verify_denial *denials;

	for (size_t i = 0; i < v->out->n_denials; i++)
		if (v->out->denials[i].abi == a && strcmp(v->out->denials[i].name, name) == 0)
			return 0; /* one reason is enough */
	denials = reallocarray(v->out->denials, v->out->n_denials + 1, sizeof(*denials));
	if (!denials)
		return -ENOMEM;
	v->out->denials = denials;
	denials += v->out->n_denials++;
	memset(denials, 0, sizeof(*denials));
	(void)snprintf(denials->name, sizeof(denials->name), "%s", name);
	denials->abi = a;
	denials->answer = answer;
	denials->has_value = value != NULL;
	if (value)
		denials->value = *value;
	denials->why = why;
	return 0;
}

static int ask(struct verifier *v, enum abi a, int number, const struct arg_rule *rule, const struct arg_value *value,
	       uint64_t upper, uint32_t *ret)
{
	struct seccomp_data data = {
		.nr = a == ABI_X32 ? number | X32_BIT : number,
		.arch = abi_audit_arch(a),
		/* Some address of the program's; no profile looks at it. */
		.instruction_pointer = 0x400000,
	};

	for (unsigned int i = 0; value && rule && i < rule->n; i++)
		data.args[rule->index[i]] = value->v[i] | upper;
	v->out->n_checked++;
	return filter_run(v->filter.code, v->filter.n_code, &data, ret);
}

/*
 * 32-bit x86 makes some calls through socketcall and ipc, whose first argument tells which, and most of them
 * under a number of their own too. Which it was need not be told: one of them is to pass.
 */
static int ask_for_part(struct verifier *v, enum abi a, const char *name, uint32_t *ret)
{
	int part = seccomp_syscall_resolve_name_arch(abi_token(a), name);
	int above = part < PART_OF_IPC ? PART_OF_IPC : PART_OF_SOCKETCALL;
	struct seccomp_data data = { .arch = abi_audit_arch(a), .instruction_pointer = 0x400000 };
	int r;

	if (a != ABI_X86 || part >= above || part < above - PARTS)
		return -ENOENT;
	data.nr = abi_call_number(a, above == PART_OF_IPC ? "ipc" : "socketcall");
	data.args[0] = (uint64_t)(above - part);
	for (int n = 0; n < ABI_NUMBERS; n++) {
		char other[ABI_NAME_SIZE];

		if (strcmp(abi_call_name(a, n, other), name) != 0)
			continue;
		r = ask(v, a, n, NULL, NULL, 0, ret);
		if (r < 0 || filter_answer_passes(*ret))
			return r;
	}
	v->out->n_checked++;
	return filter_run(v->filter.code, v->filter.n_code, &data, ret);
}

static int check_call(struct verifier *v, enum abi a, const struct observed_call *c)
{
	const struct arg_rule *rule = c->args_known ? arg_rule_find(a, c->name) : NULL;
	int number = abi_call_number(a, c->name), r;
	uint32_t answer = SECCOMP_RET_KILL_THREAD;

	if (number < 0) {
		r = ask_for_part(v, a, c->name, &answer);
		if (r == -ENOENT)
			return deny(v, a, c->name, answer, NULL, "this libseccomp has no such call");
		return r < 0 || filter_answer_passes(answer) ? r : deny(v, a, c->name, answer, NULL, "observed");
	}
	if (!rule || c->n_values == 0) {
		r = ask(v, a, number, NULL, NULL, 0, &answer);
		return r < 0 || filter_answer_passes(answer) ? r : deny(v, a, c->name, answer, NULL, "observed");
	}
	for (unsigned int i = 0; i < c->n_values; i++) {
		for (int garbage = 0; garbage < 2; garbage++) {
			/* 32-bit code has no upper halves. */
			uint64_t upper = garbage && (a == ABI_X86_64 || a == ABI_AARCH64) ? 0xffffffff00000000u : 0;

			r = ask(v, a, number, rule, &c->values[i], upper, &answer);
			if (r < 0)
				return r;
			if (filter_answer_passes(answer))
				continue;
			r = deny(v, a, c->name, answer, &c->values[i],
				 upper ? "observed; the rule compares the upper half of an int" : "observed");
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int check_musts(struct verifier *v, enum abi a)
{
	const struct must_row *row;
	uint32_t answer;

	for (unsigned int i = 0; (row = must_nth(i)); i++) {
		int number = row->must ? abi_call_number(a, row->name) : -1, r;

		if (number < 0)
			continue;
		r = ask(v, a, number, NULL, NULL, 0, &answer);
		if (r == 0 && !filter_answer_passes(answer))
			r = deny(v, a, row->name, answer, NULL, "every program needs it");
		if (r < 0)
			return r;
	}
	return 0;
}

/* glibc starts threads by clone3 and takes clone only after ENOSYS. */
static int check_threads(struct verifier *v, enum abi a, const struct observation *o)
{
	const struct observed_call *c = o ? observation_find(o, a, "clone3") : NULL;
	int number = abi_call_number(a, "clone3"), r;
	uint32_t answer;

	if (number < 0)
		return 0;
	r = ask(v, a, number, NULL, NULL, 0, &answer);
	if (r < 0 || filter_answer_passes(answer) || answer == (SECCOMP_RET_ERRNO | ENOSYS))
		return r;
	v->out->thread_trap = true;
	return c && !c->phases ? deny(v, a, "clone3", answer, NULL, "must answer ENOSYS: no thread would start") : 0;
}

static int verify_with(struct verifier *v, const struct profile *p, const struct observation *o)
{
	int r = 0;

	for (enum abi a = 0; a < _ABI_MAX && r == 0; a++) {
		if (p->abis[a])
			r = check_musts(v, a);
		if (p->abis[a] && r == 0 && a != ABI_X32)
			r = check_threads(v, a, o);
		for (size_t i = 0; o && i < o->abis[a].n && r == 0; i++)
			if (o->abis[a].v[i].phases)
				r = check_call(v, a, &o->abis[a].v[i]);
	}
	return r;
}

int profile_verify(const struct profile *p, const struct observation *o, struct verify_result *ret, struct diag *d)
{
	struct verifier v = { .out = ret };
	int r;

	memset(ret, 0, sizeof(*ret));
	if (o && o->machine != _ABI_MAX && !p->abis[o->machine])
		return diag_fail(d, -EINVAL, NULL, "the profile is not for %s, where the observation was made",
				 abi_name(o->machine));
	r = filter_compile(p, FILTER_PATIENCE, &v.filter, &ret->unknown, d);
	if (r == 0) {
		ret->n_instructions = v.filter.n_code;
		ret->too_long = v.filter.n_code > BPF_MAXINSNS;
		r = verify_with(&v, p, o);
		if (r == -EINVAL)
			r = diag_fail(d, r, NULL, "the compiled filter is no program that the kernel would take");
	}
	filter_done(&v.filter);
	if (r < 0)
		verify_result_done(ret);
	return r;
}
