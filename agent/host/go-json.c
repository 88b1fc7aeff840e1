/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON as Go's encoding/json reads it: one pass, no recursion (the stack of open values is the
 * chain of parents), every node and every decoded string in memory that the document owns.
 */
#include "batten/host/go-json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batten/host/go-values.h"

#define MAX_DEPTH 10000 /* encoding/json's own */

struct node {
	struct go_json v;
	struct node *parent;
	struct node *last_child;
	struct node *all; /* chain of every node, to free them */
};

struct go_json_doc {
	struct node *root, *all;
	char *strings; /* decoded strings, at most three times the text's length */
	size_t n_strings;
};

struct parser {
	const char *start, *p, *end;
	struct go_json_doc *doc;
};

static void skip_blanks(struct parser *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
		s->p++;
}

static void put_utf8(struct go_json_doc *d, uint32_t c)
{
	char *p = d->strings + d->n_strings;

	if (c < 0x80) {
		p[0] = (char)c;
		d->n_strings += 1;
	} else if (c < 0x800) {
		p[0] = (char)(0xc0 | c >> 6);
		p[1] = (char)(0x80 | (c & 0x3f));
		d->n_strings += 2;
	} else if (c < 0x10000) {
		p[0] = (char)(0xe0 | c >> 12);
		p[1] = (char)(0x80 | (c >> 6 & 0x3f));
		p[2] = (char)(0x80 | (c & 0x3f));
		d->n_strings += 3;
	} else {
		p[0] = (char)(0xf0 | c >> 18);
		p[1] = (char)(0x80 | (c >> 12 & 0x3f));
		p[2] = (char)(0x80 | (c >> 6 & 0x3f));
		p[3] = (char)(0x80 | (c & 0x3f));
		d->n_strings += 4;
	}
}

/* Four hexadecimal digits. Return: the value, or -1. */
static int32_t hex4(const char *p, const char *end)
{
	int32_t v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			v = v << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static int parse_unicode_escape(struct parser *s)
{
	int32_t c = hex4(s->p, s->end);

	if (c < 0)
		return -EBADMSG;
	s->p += 4;
	if (c >= 0xd800 && c <= 0xdfff) {
		int32_t low = s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' ? hex4(s->p + 2, s->end)
										     : -1;

		if (c < 0xdc00 && low >= 0xdc00 && low <= 0xdfff) {
			s->p += 6;
			c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
		} else {
			c = 0xfffd;
		}
	}
	put_utf8(s->doc, (uint32_t)c);
	return 0;
}

/* At the opening quote. */
static int parse_string(struct parser *s, struct slice *ret)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	size_t start = s->doc->n_strings;

	for (s->p++; s->p < s->end;) {
		unsigned char c = (unsigned char)*s->p;
		const char *e;
		uint32_t rune;

		if (c == '"') {
			s->p++;
			*ret = (struct slice){ s->doc->strings + start, s->doc->n_strings - start };
			return 0;
		}
		if (c < 0x20)
			return -EBADMSG;
		if (c != '\\') {
			s->p += go_utf8_next((struct slice){ s->p, (size_t)(s->end - s->p) }, &rune);
			put_utf8(s->doc, rune);
			continue;
		}
		if (++s->p == s->end)
			return -EBADMSG;
		if (*s->p == 'u') {
			s->p++;
			if (parse_unicode_escape(s) < 0)
				return -EBADMSG;
			continue;
		}
		e = *s->p ? strchr(escapes, *s->p) : NULL;
		if (!e)
			return -EBADMSG;
		put_utf8(s->doc, (unsigned char)meanings[e - escapes]);
		s->p++;
	}
	return -EBADMSG;
}

static void skip_digits(struct parser *s)
{
	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
}

static int parse_number(struct parser *s)
{
	const char *digits;

	s->p += *s->p == '-';
	digits = s->p;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else
		skip_digits(s);
	if (s->p == digits)
		return -EBADMSG;
	if (s->p < s->end && *s->p == '.') {
		digits = ++s->p;
		skip_digits(s);
		if (s->p == digits)
			return -EBADMSG;
	}
	if (s->p < s->end && (*s->p | 0x20) == 'e') {
		s->p++;
		s->p += s->p < s->end && (*s->p == '+' || *s->p == '-');
		digits = s->p;
		skip_digits(s);
		if (s->p == digits)
			return -EBADMSG;
	}
	return 0;
}

static bool take_word(struct parser *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	return true;
}

/* A value that holds no others. */
static int parse_scalar(struct parser *s, struct go_json *v)
{
	const char *start = s->p;
	int r = 0;

	if (*s->p == '"') {
		v->type = GO_STRING;
		r = parse_string(s, &v->text);
	} else if (take_word(s, "true") || take_word(s, "false")) {
		v->type = GO_BOOL;
	} else if (take_word(s, "null")) {
		v->type = GO_NULL;
	} else if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9')) {
		v->type = GO_NUMBER;
		r = parse_number(s);
	} else {
		return -EBADMSG;
	}
	v->raw = (struct slice){ start, (size_t)(s->p - start) };
	if (v->type != GO_STRING)
		v->text = v->raw;
	return r;
}

static struct node *add_node(struct parser *s, struct node *parent)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->all = s->doc->all;
	s->doc->all = n;
	n->parent = parent;
	if (!parent)
		s->doc->root = n;
	else if (parent->last_child)
		parent->last_child->v.next = &n->v;
	else
		parent->v.child = &n->v;
	if (parent)
		parent->last_child = n;
	return n;
}

static int parse_key(struct parser *s, struct slice *ret)
{
	int r;

	skip_blanks(s);
	if (s->p == s->end || *s->p != '"')
		return -EBADMSG;
	r = parse_string(s, ret);
	if (r < 0)
		return r;
	skip_blanks(s);
	if (s->p == s->end || *s->p != ':')
		return -EBADMSG;
	s->p++;
	return 0;
}

/* Closes what ends here. Return: 1 when the outermost value is complete, 0 when another follows. */
static int close_values(struct parser *s, struct node **open, size_t *depth)
{
	while (*open) {
		char closing = (*open)->v.type == GO_OBJECT ? '}' : ']';

		skip_blanks(s);
		if (s->p == s->end)
			return -EBADMSG;
		if (*s->p == ',') {
			s->p++;
			return 0;
		}
		if (*s->p != closing)
			return -EBADMSG;
		s->p++;
		(*open)->v.raw.n = (size_t)(s->p - (*open)->v.raw.p);
		*open = (*open)->parent;
		--*depth;
	}
	return 1;
}

static int parse_value(struct parser *s)
{
	struct node *open = NULL;
	size_t depth = 0;
	int r = 0;

	while (r == 0) {
		struct slice key = { 0 };
		struct node *n;

		if (open && open->v.type == GO_OBJECT) {
			r = parse_key(s, &key);
			if (r < 0)
				return r;
		}
		skip_blanks(s);
		if (s->p == s->end)
			return -EBADMSG;
		n = add_node(s, open);
		if (!n)
			return -ENOMEM;
		n->v.key = key;
		if (*s->p == '{' || *s->p == '[') {
			n->v.type = *s->p == '{' ? GO_OBJECT : GO_ARRAY;
			n->v.raw.p = s->p++;
			open = n;
			if (++depth > MAX_DEPTH)
				return -EBADMSG;
			skip_blanks(s);
			if (s->p == s->end || *s->p != (n->v.type == GO_OBJECT ? '}' : ']'))
				continue;
		} else {
			r = parse_scalar(s, &n->v);
			if (r < 0)
				return r;
		}
		r = close_values(s, &open, &depth);
	}
	return r < 0 ? r : 0;
}

int go_json_parse(struct slice text, bool stream, struct go_json_doc **ret, size_t *ret_at)
{
	_cleanup_(go_json_freep) struct go_json_doc *doc = calloc(1, sizeof(*doc));
	struct parser s = { .start = text.p, .p = text.p, .end = text.p + text.n, .doc = doc };
	int r;

	if (!doc)
		return -ENOMEM;
	/* One bad byte becomes the three bytes of U+FFFD. */
	doc->strings = malloc(text.n * 3 + 1);
	if (!doc->strings)
		return -ENOMEM;
	skip_blanks(&s);
	if (s.p == s.end && stream) {
		*ret = NULL;
		return 0;
	}
	r = parse_value(&s);
	if (r == 0 && !stream) {
		skip_blanks(&s);
		if (s.p != s.end)
			r = -EBADMSG;
	}
	if (r < 0) {
		*ret_at = (size_t)(s.p - s.start);
		return r;
	}
	*ret = take_ptr(doc);
	return 0;
}

const struct go_json *go_json_root(const struct go_json_doc *doc)
{
	return &doc->root->v;
}

struct go_json_doc *go_json_free(struct go_json_doc *doc)
{
	struct node *next;

	if (!doc)
		return NULL;
	for (struct node *n = doc->all; n; n = next) {
		next = n->all;
		free(n);
	}
	free(doc->strings);
	free(doc);
	return NULL;
}

/* Simple case folding as far as field names, which are ASCII, can be met by it. */
static uint32_t fold(uint32_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c | 0x20;
	if (c == 0x17f) /* long s */
		return 's';
	if (c == 0x212a) /* Kelvin sign */
		return 'k';
	return c;
}

bool go_json_key_is(const struct go_json *member, const char *name)
{
	struct slice k = member->key;
	uint32_t c;
	size_t n;

	while ((n = go_utf8_next(k, &c)) > 0) {
		if (*name == '\0' || fold(c) != fold((unsigned char)*name))
			return false;
		k.p += n;
		k.n -= n;
		name++;
	}
	return *name == '\0';
}
