/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Exceptions: read, kept, and held against a container.
 */
#include "batten/imds/exceptions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/file.h"
#include "batten/base/json.h"

#define MAX_FILE_BYTES (256 * 1024)
#define SCHEMA "batten.imds-allow/1"

static bool by_container(const struct container *c, const char *value)
{
	const char *label = container_label(c, "com.amazonaws.ecs.container-name");

	return strcmp(c->name, value) == 0 || (label && strcmp(label, value) == 0);
}

static bool by_family(const struct container *c, const char *value)
{
	const char *label = container_label(c, "com.amazonaws.ecs.task-definition-family");

	return label && strcmp(label, value) == 0;
}

static bool by_image(const struct container *c, const char *value)
{
	return strcmp(c->image, value) == 0 || strcmp(c->image_id, value) == 0;
}

static bool by_label(const struct container *c, const char *value)
{
	const char *equals = strchr(value, '=');

	for (size_t i = 0; equals && i < c->n_labels; i++)
		if (strlen(c->labels[i].key) == (size_t)(equals - value) &&
		    strncmp(c->labels[i].key, value, (size_t)(equals - value)) == 0 &&
		    strcmp(c->labels[i].value, equals + 1) == 0)
			return true;
	return false;
}

static const struct {
	const char *prefix;
	bool (*matches)(const struct container *c, const char *value);
} kinds[] = {
	{ "container:", by_container },
	{ "family:", by_family },
	{ "image:", by_image },
	{ "label:", by_label },
};

int exception_check(struct slice rule, struct diag *d)
{
	if (rule.n >= EXCEPTION_SIZE)
		return diag_fail(d, -EINVAL, NULL, "an exception has at most %d bytes", EXCEPTION_SIZE - 1);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].prefix);

		if (rule.n <= n || memcmp(rule.p, kinds[i].prefix, n) != 0)
			continue;
		if (kinds[i].matches == by_label && !memchr(rule.p, '=', rule.n))
			break;
		return 0;
	}
	return diag_fail(d, -EINVAL, NULL,
			 "\"%.*s\" is no exception; use container:NAME, family:NAME, image:REF or label:KEY=VALUE",
			 (int)MIN(rule.n, (size_t)64), rule.p);
}

bool exception_matches(const struct exception *e, const struct container *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].prefix);

		if (strncmp(e->rule, kinds[i].prefix, n) == 0)
			return kinds[i].matches(c, e->rule + n);
	}
	return false;
}

const struct exception *exceptions_match(const struct exceptions *l, const struct container *c)
{
	for (size_t i = 0; i < l->n; i++)
		if (exception_matches(&l->items[i], c))
			return &l->items[i];
	return NULL;
}

bool exceptions_has(const struct exceptions *l, const char *rule)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].rule, rule) == 0)
			return true;
	return false;
}

int exceptions_add(struct exceptions *l, const char *rule, const char *by, int64_t since, struct diag *d)
{
	struct exception *e;
	int r;

	r = exception_check(slice_of(rule), d);
	if (r < 0)
		return r;
	if (exceptions_has(l, rule))
		return diag_fail(d, -EEXIST, rule, "is already an exception");
	if (l->n == MAX_EXCEPTIONS)
		return diag_fail(d, -E2BIG, rule, "there are already %d exceptions", MAX_EXCEPTIONS);
	e = &l->items[l->n++];
	memset(e, 0, sizeof(*e));
	(void)snprintf(e->rule, sizeof(e->rule), "%s", rule);
	(void)snprintf(e->by, sizeof(e->by), "%s", by);
	e->since = since;
	return 0;
}

int exceptions_remove(struct exceptions *l, const char *rule, struct diag *d)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->items[i].rule, rule) != 0)
			continue;
		l->n--;
		memmove(&l->items[i], &l->items[i + 1], (l->n - i) * sizeof(l->items[0]));
		return 0;
	}
	return diag_fail(d, -ENOENT, rule, "is no exception that was added at run time");
}

int exceptions_load(struct exceptions *ret, const char *path, struct diag *d)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	_cleanup_(freep) char *text = NULL;
	struct exceptions l = { 0 };
	struct diag why = { 0 };
	json_t *row;
	size_t n, i;
	int r;

	r = file_read(AT_FDCWD, path, MAX_FILE_BYTES, &text, &n, &why);
	if (r == -ENOENT) {
		*ret = l;
		return 0;
	}
	if (r >= 0)
		r = json_parse(text, n, path, &doc, &why);
	if (r < 0)
		return diag_fail(d, r, why.where[0] ? why.where : path, "%s", why.what);
	json_array_foreach(json_object_get(doc, "allow"), i, row) {
		const char *rule = json_string_value(json_object_get(row, "rule"));
		const char *by = json_string_value(json_object_get(row, "by"));

		if (!rule)
			return diag_fail(d, -EBADMSG, path, "entry %zu has no rule", i + 1);
		r = exceptions_add(&l, rule, by ? by : "", json_integer_value(json_object_get(row, "since")), d);
		if (r < 0)
			return r;
	}
	*ret = l;
	return 0;
}

int exceptions_save(const struct exceptions *l, const char *path, struct diag *d)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	_cleanup_(bytes_done) struct bytes text = { 0 };
	json_t *rows = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(rows, json_pack("{s:o, s:o, s:I}", "rule", json_text(l->items[i].rule), "by",
						      json_text(l->items[i].by), "since", (json_int_t)l->items[i].since));
	doc = json_pack("{s:s, s:o}", "schema", SCHEMA, "allow", rows);
	json_append(&text, doc);
	if (text.error < 0)
		return text.error;
	return file_replace(AT_FDCWD, path, text.data, text.n, 0600, d);
}

int config_parse_exceptions(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	struct exceptions *l = target;

	memset(l, 0, sizeof(*l));
	while (v.n > 0) {
		const char *comma = memchr(v.p, ',', v.n);
		size_t n = comma ? (size_t)(comma - v.p) : v.n;
		struct slice one = slice_trim((struct slice){ v.p, n });
		char rule[EXCEPTION_SIZE];
		int r;

		r = exception_check(one, d);
		if (r < 0)
			return r;
		memcpy(rule, one.p, one.n);
		rule[one.n] = '\0';
		r = exceptions_add(l, rule, "configuration", 0, d);
		if (r < 0)
			return r;
		v.p += n + (comma ? 1 : 0);
		v.n -= n + (comma ? 1 : 0);
	}
	return 0;
}
