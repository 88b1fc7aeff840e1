/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The union. Each member is a join: names, phases, denials and argument values are sets; `first` is
 * a minimum that takes its executable along; counts are maxima by source, because adding them
 * would count twice what is merged twice. Where a set is bounded, what is kept is the smallest by a
 * fixed order, so that cutting before or after a merge gives the same.
 */
#include "batten/seccomp/observation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* An observation is young below these. */
#define YOUNG_RUNS 3
#define YOUNG_ONCE_SHARE 0.10
#define YOUNG_TAIL_SHARE 0.10 /* something new in the last tenth of the time */

struct observation *observation_new(void)
{
	struct observation *o = calloc(1, sizeof(*o));

	if (o)
		o->machine = _ABI_MAX;
	return o;
}

static void labels_done(struct labels *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
}

struct observation *observation_free(struct observation *o)
{
	if (!o)
		return NULL;
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		for (size_t i = 0; i < o->abis[a].n; i++)
			free(o->abis[a].v[i].values);
		free(o->abis[a].v);
	}
	labels_done(&o->images);
	labels_done(&o->digests);
	labels_done(&o->hosts);
	free(o->sources);
	free(o);
	return NULL;
}

/* Index of the name, or of the place where it belongs. */
static size_t find_place(const struct observed_calls *c, const char *name, bool *ret_found)
{
	size_t low = 0, high = c->n;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(c->v[middle].name, name);

		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct observed_call *observation_find(const struct observation *o, enum abi a, const char *name)
{
	bool found;
	size_t i = find_place(&o->abis[a], name, &found);

	return found ? &o->abis[a].v[i] : NULL;
}

int observation_add(struct observation *o, enum abi a, const char *name, struct observed_call **ret)
{
	struct observed_calls *c = &o->abis[a];
	struct observed_call *v;
	bool found;
	size_t i;

	if (!abi_name_valid(name))
		return -EINVAL;
	i = find_place(c, name, &found);
	if (!found) {
		if (c->n == MAX_CALLS)
			return -E2BIG;
		if (c->n == c->size) {
			size_t size = c->size ? c->size * 2 : 64;

			v = reallocarray(c->v, size, sizeof(*v));
			if (!v)
				return -ENOMEM;
			c->v = v;
			c->size = size;
		}
		memmove(&c->v[i + 1], &c->v[i], (c->n - i) * sizeof(*c->v));
		memset(&c->v[i], 0, sizeof(c->v[i]));
		(void)snprintf(c->v[i].name, sizeof(c->v[i].name), "%s", name);
		c->n++;
		if (o->machine == _ABI_MAX)
			o->machine = abi_machine(a);
	}
	*ret = &c->v[i];
	return 0;
}

static int value_order(struct arg_value a, struct arg_value b)
{
	if (a.v[0] != b.v[0])
		return a.v[0] < b.v[0] ? -1 : 1;
	if (a.v[1] != b.v[1])
		return a.v[1] < b.v[1] ? -1 : 1;
	return 0;
}

void observed_call_forget_values(struct observed_call *c)
{
	free(c->values);
	c->values = NULL;
	c->n_values = 0;
	c->args_known = true;
	c->args_more = true;
}

int observed_call_add_value(struct observed_call *c, struct arg_value v)
{
	struct arg_value *values;
	unsigned int i = 0;

	c->args_known = true;
	if (c->args_more)
		return 0;
	while (i < c->n_values && value_order(c->values[i], v) < 0)
		i++;
	if (i < c->n_values && value_order(c->values[i], v) == 0)
		return 0;
	if (c->n_values == MAX_ARG_VALUES) {
		observed_call_forget_values(c);
		return 0;
	}
	values = reallocarray(c->values, c->n_values + 1, sizeof(*values));
	if (!values)
		return -ENOMEM;
	memmove(&values[i + 1], &values[i], (c->n_values - i) * sizeof(*values));
	values[i] = v;
	c->values = values;
	c->n_values++;
	return 0;
}

void observed_call_witness(struct observed_call *c, const char *source, uint64_t runs)
{
	unsigned int i = 0;

	while (i < c->n_witnesses && strcmp(c->witnesses[i].id, source) < 0)
		i++;
	if (i < c->n_witnesses && strcmp(c->witnesses[i].id, source) == 0) {
		c->witnesses[i].runs = MAX(c->witnesses[i].runs, runs);
		return;
	}
	if (i == MAX_WITNESSES)
		return;
	if (c->n_witnesses < MAX_WITNESSES)
		c->n_witnesses++;
	memmove(&c->witnesses[i + 1], &c->witnesses[i],
		(c->n_witnesses - 1 - i) * sizeof(c->witnesses[0]));
	memset(&c->witnesses[i], 0, sizeof(c->witnesses[i]));
	(void)snprintf(c->witnesses[i].id, sizeof(c->witnesses[i].id), "%s", source);
	c->witnesses[i].runs = runs;
}

static int64_t earlier(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return MIN(a, b);
}

int observation_add_source(struct observation *o, const struct observed_source *s)
{
	struct observed_source *sources;
	size_t i = 0;

	while (i < o->n_sources && strcmp(o->sources[i].id, s->id) < 0)
		i++;
	if (i < o->n_sources && strcmp(o->sources[i].id, s->id) == 0) {
		struct observed_source *own = &o->sources[i];

		own->runs = MAX(own->runs, s->runs);
		own->calls = MAX(own->calls, s->calls);
		own->seconds = MAX(own->seconds, s->seconds);
		own->started_ms = earlier(own->started_ms, s->started_ms);
		own->finished_ms = MAX(own->finished_ms, s->finished_ms);
		return 0;
	}
	if (i == MAX_SOURCES)
		return 0;
	sources = reallocarray(o->sources, o->n_sources + 1, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	o->sources = sources;
	memmove(&sources[i + 1], &sources[i], (o->n_sources - i) * sizeof(*sources));
	sources[i] = *s;
	o->n_sources++;
	if (o->n_sources > MAX_SOURCES)
		o->n_sources = MAX_SOURCES;
	return 0;
}

int labels_add(struct labels *l, const char *text)
{
	char **v, *copy;
	size_t i = 0;

	while (i < l->n && strcmp(l->v[i], text) < 0)
		i++;
	if ((i < l->n && strcmp(l->v[i], text) == 0) || i == MAX_LABELS)
		return 0;
	copy = strdup(text);
	v = copy ? reallocarray(l->v, l->n + 1, sizeof(*v)) : NULL;
	if (!v) {
		free(copy);
		return -ENOMEM;
	}
	l->v = v;
	memmove(&v[i + 1], &v[i], (l->n - i) * sizeof(*v));
	v[i] = copy;
	l->n++;
	if (l->n > MAX_LABELS)
		free(l->v[--l->n]);
	return 0;
}

static int labels_merge(struct labels *into, const struct labels *from)
{
	int r = 0;

	for (size_t i = 0; i < from->n && r == 0; i++)
		r = labels_add(into, from->v[i]);
	return r;
}

static int merge_call(struct observed_call *into, const struct observed_call *from)
{
	bool has = into->phases || into->denied;
	int r = 0;

	if (from->first_ms &&
	    (!into->first_ms || from->first_ms < into->first_ms ||
	     (from->first_ms == into->first_ms && strcmp(from->by, into->by) < 0)))
		memcpy(into->by, from->by, sizeof(into->by));
	else if (!from->first_ms && !into->first_ms && (!into->by[0] || strcmp(from->by, into->by) < 0) &&
		 from->by[0])
		memcpy(into->by, from->by, sizeof(into->by));
	into->first_ms = earlier(into->first_ms, from->first_ms);
	/*
	 * One side let the call through without looking at its arguments: then nobody knows all of
	 * them. A side that only saw it denied has no arguments to miss.
	 */
	if (has && into->phases && from->phases && into->args_known != from->args_known)
		observed_call_forget_values(into);
	if (from->args_more)
		observed_call_forget_values(into);
	for (unsigned int i = 0; i < from->n_values && r == 0; i++)
		r = observed_call_add_value(into, from->values[i]);
	into->phases |= from->phases;
	into->denied |= from->denied;
	into->count = MAX(into->count, from->count);
	for (unsigned int i = 0; i < from->n_witnesses; i++)
		observed_call_witness(into, from->witnesses[i].id, from->witnesses[i].runs);
	return r;
}

int observation_merge(struct observation *into, const struct observation *from, struct diag *d)
{
	int r;

	if (into->machine != _ABI_MAX && from->machine != _ABI_MAX && into->machine != from->machine)
		return diag_fail(d, -EINVAL, NULL, "cannot merge observations of %s and %s", abi_name(into->machine),
				 abi_name(from->machine));
	if (from->machine != _ABI_MAX)
		into->machine = from->machine;
	into->started_ms = earlier(into->started_ms, from->started_ms);
	into->finished_ms = MAX(into->finished_ms, from->finished_ms);
	r = labels_merge(&into->images, &from->images);
	if (r == 0)
		r = labels_merge(&into->digests, &from->digests);
	if (r == 0)
		r = labels_merge(&into->hosts, &from->hosts);
	for (size_t i = 0; i < from->n_sources && r == 0; i++)
		r = observation_add_source(into, &from->sources[i]);
	for (enum abi a = 0; a < _ABI_MAX && r == 0; a++) {
		for (size_t i = 0; i < from->abis[a].n && r == 0; i++) {
			struct observed_call *c;

			r = observation_add(into, a, from->abis[a].v[i].name, &c);
			if (r == 0)
				r = merge_call(c, &from->abis[a].v[i]);
		}
	}
	return r;
}

/* What begins with an exec was observed from its first instruction on. */
static bool start_was_seen(const struct observation *o)
{
	static const char *const execs[] = { "execve", "execveat" };

	for (enum abi a = 0; a < _ABI_MAX; a++) {
		for (size_t i = 0; i < ARRAY_SIZE(execs); i++) {
			const struct observed_call *c = observation_find(o, a, execs[i]);

			if (c && observed_call_needed(c, PHASE_START))
				return true;
		}
	}
	return false;
}

void observation_confidence(const struct observation *o, struct confidence *ret)
{
	int64_t span = o->finished_ms - o->started_ms;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < o->n_sources; i++) {
		ret->runs += o->sources[i].runs;
		ret->calls += o->sources[i].calls;
		ret->seconds += o->sources[i].seconds;
	}
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		for (size_t i = 0; i < o->abis[a].n; i++) {
			const struct observed_call *c = &o->abis[a].v[i];

			if (!c->phases)
				continue;
			ret->n_names++;
			if (c->n_witnesses < 2 && (c->n_witnesses == 0 || c->witnesses[0].runs < 2))
				ret->n_once++;
			ret->first_new_ms = earlier(ret->first_new_ms, c->first_ms);
			ret->last_new_ms = MAX(ret->last_new_ms, c->first_ms);
		}
	}
	if (ret->n_names > 0)
		ret->saturation = 1.0 - (double)ret->n_once / (double)ret->n_names;
	if (ret->n_names > 0 && !start_was_seen(o))
		(void)snprintf(ret->why, sizeof(ret->why), "its start was not observed (no execve); what starts under a "
			       "profile of it may fail");
	else if (ret->runs < YOUNG_RUNS)
		(void)snprintf(ret->why, sizeof(ret->why), "%llu run%s; let it run at least %d times",
			       (unsigned long long)ret->runs, ret->runs == 1 ? "" : "s", YOUNG_RUNS);
	else if (1.0 - ret->saturation > YOUNG_ONCE_SHARE)
		(void)snprintf(ret->why, sizeof(ret->why), "%zu of %zu calls were seen in one run only", ret->n_once,
			       ret->n_names);
	else if (span > 0 && (double)(o->finished_ms - ret->last_new_ms) < YOUNG_TAIL_SHARE * (double)span)
		(void)snprintf(ret->why, sizeof(ret->why),
			       "a new call appeared in the last tenth of the time watched");
	ret->young = ret->why[0] != '\0';
}
