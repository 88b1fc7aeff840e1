/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON by places beside jansson: what we accept jansson accepts, and an edit of every string is, to
 * jansson, the same document with every string replaced.
 */
#include <stdint.h>
#include <stdlib.h>

#include <jansson.h>

#include "batten/base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool every(void *arg, uint32_t at)
{
	return true;
}

/* jansson wants UTF-8 and no NUL in a key, and numbers that fit; these are no fault of ours. */
static bool jansson_minds(const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (data[i] >= 0x80 || data[i] == '\\' || data[i] == 'e' || data[i] == 'E' ||
		    (data[i] >= '0' && data[i] <= '9' && n > 15))
			return true;
	return false;
}

/* A new document, the strings in it replaced. */
static json_t *replaced(json_t *j)
{
	json_t *copy, *v;
	const char *key;
	size_t i;

	if (json_is_string(j))
		return json_string("x");
	if (json_is_array(j)) {
		copy = json_array();
		json_array_foreach(j, i, v)
			json_array_append_new(copy, replaced(v));
		return copy;
	}
	if (json_is_object(j)) {
		copy = json_object();
		json_object_foreach(j, key, v)
			json_object_set_new_nocheck(copy, key, replaced(v));
		return copy;
	}
	return json_incref(j);
}

static void same_to_jansson(json_t *before, const struct bytes *edited)
{
	json_t *wanted = replaced(before), *after = json_loadb(edited->data, edited->n, JSON_DECODE_ANY, NULL);

	if (!after || !json_equal(wanted, after))
		abort();
	json_decref(wanted);
	json_decref(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	bool every_string = true;
	struct span_edits edits = { 0 };
	struct span_doc doc, edited;
	struct bytes out = { 0 };
	json_t *j;

	if (span_parse((const char *)data, n, "fuzz", &doc, NULL) < 0)
		return 0;
	j = json_loadb((const char *)data, n, JSON_DECODE_ANY, NULL);
	if (!j && !jansson_minds(data, n))
		abort();
	for (uint32_t i = 0; i < doc.n_values; i++) {
		char *text = NULL;

		if (doc.values[i].type != SPAN_STRING)
			continue;
		if (span_string(&doc, i, &text, NULL) == 0)
			span_set(&edits, &doc, i, "x");
		else
			every_string = false;
		free(text);
	}
	if (span_apply(&edits, &doc, &out) < 0 ||
	    span_parse(out.data ? out.data : "", out.n, "edited", &edited, NULL) < 0 ||
	    edited.n_values != doc.n_values)
		abort();
	span_doc_done(&edited);
	if (j && every_string)
		same_to_jansson(j, &out);
	json_decref(j);
	out.n = 0;
	if (doc.values[0].type == SPAN_OBJECT || doc.values[0].type == SPAN_ARRAY) {
		span_drop(&edits, &doc, 0, every, NULL);
		if (span_apply(&edits, &doc, &out) < 0 ||
		    span_parse(out.data, out.n, "emptied", &edited, NULL) < 0 ||
		    edited.n_values != 1)
			abort();
		span_doc_done(&edited);
	}
	bytes_done(&out);
	span_doc_done(&doc);
	return 0;
}
