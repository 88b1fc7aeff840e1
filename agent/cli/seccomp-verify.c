/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp verify`: would this profile stop what was observed? The names of what it would
 * deny go to standard output, one a line; why goes to standard error.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/seccomp/filter.h"
#include "batten/seccomp/verify.h"
#include "cli/commands.h"
#include "cli/seccomp-input.h"

static json_t *denial_json(const struct verify_denial *v)
{
	char buf[24];
	json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "call", v->name, "abi", abi_name(v->abi), "answer",
			      filter_answer_text(v->answer, buf), "why", v->why);

	if (v->has_value)
		json_object_set_new(j, "args", json_pack("[I, I]", (json_int_t)v->value.v[0], (json_int_t)v->value.v[1]));
	return j;
}

static int print_json(const struct verify_result *v)
{
	_cleanup_(json_freep) json_t *denied = json_array(), *unknown = json_array(), *doc = NULL;

	for (size_t i = 0; i < v->n_denials; i++)
		json_array_append_new(denied, denial_json(&v->denials[i]));
	for (size_t i = 0; i < v->unknown.n; i++)
		json_array_append_new(unknown, json_text(v->unknown.v[i]));
	doc = json_pack("{s:s, s:O, s:O, s:b, s:b, s:I, s:I}", "schema", "batten.seccomp-verify/1", "denied", denied,
			"unknown", unknown, "thread_trap", v->thread_trap, "too_long", v->too_long, "checked", (json_int_t)v->n_checked,
			"instructions", (json_int_t)v->n_instructions);
	return doc ? json_print(STDOUT_FILENO, doc) : -ENOMEM;
}

static void print_text(const struct invocation *inv, const struct verify_result *v)
{
	for (size_t i = 0; i < v->n_denials; i++) {
		const struct verify_denial *denial = &v->denials[i];
		bool repeated = false;
		char buf[24];

		for (size_t k = 0; k < i; k++)
			repeated |= strcmp(v->denials[k].name, denial->name) == 0;
		if (!repeated)
			(void)puts(denial->name);
		if (inv->quiet)
			continue;
		(void)fprintf(stderr, "batten: %s (%s): %s", denial->name, abi_name(denial->abi),
			      filter_answer_text(denial->answer, buf));
		if (denial->has_value)
			(void)fprintf(stderr, " for argument %#x", denial->value.v[0]);
		(void)fprintf(stderr, "; %s\n", denial->why);
	}
	if (inv->quiet)
		return;
	for (size_t i = 0; i < v->unknown.n; i++)
		(void)fprintf(stderr, "batten: %s: unknown to this libseccomp; the rule has no effect here\n",
			      v->unknown.v[i]);
	if (v->thread_trap)
		(void)fputs("batten: clone3 answers neither ENOSYS nor success: threads of glibc 2.34 and later do not "
			    "start\n", stderr);
	if (v->too_long)
		(void)fprintf(stderr, "batten: the kernel takes no filter of more than %d instructions: no container would start; "
			      "unite rules that differ in one argument only\n", BPF_MAXINSNS);
	(void)fprintf(stderr, "batten: %llu calls put before a filter of %zu instructions, %zu denied\n",
		      (unsigned long long)v->n_checked, v->n_instructions, v->n_denials);
}

static int verify(const struct invocation *inv, bool *ret_denies, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_context context;
	struct verify_result v = { 0 };
	const char *name;
	int r = 0;

	for (unsigned int i = 0; r == 0 && (name = invocation_nth(inv, "against", i)); i++) {
		if (!o)
			o = observation_new();
		r = o ? seccomp_input_add(inv, name, o, d) : -ENOMEM;
	}
	if (r < 0)
		return r;
	profile_context_docker(&context);
	if (o && o->machine != _ABI_MAX)
		context.machine = o->machine;
	r = profile_read(inv->args[0], &context, &p, d);
	if (r == 0)
		r = profile_verify(p, o, &v, d);
	if (r < 0)
		return r;
	*ret_denies = v.n_denials > 0 || v.too_long || (v.thread_trap && !o);
	if (strcmp(invocation_format(inv), "json") == 0)
		r = print_json(&v);
	else
		print_text(inv, &v);
	verify_result_done(&v);
	return r;
}

static enum exit_status verify_run(struct invocation *inv)
{
	struct diag d = { 0 };
	bool denies = false;
	int r = verify(inv, &denies, &d);

	if (r < 0)
		return invocation_fail(&d, r);
	return denies ? EXIT_NO : EXIT_DONE;
}

static const struct option_row options[] = {
	{ "against", 0, "OBSERVATION|IMAGE", "what must not be denied", true },
	{ "docker", 0, "URL", "Docker's socket, asked for a container's image", false },
	STATE_OPTION,
	{ 0 },
};

const struct command cmd_seccomp_verify = {
	.name = "seccomp verify",
	.args = "PROFILE",
	.help = "run a profile's filter over what was observed, and list what it would deny",
	.details = "Prints the denied names, one a line. Without --against only what every program needs is\n"
		   "checked: ending, returning from signals, starting threads (by clone3).",
	.options = options,
	.formats = "text|json",
	.min_args = 1,
	.max_args = 1,
	.exits = {
		[EXIT_DONE] = "nothing observed would be denied",
		[EXIT_NO] = "something would be, no thread would start, or the kernel would not take the filter",
		[EXIT_USAGE] = "an invalid profile or observation",
	},
	.run = verify_run,
};
