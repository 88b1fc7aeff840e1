/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One reader for each kind of variable: what the agent makes of a text out of its environment.
 * What it does not understand it mostly drops with a line in its log, so the reasons here are the
 * only place where a person learns it.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "batten/host/go-values.h"
#include "host/ecs-internal.h"

void ecs_value_done(struct ecs_value *v)
{
	free(v->text);
	free(v->reason);
	*v = (struct ecs_value){ .zero = true };
}

int ecs_value_set_text(struct ecs_value *v, const char *p, size_t n)
{
	v->text = strndup(p, n);
	return v->text ? 0 : -ENOMEM;
}

int ecs_value_judge(struct ecs_value *v, enum ecs_verdict verdict, const char *fmt, ...)
{
	va_list ap;
	int n;

	v->verdict = verdict;
	va_start(ap, fmt);
	n = vasprintf(&v->reason, fmt, ap);
	va_end(ap);
	if (n < 0) {
		v->reason = NULL;
		return -ENOMEM;
	}
	return 0;
}

static bool ends_with(struct slice s, const char *tail)
{
	size_t n = strlen(tail);

	return s.n >= n && memcmp(s.p + s.n - n, tail, n) == 0;
}

static bool begins_with(struct slice s, const char *head)
{
	size_t n = strlen(head);

	return s.n >= n && memcmp(s.p, head, n) == 0;
}

static bool contains(struct slice s, const char *what)
{
	return s.n > 0 && memmem(s.p, s.n, what, strlen(what));
}

/* What a person most likely did to a value that the agent does not understand; may be "". */
const char *ecs_likely_mistake(struct slice s)
{
	static const char *const curly[] = { "\xe2\x80\x98", "\xe2\x80\x99", "\xe2\x80\x9c", "\xe2\x80\x9d",
					     "\xc2\xab", "\xc2\xbb" };

	for (size_t i = 0; i < ARRAY_SIZE(curly); i++)
		if (begins_with(s, curly[i]) || ends_with(s, curly[i]) ||
		    (s.n > 0 && strchr("[{", s.p[0]) && contains(s, curly[i])))
			return ": typographic quotes are letters like any other; write plain text";
	if (s.n > 0 && (*s.p == '"' || *s.p == '\'') && s.n > 1 && s.p[s.n - 1] == *s.p)
		return ": the quotes are part of the value; take them away";
	if (contains(s, " #") || contains(s, "\t#"))
		return ": a comment behind a value is part of the value; put it on a line of its own";
	if (s.n > 0 && (*s.p == '"' || *s.p == '\''))
		return ": the quote is part of the value; take it away";
	if (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
		return ": the blank after \"=\" is part of the value; take it away";
	return "";
}

static int judge_bad(struct ecs_value *v, struct slice s, const char *wanted)
{
	return ecs_value_judge(v, ECS_INVALID, "not %s%s", wanted, ecs_likely_mistake(s));
}

static bool is_word_folded(struct slice s, const char *word)
{
	return strlen(word) == s.n && strncasecmp(word, s.p, s.n) == 0;
}

int ecs_value_set_bool(struct ecs_value *v, bool b)
{
	v->n = b;
	return ecs_value_set_text(v, b ? "true" : "false", b ? 4 : 5);
}

#define WANT_BOOL "a bool (1 t T true TRUE True 0 f F false FALSE False)"

static int read_bool(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	struct slice trimmed = go_trim_space(s);
	bool b;

	if (trimmed.n == 0)
		return 0;
	if (go_parse_bool(trimmed, &b) < 0)
		return judge_bad(v, s, WANT_BOOL);
	v->zero = false;
	return ecs_value_set_bool(v, b);
}

/* A Go bool has no third state: false lets the next source speak, and so does nonsense. */
static int read_bool_plain(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	bool b = row->flags & ECS_DEFAULT_TRUE;
	int r = 0;

	if (go_parse_bool(go_trim_space(s), &b) < 0 && s.n > 0)
		r = judge_bad(v, s, WANT_BOOL);
	v->zero = !b;
	return r < 0 ? r : ecs_value_set_bool(v, b);
}

static int read_bool_init(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	bool b;

	if (s.n == 0)
		return 0;
	if (go_parse_bool(s, &b) < 0)
		return judge_bad(v, s, WANT_BOOL);
	v->zero = false;
	return ecs_value_set_bool(v, b);
}

static int read_bool_exact(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	int r = 0;
	bool b;

	if (s.n == 0)
		return 0;
	v->zero = false;
	if (!slice_eq(s, "true") && (go_parse_bool(s, &b) < 0 || b))
		r = ecs_value_judge(v, ECS_INVALID, "ecs-init takes the exact text true and nothing else");
	return r < 0 ? r : ecs_value_set_bool(v, slice_eq(s, "true"));
}

static int read_string(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	const char *mistake;
	int r = 0;

	if (s.n == 0)
		return 0;
	v->zero = false;
	if (row->kind == ECS_TRIMMED)
		s = go_trim_space(s);
	mistake = ecs_likely_mistake(s);
	if (*mistake && !(row->flags & ECS_SECRET))
		r = ecs_value_judge(v, ECS_INVALID, "taken as it is%s", mistake);
	else if (row->words) {
		size_t i = 0;

		while (row->words[i] && !slice_eq(s, row->words[i]))
			i++;
		if (!row->words[i])
			r = ecs_value_judge(v, ECS_INVALID, "no such choice");
	}
	return r < 0 ? r : ecs_value_set_text(v, s.p, s.n);
}

int ecs_value_set_duration(struct ecs_value *v, int64_t ns)
{
	char text[GO_DURATION_SIZE];

	v->n = ns;
	free(v->text);
	v->text = strdup(go_duration_text(text, ns));
	return v->text ? 0 : -ENOMEM;
}

/* Timeouts are raised to their minimum here; other durations have bounds for every source. */
static bool clamps_at_reading(const struct ecs_variable *row)
{
	static const char *const names[] = {
		"ECS_CONTAINER_STOP_TIMEOUT",	"ECS_MANIFEST_PULL_TIMEOUT",
		"ECS_CONTAINER_START_TIMEOUT",	"ECS_CONTAINER_CREATE_TIMEOUT",
		"ECS_IMAGE_PULL_INACTIVITY_TIMEOUT",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(row->name, names[i]) == 0)
			return true;
	return false;
}

static int read_duration(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	char least[GO_DURATION_SIZE];
	int64_t ns = 0;
	int r;

	if (s.n == 0)
		return 0;
	r = go_parse_duration(s, &ns);
	if (r < 0) {
		const char *mistake = ecs_likely_mistake(s);

		if (r == -ENODATA && !*mistake)
			return ecs_value_judge(v, ECS_INVALID, "a unit is missing or unknown: write 30s, 10m or 1h30m");
		return ecs_value_judge(v, ECS_INVALID, "not a duration such as 30s, 10m or 1h30m%s", mistake);
	}
	v->zero = ns == 0;
	r = 0;
	if (ns == 0) {
		r = ecs_value_judge(v, ECS_OUT_OF_RANGE, "0 means not set");
	} else if (row->min && ns < row->min && clamps_at_reading(row)) {
		r = ecs_value_judge(v, ECS_OUT_OF_RANGE, "below the minimum: raised to %s",
			  go_duration_text(least, row->min));
		ns = row->min;
	} else if (row->flags & ECS_ENV_ALWAYS && (ns < row->min || ns > row->max)) {
		v->zero = true;
		return ecs_value_judge(v, ECS_OUT_OF_RANGE, "outside of 8ms to 100ms: the default holds");
	} else if (ns < 0 && row->min == 0) {
		r = ecs_value_judge(v, ECS_OUT_OF_RANGE, "negative, and used like that: the time is over before it begins");
	}
	return r < 0 ? r : ecs_value_set_duration(v, ns);
}

int ecs_value_set_number(struct ecs_value *v, int64_t n)
{
	char text[24];

	v->n = n;
	free(v->text);
	(void)snprintf(text, sizeof(text), "%lld", (long long)n);
	v->text = strdup(text);
	return v->text ? 0 : -ENOMEM;
}

/* The agent drops Atoi's error and goes on with what it returned: 0, or the largest number. */
static int read_int(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	int64_t n;
	int e, r = 0;

	if (s.n == 0)
		return 0;
	e = go_parse_int(s, &n);
	v->zero = n == 0;
	if (e == -EINVAL)
		return judge_bad(v, s, "a whole number");
	if (e == -ERANGE)
		r = ecs_value_judge(v, ECS_OUT_OF_RANGE, "larger than a number can be: the largest is used");
	else if (n == 0)
		r = ecs_value_judge(v, ECS_OUT_OF_RANGE, "0 means not set");
	else if (n < 0 && row->min == 0)
		r = ecs_value_judge(v, ECS_OUT_OF_RANGE, "negative, and used like that");
	return r < 0 ? r : ecs_value_set_number(v, n);
}

static int read_pids(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	int64_t n;

	if (s.n == 0)
		return 0;
	if (go_parse_int(go_trim_space(s), &n) < 0)
		return ecs_value_judge(v, ECS_INVALID, "not a whole number%s: tasks are not limited", ecs_likely_mistake(s));
	if (n < row->min || n > row->max)
		return ecs_value_judge(v, ECS_OUT_OF_RANGE, "outside of %lld to %lld: tasks are not limited",
			     (long long)row->min, (long long)row->max);
	v->zero = false;
	return ecs_value_set_number(v, n);
}

static int read_uint16(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	uint64_t n;
	int r;

	if (s.n == 0)
		return 0;
	r = go_parse_uint(s, (uint64_t)row->max, &n);
	if (r == -ERANGE)
		return ecs_value_judge(v, ECS_OUT_OF_RANGE, "above %lld: not set", (long long)row->max);
	if (r < 0)
		return judge_bad(v, s, "digits only");
	v->zero = n == 0;
	return ecs_value_set_number(v, (int64_t)n);
}

static int read_count(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	int64_t n;

	if (s.n == 0)
		return 0;
	if (go_parse_int(s, &n) < 0)
		return judge_bad(v, s, "a whole number");
	v->zero = false;
	if (n <= 0 && ecs_value_judge(v, ECS_OUT_OF_RANGE, "no bound: no rolled log is ever deleted") < 0)
		return -ENOMEM;
	return ecs_value_set_number(v, n);
}

static int read_float(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	double f;

	if (s.n == 0)
		return 0;
	if (go_parse_float(s, &f) < 0)
		return judge_bad(v, s, "a number");
	v->zero = false;
	if (!ecs_log_size_counts(f) && ecs_value_judge(v, ECS_OUT_OF_RANGE, "no size, and used like that") < 0)
		return -ENOMEM;
	return ecs_value_set_text(v, s.p, s.n);
}

/* "steady,burst"; each of them counts for itself when the sources are merged. */
static int read_rates(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	const char *comma = s.n > 0 ? memchr(s.p, ',', s.n) : NULL;
	struct slice a, b;

	v->zero2 = true;
	if (s.n == 0)
		return 0;
	if (!comma || memchr(comma + 1, ',', s.n - (size_t)(comma - s.p) - 1))
		return judge_bad(v, s, "two numbers with a comma between them");
	a = go_trim_space((struct slice){ s.p, (size_t)(comma - s.p) });
	b = go_trim_space((struct slice){ comma + 1, (size_t)(s.p + s.n - comma) - 1 });
	if (go_parse_int(a, &v->n) < 0 || go_parse_int(b, &v->n2) < 0) {
		v->n = v->n2 = 0;
		return judge_bad(v, s, "two numbers with a comma between them");
	}
	v->zero = v->n == 0;
	v->zero2 = v->n2 == 0;
	if (v->n <= 0 || v->n2 <= 0)
		return ecs_value_judge(v, ECS_OUT_OF_RANGE, v->n < 0 || v->n2 < 0 ?
			     "a rate below 0: both defaults hold" : "0 means not set: the next source holds");
	return 0;
}

static int read_port_range(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	const char *dash = s.n > 0 ? memchr(s.p, '-', s.n) : NULL, *second;
	struct slice first = s, last;
	uint64_t a, b;

	if (s.n == 0)
		return 0;
	if (dash) {
		first.n = (size_t)(dash - s.p);
		last = (struct slice){ dash + 1, s.n - first.n - 1 };
		second = last.n > 0 ? memchr(last.p, '-', last.n) : NULL;
		if (second)
			last.n = (size_t)(second - last.p);
	} else {
		last = s;
	}
	if (go_parse_uint(first, UINT16_MAX, &a) < 0 || go_parse_uint(last, UINT16_MAX, &b) < 0)
		return judge_bad(v, s, "two ports with a dash between them");
	if (b < a)
		return ecs_value_judge(v, ECS_INVALID, "the last port is before the first");
	v->zero = false;
	return ecs_value_set_text(v, s.p, s.n);
}

static int read_word(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	bool folded = row->kind == ECS_WORD_FOLDED;

	if (folded)
		s = go_trim_space(s);
	if (s.n == 0)
		return 0;
	for (size_t i = 0; row->words[i]; i++) {
		if (!(folded ? is_word_folded(s, row->words[i]) : slice_eq(s, row->words[i])))
			continue;
		/* The first of the exact words is number 0, and 0 lets the next source speak. */
		v->n = (int64_t)i;
		v->zero = !folded && i == 0;
		return ecs_value_set_text(v, row->words[i], strlen(row->words[i]));
	}
	return ecs_value_judge(v, ECS_INVALID, "no such choice%s", ecs_likely_mistake(s));
}

static int read_word_unchecked(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	size_t i = 0;

	if (s.n == 0)
		return 0;
	v->zero = false;
	while (row->words[i] && !slice_eq(s, row->words[i]))
		i++;
	if (!row->words[i] &&
	    ecs_value_judge(v, ECS_OUT_OF_RANGE, "no such choice, and used like that%s", ecs_likely_mistake(s)) < 0)
		return -ENOMEM;
	return ecs_value_set_text(v, s.p, s.n);
}

static int read_level(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	if (s.n == 0)
		return 0;
	for (size_t i = 0; row->words[i]; i++) {
		if (is_word_folded(s, row->words[i])) {
			v->zero = false;
			return ecs_value_set_text(v, row->words[i], s.n);
		}
	}
	return judge_bad(v, s, "a level (debug info warn error crit none)");
}

static int read_list(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	if (s.n == 0)
		return 0;
	v->zero = false;
	if ((contains(s, ", ") || contains(s, " ,")) &&
	    ecs_value_judge(v, ECS_OUT_OF_RANGE, "the blank beside a comma is part of a name: that entry matches nothing") < 0)
		return -ENOMEM;
	return ecs_value_set_text(v, s.p, s.n);
}

static int read_secret_json(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	_cleanup_(go_json_freep) struct go_json_doc *doc = NULL;
	size_t at;
	int r;

	if (s.n == 0)
		return 0;
	v->zero = false;
	r = go_json_parse(s, false, &doc, &at);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || go_json_root(doc)->type != GO_OBJECT)
		r = ecs_value_judge(v, ECS_INVALID, "not a JSON object%s: the agent pulls without it", ecs_likely_mistake(s));
	return r < 0 ? r : ecs_value_set_text(v, s.p, s.n);
}

/* Any text: the agent asks only whether there is one. */
static int read_text(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	v->zero = s.n == 0;
	return s.n > 0 ? ecs_value_set_text(v, s.p, s.n) : 0;
}

int ecs_value_from_text(const struct ecs_variable *row, struct slice text, struct ecs_value *ret)
{
	static int (*const readers[_ECS_KIND_MAX])(const struct ecs_variable *, struct slice,
						   struct ecs_value *) = {
		[ECS_STRING] = read_string,
		[ECS_TRIMMED] = read_string,
		[ECS_BOOL] = read_bool,
		[ECS_BOOL_PLAIN] = read_bool_plain,
		[ECS_BOOL_INIT] = read_bool_init,
		[ECS_BOOL_EXACT] = read_bool_exact,
		[ECS_DURATION] = read_duration,
		[ECS_INT] = read_int,
		[ECS_PIDS] = read_pids,
		[ECS_UINT16] = read_uint16,
		[ECS_PORTS] = ecs_read_json_text,
		[ECS_DRIVERS] = ecs_read_json_text,
		[ECS_STRINGS] = ecs_read_json_text,
		[ECS_LIST] = read_list,
		[ECS_MAP] = ecs_read_json_text,
		[ECS_ROUTES] = ecs_read_json_text,
		[ECS_LABELS] = ecs_read_json_text,
		[ECS_LOG_OPTIONS] = ecs_read_json_text,
		[ECS_RATES] = read_rates,
		[ECS_PORT_RANGE] = read_port_range,
		[ECS_WORD] = read_word,
		[ECS_WORD_FOLDED] = read_word,
		[ECS_WORD_UNCHECKED] = read_word_unchecked,
		[ECS_LEVEL] = read_level,
		[ECS_LOG_DRIVER] = read_text,
		[ECS_FLOAT] = read_float,
		[ECS_COUNT] = read_count,
		[ECS_SECRET_JSON] = read_secret_json,
	};
	struct ecs_value v = { .zero = true };
	int r = readers[row->kind](row, text, &v);

	if (r < 0) {
		ecs_value_done(&v);
		return r;
	}
	*ret = v;
	return 0;
}

/* ecs-init knows the driver, or takes the default and drops the options. */
static int read_driver_for_init(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	for (size_t i = 0; row->words[i]; i++) {
		if (slice_eq(s, row->words[i])) {
			v->zero = false;
			return ecs_value_set_text(v, s.p, s.n);
		}
	}
	return ecs_value_judge(v, ECS_INVALID,
			       "no such driver: ecs-init takes json-file and drops the options");
}

static int read_endpoint_for_init(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	bool docker = strcmp(row->name, "DOCKER_HOST") == 0;

	if (!begins_with(s, "unix://"))
		return ecs_value_judge(v, ECS_INVALID, "ecs-init takes unix:// URLs only and %s",
				       docker ? "mounts /var/run" : "keeps its own socket");
	v->zero = false;
	return ecs_value_set_text(v, s.p, s.n);
}

int ecs_value_for_init(const struct ecs_variable *row, struct slice text, struct ecs_value *ret)
{
	struct ecs_value v = { .zero = true };
	int r;

	if (text.n == 0) {
		*ret = v;
		return 0;
	}
	if (row->kind == ECS_BOOL || row->kind == ECS_BOOL_PLAIN)
		r = read_bool_exact(row, text, &v);
	else if (row->kind == ECS_LOG_DRIVER)
		r = read_driver_for_init(row, text, &v);
	else if (strcmp(row->name, "DOCKER_HOST") == 0 || strcmp(row->name, "CREDENTIALS_FETCHER_HOST") == 0)
		r = read_endpoint_for_init(row, text, &v);
	else
		return ecs_value_from_text(row, text, ret);
	if (r < 0) {
		ecs_value_done(&v);
		return r;
	}
	*ret = v;
	return 0;
}

/* What the agent does at the end to a value out of bounds, whatever its source. */
int ecs_value_bound(const struct ecs_variable *row, struct ecs_value *v)
{
	static const struct {
		const char *name;
		bool fatal;
	} rows[] = {
		{ "ECS_CONTAINER_STOP_TIMEOUT", true },
		{ "ECS_CONTAINER_START_TIMEOUT", true },
		{ "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", false },
		{ "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", false },
		{ "ECS_IMAGE_CLEANUP_INTERVAL", false },
		{ "ECS_NUM_IMAGES_DELETE_PER_CYCLE", false },
	};
	char least[GO_DURATION_SIZE] = "1";
	size_t i = 0;

	while (i < ARRAY_SIZE(rows) && strcmp(rows[i].name, row->name) != 0)
		i++;
	if (i == ARRAY_SIZE(rows) || v->n >= row->min)
		return 0;
	free(v->reason);
	if (row->kind == ECS_DURATION)
		(void)go_duration_text(least, row->min);
	if (rows[i].fatal)
		return ecs_value_judge(v, ECS_FATAL, "below the minimum of %s: the agent does not start", least);
	free(v->text);
	v->text = strdup(row->fallback);
	if (!v->text)
		return -ENOMEM;
	return ecs_value_judge(v, ECS_OUT_OF_RANGE, "below the minimum of %s: the default holds", least);
}
