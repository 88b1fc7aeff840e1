/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the importers share, and the one for profiles. The source of an import is named after its
 * text: importing the same file twice is one run, not two.
 */
#include "seccomp/import-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "seccomp/profile-internal.h"

/* FNV-1a: a name for a text, nothing that must withstand anybody. */
#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

bool import_line(struct slice *rest, struct slice *ret)
{
	const char *end;

	if (rest->n == 0)
		return false;
	end = memchr(rest->p, '\n', rest->n);
	ret->p = rest->p;
	ret->n = end ? (size_t)(end - rest->p) : rest->n;
	rest->p += ret->n + (end != NULL);
	rest->n -= ret->n + (end != NULL);
	return true;
}

int import_begin(enum abi machine, const char *text, size_t n, struct observation **ret)
{
	_cleanup_(observation_freep) struct observation *o = observation_new();
	struct observed_source s = { .runs = 1 };
	uint64_t hash = FNV_START;
	int r;

	if (!o)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)text[i]) * FNV_PRIME;
	(void)snprintf(s.id, sizeof(s.id), "import-%016llx", (unsigned long long)hash);
	o->machine = machine;
	r = observation_add_source(o, &s);
	if (r < 0)
		return r;
	*ret = take_ptr(o);
	return 0;
}

int import_needed(struct observation *o, enum abi a, const char *name, uint64_t count, struct observed_call **ret)
{
	struct observed_call *c;
	int r = observation_add(o, a, name, &c);

	if (r < 0)
		return r;
	c->phases |= PHASE_START;
	c->count += count;
	observed_call_witness(c, o->sources[0].id, 1);
	if (ret)
		*ret = c;
	return 0;
}

/* What a rule allows, with the arguments that it does so for where an observation could tell them. */
static int import_rule(struct observation *o, enum abi machine, const char *call, const struct profile_rule *rule)
{
	const struct arg_rule *args = arg_rule_find(machine, call);
	struct observed_call *c;
	struct arg_value value;
	int r = import_needed(o, machine, call, 0, &c);

	if (r < 0 || !args)
		return r;
	if (profile_rule_value(rule, args, &value))
		return observed_call_add_value(c, value);
	observed_call_forget_values(c);
	return 0;
}

int import_docker(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_context context;
	size_t allowed = 0;
	int r;

	profile_context_docker(&context);
	r = profile_parse(text, n, name, &context, &p, d);
	if (r == 0)
		r = import_begin(context.machine, text, n, &o);
	for (size_t i = 0; r == 0 && i < p->n_rules; i++) {
		for (size_t k = 0; k < p->rules[i].n_names && r == 0; k++) {
			const char *call = p->rules[i].names[k];

			if (p->rules[i].action != ACTION_ALLOW || abi_call_number(context.machine, call) < 0)
				continue;
			r = import_rule(o, context.machine, call, &p->rules[i]);
			allowed++;
		}
	}
	if (r < 0)
		return r;
	if (allowed == 0)
		return diag_fail(d, -EINVAL, name, "allows no call by name; there is nothing to import");
	*ret = take_ptr(o);
	return 0;
}
