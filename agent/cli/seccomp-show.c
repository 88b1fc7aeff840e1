/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp show`, `explain` and `list`: what observations hold, for people.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/table.h"
#include "batten/daemon/control.h"
#include "batten/seccomp/base.h"
#include "batten/seccomp/observation-store.h"
#include "cli/commands.h"
#include "cli/guard-options.h"
#include "cli/seccomp-input.h"

#define CURVE_COLUMNS 60
#define CURVE_LINES 8

static const char *phases_text(unsigned int phases, char buf[static 48])
{
	static const char *const words[] = { "runtime", "start", "serve", "exec" };

	buf[0] = '\0';
	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (phases >> i & 1)
			(void)snprintf(buf + strlen(buf), 48 - strlen(buf), "%s%s", buf[0] ? " " : "", words[i]);
	return buf;
}

static const char *denied_text(unsigned int denied)
{
	return denied == (DENIED_EPERM | DENIED_ENOSYS) ? "EPERM ENOSYS" :
	       denied == DENIED_EPERM		       ? "EPERM" :
	       denied == DENIED_ENOSYS		       ? "ENOSYS" : "";
}

static json_t *confidence_json(const struct observation *o)
{
	struct confidence c;
	char first[TIME_TEXT_SIZE], last[TIME_TEXT_SIZE];
	json_t *j = json_object();

	observation_confidence(o, &c);
	if (o->images.n > 0)
		json_object_set_new(j, "image", json_text(o->images.v[0]));
	if (o->digests.n > 0)
		json_object_set_new(j, "digest", json_text(o->digests.v[0]));
	json_object_set_new(j, "syscalls", json_integer((json_int_t)c.n_names));
	json_object_set_new(j, "seen_once", json_integer((json_int_t)c.n_once));
	json_object_set_new(j, "saturation", json_real(c.saturation));
	json_object_set_new(j, "runs", json_integer((json_int_t)c.runs));
	json_object_set_new(j, "containers", json_integer((json_int_t)o->n_sources));
	json_object_set_new(j, "calls", json_integer((json_int_t)c.calls));
	json_object_set_new(j, "hours", json_real((double)c.seconds / 3600.0));
	if (c.first_new_ms) {
		json_object_set_new(j, "first_new", json_string(time_text(c.first_new_ms, first)));
		json_object_set_new(j, "last_new", json_string(time_text(c.last_new_ms, last)));
	}
	json_object_set_new(j, "young", json_boolean(c.young));
	if (c.young)
		json_object_set_new(j, "why", json_text(c.why));
	return j;
}

/* How many calls were known by the end of each of @n parts of the time watched. */
static void curve(const struct observation *o, size_t *known, size_t n)
{
	int64_t span = MAX(o->finished_ms - o->started_ms, (int64_t)1);

	memset(known, 0, n * sizeof(*known));
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		for (size_t i = 0; i < o->abis[a].n; i++) {
			const struct observed_call *c = &o->abis[a].v[i];
			int64_t since = c->first_ms - o->started_ms;
			size_t at = since <= 0 ? 0 : MIN((size_t)(since * (int64_t)n / span), n - 1);

			for (size_t k = at; c->phases && k < n; k++)
				known[k]++;
		}
	}
}

static void draw_curve(const struct observation *o)
{
	size_t known[CURVE_COLUMNS], top;

	if (o->started_ms == 0 || o->finished_ms <= o->started_ms)
		return;
	curve(o, known, CURVE_COLUMNS);
	top = MAX(known[CURVE_COLUMNS - 1], (size_t)1);
	(void)printf("\nCalls known, over the time watched:\n");
	for (size_t line = CURVE_LINES; line-- > 0;) {
		(void)printf("%6zu |", top * (line + 1) / CURVE_LINES);
		for (size_t i = 0; i < CURVE_COLUMNS; i++)
			(void)fputc(known[i] * CURVE_LINES > top * line ? '#' : ' ', stdout);
		(void)fputc('\n', stdout);
	}
}

static int show_text(const struct observation *o)
{
	_cleanup_(table_freep) struct table *t = table_new(5);
	struct confidence c;
	char buf[TIME_TEXT_SIZE], phases[48];

	observation_confidence(o, &c);
	for (size_t i = 0; i < o->images.n; i++)
		(void)printf("image       %s\n", o->images.v[i]);
	for (size_t i = 0; i < o->digests.n; i++)
		(void)printf("digest      %s\n", o->digests.v[i]);
	(void)printf("calls       %zu, of them seen in one run only: %zu\n", c.n_names, c.n_once);
	(void)printf("saturation  %.0f %%\n", c.saturation * 100);
	(void)printf("watched     %llu runs in %zu containers or recordings, %.1f hours, at least %llu calls\n",
		     (unsigned long long)c.runs, o->n_sources, (double)c.seconds / 3600.0, (unsigned long long)c.calls);
	if (c.last_new_ms) {
		(void)printf("first new   %s\n", time_text(c.first_new_ms, buf));
		(void)printf("last new    %s\n", time_text(c.last_new_ms, buf));
	}
	if (c.young)
		(void)printf("young       %s\n", c.why);
	draw_curve(o);
	(void)fputc('\n', stdout);
	table_cell(t, STYLE_HEAD, "CALL");
	table_cell(t, STYLE_HEAD, "ABI");
	table_cell(t, STYLE_HEAD, "PHASES");
	table_cell(t, STYLE_HEAD, "DENIED");
	table_cell(t, STYLE_HEAD, "FIRST BY");
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		for (size_t i = 0; i < o->abis[a].n; i++) {
			const struct observed_call *call = &o->abis[a].v[i];

			table_cell(t, STYLE_PLAIN, call->name);
			table_cell(t, STYLE_DIM, abi_name(a));
			table_cell(t, STYLE_PLAIN, phases_text(call->phases, phases));
			table_cell(t, STYLE_WARN, denied_text(call->denied));
			table_cell(t, STYLE_DIM, call->by);
		}
	}
	return table_print(t, stdout);
}

static enum exit_status show_run(struct invocation *inv)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	struct diag d = { 0 };
	int r = seccomp_input_load(inv, 0, &o, &d);

	if (r == 0 && strcmp(invocation_format(inv), "json") == 0) {
		_cleanup_(json_freep) json_t *j = confidence_json(o), *known = json_array();
		size_t points[CURVE_COLUMNS];

		curve(o, points, CURVE_COLUMNS);
		for (size_t i = 0; i < CURVE_COLUMNS; i++)
			json_array_append_new(known, json_integer((json_int_t)points[i]));
		json_object_set_new(j, "schema", json_string("batten.seccomp-show/1"));
		json_object_set(j, "curve", known);
		r = json_print(STDOUT_FILENO, j);
	} else if (r == 0) {
		r = show_text(o);
	}
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row state_options[] = {
	STATE_OPTION,
	{ 0 },
};

const struct command cmd_seccomp_show = {
	.name = "seccomp show",
	.args = "OBSERVATION|IMAGE",
	.help = "what an observation holds, and how far it can be trusted",
	.options = state_options,
	.formats = "text|json",
	.min_args = 1,
	.max_args = 256,
	.exits = {
		[EXIT_DONE] = "shown",
		[EXIT_USAGE] = "no such image, or an invalid observation",
	},
	.run = show_run,
};

/* ---- explain ---- */

static const char *stops(const char *name)
{
	const char *note = call_note(name);
	const struct must_row *row;

	for (unsigned int i = 0; (row = must_nth(i)); i++)
		if (strcmp(row->name, name) == 0)
			return row->why;
	return note ? note : "what needed it fails with EPERM";
}

static json_t *explanation(enum abi a, const struct observed_call *c)
{
	char time[TIME_TEXT_SIZE], phases[48];
	json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "call", c->name, "abi", abi_name(a), "phases",
			      phases_text(c->phases, phases), "denying_stops", stops(c->name));

	if (c->by[0])
		json_object_set_new(j, "by", json_text(c->by));
	if (c->first_ms)
		json_object_set_new(j, "first", json_string(time_text(c->first_ms, time)));
	if (c->denied)
		json_object_set_new(j, "denied", json_string(denied_text(c->denied)));
	return j;
}

static int explain(const struct observation *o, const char *only, bool as_json, struct diag *d)
{
	_cleanup_(table_freep) struct table *t = table_new(5);
	_cleanup_(json_freep) json_t *list = json_array(), *doc = NULL;
	char time[TIME_TEXT_SIZE], phases[48];
	size_t n = 0;

	for (size_t i = 0; i < 5; i++)
		table_cell(t, STYLE_HEAD, (const char *const[]){ "CALL", "NEEDED BY", "WHEN", "FIRST", "DENYING IT STOPS" }[i]);
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		for (size_t i = 0; i < o->abis[a].n; i++) {
			const struct observed_call *c = &o->abis[a].v[i];

			if (only && strcmp(only, c->name) != 0)
				continue;
			n++;
			json_array_append_new(list, explanation(a, c));
			table_cellf(t, STYLE_PLAIN, "%s%s%s", c->name, a == o->machine ? "" : " ", a == o->machine ? "" : abi_name(a));
			table_cell(t, STYLE_PLAIN, c->by);
			table_cell(t, STYLE_PLAIN, c->phases ? phases_text(c->phases, phases) : "denied");
			table_cell(t, STYLE_DIM, c->first_ms ? time_text(c->first_ms, time) : "");
			table_cell(t, STYLE_PLAIN, stops(c->name));
		}
	}
	if (only && n == 0)
		return diag_fail(d, -ENOENT, only, "was not observed; denying it stops %s",
				 call_note(only) ? call_note(only) : "nothing that was seen");
	if (!as_json)
		return table_print(t, stdout);
	doc = json_pack("{s:s, s:O}", "schema", "batten.seccomp-explain/1", "calls", list);
	return doc ? json_print(STDOUT_FILENO, doc) : -ENOMEM;
}

static enum exit_status explain_run(struct invocation *inv)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	struct diag d = { 0 };
	int r = seccomp_input_load(inv, 0, &o, &d);

	if (r == 0)
		r = explain(o, invocation_value(inv, "call"), strcmp(invocation_format(inv), "json") == 0, &d);
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row explain_options[] = {
	{ "call", 0, "NAME", "explain this one only", false },
	STATE_OPTION,
	{ 0 },
};

const struct command cmd_seccomp_explain = {
	.name = "seccomp explain",
	.args = "OBSERVATION|IMAGE...",
	.help = "who needed each call, when, and what denying it stops",
	.options = explain_options,
	.formats = "text|json",
	.min_args = 1,
	.max_args = 256,
	.exits = {
		[EXIT_DONE] = "explained",
		[EXIT_USAGE] = "an invalid observation, or a call that is not in it",
	},
	.run = explain_run,
};

/* ---- list ---- */

struct listing {
	struct table *t;
	json_t *images;
	size_t n;
};

static int list_one(void *userdata, const char *digest, const struct observation *o)
{
	struct listing *l = userdata;
	struct confidence c;
	char last[TIME_TEXT_SIZE];

	observation_confidence(o, &c);
	l->n++;
	json_array_append_new(l->images, confidence_json(o));
	table_cell(l->t, STYLE_PLAIN, o->images.n > 0 ? o->images.v[0] : digest);
	table_cellf(l->t, STYLE_DIM, "%.19s", digest);
	table_cellf(l->t, STYLE_PLAIN, "%zu", c.n_names);
	table_cellf(l->t, STYLE_PLAIN, "%llu", (unsigned long long)c.runs);
	table_cellf(l->t, STYLE_PLAIN, "%.1f", (double)c.seconds / 3600.0);
	table_cell(l->t, STYLE_DIM, c.last_new_ms ? time_text(c.last_new_ms, last) : "");
	table_cellf(l->t, c.young ? STYLE_WARN : STYLE_GOOD, "%.0f %%%s", c.saturation * 100, c.young ? " young" : "");
	return 0;
}

/* What a daemon saw and has not stored yet. Without one there is no such thing. */
static int store_first(const struct invocation *inv, struct diag *d)
{
	const char *dir = invocation_value(inv, "runtime-dir");
	_cleanup_(json_freep) json_t *nothing = NULL;
	int r, status;

	if (!dir && invocation_value(inv, "state"))
		return 0; /* somebody's store, not the daemon's */
	r = control_call(dir ? dir : DEFAULT_RUNTIME_DIR, "seccomp.store", NULL, &nothing, &status, d);
	return r == -ENOENT ? 0 : r;
}

static const struct option_row list_options[] = {
	RUNTIME_DIR_OPTION,
	STATE_OPTION,
	{ 0 },
};

static enum exit_status list_run(struct invocation *inv)
{
	_cleanup_(table_freep) struct table *t = table_new(7);
	_cleanup_(json_freep) json_t *images = json_array(), *doc = NULL;
	struct listing l = { t, images, 0 };
	struct diag d = { 0 };
	int r;

	for (size_t i = 0; i < 7; i++)
		table_cell(t, STYLE_HEAD, (const char *const[]){ "IMAGE", "DIGEST", "CALLS", "RUNS", "HOURS", "LAST NEW",
								  "SATURATION" }[i]);
	r = store_first(inv, &d);
	if (r == 0)
		r = observation_store_each(seccomp_state(inv), list_one, &l, &d);
	if (r == 0 && strcmp(invocation_format(inv), "json") == 0) {
		doc = json_pack("{s:s, s:O}", "schema", "batten.seccomp-list/1", "images", images);
		r = doc ? json_print(STDOUT_FILENO, doc) : -ENOMEM;
	} else if (r == 0) {
		r = table_print(t, stdout);
	}
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

const struct command cmd_seccomp_list = {
	.name = "seccomp list",
	.args = "",
	.help = "the images observed on this host, with their saturation",
	.details = "A daemon that runs stores first what it has seen.",
	.options = list_options,
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "listed, also when there is none",
		[EXIT_USAGE] = "a stored observation is damaged",
		[EXIT_UNABLE] = "the store cannot be read",
	},
	.run = list_run,
};
