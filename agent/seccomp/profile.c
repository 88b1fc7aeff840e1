/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The profile as a list of rules, and how it is printed: names sorted, no conditions, so that the
 * same text serves Docker, podman and an OCI bundle.
 */
#include "batten/seccomp/profile.h"

#include <errno.h>
#include <string.h>

#include "batten/base/bytes.h"
#include "batten/base/file.h"
#include "batten/base/parse.h"
#include "seccomp/profile-internal.h"

#define OUTPUT_MODE 0644

const char *const profile_actions[_ACTION_MAX] = {
	[ACTION_KILL_THREAD] = "SCMP_ACT_KILL_THREAD",
	[ACTION_KILL_PROCESS] = "SCMP_ACT_KILL_PROCESS",
	[ACTION_TRAP] = "SCMP_ACT_TRAP",
	[ACTION_ERRNO] = "SCMP_ACT_ERRNO",
	[ACTION_TRACE] = "SCMP_ACT_TRACE",
	[ACTION_ALLOW] = "SCMP_ACT_ALLOW",
	[ACTION_LOG] = "SCMP_ACT_LOG",
	[ACTION_NOTIFY] = "SCMP_ACT_NOTIFY",
};

const char *const profile_ops[_OP_MAX] = {
	[OP_NE] = "SCMP_CMP_NE",
	[OP_LT] = "SCMP_CMP_LT",
	[OP_LE] = "SCMP_CMP_LE",
	[OP_EQ] = "SCMP_CMP_EQ",
	[OP_GE] = "SCMP_CMP_GE",
	[OP_GT] = "SCMP_CMP_GT",
	[OP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
};

const char *profile_action_name(enum profile_action a)
{
	return a < _ACTION_MAX ? profile_actions[a] : "unknown";
}

struct profile *profile_new(void)
{
	struct profile *p = calloc(1, sizeof(*p));

	if (p) {
		p->default_action = ACTION_ERRNO;
		p->default_error = EPERM;
	}
	return p;
}

struct profile *profile_free(struct profile *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n_rules; i++) {
		for (size_t k = 0; k < p->rules[i].n_names; k++)
			free(p->rules[i].names[k]);
		free(p->rules[i].names);
		free(p->rules[i].comment);
		free(p->rules[i].with);
		free(p->rules[i].without);
	}
	free(p->rules);
	free(p);
	return NULL;
}

int profile_add_rule(struct profile *p, enum profile_action action, int error, const char *comment,
		     struct profile_rule **ret)
{
	struct profile_rule *r;

	if (p->n_rules == MAX_PROFILE_RULES)
		return -E2BIG;
	if (p->n_rules == p->size_rules) {
		size_t size = p->size_rules ? p->size_rules * 2 : 16;

		r = reallocarray(p->rules, size, sizeof(*r));
		if (!r)
			return -ENOMEM;
		p->rules = r;
		p->size_rules = size;
	}
	r = &p->rules[p->n_rules];
	memset(r, 0, sizeof(*r));
	r->action = action;
	r->error = error;
	if (comment) {
		r->comment = strdup(comment);
		if (!r->comment)
			return -ENOMEM;
	}
	p->n_rules++;
	*ret = r;
	return 0;
}

/* Sorted, each name once. */
int profile_rule_add_name(struct profile_rule *r, const char *name)
{
	char **names, *copy;
	size_t low = 0, high = r->n_names;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(r->names[middle], name);

		if (order == 0)
			return 0;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (r->n_names == MAX_RULE_NAMES)
		return -E2BIG;
	copy = strdup(name);
	names = copy ? reallocarray(r->names, r->n_names + 1, sizeof(*names)) : NULL;
	if (!names) {
		free(copy);
		return -ENOMEM;
	}
	r->names = names;
	memmove(&names[low + 1], &names[low], (r->n_names - low) * sizeof(*names));
	names[low] = copy;
	r->n_names++;
	return 0;
}

static bool passes(enum profile_action a)
{
	return a == ACTION_ALLOW || a == ACTION_LOG;
}

bool profile_rule_names(const struct profile_rule *r, const char *name)
{
	for (size_t k = 0; k < r->n_names; k++)
		if (strcmp(r->names[k], name) == 0)
			return true;
	return false;
}

/* Runtimes leave out what says no more than the default. */
static bool is_default(const struct profile *p, const struct profile_rule *r)
{
	bool has_error = r->action == ACTION_ERRNO || r->action == ACTION_TRACE;

	return r->action == p->default_action && (!has_error || r->error == p->default_error);
}

/* The next rule from @i on that has a say about the call; p->n_rules when there is none. */
static size_t next_rule(const struct profile *p, size_t i, const char *name)
{
	while (i < p->n_rules && (p->rules[i].with || is_default(p, &p->rules[i]) || !profile_rule_names(&p->rules[i], name)))
		i++;
	return i;
}

bool profile_allows(const struct profile *p, const char *name, bool any_args)
{
	bool some = passes(p->default_action), all = some;

	for (size_t i = next_rule(p, 0, name); i < p->n_rules; i = next_rule(p, i + 1, name)) {
		const struct profile_rule *r = &p->rules[i];

		/* For libseccomp it takes the place of those before it, and those behind it do nothing. */
		if (r->n_args == 0)
			return passes(r->action);
		some |= passes(r->action);
		all &= passes(r->action);
	}
	return any_args ? some : all;
}

static bool same_condition(const struct profile_arg *a, const struct profile_arg *b)
{
	return a->index == b->index && a->op == b->op && a->value == b->value &&
	       (a->op != OP_MASKED_EQ || a->value_two == b->value_two);
}

static bool same_rule(const struct profile_rule *a, const struct profile_rule *b)
{
	if (passes(a->action) != passes(b->action) || a->n_args != b->n_args)
		return false;
	for (unsigned int i = 0; i < a->n_args; i++) {
		unsigned int k = 0;

		while (k < b->n_args && !same_condition(&a->args[i], &b->args[k]))
			k++;
		if (k == b->n_args)
			return false;
	}
	return true;
}

/* Is each rule of @p about the call one of @other, too? */
static bool is_said_by(const struct profile *p, const struct profile *other, const char *name)
{
	for (size_t i = next_rule(p, 0, name); i < p->n_rules; i = next_rule(p, i + 1, name)) {
		size_t k = next_rule(other, 0, name);

		while (k < other->n_rules && !same_rule(&p->rules[i], &other->rules[k]))
			k = next_rule(other, k + 1, name);
		if (k == other->n_rules)
			return false;
	}
	return true;
}

bool profile_same_arguments(const struct profile *p, const struct profile *other, const char *name)
{
	return is_said_by(p, other, name) && is_said_by(other, p, name);
}

bool profile_rule_value(const struct profile_rule *r, const struct arg_rule *args, struct arg_value *ret)
{
	struct arg_value value = { { 0 } };

	if (r->n_args != args->n)
		return false;
	for (unsigned int k = 0; k < args->n; k++) {
		const struct profile_arg *a = NULL;
		uint64_t mask, wanted;

		for (unsigned int i = 0; i < r->n_args; i++)
			if (r->args[i].index == args->index[k])
				a = &r->args[i];
		if (!a || (a->op != OP_EQ && a->op != OP_MASKED_EQ))
			return false;
		mask = a->op == OP_EQ ? UINT64_MAX : a->value;
		wanted = a->op == OP_EQ ? a->value : a->value_two;
		if ((uint32_t)mask != args->mask[k] || wanted & ~(uint64_t)args->mask[k])
			return false;
		value.v[k] = (uint32_t)wanted;
	}
	*ret = value;
	return true;
}

static json_t *rule_json(const struct profile_rule *r)
{
	json_t *j = json_object(), *names = json_array(), *args;

	for (size_t i = 0; i < r->n_names; i++)
		json_array_append_new(names, json_text(r->names[i]));
	json_object_set_new(j, "names", names);
	json_object_set_new(j, "action", json_string(profile_actions[r->action]));
	if (r->action == ACTION_ERRNO || r->action == ACTION_TRACE)
		json_object_set_new(j, "errnoRet", json_integer(r->error));
	if (r->n_args > 0) {
		args = json_array();
		for (unsigned int i = 0; i < r->n_args; i++) {
			const struct profile_arg *a = &r->args[i];
			json_t *row = json_pack("{s:i, s:I}", "index", (int)a->index, "value", (json_int_t)a->value);

			if (a->op == OP_MASKED_EQ)
				json_object_set_new(row, "valueTwo", json_integer((json_int_t)a->value_two));
			json_object_set_new(row, "op", json_string(profile_ops[a->op]));
			json_array_append_new(args, row);
		}
		json_object_set_new(j, "args", args);
	}
	if (r->comment)
		json_object_set_new(j, "comment", json_text(r->comment));
	if (r->with)
		json_object_set_new(j, "includes", json_pack("{s:[s]}", "caps", r->with));
	if (r->without)
		json_object_set_new(j, "excludes", json_pack("{s:[s]}", "caps", r->without));
	return j;
}

json_t *profile_json(const struct profile *p)
{
	json_t *j = json_object(), *abis = json_array(), *rules = json_array();

	json_object_set_new(j, "defaultAction", json_string(profile_actions[p->default_action]));
	if (p->default_action == ACTION_ERRNO)
		json_object_set_new(j, "defaultErrnoRet", json_integer(p->default_error));
	for (enum abi a = 0; a < _ABI_MAX; a++)
		if (p->abis[a])
			json_array_append_new(abis, json_string(abi_profile_name(a)));
	json_object_set_new(j, "architectures", abis);
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].n_names > 0)
			json_array_append_new(rules, rule_json(&p->rules[i]));
	json_object_set_new(j, "syscalls", rules);
	return j;
}

static bool stands_behind(const char *text, const char *at, const char *name)
{
	size_t n = strlen(name);

	return (size_t)(at - text) >= n && memcmp(at - n, name, n) == 0;
}

/* A value of 64 bits is below 0 in our JSON, which has signs: it gets the digits that runtimes read. */
static void write_without_signs(const char *text, struct bytes *ret)
{
	const char *from = text, *minus;
	uint64_t v;

	for (; (minus = strchr(from, '-')); from = minus + 1) {
		struct slice digits = { minus + 1, strspn(minus + 1, "0123456789") };

		bytes_append(ret, from, (size_t)(minus - from));
		/* A quote within a text has a backslash before it, so that these are never part of one. */
		if ((stands_behind(text, minus, "\"value\": ") || stands_behind(text, minus, "\"valueTwo\": ")) &&
		    parse_u64(digits, 1, UINT64_C(1) << 63, &v) == 0) {
			bytes_append_str(ret, U64S(0 - v));
			minus += digits.n;
		} else {
			bytes_append_str(ret, "-");
		}
	}
	bytes_append_str(ret, from);
}

int profile_write(const struct profile *p, const char *path, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = profile_json(p);
	_cleanup_(freep) char *text = NULL;
	struct bytes signs = { 0 }, whole = { 0 };
	size_t n;
	int r;

	json_append(&signs, j);
	if (signs.error < 0)
		whole.error = signs.error;
	else
		write_without_signs(signs.data, &whole);
	bytes_done(&signs);
	r = bytes_take(&whole, &text, &n);
	return r < 0 ? r : file_output(path, text, n, OUTPUT_MODE, d);
}

int profile_read(const char *path, const struct profile_context *context, struct profile **ret, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	const char *name;
	size_t n;
	int r = file_read_or_stdin(path, MAX_PROFILE_BYTES, &text, &n, &name, d);

	return r < 0 ? r : profile_parse(text, n, name, context, ret, d);
}
