/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * JSON that is read without losing a byte of it: every value knows where it stands in the text, and
 * a change replaces that stretch and nothing else.
 *
 * Runtimes read image JSON with Go, which takes the last of several equal names and matches names
 * without regard to case. A name that we ask for is therefore refused when it is there twice, or
 * in another spelling that Go would take for it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/bytes.h"
#include "batten/base/diag.h"
#include "batten/base/parse.h"

#define SPAN_MAX_TEXT (4 * 1024 * 1024)
#define SPAN_MAX_VALUES 131072
#define SPAN_MAX_DEPTH 64

enum span_type { SPAN_OBJECT, SPAN_ARRAY, SPAN_STRING, SPAN_NUMBER, SPAN_BOOL, SPAN_NULL };

struct span {
	enum span_type type;
	uint32_t from, to;         /* in the text, quotes included */
	uint32_t key_from, key_to; /* name in an object, quotes included */
	uint32_t child, next;      /* first element and next sibling; 0: none */
};

struct span_doc {
	const char *text; /* borrowed */
	size_t n;
	const char *name;    /* borrowed; for diags */
	struct span *values; /* [0] is the document */
	size_t n_values, n_size;
};

/* Return: 0; -EBADMSG not JSON, -E2BIG over a limit above, -ENOMEM. */
int span_parse(const char *text, size_t n, const char *name, struct span_doc *ret,
	       struct diag *d) _must_check_;
void span_doc_done(struct span_doc *doc);

/*
 * span_get - a member of an object by name
 * Return: 1; 0 when it is not there or null; -EBADMSG when @in is no object, the name is ambiguous,
 *         or the value is not of @type
 */
int span_get(const struct span_doc *doc, uint32_t in, const char *key, enum span_type type,
	     uint32_t *ret, struct diag *d) _must_check_;

/* The same, and its absence is an error too. Return: 0 or -EBADMSG. */
int span_need(const struct span_doc *doc, uint32_t in, const char *key, enum span_type type,
	      uint32_t *ret, struct diag *d) _must_check_;

/* Elements of an array or members of an object: for (i = span_first(); i; i = span_next()). */
static inline uint32_t span_first(const struct span_doc *doc, uint32_t in)
{
	return doc->values[in].child;
}

static inline uint32_t span_next(const struct span_doc *doc, uint32_t at)
{
	return doc->values[at].next;
}

/* A string as it stands between its quotes, escapes and all. */
static inline struct slice span_raw(const struct span_doc *doc, uint32_t at)
{
	const struct span *v = &doc->values[at];

	return (struct slice){ doc->text + v->from + 1, v->to - v->from - 2 };
}

static inline struct slice span_key(const struct span_doc *doc, uint32_t at)
{
	const struct span *v = &doc->values[at];

	return (struct slice){ doc->text + v->key_from + 1, v->key_to - v->key_from - 2 };
}

/* Decoded; freed by the caller. Return: 0, -EBADMSG for a NUL in it or when it is no string,
 * -ENOMEM. */
int span_string(const struct span_doc *doc, uint32_t at, char **ret, struct diag *d) _must_check_;

/* A whole number that is not negative. */
int span_u64(const struct span_doc *doc, uint32_t at, uint64_t *ret, struct diag *d) _must_check_;

/* Changes to a text, in any order; they may not overlap. */
struct span_edits {
	struct span_edit *list;
	size_t n;
	int error;
};

/* The bytes @from…@to become @text (copied). Errors are kept until span_apply(). */
void span_replace(struct span_edits *e, size_t from, size_t to, const char *text, size_t n);
/* The value becomes this string or number; @text is written as it is, between quotes for a string.
 */
void span_set(struct span_edits *e, const struct span_doc *doc, uint32_t at, const char *text);
/* Takes the children of @in for which @drop says true out of it, with their commas. */
void span_drop(struct span_edits *e, const struct span_doc *doc, uint32_t in,
	       bool (*drop)(void *arg, uint32_t at), void *arg);
/*
 * Puts a member behind the last one of an object, spaced as that one is.
 * @key: without quotes, nothing in it to escape; @json: its value
 */
void span_add_member(struct span_edits *e, const struct span_doc *doc, uint32_t object, const char *key,
		     const char *json);
/* Puts a value, given as JSON, behind the last element of an array. */
void span_append(struct span_edits *e, const struct span_doc *doc, uint32_t array,
		 const char *json);

/* Return: 0 or the first error; @e is empty afterwards. */
int span_apply(struct span_edits *e, const struct span_doc *doc, struct bytes *out) _must_check_;
void span_edits_done(struct span_edits *e);
