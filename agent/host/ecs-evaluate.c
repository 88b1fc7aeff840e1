/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Merging. For each variable every place that mentions it becomes a layer, highest rank first; the
 * environment's winner is read as the agent reads it, and while the value counts as "not set" in
 * Go the next source speaks: ecs.config.json, user data, the compiled default. Bounds come last.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batten/host/go-values.h"
#include "host/ecs-evaluate-internal.h"

#define MAX_SUGGESTIONS 64 /* unknown names that are compared with every row */

const char *ecs_built_in(const struct ecs_sources *s, const struct ecs_variable *row)
{
	if (strcmp(row->name, "ECS_DETAILED_OS_FAMILY") == 0)
		return s->os_family;
	if (strcmp(row->name, "SSL_CERT_DIR") == 0)
		return s->cert_dir;
	if (strcmp(row->name, "CREDENTIALS_FETCHER_HOST_DIR") == 0 && s->fetcher)
		return *s->fetcher ? s->fetcher : NULL;
	return row->built_in;
}

bool ecs_environment_find(const struct ecs_sources *s, const char *name, struct ecs_statement *ret)
{
	const struct ecs_variable *row = ecs_variable_find(slice_of(name));
	const struct ecs_line *line;

	if (s->external && strcmp(name, "ECS_ENABLE_TASK_ENI") == 0) {
		*ret = (struct ecs_statement){ .source = ECS_FROM_BUILT_IN, .value = slice_of("false"), .forced = true };
		return true;
	}
	line = ecs_lines_find(&s->user, slice_of(name));
	if (line) {
		*ret = (struct ecs_statement){ ECS_FROM_FILE, ECS_CONFIG_FILE, line->line, line->value, false };
		return true;
	}
	line = ecs_lines_find(&s->instance, slice_of(name));
	if (line && !(s->no_gpu && strcmp(name, "ECS_ENABLE_GPU_SUPPORT") == 0)) {
		*ret = (struct ecs_statement){ ECS_FROM_FILE, ECS_INSTANCE_FILE, line->line, line->value, false };
		return true;
	}
	if (row && ecs_built_in(s, row)) {
		*ret = (struct ecs_statement){ .source = ECS_FROM_BUILT_IN,
					       .value = slice_of(ecs_built_in(s, row)) };
		return true;
	}
	return false;
}

bool ecs_init_environment_find(const struct ecs_sources *s, const char *name, struct ecs_statement *ret)
{
	for (size_t i = s->n_init; i-- > 0;) {
		const struct ecs_line *line = ecs_lines_find(&s->init[i], slice_of(name));

		if (!line)
			continue;
		*ret = (struct ecs_statement){ s->init_files[i] ? ECS_FROM_FILE : ECS_FROM_ENVIRONMENT,
					       s->init_files[i], line->line, line->value, false };
		return true;
	}
	return false;
}

struct ecs_result *ecs_config_add(struct ecs_config *c)
{
	/* Powers of two: the array grows when its length reaches one. */
	if ((c->n_results & (c->n_results - 1)) == 0) {
		size_t size = c->n_results ? c->n_results * 2 : 1;
		struct ecs_result *grown = reallocarray(c->results, size, sizeof(*grown));

		if (!grown)
			return NULL;
		c->results = grown;
	}
	c->results[c->n_results] = (struct ecs_result){ 0 };
	return &c->results[c->n_results++];
}

int ecs_result_set(struct ecs_result *r, struct slice effective, enum ecs_source source)
{
	char *text = ecs_redact(r->row, effective);

	if (!text)
		return -ENOMEM;
	free(r->effective);
	r->effective = text;
	r->source = source;
	return 0;
}

static int _printf_(2, 0) set_reason(char **reason, const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) < 0)
		return -ENOMEM;
	free(*reason);
	*reason = text;
	return 0;
}

int ecs_result_judge(struct ecs_result *r, enum ecs_verdict verdict, const char *fmt, ...)
{
	va_list ap;
	int e;

	r->verdict = verdict;
	va_start(ap, fmt);
	e = set_reason(&r->reason, fmt, ap);
	va_end(ap);
	return e;
}

int ecs_fatal_add(struct ecs_config *c, const char *fmt, ...)
{
	char **grown = reallocarray(c->fatal, c->n_fatal + 1, sizeof(*grown));
	va_list ap;
	int e;

	if (!grown)
		return -ENOMEM;
	c->fatal = grown;
	grown[c->n_fatal] = NULL;
	va_start(ap, fmt);
	e = set_reason(&grown[c->n_fatal], fmt, ap);
	va_end(ap);
	c->n_fatal += e == 0;
	return e;
}

struct ecs_result *ecs_result_of(struct ecs_config *c, const char *name)
{
	return (struct ecs_result *)ecs_config_get(c, name);
}

/* Appends a layer; @layer->reason is moved. */
int ecs_result_layer(struct ecs_result *r, const struct ecs_layer *layer, struct slice raw)
{
	struct ecs_layer *grown = reallocarray(r->layers, r->n_layers + 1, sizeof(*grown)), *l;

	if (!grown) {
		free(layer->reason);
		return -ENOMEM;
	}
	r->layers = grown;
	l = &grown[r->n_layers++];
	*l = *layer;
	l->raw = ecs_redact(r->row, raw);
	return l->raw ? 0 : -ENOMEM;
}

static char *shadow_reason(const struct ecs_statement *winner)
{
	char *text;

	if (winner->forced)
		return strdup("ecs-init forces another value");
	if (winner->file && asprintf(&text, "%s:%u is what counts", winner->file, winner->line) >= 0)
		return text;
	return strdup("another source is what counts");
}

/* Every line of one file with the row's name, the last one first. */
static int add_file_layers(struct ecs_result *r, const struct ecs_lines *lines, const char *file,
			   const struct ecs_statement *winner)
{
	const struct ecs_line *last = ecs_lines_find(lines, slice_of(r->row->name));

	for (const struct ecs_line *l = last; l; l = l->previous ? &lines->v[l->previous - 1] : NULL) {
		struct ecs_layer layer = { .source = ECS_FROM_FILE, .file = file, .line = l->line };
		bool wins = winner->file == file && winner->line == l->line;
		int e;

		if (!wins) {
			layer.verdict = l == last ? ECS_SHADOWED : ECS_DUPLICATE;
			layer.reason = shadow_reason(winner);
		}
		e = ecs_result_layer(r, &layer, l->value);
		if (e < 0)
			return e;
	}
	return 0;
}

static int add_environment_layers(struct ecs_result *r, const struct ecs_sources *s,
				  const struct ecs_statement *winner)
{
	const char *built_in = ecs_built_in(s, r->row);
	struct ecs_layer layer = { .source = ECS_FROM_BUILT_IN };
	int e = 0;

	if (winner->forced) {
		layer.reason = strdup("forced by ecs-init outside of EC2");
		e = ecs_result_layer(r, &layer, winner->value);
	}
	if (e == 0)
		e = add_file_layers(r, &s->user, ECS_CONFIG_FILE, winner);
	if (e == 0)
		e = add_file_layers(r, &s->instance, ECS_INSTANCE_FILE, winner);
	if (e == 0 && built_in) {
		layer.verdict = winner->source == ECS_FROM_BUILT_IN && !winner->forced ? ECS_OK : ECS_SHADOWED;
		layer.reason = layer.verdict == ECS_OK ? NULL : shadow_reason(winner);
		e = ecs_result_layer(r, &layer, slice_of(built_in));
	}
	return e;
}

/* The layer that the environment's winner became. */
static struct ecs_layer *winning_layer(struct ecs_result *r, const struct ecs_statement *winner)
{
	for (size_t i = 0; i < r->n_layers; i++)
		if (r->layers[i].source == winner->source && r->layers[i].file == winner->file &&
		    r->layers[i].line == winner->line)
			return &r->layers[i];
	return NULL;
}

static int judge_layer(struct ecs_layer *l, enum ecs_verdict verdict, const char *reason)
{
	char *copy = reason ? strdup(reason) : NULL;

	if (reason && !copy)
		return -ENOMEM;
	free(l->reason);
	l->reason = copy;
	l->verdict = verdict;
	return 0;
}

/*
 * A document's layer. @spoken: a source of higher rank has spoken already. Return: 1 when this one
 * decides, 0 when not, or a negative errno.
 */
static int add_document_layer(struct ecs_result *r, const struct ecs_document *d, size_t row_index,
			      enum ecs_source source, const char *file, bool spoken)
{
	const struct ecs_document_value *v = d->values ? &d->values[row_index] : NULL;
	struct ecs_layer layer = { .source = source, .file = file };
	int e;

	if (!d->applies || !v || !v->set)
		return 0;
	if (r->row->flags & ECS_ENV_ALWAYS) {
		layer.verdict = ECS_IGNORED;
		layer.reason = strdup("the agent overwrites this field from its environment, set or not");
	} else if (spoken) {
		layer.verdict = ECS_SHADOWED;
		layer.reason = strdup("the environment is what counts");
	} else if (v->value.zero) {
		layer.verdict = ECS_IGNORED;
		layer.reason = strdup("counts as not set");
	} else {
		layer.verdict = v->value.verdict;
		layer.reason = v->value.reason ? strdup(v->value.reason) : NULL;
	}
	e = ecs_result_layer(r, &layer, v->value.text ? slice_of(v->value.text) : (struct slice){ "", 0 });
	if (e < 0)
		return e;
	return layer.verdict == ECS_OK || layer.verdict == ECS_OUT_OF_RANGE || layer.verdict == ECS_FATAL;
}

/* The sources below the environment, for a value that the environment leaves open. */
static int ask_documents(struct ecs_result *r, const struct ecs_sources *s, size_t i, struct ecs_value *v)
{
	const struct ecs_document *const documents[] = { &s->json, &s->user_data };
	static const enum ecs_source sources[] = { ECS_FROM_JSON, ECS_FROM_USER_DATA };
	bool spoken = !v->zero;

	for (size_t k = 0; k < ARRAY_SIZE(documents); k++) {
		int e = add_document_layer(r, documents[k], i, sources[k], k ? NULL : s->json_path, spoken);
		const struct ecs_value *said;
		struct ecs_value copy = { 0 };

		if (e < 0)
			return e;
		if (e == 0)
			continue;
		said = &documents[k]->values[i].value;
		spoken = true;
		copy = *said;
		copy.text = said->text ? strdup(said->text) : NULL;
		copy.reason = said->reason ? strdup(said->reason) : NULL;
		ecs_value_done(v);
		*v = copy;
		r->source = sources[k];
	}
	return 0;
}

static int take_default(const struct ecs_variable *row, struct ecs_value *v)
{
	_cleanup_(ecs_value_done) struct ecs_value d = { .zero = true };
	int e = 0;

	if (row->fallback && (row->kind == ECS_DURATION || row->kind == ECS_INT))
		e = ecs_value_from_text(row, slice_of(row->fallback), &d);
	else if (row->fallback)
		e = ecs_value_set_text(&d, row->fallback, strlen(row->fallback));
	if (e < 0)
		return e;
	free(v->text);
	v->text = take_ptr(d.text);
	v->n = d.n;
	return 0;
}

/* The value when no source has said anything that counts. Sets ->source and, where odd, ->verdict. */
static int settle_zero(struct ecs_result *r, const struct ecs_sources *s, const struct ecs_statement *winner,
		       struct ecs_value *v)
{
	const char *built_in = ecs_built_in(s, r->row);
	bool understood = winner && v->verdict == ECS_OK && v->text && winner->value.n > 0;
	int e;

	/* Go's false stays false: no default stands behind a plain bool. */
	if (r->row->kind == ECS_BOOL_PLAIN) {
		r->source = understood ? winner->source : ECS_FROM_DEFAULT;
	} else if (!understood || !r->row->fallback || strcmp(v->text, r->row->fallback) != 0) {
		e = take_default(r->row, v);
		if (e == 0 && understood)
			e = ecs_value_judge(v, ECS_OUT_OF_RANGE, "counts as not set: the default holds");
		r->source = ECS_FROM_DEFAULT;
		if (e < 0)
			return e;
	}
	if (winner && winner->source == ECS_FROM_FILE && winner->value.n == 0 && built_in && *built_in)
		return ecs_value_judge(v, ECS_INVALID,
				       "empty: ecs-init's own %s is gone and the agent's default holds", built_in);
	return 0;
}

/* What a row's verdict and reason are, once its value stands. */
static int settle_verdict(struct ecs_result *r, struct ecs_layer *layer, struct ecs_value *v)
{
	int e = 0;

	if (layer && v->verdict != ECS_OK && layer->verdict == ECS_OK)
		e = judge_layer(layer, v->verdict, v->reason);
	if (e < 0)
		return e;
	if (v->verdict == ECS_FATAL || !layer || layer->verdict == ECS_OK)
		r->verdict = v->verdict;
	else
		r->verdict = layer->verdict;
	if (r->verdict == v->verdict && v->reason) {
		r->reason = take_ptr(v->reason);
	} else if (r->verdict != ECS_OK && layer && layer->reason) {
		r->reason = strdup(layer->reason);
		if (!r->reason)
			return -ENOMEM;
	}
	for (size_t k = 0; r->verdict == ECS_OK && k < r->n_layers; k++)
		if (r->layers[k].verdict == ECS_DUPLICATE)
			return ecs_result_judge(r, ECS_DUPLICATE,
						"the name stands there more than once; the last line counts");
	return 0;
}

/* The agent's side of a row. */
static int evaluate_for_agent(struct ecs_result *r, const struct ecs_sources *s, size_t i)
{
	struct ecs_statement winner = { 0 };
	bool present = ecs_environment_find(s, r->row->name, &winner);
	_cleanup_(ecs_value_done) struct ecs_value v = { .zero = true };
	struct ecs_layer *layer = NULL;
	int e;

	e = ecs_value_from_text(r->row, present ? winner.value : (struct slice){ "", 0 }, &v);
	if (e == 0 && present)
		e = add_environment_layers(r, s, &winner);
	if (e < 0)
		return e;
	layer = present ? winning_layer(r, &winner) : NULL;
	if (layer && v.verdict != ECS_OK)
		e = judge_layer(layer, v.verdict, v.reason);
	/* A plain bool that was not understood is its reader's default, which may be true. */
	r->source = present && !(r->row->kind == ECS_BOOL_PLAIN && v.verdict == ECS_INVALID) ? winner.source
											     : ECS_FROM_DEFAULT;
	if (e == 0)
		e = ask_documents(r, s, i, &v);
	if (e == 0 && r->row->kind == ECS_TRIMMED && v.text) {
		struct slice trimmed = go_trim_space(slice_of(v.text));

		/* After the sources were merged: one of blanks alone has silenced the next by then. */
		memmove(v.text, trimmed.p, trimmed.n);
		v.text[trimmed.n] = '\0';
		v.zero = trimmed.n == 0;
	}
	/* The layers may have moved. */
	layer = present ? winning_layer(r, &winner) : NULL;
	if (e == 0 && layer && layer->verdict == ECS_OK && r->source != winner.source && winner.value.n > 0)
		e = judge_layer(layer, ECS_SHADOWED, "counts as not set in the agent, so the next source holds");
	if (e == 0)
		e = v.zero ? settle_zero(r, s, present ? &winner : NULL, &v) : ecs_value_bound(r->row, &v);
	if (e == 0 && v.text)
		e = ecs_result_set(r, slice_of(v.text), r->source);
	return e < 0 ? e : settle_verdict(r, layer, &v);
}

static int evaluate_for_init(struct ecs_result *r, const struct ecs_sources *s)
{
	bool only_init = r->row->readers == ECS_BY_INIT;
	struct ecs_statement winner = { 0 };
	bool present = ecs_init_environment_find(s, r->row->name, &winner);
	_cleanup_(ecs_value_done) struct ecs_value v = { .zero = true };
	const char *text;
	int e;

	e = ecs_value_for_init(r->row, present ? winner.value : (struct slice){ "", 0 }, &v);
	if (e < 0)
		return e;
	text = !v.zero && v.text ? v.text : r->row->fallback;
	if (text) {
		r->effective_for_init = ecs_redact(r->row, slice_of(text));
		if (!r->effective_for_init)
			return -ENOMEM;
	}
	if (!only_init) {
		if (v.verdict != ECS_OK && r->verdict == ECS_OK)
			return ecs_result_judge(r, v.verdict, "for ecs-init: %s", v.reason);
		return 0;
	}
	if (text && ecs_result_set(r, slice_of(text), v.zero ? ECS_FROM_DEFAULT : winner.source) < 0)
		return -ENOMEM;
	if (v.verdict != ECS_OK) {
		r->verdict = v.verdict;
		r->reason = take_ptr(v.reason);
	}
	return 0;
}

/* The places where ecs-init finds one of its own names, and those where it does not look. */
static int add_init_layers(struct ecs_result *r, const struct ecs_sources *s)
{
	struct ecs_statement winner = { 0 }, agent = { 0 };
	bool present = ecs_init_environment_find(s, r->row->name, &winner);
	struct ecs_layer layer = { .source = winner.source, .file = winner.file, .line = winner.line,
				   .verdict = r->verdict };
	bool agent_sees = ecs_environment_find(s, r->row->name, &agent);
	int e;

	if (present) {
		/* As it is written: the agent's reader takes nothing away. */
		bool same = agent_sees && agent.line == winner.line && agent.file && winner.file &&
			    strcmp(agent.file, winner.file) == 0;

		layer.reason = r->reason ? strdup(r->reason) : NULL;
		return ecs_result_layer(r, &layer, same ? agent.value : winner.value);
	}
	if (!agent_sees || agent.source != ECS_FROM_FILE)
		return 0;
	layer = (struct ecs_layer){ .source = ECS_FROM_FILE, .file = agent.file, .line = agent.line,
				    .verdict = ECS_IGNORED };
	e = ecs_result_judge(r, ECS_IGNORED, "ecs-init reads this name, and systemd does not give it this line");
	if (e < 0)
		return e;
	layer.reason = strdup(r->reason);
	return ecs_result_layer(r, &layer, agent.value);
}

/* A name that nothing on Linux reads. */
static int evaluate_dead(struct ecs_result *r, const struct ecs_sources *s)
{
	struct ecs_statement winner = { 0 };
	int e;

	if (!ecs_environment_find(s, r->row->name, &winner))
		return 0;
	e = add_environment_layers(r, s, &winner);
	for (size_t i = 0; e == 0 && i < r->n_layers; i++)
		e = judge_layer(&r->layers[i], ECS_IGNORED, NULL);
	if (e < 0)
		return e;
	r->suggestion = r->row->instead;
	if (r->row->flags & ECS_WINDOWS)
		return ecs_result_judge(r, ECS_IGNORED, "only the Windows agent reads this");
	if (r->row->instead)
		return ecs_result_judge(r, ECS_IGNORED, "nothing reads this; did you mean %s?", r->row->instead);
	return ecs_result_judge(r, ECS_IGNORED, "nothing reads this; take the line away");
}

static int evaluate_row(struct ecs_config *c, const struct ecs_sources *s, size_t i)
{
	struct ecs_result *r = ecs_config_add(c);
	int e = 0;

	if (!r)
		return -ENOMEM;
	r->row = &ecs_variables[i];
	r->secret = r->row->flags & ECS_SECRET;
	r->name = strdup(r->row->name);
	if (!r->name)
		return -ENOMEM;
	if (r->row->readers == 0)
		return evaluate_dead(r, s);
	if (r->row->readers & ~(unsigned int)ECS_BY_INIT)
		e = evaluate_for_agent(r, s, i);
	if (e == 0 && r->row->readers & ECS_BY_INIT)
		e = evaluate_for_init(r, s);
	if (e == 0 && r->row->readers == ECS_BY_INIT)
		e = add_init_layers(r, s);
	if (e == 0 && r->verdict == ECS_FATAL)
		e = ecs_fatal_add(c, "%s: %s", r->name, r->reason);
	return e;
}

static bool is_comment(struct slice name)
{
	return name.n > 0 && name.p[0] == '#';
}

/* Why a name is none, for a person. */
static int judge_unknown(struct ecs_result *r, struct slice name, const struct ecs_variable *near)
{
	const char *why = NULL;

	if (name.n == 0)
		return ecs_result_judge(r, ECS_FATAL, "nothing before \"=\": Docker refuses the agent's container");
	if (is_comment(name))
		return ecs_result_judge(r, ECS_IGNORED, "no comment for the agent's reader: the text, the secret too, "
					"is handed to the container and shown by docker inspect");
	if (near && name.n > strlen(near->name)) {
		if (memcmp(name.p, "\xef\xbb\xbf", 3) == 0)
			why = "a byte order mark at the start of the file is part of the name; save it without";
		else if (memcmp(name.p, "export", 6) == 0)
			why = "\"export\" is part of the name; take it away";
		else if (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t')
			why = "the blank before \"=\" is part of the name; take it away";
		else if (name.p[0] == ';')
			why = "\";\" is part of the name; take the line away or write it without";
	}
	if (why)
		return ecs_result_judge(r, ECS_UNKNOWN, "%s", why);
	if (near)
		return ecs_result_judge(r, ECS_UNKNOWN, "no such variable; did you mean %s?", near->name);
	return ecs_result_judge(r, ECS_UNKNOWN, "no such variable of the agent");
}

/* A comment is worth a word only when it hands a secret over. */
static bool comment_tells(const struct ecs_line *l, const struct ecs_variable *near)
{
	return l->value.n > 0 && ((near && near->flags & ECS_SECRET) || ecs_text_hides_secret(l->value));
}

static int evaluate_unknown(struct ecs_config *c, const struct ecs_line *l, const char *file,
			    size_t *n_suggestions)
{
	bool prefixed = l->name.n > 17 && memcmp(l->name.p, "AWS_ENDPOINT_URL_", 17) == 0;
	struct ecs_layer layer = { .source = ECS_FROM_FILE, .file = file, .line = l->line };
	const struct ecs_variable *near = NULL;
	struct ecs_result *r;
	int e;

	if (*n_suggestions < MAX_SUGGESTIONS) {
		near = ecs_variable_near(l->name);
		++*n_suggestions;
	}
	if (is_comment(l->name) && !comment_tells(l, near))
		return 0;
	r = ecs_config_add(c);
	if (!r)
		return -ENOMEM;
	r->source = ECS_FROM_FILE;
	r->name = ecs_redact_name(l->name);
	if (!r->name)
		return -ENOMEM;
	if (prefixed) {
		r->row = ecs_variable_find(slice_of("AWS_ENDPOINT_URL"));
		e = ecs_result_set(r, l->value, ECS_FROM_FILE);
		return e < 0 ? e : ecs_result_layer(r, &layer, l->value);
	}
	r->secret = near && near->flags & ECS_SECRET;
	r->suggestion = near ? near->name : NULL;
	e = judge_unknown(r, l->name, near);
	if (e < 0)
		return e;
	layer.verdict = r->verdict;
	e = ecs_result_layer(r, &layer, l->value);
	if (e == 0 && r->verdict == ECS_FATAL)
		e = ecs_fatal_add(c, "%s:%u: %s", file, l->line, r->reason);
	return e;
}

static int evaluate_others(struct ecs_config *c, const struct ecs_lines *lines, const char *file)
{
	size_t n_suggestions = 0;
	int e = 0;

	for (size_t i = 0; e == 0 && i < lines->n; i++)
		if (lines->v[i].last && !ecs_variable_find(lines->v[i].name))
			e = evaluate_unknown(c, &lines->v[i], file, &n_suggestions);
	for (size_t i = 0; e == 0 && i < lines->n_stray; i++) {
		struct ecs_layer layer = { .source = ECS_FROM_FILE, .file = file, .line = lines->stray[i],
					   .verdict = ECS_IGNORED };
		struct ecs_result *r = ecs_config_add(c);

		if (!r)
			return -ENOMEM;
		r->source = ECS_FROM_FILE;
		r->name = strdup("***");
		e = r->name ? ecs_result_judge(r, ECS_IGNORED, "a line without \"=\" sets nothing") : -ENOMEM;
		if (e == 0)
			e = ecs_result_layer(r, &layer, (struct slice){ "", 0 });
	}
	return e;
}

/* No process can be started with a NUL in its environment, so the agent's is not. */
static int find_nul(struct ecs_config *c, const struct ecs_sources *s, const struct ecs_lines *lines,
		    const char *file)
{
	int e = 0;

	for (size_t i = 0; e == 0 && i < lines->n; i++) {
		const struct ecs_line *l = &lines->v[i];
		bool nul = memchr(l->name.p, '\0', l->name.n) || (l->value.n > 0 && memchr(l->value.p, '\0', l->value.n));

		if (nul && l->last && (lines == &s->user || !ecs_lines_find(&s->user, l->name)))
			e = ecs_fatal_add(c, "%s:%u: a NUL byte: the agent's container does not start", file, l->line);
	}
	return e;
}

/* What was added while the documents were read goes behind the table's rows. */
static int move_to_end(struct ecs_config *c, size_t n_first)
{
	size_t n_rest = c->n_results - n_first;
	struct ecs_result *first = n_first > 0 ? calloc(n_first, sizeof(*first)) : NULL;

	if (n_first == 0)
		return 0;
	if (!first)
		return -ENOMEM;
	memcpy(first, c->results, n_first * sizeof(*first));
	memmove(c->results, c->results + n_first, n_rest * sizeof(*first));
	memcpy(c->results + n_rest, first, n_first * sizeof(*first));
	free(first);
	return 0;
}

int ecs_evaluate(struct ecs_config *c, const struct ecs_sources *s)
{
	size_t n_first = c->n_results;
	int e = 0;

	for (size_t i = 0; e == 0 && i < n_ecs_variables; i++)
		e = evaluate_row(c, s, i);
	if (e == 0)
		e = move_to_end(c, n_first);
	if (e == 0)
		e = evaluate_others(c, &s->user, ECS_CONFIG_FILE);
	if (e == 0)
		e = evaluate_others(c, &s->instance, ECS_INSTANCE_FILE);
	if (e == 0)
		e = find_nul(c, s, &s->user, ECS_CONFIG_FILE);
	if (e == 0)
		e = find_nul(c, s, &s->instance, ECS_INSTANCE_FILE);
	return e < 0 ? e : ecs_exceptions(c, s);
}
