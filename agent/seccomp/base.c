/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The data that ships, turned into the same models that observations and profiles are.
 */
#include "batten/seccomp/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "seccomp/data-internal.h"
#include "seccomp/profile-internal.h"

static const struct must_row musts[] = {
	{ "exit", "a thread ends", true },
	{ "exit_group", "a process ends; without it programs crash or spin at their end", true },
	{ "restart_syscall", "the kernel continues an interrupted sleep", true },
	{ "rt_sigreturn", "a signal handler returns", true },
	{ "brk", "memory, asked for by load", false },
	{ "clock_getres", "answered without a call until the clock source changes", false },
	{ "clock_gettime", "answered without a call until the clock source changes", false },
	{ "futex", "locks, only when two threads meet", false },
	{ "getcpu", "answered without a call until the clock source changes", false },
	{ "getpid", "abort() and raise()", false },
	{ "gettid", "abort() and raise()", false },
	{ "gettimeofday", "answered without a call until the clock source changes", false },
	{ "madvise", "memory, given back by load", false },
	{ "mremap", "memory, grown by load", false },
	{ "munmap", "memory, given back by load", false },
	{ "rt_sigprocmask", "abort() and raise()", false },
	{ "sched_yield", "locks, only when two threads meet", false },
	{ "tgkill", "abort() and raise()", false },
	{ "time", "answered without a call until the clock source changes", false },
	/* The 32-bit forms; names that an interface lacks are left out. */
	{ "clock_gettime64", "answered without a call until the clock source changes", false },
	{ "futex_time64", "locks, only when two threads meet", false },
	{ "sigreturn", "a signal handler returns", false },
};

const struct must_row *must_nth(unsigned int i)
{
	return i < ARRAY_SIZE(musts) ? &musts[i] : NULL;
}

/* "arg0 & 0x7e020000 == 0", "arg0 < 38" */
static int take_condition(const char *text, struct profile_rule *r)
{
	struct profile_arg *a = &r->args[r->n_args];
	unsigned long long value = 0, mask = 0;
	unsigned int index = 0;
	char op[3] = "";

	if (sscanf(text, "arg%1u & 0x%llx == %llu", &index, &mask, &value) == 3) {
		*a = (struct profile_arg){ index, OP_MASKED_EQ, mask, value };
	} else if (sscanf(text, "arg%1u %2[<>=!] %llu", &index, op, &value) == 3) {
		a->index = index;
		a->value = value;
		a->op = strcmp(op, "<") == 0 ? OP_LT : strcmp(op, ">") == 0 ? OP_GT : strcmp(op, "!=") == 0 ? OP_NE : OP_EQ;
	} else {
		return -EINVAL;
	}
	r->n_args++;
	return 0;
}

static int add_name(void *userdata, const char *name)
{
	return profile_rule_add_name(userdata, name);
}

/* Back into Docker's own words, to be resolved by the one reader of conditions. */
static json_t *docker_rule(const json_t *group)
{
	json_t *j = json_object(), *in = json_object(), *out = json_object();
	const json_t *v;

	if ((v = json_object_get(group, "with")))
		json_object_set(in, "caps", (json_t *)v);
	if ((v = json_object_get(group, "without")))
		json_object_set(out, "caps", (json_t *)v);
	if ((v = json_object_get(group, "machines")))
		json_object_set(in, "arches", (json_t *)v);
	if ((v = json_object_get(group, "not_machines")))
		json_object_set(out, "arches", (json_t *)v);
	if ((v = json_object_get(group, "kernel")))
		json_object_set(in, "minKernel", (json_t *)v);
	json_object_set_new(j, "includes", in);
	json_object_set_new(j, "excludes", out);
	return j;
}

int docker_default_profile(const struct profile_context *context, struct profile **ret)
{
	_cleanup_(profile_freep) struct profile *p = profile_new();
	_cleanup_(json_freep) json_t *doc = NULL;
	const json_t *group, *condition;
	size_t i, k;
	int r;

	if (!p)
		return -ENOMEM;
	r = seccomp_data_load(DATA_DOCKER_DEFAULT, &doc);
	if (r < 0)
		return r;
	for (enum abi a = 0; a < _ABI_MAX; a++)
		p->abis[a] = abi_machine(a) == context->machine;
	json_array_foreach(json_object_get(doc, "groups"), i, group) {
		_cleanup_(json_freep) json_t *rule = docker_rule(group);
		const char *answer = json_string_value(json_object_get(group, "answer"));
		struct profile_rule *own;

		if (!profile_rule_applies(rule, context))
			continue;
		r = profile_add_rule(p, answer ? ACTION_ERRNO : ACTION_ALLOW,
				     answer && strcmp(answer, "ENOSYS") == 0 ? ENOSYS : EPERM, NULL, &own);
		if (r == 0)
			r = seccomp_data_words(json_object_get(group, "calls"), add_name, own);
		json_array_foreach(json_object_get(group, "when"), k, condition)
			if (r == 0)
				r = take_condition(json_string_value(condition), own);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(p);
	return 0;
}

const char *call_note(const char *name)
{
	static json_t *doc; /* kept: callers hold on to the texts */

	if (!doc && seccomp_data_load(DATA_NOTES, &doc) < 0)
		return NULL;
	return json_string_value(json_object_get(json_object_get(doc, "calls"), name));
}
