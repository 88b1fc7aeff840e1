/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A parser that records places. It accepts JSON (RFC 8259) and nothing around it, so that what it
 * accepts every reader accepts.
 */
#include "batten/base/span.h"

#include <errno.h>
#include <string.h>

struct parser {
	struct span_doc *doc;
	size_t at;
	unsigned int depth;
	struct diag *d;
};

static unsigned int line_of(const struct span_doc *doc, size_t at)
{
	unsigned int line = 1;

	for (size_t i = 0; i < at && i < doc->n; i++)
		line += doc->text[i] == '\n';
	return line;
}

static int bad(struct parser *p, const char *what)
{
	return diag_line(p->d, -EBADMSG, p->doc->name, line_of(p->doc, p->at), "not valid JSON: %s",
			 what);
}

static int peek(const struct parser *p)
{
	return p->at < p->doc->n ? (unsigned char)p->doc->text[p->at] : -1;
}

static void blanks(struct parser *p)
{
	while (p->at < p->doc->n && memchr(" \t\r\n", p->doc->text[p->at], 4))
		p->at++;
}

static int add(struct parser *p, enum span_type type, uint32_t *ret)
{
	struct span_doc *doc = p->doc;

	if (doc->n_values == doc->n_size) {
		size_t size = doc->n_size ? doc->n_size * 2 : 64;
		struct span *grown;

		if (doc->n_values >= SPAN_MAX_VALUES)
			return diag_fail(p->d, -E2BIG, doc->name, "more than %d JSON values",
					 SPAN_MAX_VALUES);
		grown = reallocarray(doc->values, size, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		doc->values = grown;
		doc->n_size = size;
	}
	*ret = (uint32_t)doc->n_values;
	doc->values[doc->n_values++] = (struct span){ .type = type, .from = (uint32_t)p->at };
	return 0;
}

static bool is_hex(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* From quote to quote. */
static int string(struct parser *p)
{
	if (peek(p) != '"')
		return bad(p, "a string is missing");
	for (p->at++; peek(p) != '"'; p->at++) {
		int c = peek(p);

		if (c < 0x20)
			return bad(p, "a string is not closed");
		if (c != '\\')
			continue;
		p->at++;
		c = peek(p);
		if (c == 'u') {
			for (int i = 0; i < 4; i++) {
				p->at++;
				if (!is_hex(peek(p)))
					return bad(p, "a broken escape");
			}
		} else if (c < 0 || !strchr("\"\\/bfnrt", c)) {
			return bad(p, "an unknown escape");
		}
	}
	p->at++;
	return 0;
}

static bool digits(struct parser *p)
{
	size_t from = p->at;

	while (peek(p) >= '0' && peek(p) <= '9')
		p->at++;
	return p->at > from;
}

static int number(struct parser *p)
{
	if (peek(p) == '-')
		p->at++;
	if (peek(p) == '0')
		p->at++;
	else if (!digits(p))
		return bad(p, "a value is missing");
	if (peek(p) == '.') {
		p->at++;
		if (!digits(p))
			return bad(p, "a broken number");
	}
	if (peek(p) == 'e' || peek(p) == 'E') {
		p->at++;
		if (peek(p) == '+' || peek(p) == '-')
			p->at++;
		if (!digits(p))
			return bad(p, "a broken number");
	}
	return 0;
}

static int word(struct parser *p, const char *text)
{
	size_t n = strlen(text);

	if (p->doc->n - p->at < n || memcmp(p->doc->text + p->at, text, n) != 0)
		return bad(p, "an unknown word");
	p->at += n;
	return 0;
}

static int value(struct parser *p, uint32_t *ret);

static int container(struct parser *p, uint32_t self, bool object)
{
	const int close = object ? '}' : ']';
	uint32_t last = 0;

	if (++p->depth > SPAN_MAX_DEPTH)
		return diag_fail(p->d, -E2BIG, p->doc->name, "JSON nested deeper than %d",
				 SPAN_MAX_DEPTH);
	p->at++;
	blanks(p);
	if (peek(p) == close) {
		p->at++;
		p->depth--;
		return 0;
	}
	for (;;) {
		size_t key_from = p->at, key_to = p->at;
		uint32_t child = 0;
		int r = 0;

		if (object) {
			r = string(p);
			if (r < 0)
				return r;
			key_to = p->at;
			blanks(p);
			if (peek(p) != ':')
				return bad(p, "a colon is missing");
			p->at++;
			blanks(p);
		}
		r = value(p, &child);
		if (r < 0)
			return r;
		p->doc->values[child].key_from = (uint32_t)key_from;
		p->doc->values[child].key_to = (uint32_t)key_to;
		if (last)
			p->doc->values[last].next = child;
		else
			p->doc->values[self].child = child;
		last = child;
		blanks(p);
		if (peek(p) == close)
			break;
		if (peek(p) != ',')
			return bad(p, "a comma is missing");
		p->at++;
		blanks(p);
	}
	p->at++;
	p->depth--;
	return 0;
}

static int value(struct parser *p, uint32_t *ret)
{
	int c = peek(p), r;
	enum span_type type = c == '{'               ? SPAN_OBJECT
			      : c == '['             ? SPAN_ARRAY
			      : c == '"'             ? SPAN_STRING
			      : c == 't' || c == 'f' ? SPAN_BOOL
			      : c == 'n'             ? SPAN_NULL
						     : SPAN_NUMBER;

	r = add(p, type, ret);
	if (r < 0)
		return r;
	if (type == SPAN_OBJECT || type == SPAN_ARRAY)
		r = container(p, *ret, type == SPAN_OBJECT);
	else if (type == SPAN_STRING)
		r = string(p);
	else if (type == SPAN_NUMBER)
		r = number(p);
	else
		r = word(p, c == 't' ? "true" : c == 'f' ? "false" : "null");
	p->doc->values[*ret].to = (uint32_t)p->at;
	return r;
}

int span_parse(const char *text, size_t n, const char *name, struct span_doc *ret, struct diag *d)
{
	struct span_doc doc = { .text = text, .n = n, .name = name };
	struct parser p = { .doc = &doc, .d = d };
	uint32_t top = 0;
	int r;

	if (n > SPAN_MAX_TEXT)
		return diag_fail(d, -E2BIG, name, "JSON of more than %d bytes", SPAN_MAX_TEXT);
	blanks(&p);
	r = value(&p, &top);
	blanks(&p);
	if (r >= 0 && p.at < n)
		r = bad(&p, "something stands behind it");
	if (r < 0) {
		span_doc_done(&doc);
		return r;
	}
	*ret = doc;
	return 0;
}

void span_doc_done(struct span_doc *doc)
{
	free(doc->values);
	*doc = (struct span_doc){ 0 };
}

/* One character of a string as Go's decoder sees it. @ret: a code point; surrogates stay apart, for
 * none of the names that we look for contains one. */
static size_t character(struct slice s, uint32_t *ret)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	uint32_t v = 0;

	if (s.p[0] != '\\') {
		*ret = (unsigned char)s.p[0];
		return 1;
	}
	if (s.p[1] != 'u') {
		const char *at = strchr(from, s.p[1]);

		*ret = (unsigned char)(at ? to[at - from] : s.p[1]);
		return 2;
	}
	for (int i = 2; i < 6; i++)
		v = v << 4 | (uint32_t)(s.p[i] <= '9' ? s.p[i] - '0' : (s.p[i] | 0x20) - 'a' + 10);
	*ret = v;
	return 6;
}

/* Go folds case, and takes the Kelvin sign for k and the long s for s. */
static bool folds_to(struct slice raw, const char *name)
{
	while (raw.n > 0 && *name) {
		uint32_t c;
		size_t used;

		if (raw.n >= 3 && memcmp(raw.p, "\xe2\x84\xaa", 3) == 0) {
			c = 'k';
			used = 3;
		} else if (raw.n >= 2 && memcmp(raw.p, "\xc5\xbf", 2) == 0) {
			c = 's';
			used = 2;
		} else {
			used = character(raw, &c);
			c = c == 0x212a ? 'k' : c == 0x17f ? 's' : c;
		}
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (uint32_t)(*name >= 'A' && *name <= 'Z' ? *name | 0x20 : *name))
			return false;
		raw.p += used;
		raw.n -= used;
		name++;
	}
	return raw.n == 0 && *name == '\0';
}

int span_get(const struct span_doc *doc, uint32_t in, const char *key, enum span_type type,
	     uint32_t *ret, struct diag *d)
{
	unsigned int line = line_of(doc, doc->values[in].from);
	uint32_t found = 0;

	if (doc->values[in].type != SPAN_OBJECT)
		return diag_line(d, -EBADMSG, doc->name, line, "an object is needed to hold \"%s\"",
				 key);
	for (uint32_t i = span_first(doc, in); i; i = span_next(doc, i)) {
		if (!folds_to(span_key(doc, i), key))
			continue;
		if (found || !slice_eq(span_key(doc, i), key))
			return diag_line(d, -EBADMSG, doc->name,
					 line_of(doc, doc->values[i].key_from),
					 "\"%s\" stands there twice or in another spelling; "
					 "readers disagree about it",
					 key);
		found = i;
	}
	if (!found || doc->values[found].type == SPAN_NULL)
		return 0;
	if (doc->values[found].type != type)
		return diag_line(d, -EBADMSG, doc->name, line_of(doc, doc->values[found].from),
				 "\"%s\" is of the wrong type", key);
	*ret = found;
	return 1;
}

int span_need(const struct span_doc *doc, uint32_t in, const char *key, enum span_type type,
	      uint32_t *ret, struct diag *d)
{
	int r = span_get(doc, in, key, type, ret, d);

	if (r == 0)
		return diag_line(d, -EBADMSG, doc->name, line_of(doc, doc->values[in].from),
				 "\"%s\" is missing", key);
	return r < 0 ? r : 0;
}

static void append_utf8(struct bytes *b, uint32_t c)
{
	char out[4];
	size_t n;

	if (c < 0x80) {
		out[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		n = 2;
	} else {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		n = 3;
	}
	bytes_append(b, out, n);
}

int span_string(const struct span_doc *doc, uint32_t at, char **ret, struct diag *d)
{
	struct slice raw = span_raw(doc, at);
	struct bytes b = { 0 };
	size_t n;

	if (doc->values[at].type != SPAN_STRING)
		return diag_line(d, -EBADMSG, doc->name, line_of(doc, doc->values[at].from),
				 "a string is needed");
	while (raw.n > 0) {
		uint32_t c;
		size_t used = character(raw, &c);

		if (c == 0) {
			bytes_done(&b);
			return diag_line(d, -EBADMSG, doc->name, line_of(doc, doc->values[at].from),
					 "a NUL in a string");
		}
		if (raw.p[0] == '\\')
			append_utf8(&b, c);
		else
			bytes_append(&b, raw.p, used);
		raw.p += used;
		raw.n -= used;
	}
	return bytes_take(&b, ret, &n);
}

int span_u64(const struct span_doc *doc, uint32_t at, uint64_t *ret, struct diag *d)
{
	const struct span *v = &doc->values[at];

	if (v->type != SPAN_NUMBER ||
	    parse_u64((struct slice){ doc->text + v->from, v->to - v->from }, 0, INT64_MAX, ret) <
		    0)
		return diag_line(d, -EBADMSG, doc->name, line_of(doc, v->from),
				 "a size must be a whole number");
	return 0;
}
