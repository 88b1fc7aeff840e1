/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waivers. Strict about their own file: a waiver that is misspelt must not quietly waive nothing,
 * and one without owner, reason or end is not accepted.
 */
#include "batten/audit/waiver.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit/findings.h"
#include "batten/base/file.h"
#include "batten/base/parse.h"

#define MAX_WAIVER_BYTES (1024 * 1024)
#define SCHEMA "batten.waivers/1"

struct waiver {
	const char *control, *reason, *owner, *until;
	const char *family, *container, *image, *path; /* shell patterns; NULL: any */
	int64_t end;				       /* seconds since the epoch, exclusive */
	unsigned int n_used, n_expired, n_seen;	       /* findings: waived; would be; in scope at all */
};

struct waivers {
	json_t *document; /* owns the strings */
	char *file;
	struct waiver *list;
	size_t n;
};

struct waivers *waivers_free(struct waivers *w)
{
	if (!w)
		return NULL;
	json_decref(w->document);
	free(w->file);
	free(w->list);
	free(w);
	return NULL;
}

/* The end of a day YYYY-MM-DD in UTC. */
static int parse_day(const char *text, int64_t *ret)
{
	struct tm tm = { 0 }, again;
	uint64_t year, month, day;
	time_t t;

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-' ||
	    parse_u64((struct slice){ text, 4 }, 1970, 9999, &year) < 0 ||
	    parse_u64((struct slice){ text + 5, 2 }, 1, 12, &month) < 0 ||
	    parse_u64((struct slice){ text + 8, 2 }, 1, 31, &day) < 0)
		return -EINVAL;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month - 1;
	tm.tm_mday = (int)day;
	again = tm;
	t = timegm(&again);
	if (again.tm_mday != tm.tm_mday) /* 31 April became 1 May */
		return -EINVAL;
	*ret = (int64_t)t + 24 * 60 * 60;
	return 0;
}

struct member {
	const char *name;
	const char **target;
};

/* Takes text members; anything else in the object is an error. */
static int take_members(json_t *j, const struct member *members, size_t n, const char *skip,
			const char *file, size_t entry, struct diag *d)
{
	const char *name;
	json_t *v;

	json_object_foreach(j, name, v) {
		size_t i = 0;

		if (skip && strcmp(name, skip) == 0)
			continue;
		while (i < n && strcmp(members[i].name, name) != 0)
			i++;
		if (i == n)
			return diag_fail(d, -EINVAL, file, "waivers[%zu]: unknown member \"%s\"", entry, name);
		if (!json_is_string(v) || !json_string_value(v)[0])
			return diag_fail(d, -EINVAL, file, "waivers[%zu]: \"%s\" is to be text", entry, name);
		*members[i].target = json_string_value(v);
	}
	return 0;
}

static int parse_waiver(struct waiver *w, json_t *j, const char *file, size_t entry, struct diag *d)
{
	const struct member members[] = {
		{ "control", &w->control }, { "reason", &w->reason }, { "owner", &w->owner }, { "until", &w->until },
	};
	const struct member scope[] = {
		{ "family", &w->family }, { "container", &w->container }, { "image", &w->image }, { "path", &w->path },
	};
	json_t *s = json_object_get(j, "scope");
	int r;

	if (!json_is_object(j) || !json_is_object(s))
		return diag_fail(d, -EINVAL, file, "waivers[%zu]: an object with a \"scope\" object is needed; {} is the whole host", entry);
	r = take_members(j, members, ARRAY_SIZE(members), "scope", file, entry, d);
	if (r >= 0)
		r = take_members(s, scope, ARRAY_SIZE(scope), NULL, file, entry, d);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!*members[i].target)
			return diag_fail(d, -EINVAL, file, "waivers[%zu]: \"%s\" is missing", entry, members[i].name);
	if (!control_find(w->control, NULL))
		return diag_fail(d, -EINVAL, file, "waivers[%zu]: no control is called \"%s\"; see `batten audit --list`", entry, w->control);
	if (parse_day(w->until, &w->end) < 0)
		return diag_fail(d, -EINVAL, file, "waivers[%zu]: \"until\" is to be a day, as 2027-01-31", entry);
	return 0;
}

/*
 * The line that entry @wanted of the list begins on. The text is valid JSON, so that strings and depth
 * are all there is to follow: the list is the one at depth 1 behind the name "waivers".
 */
static unsigned int line_of(const char *text, size_t wanted)
{
	unsigned int line = 1, depth = 0;
	bool in_list = false, named = false, fresh = false;
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		if (*p == '\n')
			line++;
		if (strchr(" \t\r\n:", *p))
			continue;
		if (in_list && depth == 2 && *p != ',' && *p != ']' && fresh) {
			if (n++ == wanted)
				return line;
			fresh = false;
		}
		if (*p == '"') {
			const char *start = p + 1;

			for (p++; *p && *p != '"'; p++)
				p += *p == '\\' && p[1];
			if (!*p)
				break;
			named = depth == 1 && p - start == 7 && strncmp(start, "waivers", 7) == 0;
		} else if (*p == '[' || *p == '{') {
			in_list = in_list || (named && *p == '[' && depth == 1);
			fresh = fresh || (in_list && depth == 1);
			depth++;
		} else if (*p == ']' || *p == '}') {
			depth--;
		} else if (*p == ',' && in_list && depth == 2) {
			fresh = true;
		}
	}
	return line;
}

static int check_members(const struct waivers *w, struct diag *d)
{
	static const char *const members[] = { "schema", "$schema", "waivers" };
	const char *name;
	json_t *v;

	json_object_foreach(w->document, name, v) {
		size_t i = 0;

		while (i < ARRAY_SIZE(members) && strcmp(members[i], name) != 0)
			i++;
		if (i == ARRAY_SIZE(members))
			return diag_fail(d, -EINVAL, w->file, "unknown member \"%s\"; the list is called \"waivers\"", name);
	}
	return 0;
}

/* @text: of the file, to tell the line; NULL when there is none */
static int parse_document(struct waivers *w, const char *text, struct diag *d)
{
	const json_t *list = json_object_get(w->document, "waivers");
	const char *schema = json_string_value(json_object_get(w->document, "schema"));
	char place[PATH_MAX + 16];
	json_t *v;
	size_t i;
	int r = check_members(w, d);

	if (r < 0)
		return r;

	if (!schema || strcmp(schema, SCHEMA) != 0)
		return diag_fail(d, -EINVAL, w->file, "\"schema\" is to be \"" SCHEMA "\"");
	if (!json_is_array(list))
		return diag_fail(d, -EINVAL, w->file, "\"waivers\" is to be a list");
	w->list = calloc(json_array_size(list) + 1, sizeof(*w->list));
	if (!w->list)
		return -ENOMEM;
	json_array_foreach(list, i, v) {
		r = parse_waiver(&w->list[i], v, w->file, i, text ? NULL : d);
		if (r == -EINVAL && text) {
			(void)snprintf(place, sizeof(place), "%s:%u", w->file, line_of(text, i));
			r = parse_waiver(&w->list[i], v, place, i, d);
		}
		if (r < 0)
			return r;
		w->n++;
	}
	return 0;
}

static int parse_all(struct waivers **ret, const json_t *j, const char *text, const char *file, struct diag *d)
{
	_cleanup_(waivers_freep) struct waivers *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->document = json_incref((json_t *)j);
	w->file = strdup(file);
	if (!w->file)
		return -ENOMEM;
	r = parse_document(w, text, d);
	if (r < 0)
		return r;
	*ret = take_ptr(w);
	return 0;
}

int waivers_parse(struct waivers **ret, const json_t *j, const char *file, struct diag *d)
{
	return parse_all(ret, j, NULL, file, d);
}

int waivers_load(struct waivers **ret, const char *path, bool optional, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r;

	r = file_read(AT_FDCWD, path, MAX_WAIVER_BYTES, &text, &n, optional ? NULL : d);
	if (r == -ENOENT && optional) {
		*ret = calloc(1, sizeof(**ret));
		return *ret ? 0 : -ENOMEM;
	}
	if (r < 0)
		return diag_errno(d, r, path, "cannot read the waivers");
	r = json_parse(text, n, path, &j, d);
	if (r < 0)
		return r;
	return parse_all(ret, j, text, path, d);
}

static bool fits(const char *pattern, const char *value)
{
	return !pattern || (value && fnmatch(pattern, value, 0) == 0);
}

static bool covers(const struct waiver *w, const struct finding *f)
{
	const struct subject *s = &f->subject;
	const char *path = s->kind == SUBJECT_FILE ? s->name : NULL;
	bool container = fits(w->container, s->container_id ? s->name : NULL) ||
			 (w->container && fits(w->container, s->ecs_name));

	return strcmp(w->control, f->control->id) == 0 && container && fits(w->family, s->family) &&
	       fits(w->image, s->image) && fits(w->path, path);
}

void waivers_apply(struct waivers *w, struct finding *f, int64_t now)
{
	for (size_t i = 0; i < w->n; i++) {
		struct waiver *v = &w->list[i];

		/* A control that could not be looked at proves no waiver useless, wherever its scope ends. */
		if (strcmp(v->control, f->control->id) == 0 && f->status != STATUS_UNKNOWN &&
		    f->status != STATUS_NOT_APPLICABLE)
			v->n_seen++;
		if ((f->status != STATUS_FAIL && f->status != STATUS_DRIFT) || !covers(v, f))
			continue;
		if (now >= v->end) {
			v->n_expired++;
			continue;
		}
		v->n_used++;
		f->status = STATUS_WAIVED;
		f->waiver_reason = v->reason;
		f->waiver_owner = v->owner;
		f->waiver_until = v->until;
	}
}

/* Not of the catalogue: they judge the waivers, not the host. */
static const struct control expired_control = {
	.id = "WVR-01",
	.title = "Every waiver that is needed is in force",
	.means = "The finding that this waiver accepted counts again.",
	.remedy = "mend the finding, or have the owner extend the waiver",
	.severity = SEV_MEDIUM,
};
static const struct control unused_control = {
	.id = "WVR-02",
	.title = "Every waiver is needed",
	.means = "A waiver without a finding hides the next one.",
	.remedy = "remove the waiver",
	.severity = SEV_LOW,
};

static struct subject waiver_subject(const struct waivers *w, size_t i, struct audit *a)
{
	return audit_subject(a, SUBJECT_SETTING, arena_printf(&a->arena, "%s waivers[%zu]", w->file, i));
}

void waivers_report(struct waivers *w, struct audit *a)
{
	struct waivers *applied = a->options.waivers;

	a->options.waivers = NULL; /* findings about waivers cannot be waived */
	a->current_area = AREA_HOST;
	/* One control after the other: findings of one stand together. */
	a->current = &expired_control;
	for (size_t i = 0; i < w->n; i++) {
		const struct waiver *v = &w->list[i];
		struct subject s = waiver_subject(w, i, a);

		if (v->n_expired > 0)
			audit_fail(a, &s, "waiver of %s by %s ended on %s and %u finding%s need it", v->control,
				   v->owner, v->until, v->n_expired, v->n_expired == 1 ? "" : "s");
	}
	a->current = &unused_control;
	for (size_t i = 0; i < w->n; i++) {
		const struct waiver *v = &w->list[i];
		struct subject s = waiver_subject(w, i, a);

		if (v->n_expired == 0 && v->n_used == 0 && v->n_seen > 0)
			audit_fail(a, &s, "waiver of %s by %s covers no finding", v->control, v->owner);
	}
	a->options.waivers = applied;
}
