/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bases are rows; which of them count is a question of their keys alone. Arguments that a row lists
 * bound the call for all rows: none of them looked at more than they list.
 */
#include "batten/seccomp/runtime-base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/file.h"
#include "seccomp/data-internal.h"

#define SCHEMA "batten.seccomp-runtime-base/1"
#define ANY "any"
#define MAX_BASE_BYTES (1u << 20)
#define MAX_WORDS 96 /* bytes of names on one line of a base */

int runtime_version_order(const char *a, const char *b)
{
	char numbers[2][RUNTIME_VERSION_SIZE];

	(void)snprintf(numbers[0], sizeof(numbers[0]), "%.*s", (int)strspn(a, "0123456789."), a);
	(void)snprintf(numbers[1], sizeof(numbers[1]), "%.*s", (int)strspn(b, "0123456789."), b);
	return strverscmp(numbers[0], numbers[1]);
}

/* Calls fn for each base there is, those that ship first. Its result ends the walk when it is not 0. */
static int each_base(int (*fn)(void *userdata, const json_t *base), void *userdata)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	struct dirent *e;
	size_t i;
	const json_t *base;
	DIR *dir;
	int r = seccomp_data_load(DATA_RUNTIME_BASE, &doc);

	json_array_foreach(json_object_get(doc, "bases"), i, base)
		r = r ? r : fn(userdata, base);
	dir = opendir(RUNTIME_BASE_DIRECTORY);
	if (!dir)
		return r;
	while (r == 0 && (e = readdir(dir))) {
		_cleanup_(json_freep) json_t *own = NULL;
		_cleanup_(freep) char *text = NULL;
		size_t n;

		/* A file that cannot be read takes nothing away from what ships. */
		if (e->d_name[0] == '.' || file_read(dirfd(dir), e->d_name, MAX_BASE_BYTES, &text, &n, NULL) < 0 ||
		    json_parse(text, n, e->d_name, &own, NULL) < 0)
			continue;
		json_array_foreach(json_object_get(own, "bases"), i, base)
			r = r ? r : fn(userdata, base);
	}
	(void)closedir(dir);
	return r;
}

static const char *text_of(const json_t *base, const char *key)
{
	const char *text = json_string_value(json_object_get(base, key));

	return text ? text : ANY;
}

struct selection {
	const struct runtime_choice *choice;
	char from[RUNTIME_VERSION_SIZE], to[RUNTIME_VERSION_SIZE]; /* the known versions that it lies between */
	unsigned int n_own; /* bases of this runtime itself */
	struct observation *into;
	enum abi machine;
	unsigned int phase;
	const json_t *args; /* of the base at hand */
};

static bool is_of_runtime(const struct selection *s, const json_t *base)
{
	const char *name = text_of(base, "runtime");

	return strcmp(s->choice->name, ANY) == 0 || strcmp(name, s->choice->name) == 0;
}

/* The versions next to the wanted one, which may be it. */
static int find_versions(void *userdata, const json_t *base)
{
	struct selection *s = userdata;
	const char *version = text_of(base, "version");
	int order;

	if (!is_of_runtime(s, base))
		return 0;
	s->n_own++;
	if (strcmp(version, ANY) == 0 || !s->choice->version)
		return 0;
	order = runtime_version_order(version, s->choice->version);
	if (order <= 0 && (!s->from[0] || runtime_version_order(version, s->from) > 0))
		(void)snprintf(s->from, sizeof(s->from), "%s", version);
	if (order >= 0 && (!s->to[0] || runtime_version_order(version, s->to) < 0))
		(void)snprintf(s->to, sizeof(s->to), "%s", version);
	return 0;
}

static bool counts(const struct selection *s, const json_t *base)
{
	const char *version = text_of(base, "version");
	const json_t *nnp = json_object_get(base, "nnp");

	if (!is_of_runtime(s, base) && strcmp(text_of(base, "runtime"), ANY) != 0)
		return false;
	if (s->choice->nnp && json_is_false(nnp))
		return false;
	return strcmp(version, ANY) == 0 || !s->choice->version || strcmp(version, s->from) == 0 ||
	       strcmp(version, s->to) == 0;
}

static int add_call(void *userdata, const char *name)
{
	struct selection *s = userdata;
	const json_t *v;
	struct observed_call *c;
	size_t i;
	int r;

	if (abi_call_number(s->machine, name) < 0)
		return 0; /* select, on a machine that has only pselect6 */
	r = observation_add(s->into, s->machine, name, &c);
	if (r < 0)
		return r;
	c->phases |= s->phase;
	json_array_foreach(json_object_get(s->args, name), i, v) {
		r = observed_call_add_value(c, (struct arg_value){ { (uint32_t)json_integer_value(v), 0 } });
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_calls(struct selection *s, const json_t *base)
{
	s->args = json_object_get(base, "args");
	return seccomp_data_words(json_object_get(base, "calls"), add_call, s);
}

static int add_base(void *userdata, const json_t *base)
{
	struct selection *s = userdata;

	return counts(s, base) ? add_calls(s, base) : 0;
}

/* Where no base lists arguments the call is open. */
static void open_others(struct observation *o, enum abi machine)
{
	for (size_t i = 0; i < o->abis[machine].n; i++) {
		struct observed_call *c = &o->abis[machine].v[i];

		if (!c->args_known && arg_rule_find(machine, c->name))
			observed_call_forget_values(c);
	}
}

int runtime_base_add(const struct runtime_choice *choice, enum abi machine, struct observation *into, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *all = observation_new();
	struct selection s = { .choice = choice, .into = all, .machine = machine,
			       .phase = PHASE_RUNTIME };
	int r;

	if (!all)
		return -ENOMEM;
	r = each_base(find_versions, &s);
	if (r == 0 && s.n_own == 0)
		return diag_fail(d, -EINVAL, choice->name, "no measurement of this runtime is known; it is runc or crun, "
			"or run batten seccomp measure-runtime");
	if (r == 0)
		r = each_base(add_base, &s);
	if (r < 0)
		return r;
	open_others(all, machine);
	return observation_merge(into, all, d);
}

int host_needs_add(enum abi machine, unsigned int phase, struct observation *into)
{
	_cleanup_(observation_freep) struct observation *all = observation_new();
	struct selection s = { .into = all, .machine = machine, .phase = phase };
	_cleanup_(json_freep) json_t *doc = NULL;
	const json_t *base;
	size_t i;
	int r;

	if (!all)
		return -ENOMEM;
	r = seccomp_data_load(DATA_HOST_NEEDS, &doc);
	json_array_foreach(json_object_get(doc, "bases"), i, base)
		if (r == 0 && !json_object_get(base, "with"))
			r = add_calls(&s, base);
	if (r < 0)
		return r;
	open_others(all, machine);
	return observation_merge(into, all, NULL);
}

struct capable_walk {
	int (*fn)(void *userdata, const char *capability, const char *name);
	void *userdata;
	const char *capability;
};

static int tell_capable(void *userdata, const char *name)
{
	struct capable_walk *w = userdata;

	return w->fn(w->userdata, w->capability, name);
}

int host_needs_each_capable(int (*fn)(void *userdata, const char *capability, const char *name), void *userdata)
{
	struct capable_walk w = { fn, userdata, NULL };
	_cleanup_(json_freep) json_t *doc = NULL;
	const json_t *base;
	size_t i;
	int r = seccomp_data_load(DATA_HOST_NEEDS, &doc);

	json_array_foreach(json_object_get(doc, "bases"), i, base) {
		w.capability = json_string_value(json_object_get(base, "with"));
		if (r == 0 && w.capability)
			r = seccomp_data_words(json_object_get(base, "calls"), tell_capable, &w);
	}
	return r;
}

void runtime_base_between(const struct runtime_choice *choice, char ret_from[static RUNTIME_VERSION_SIZE],
			  char ret_to[static RUNTIME_VERSION_SIZE])
{
	struct selection s = { .choice = choice };

	if (each_base(find_versions, &s) < 0)
		s.from[0] = s.to[0] = '\0';
	memcpy(ret_from, s.from, sizeof(s.from));
	memcpy(ret_to, s.to, sizeof(s.to));
}

/* "capget capset chdir …", a few to a line. */
static json_t *words_of(const struct observed_calls *calls)
{
	json_t *lines = json_array();
	char line[MAX_WORDS + ABI_NAME_SIZE] = "";

	for (size_t i = 0; i < calls->n; i++) {
		size_t n = strlen(line);

		if (!(calls->v[i].phases & PHASE_RUNTIME))
			continue;
		(void)snprintf(line + n, sizeof(line) - n, "%s%s", n ? " " : "", calls->v[i].name);
		if (strlen(line) < MAX_WORDS)
			continue;
		json_array_append_new(lines, json_string(line));
		line[0] = '\0';
	}
	if (line[0])
		json_array_append_new(lines, json_string(line));
	return lines;
}

static json_t *args_of(enum abi machine, const struct observed_calls *calls)
{
	json_t *args = json_object();

	for (size_t i = 0; i < calls->n; i++) {
		const struct observed_call *c = &calls->v[i];
		const struct arg_rule *rule = arg_rule_find(machine, c->name);
		json_t *values;

		/* Values of a call that the workload made too may be the workload's. */
		if (c->phases != PHASE_RUNTIME || !rule || rule->n != 1 || c->args_more || c->n_values == 0)
			continue;
		values = json_array();
		for (unsigned int k = 0; k < c->n_values; k++)
			json_array_append_new(values, json_integer(c->values[k].v[0]));
		json_object_set_new(args, c->name, values);
	}
	return args;
}

json_t *runtime_base_json(const char *name, const char *version, const char *where,
			  const struct observation *const measured[static 2])
{
	json_t *doc = json_object(), *bases = json_array();

	json_object_set_new(doc, "schema", json_string(SCHEMA));
	for (int nnp = 1; nnp >= 0; nnp--) {
		const struct observation *o = measured[nnp];
		enum abi machine = o->machine == _ABI_MAX ? abi_native() : o->machine;

		json_array_append_new(bases, json_pack("{s:s, s:s, s:b, s:s, s:s, s:o, s:o}", "runtime", name, "version",
						       version, "nnp", nnp, "arch", abi_name(machine), "measured", where,
						       "calls", words_of(&o->abis[machine]), "args",
						       args_of(machine, &o->abis[machine])));
	}
	json_object_set_new(doc, "bases", bases);
	return doc;
}
