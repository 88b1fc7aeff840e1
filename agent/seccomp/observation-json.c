/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten.observation/1, read and written. Reading is strict about what changes a profile (names,
 * phases, arguments) and silent about members that it does not know, so that a newer batten can
 * add some.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batten/base/file.h"
#include "batten/base/parse.h"
#include "batten/seccomp/observation.h"

#define SCHEMA "batten.observation/1"
#define OUTPUT_MODE 0644

static const struct word {
	unsigned int bit;
	const char *text;
} phase_words[] = {
	{ PHASE_RUNTIME, "runtime" },
	{ PHASE_START, "start" },
	{ PHASE_SERVE, "serve" },
	{ PHASE_EXEC, "exec" },
}, denied_words[] = {
	{ DENIED_EPERM, "EPERM" },
	{ DENIED_ENOSYS, "ENOSYS" },
};

const char *time_text(int64_t ms, char buf[static TIME_TEXT_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char day[24];

	if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		day[0] = '\0';
	(void)snprintf(buf, TIME_TEXT_SIZE, "%s.%03dZ", day, (int)(ms % 1000));
	return buf;
}

int64_t time_parse(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ms;
	uint64_t fraction = 0;

	if (!rest || tm.tm_year < 70 || tm.tm_year > 8000)
		return 0;
	ms = (int64_t)timegm(&tm) * 1000;
	if (rest[0] == '.' && strlen(rest) >= 4 && parse_u64((struct slice){ rest + 1, 3 }, 0, 999, &fraction) == 0)
		ms += (int64_t)fraction;
	return ms;
}

int64_t time_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- writing ---- */

static json_t *words_json(const struct word *words, size_t n, unsigned int bits)
{
	json_t *j = json_array();

	for (size_t i = 0; i < n; i++)
		if (bits & words[i].bit)
			json_array_append_new(j, json_string(words[i].text));
	return j;
}

static void set_time(json_t *j, const char *key, int64_t ms)
{
	char buf[TIME_TEXT_SIZE];

	if (ms > 0)
		json_object_set_new(j, key, json_string(time_text(ms, buf)));
}

static void set_labels(json_t *j, const char *one, const char *many, const struct labels *l)
{
	json_t *list;

	if (l->n == 1)
		json_object_set_new(j, one, json_text(l->v[0]));
	if (l->n <= 1)
		return;
	list = json_array();
	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(list, json_text(l->v[i]));
	json_object_set_new(j, many, list);
}

static json_t *args_json(enum abi a, const struct observed_call *c)
{
	const struct arg_rule *rule = arg_rule_find(a, c->name);
	json_t *j = json_object(), *values = json_array(), *index = json_array(), *mask = json_array();
	unsigned int n = rule ? rule->n : 2;

	for (unsigned int i = 0; rule && i < rule->n; i++) {
		json_array_append_new(index, json_integer(rule->index[i]));
		json_array_append_new(mask, json_integer(rule->mask[i]));
	}
	for (unsigned int i = 0; i < c->n_values; i++) {
		json_t *v = json_array();

		for (unsigned int k = 0; k < n; k++)
			json_array_append_new(v, json_integer(c->values[i].v[k]));
		json_array_append_new(values, v);
	}
	json_object_set_new(j, "index", index);
	json_object_set_new(j, "mask", mask);
	json_object_set_new(j, "values", values);
	json_object_set_new(j, "more", json_boolean(c->args_more));
	return j;
}

static json_t *call_json(enum abi a, const struct observed_call *c)
{
	json_t *j = json_object();

	if (c->count > 0)
		json_object_set_new(j, "count", json_integer((json_int_t)c->count));
	set_time(j, "first", c->first_ms);
	for (size_t i = 0; i < ARRAY_SIZE(phase_words); i++) {
		if (c->phases & phase_words[i].bit) {
			json_object_set_new(j, "phase", json_string(phase_words[i].text));
			break;
		}
	}
	if (c->phases & (c->phases - 1))
		json_object_set_new(j, "phases", words_json(phase_words, ARRAY_SIZE(phase_words), c->phases));
	if (c->denied)
		json_object_set_new(j, "denied", words_json(denied_words, ARRAY_SIZE(denied_words), c->denied));
	if (c->by[0])
		json_object_set_new(j, "by", json_text(c->by));
	if (c->args_known)
		json_object_set_new(j, "args", args_json(a, c));
	if (c->n_witnesses > 0) {
		json_t *seen = json_object();

		for (unsigned int i = 0; i < c->n_witnesses; i++)
			json_object_set_new(seen, c->witnesses[i].id, json_integer((json_int_t)c->witnesses[i].runs));
		json_object_set_new(j, "seen_in", seen);
	}
	return j;
}

json_t *observation_json(const struct observation *o)
{
	json_t *j = json_object(), *abis = json_object(), *sources = json_object();
	enum abi machine = o->machine == _ABI_MAX ? abi_native() : o->machine;
	uint64_t runs = 0;

	json_object_set_new(j, "schema", json_string(SCHEMA));
	set_labels(j, "image", "images", &o->images);
	set_labels(j, "digest", "digests", &o->digests);
	set_labels(j, "host", "hosts", &o->hosts);
	json_object_set_new(j, "arch", json_string(abi_name(machine)));
	set_time(j, "started", o->started_ms);
	set_time(j, "finished", o->finished_ms);
	for (size_t i = 0; i < o->n_sources; i++) {
		const struct observed_source *s = &o->sources[i];
		json_t *row = json_object();

		json_object_set_new(row, "runs", json_integer((json_int_t)s->runs));
		if (s->calls > 0)
			json_object_set_new(row, "calls", json_integer((json_int_t)s->calls));
		json_object_set_new(row, "seconds", json_integer((json_int_t)s->seconds));
		set_time(row, "started", s->started_ms);
		set_time(row, "finished", s->finished_ms);
		json_object_set_new(sources, s->id, row);
		runs += s->runs;
	}
	json_object_set_new(j, "runs", json_integer((json_int_t)runs));
	json_object_set_new(j, "sources", sources);
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		json_t *calls;

		if (o->abis[a].n == 0 && a != machine)
			continue;
		calls = json_object();
		for (size_t i = 0; i < o->abis[a].n; i++)
			json_object_set_new(calls, o->abis[a].v[i].name, call_json(a, &o->abis[a].v[i]));
		json_object_set_new(abis, abi_name(a), json_pack("{s:o}", "syscalls", calls));
	}
	json_object_set_new(j, "abis", abis);
	return j;
}

int observation_write(const struct observation *o, const char *path, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = observation_json(o);

	return j ? json_write(path, j, OUTPUT_MODE, d) : -ENOMEM;
}

/* ---- reading ---- */

struct reader {
	const char *name; /* of the document */
	struct diag *d;
};

static int bad(const struct reader *rd, const char *where, const char *what)
{
	return diag_fail(rd->d, -EINVAL, rd->name, "%s: %s", where, what);
}

/* An integer member that may be missing; never negative. */
static int take_count(const struct reader *rd, const json_t *j, const char *where, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(j, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return bad(rd, where, "count, runs, calls and seconds are whole numbers that are not negative");
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int take_time(const struct reader *rd, const json_t *j, const char *where, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(j, key);

	if (!v)
		return 0;
	*ret = json_is_string(v) ? time_parse(json_string_value(v)) : 0;
	return *ret ? 0 : bad(rd, where, "times are written like 2026-01-31T12:00:00.000Z");
}

static int take_words(const struct reader *rd, const json_t *list, const char *where, const struct word *words,
		      size_t n_words, unsigned int *bits)
{
	size_t i;
	const json_t *v;

	if (!json_is_array(list))
		return bad(rd, where, "phases and denied are lists of words");
	json_array_foreach(list, i, v) {
		size_t k = 0;

		while (k < n_words && (!json_is_string(v) || strcmp(json_string_value(v), words[k].text) != 0))
			k++;
		if (k == n_words)
			return bad(rd, where, "unknown word in phases or denied");
		*bits |= words[k].bit;
	}
	return 0;
}

static int take_args(const struct reader *rd, enum abi a, const json_t *j, struct observed_call *c)
{
	const struct arg_rule *rule = arg_rule_find(a, c->name);
	const json_t *values = json_object_get(j, "values"), *masks = json_object_get(j, "mask"), *v;
	size_t i;
	int r;

	/* Written under other masks, the values cannot be used: the call counts without arguments. */
	if (!rule || !json_is_array(masks) || json_array_size(masks) != rule->n)
		return 0;
	for (unsigned int k = 0; k < rule->n; k++)
		if (json_integer_value(json_array_get(masks, k)) != rule->mask[k])
			return 0;
	if (!json_is_array(values))
		return bad(rd, c->name, "args need a list of values");
	c->args_more = json_is_true(json_object_get(j, "more"));
	/* A list of none is nobody's: who looks at arguments sees some. */
	c->args_known = c->args_more || json_array_size(values) > 0;
	json_array_foreach(values, i, v) {
		struct arg_value value = { { 0 } };

		if (!json_is_array(v) || json_array_size(v) != rule->n)
			return bad(rd, c->name, "a value of args has the wrong number of arguments");
		for (unsigned int k = 0; k < rule->n; k++) {
			const json_t *number = json_array_get(v, k);

			if (!json_is_integer(number) || json_integer_value(number) < 0 ||
			    json_integer_value(number) > UINT32_MAX)
				return bad(rd, c->name, "a value of args is no 32-bit number");
			value.v[k] = (uint32_t)json_integer_value(number) & rule->mask[k];
		}
		r = observed_call_add_value(c, value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_call(const struct reader *rd, struct observation *o, enum abi a, const char *name, const json_t *j)
{
	const json_t *v, *runs;
	struct observed_call *c;
	const char *id;
	int r;

	r = observation_add(o, a, name, &c);
	if (r == -EINVAL)
		return bad(rd, name, "is no name of a system call");
	if (r == -E2BIG)
		return bad(rd, name, "too many calls");
	if (r < 0)
		return r;
	if (!json_is_object(j))
		return bad(rd, name, "is no object");
	r = take_count(rd, j, name, "count", &c->count);
	if (r == 0)
		r = take_time(rd, j, name, "first", &c->first_ms);
	if (r == 0 && (v = json_object_get(j, "phases")))
		r = take_words(rd, v, name, phase_words, ARRAY_SIZE(phase_words), &c->phases);
	if (r == 0 && (v = json_object_get(j, "denied")))
		r = take_words(rd, v, name, denied_words, ARRAY_SIZE(denied_words), &c->denied);
	if (r == 0 && (v = json_object_get(j, "phase"))) {
		_cleanup_(json_freep) json_t *list = json_pack("[O]", v);

		r = take_words(rd, list, name, phase_words, ARRAY_SIZE(phase_words), &c->phases);
	}
	if (r < 0)
		return r;
	/* Neither a phase nor a denial: somebody wrote the name by hand; it is needed. */
	if (!c->phases && !c->denied)
		c->phases = PHASE_START;
	v = json_object_get(j, "by");
	if (json_is_string(v))
		(void)snprintf(c->by, sizeof(c->by), "%s", json_string_value(v));
	v = json_object_get(j, "args");
	if (v && c->phases)
		r = take_args(rd, a, v, c);
	json_object_foreach((json_t *)json_object_get(j, "seen_in"), id, runs) {
		if (!json_is_integer(runs) || json_integer_value(runs) < 0 || strlen(id) >= SOURCE_ID_SIZE)
			return bad(rd, name, "seen_in counts runs by source");
		observed_call_witness(c, id, (uint64_t)json_integer_value(runs));
	}
	return r;
}

static int take_labels(const struct reader *rd, const json_t *j, const char *one, const char *many, struct labels *l)
{
	const json_t *v = json_object_get(j, one), *list = json_object_get(j, many);
	size_t i;
	int r = 0;

	if (v)
		r = json_is_string(v) ? labels_add(l, json_string_value(v)) : bad(rd, one, "is no text");
	if (r == 0 && list && !json_is_array(list))
		r = bad(rd, many, "is no list");
	json_array_foreach(list, i, v) {
		if (r == 0)
			r = json_is_string(v) ? labels_add(l, json_string_value(v)) : bad(rd, many, "is no text");
	}
	return r;
}

static int take_sources(const struct reader *rd, const json_t *j, struct observation *o)
{
	const json_t *row;
	const char *id;
	int r = 0;

	json_object_foreach((json_t *)j, id, row) {
		struct observed_source s = { 0 };

		if (strlen(id) >= sizeof(s.id) || !json_is_object(row))
			return bad(rd, "sources", "is an object of objects with short names");
		(void)snprintf(s.id, sizeof(s.id), "%s", id);
		r = take_count(rd, row, id, "runs", &s.runs);
		if (r == 0)
			r = take_count(rd, row, id, "calls", &s.calls);
		if (r == 0)
			r = take_count(rd, row, id, "seconds", &s.seconds);
		if (r == 0)
			r = take_time(rd, row, id, "started", &s.started_ms);
		if (r == 0)
			r = take_time(rd, row, id, "finished", &s.finished_ms);
		if (r == 0)
			r = observation_add_source(o, &s);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_abis(const struct reader *rd, const json_t *j, struct observation *o)
{
	const json_t *part, *call;
	const char *key, *name;

	if (!json_is_object(j))
		return bad(rd, "abis", "missing: an observation names its calls there");
	json_object_foreach((json_t *)j, key, part) {
		enum abi a = abi_by_name(key);
		const json_t *calls = json_object_get(part, "syscalls");

		if (a == _ABI_MAX)
			return bad(rd, key, "is no interface that batten knows (x86_64, x86, x32, aarch64, arm)");
		if (o->machine != abi_machine(a))
			return bad(rd, key, "does not run on this observation's arch");
		if (!json_is_object(calls))
			return bad(rd, key, "has no syscalls");
		json_object_foreach((json_t *)calls, name, call) {
			int r = take_call(rd, o, a, name, call);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

int observation_parse(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = observation_new();
	_cleanup_(json_freep) json_t *j = NULL;
	struct reader rd = { name, d };
	const char *schema, *arch;
	int r;

	if (!o)
		return -ENOMEM;
	r = json_parse(text, n, name, &j, d);
	if (r < 0)
		return r;
	schema = json_string_value(json_object_get(j, "schema"));
	if (!schema || strcmp(schema, SCHEMA) != 0)
		return diag_fail(d, -EINVAL, name, "is no observation (schema " SCHEMA ")");
	arch = json_string_value(json_object_get(j, "arch"));
	o->machine = arch ? abi_by_name(arch) : _ABI_MAX;
	if (o->machine == _ABI_MAX || abi_machine(o->machine) != o->machine)
		return bad(&rd, "arch", "must be x86_64 or aarch64");
	r = take_time(&rd, j, "started", "started", &o->started_ms);
	if (r == 0)
		r = take_time(&rd, j, "finished", "finished", &o->finished_ms);
	if (r == 0)
		r = take_labels(&rd, j, "image", "images", &o->images);
	if (r == 0)
		r = take_labels(&rd, j, "digest", "digests", &o->digests);
	if (r == 0)
		r = take_labels(&rd, j, "host", "hosts", &o->hosts);
	if (r == 0)
		r = take_sources(&rd, json_object_get(j, "sources"), o);
	if (r == 0)
		r = take_abis(&rd, json_object_get(j, "abis"), o);
	if (r < 0)
		return r;
	*ret = take_ptr(o);
	return 0;
}

int observation_read(const char *path, struct observation **ret, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	const char *name;
	size_t n;
	int r = file_read_or_stdin(path, MAX_OBSERVATION_BYTES, &text, &n, &name, d);

	return r < 0 ? r : observation_parse(text, n, name, ret, d);
}
