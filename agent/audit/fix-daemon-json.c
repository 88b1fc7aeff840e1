/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Edits of daemon.json: stretches of its text are replaced, the rest keeps its order, its blanks and its
 * line ends.
 */
#include <errno.h>
#include <string.h>

#include "audit/fix-internal.h"
#include "batten/base/span.h"

/* What dockerd takes a file for that holds nothing. */
#define EMPTY "{\n}\n"

/* The member by its exact name, 0 when there is none. A second one is -EBADMSG: which one counts? */
static int find(const struct span_doc *doc, uint32_t in, struct slice key, uint32_t *ret, struct diag *d)
{
	*ret = 0;
	for (uint32_t i = span_first(doc, in); i; i = span_next(doc, i)) {
		struct slice name = span_key(doc, i);

		if (name.n != key.n || memcmp(name.p, key.p, key.n) != 0)
			continue;
		if (*ret)
			return diag_fail(d, -EBADMSG, doc->name, "\"%.*s\" is there twice", (int)key.n, key.p);
		*ret = i;
	}
	return 0;
}

static int open_object(struct span_doc *doc, struct slice text, const char *name, struct diag *d)
{
	int r = span_parse(text.p, text.n, name, doc, d);

	if (r >= 0 && doc->values[0].type != SPAN_OBJECT)
		r = diag_fail(d, -EBADMSG, name, "is no JSON object");
	return r;
}

struct dropped {
	const struct span_doc *doc;
	uint32_t at;
	bool (*drop)(const char *text);
};

static bool is_it(void *data, uint32_t at)
{
	return ((struct dropped *)data)->at == at;
}

static void drop_member(struct span_edits *e, const struct span_doc *doc, uint32_t in, uint32_t at)
{
	span_drop(e, doc, in, is_it, &(struct dropped){ .at = at });
}

/* In the object @in, which is there. */
static int set_member(struct span_edits *e, const struct span_doc *doc, uint32_t in, struct slice key,
		      const char *json, struct diag *d)
{
	char name[128];
	uint32_t at;
	int r = find(doc, in, key, &at, d);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "%.*s", (int)key.n, key.p);
	if (at && !json)
		drop_member(e, doc, in, at);
	else if (at)
		span_replace(e, doc->values[at].from, doc->values[at].to, json, strlen(json));
	else if (json)
		span_add_member(e, doc, in, name, json);
	return 0;
}

static int edit(struct span_edits *e, const struct span_doc *doc, const char *path, const char *json, struct diag *d)
{
	const char *dot = strchr(path, '.');
	struct slice first = { path, dot ? (size_t)(dot - path) : strlen(path) };
	char object[512];
	uint32_t at;
	int r;

	if (!dot)
		return set_member(e, doc, 0, first, json, d);
	r = find(doc, 0, first, &at, d);
	if (r < 0 || (!at && !json))
		return r;
	if (at && doc->values[at].type == SPAN_OBJECT)
		return set_member(e, doc, at, slice_of(dot + 1), json, d);
	(void)snprintf(object, sizeof(object), "{\"%s\": %s}", dot + 1, json ? json : "null");
	return set_member(e, doc, 0, first, object, d);
}

int daemon_json_set(struct slice text, const char *name, const char *path, const char *json, struct bytes *out,
		    struct diag *d)
{
	struct span_doc doc = { 0 };
	struct span_edits e = { 0 };
	int r;

	if (slice_trim(text).n == 0)
		text = slice_of(EMPTY);
	r = open_object(&doc, text, name, d);
	if (r >= 0)
		r = edit(&e, &doc, path, json, d);
	if (r >= 0)
		r = span_apply(&e, &doc, out);
	span_edits_done(&e);
	span_doc_done(&doc);
	return r;
}

static bool string_drops(void *data, uint32_t at)
{
	struct dropped *x = data;
	_cleanup_(freep) char *text = NULL;

	return x->doc->values[at].type == SPAN_STRING && span_string(x->doc, at, &text, NULL) == 0 && x->drop(text);
}

int daemon_json_filter(struct slice text, const char *name, const char *key, bool (*drop)(const char *text),
		       bool keep_empty, struct bytes *out, struct diag *d)
{
	struct span_doc doc = { 0 };
	struct span_edits e = { 0 };
	struct dropped x = { .doc = &doc, .drop = drop };
	uint32_t at = 0;
	int r;

	if (slice_trim(text).n == 0)
		text = slice_of(EMPTY);
	r = open_object(&doc, text, name, d);
	if (r >= 0)
		r = find(&doc, 0, slice_of(key), &at, d);
	if (r >= 0 && at && doc.values[at].type == SPAN_ARRAY) {
		bool stays = keep_empty;

		for (uint32_t i = span_first(&doc, at); i; i = span_next(&doc, i))
			stays |= !string_drops(&x, i);
		if (stays)
			span_drop(&e, &doc, at, string_drops, &x);
		else
			drop_member(&e, &doc, 0, at);
	} else if (r >= 0 && !at && keep_empty) {
		span_add_member(&e, &doc, 0, key, "[]");
	}
	if (r >= 0)
		r = span_apply(&e, &doc, out);
	span_edits_done(&e);
	span_doc_done(&doc);
	return r;
}
