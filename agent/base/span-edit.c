/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Changes to JSON by stretches of its text.
 */
#include <errno.h>
#include <string.h>

#include "batten/base/span.h"

struct span_edit {
	size_t from, to;
	char *text;
	size_t n;
	size_t order; /* insertions at one place keep theirs */
};

void span_edits_done(struct span_edits *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->list[i].text);
	free(e->list);
	*e = (struct span_edits){ 0 };
}

void span_replace(struct span_edits *e, size_t from, size_t to, const char *text, size_t n)
{
	struct span_edit *grown;

	if (e->error < 0)
		return;
	grown = reallocarray(e->list, e->n + 1, sizeof(*grown));
	if (!grown) {
		e->error = -ENOMEM;
		return;
	}
	e->list = grown;
	grown[e->n] = (struct span_edit){
		.from = from, .to = to, .text = malloc(n + 1), .n = n, .order = e->n
	};
	if (!grown[e->n].text) {
		e->error = -ENOMEM;
		return;
	}
	memcpy(grown[e->n].text, text, n);
	e->n++;
}

void span_set(struct span_edits *e, const struct span_doc *doc, uint32_t at, const char *text)
{
	const struct span *v = &doc->values[at];
	size_t quote = v->type == SPAN_STRING;

	span_replace(e, v->from + quote, v->to - quote, text, strlen(text));
}

static size_t start_of(const struct span_doc *doc, uint32_t in, uint32_t at)
{
	return doc->values[in].type == SPAN_OBJECT ? doc->values[at].key_from
						   : doc->values[at].from;
}

void span_drop(struct span_edits *e, const struct span_doc *doc, uint32_t in,
	       bool (*drop)(void *arg, uint32_t at), void *arg)
{
	bool kept_before = false;
	uint32_t before = 0;

	/* A comma goes with the element behind it, unless nothing before it stays. */
	for (uint32_t i = span_first(doc, in); i; before = i, i = span_next(doc, i)) {
		uint32_t next = span_next(doc, i);

		if (!drop(arg, i))
			kept_before = true;
		else if (kept_before)
			span_replace(e, doc->values[before].to, doc->values[i].to, "", 0);
		else
			span_replace(e, start_of(doc, in, i),
				     next ? start_of(doc, in, next) : doc->values[i].to, "", 0);
	}
}

void span_append(struct span_edits *e, const struct span_doc *doc, uint32_t array, const char *json)
{
	uint32_t last = 0;

	for (uint32_t i = span_first(doc, array); i; i = span_next(doc, i))
		last = i;
	if (last)
		span_replace(e, doc->values[last].to, doc->values[last].to, ",", 1);
	span_replace(e, last ? doc->values[last].to : doc->values[array].from + 1,
		     last ? doc->values[last].to : doc->values[array].from + 1, json, strlen(json));
}

/* Blanks and line ends right before @at. */
static struct slice gap_before(const struct span_doc *doc, size_t at)
{
	size_t from = at;

	while (from > 0 && strchr(" \t\r\n", doc->text[from - 1]))
		from--;
	return (struct slice){ doc->text + from, at - from };
}

void span_add_member(struct span_edits *e, const struct span_doc *doc, uint32_t object, const char *key,
		     const char *json)
{
	struct slice gap = { "", 0 }, colon = { ": ", 2 };
	const struct span *last = NULL;
	struct bytes text = { 0 };
	size_t at;

	for (uint32_t i = span_first(doc, object); i; i = span_next(doc, i))
		last = &doc->values[i];
	at = last ? last->to : doc->values[object].from + 1;
	if (last) {
		gap = gap_before(doc, last->key_from);
		colon = (struct slice){ doc->text + last->key_to, last->from - last->key_to };
		if (gap.n == 0 && colon.n > 1)
			gap = slice_of(" ");
		bytes_append(&text, ",", 1);
		bytes_append(&text, gap.p, gap.n);
	} else if (doc->text[at] == '\n' || doc->text[at] == '\r') {
		bytes_append_str(&text, "\n  ");
	}
	bytes_printf(&text, "\"%s\"%.*s%s", key, (int)colon.n, colon.p, json);
	if (text.error < 0)
		e->error = text.error;
	else
		span_replace(e, at, at, text.data, text.n);
	bytes_done(&text);
}

static int by_place(const void *a, const void *b)
{
	const struct span_edit *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

int span_apply(struct span_edits *e, const struct span_doc *doc, struct bytes *out)
{
	size_t at = 0;
	int r = e->error;

	if (e->n > 0)
		qsort(e->list, e->n, sizeof(*e->list), by_place);
	for (size_t i = 0; i < e->n && r >= 0; i++) {
		const struct span_edit *x = &e->list[i];

		/* Overlapping edits contradict each other: a fault of ours, not of the text. */
		if (x->from < at || x->to > doc->n) {
			r = -EINVAL;
			break;
		}
		bytes_append(out, doc->text + at, x->from - at);
		bytes_append(out, x->text, x->n);
		at = x->to;
	}
	bytes_append(out, doc->text + at, doc->n - at);
	span_edits_done(e);
	return r < 0 ? r : out->error;
}
