/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The quick road for answers of Docker, of which a host with a hundred containers gives half a
 * megabyte: jansson takes every byte through four functions. Here strings without escapes are
 * copied in one piece, and a value is kept only when every byte of it was plain: names of at most
 * 255 bytes, none twice in an object, whole numbers of 64 bits, escapes of ASCII, valid
 * UTF-8 (jansson looks). At anything else the reader stops, and jansson reads all of it from the start.
 */
#include "base/json-decode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "batten/base/bytes.h"
#include "batten/base/macros.h"
#include "batten/base/parse.h"

#define MAX_DEPTH 64
#define MAX_NAME 255

struct reader {
	const char *p, *end;
	unsigned int depth;
	struct bytes scratch; /* of the string that is read, when it has escapes */
};

static json_t *read_value(struct reader *r);

static void skip_blanks(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

static bool take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* Behind a backslash. Return: the ASCII character that is meant, 0 for any other escape. */
static char read_escape(struct reader *r)
{
	static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	const char *found;
	unsigned int v = 0;

	if (r->p == r->end)
		return 0;
	found = *r->p ? strchr(names, *r->p) : NULL;
	if (found) {
		r->p++;
		return meanings[found - names];
	}
	if (r->end - r->p < 5 || r->p[0] != 'u' || r->p[1] != '0' || r->p[2] != '0')
		return 0;
	for (int i = 3; i < 5; i++) {
		char c = r->p[i];
		char lower = (char)(c | 0x20);

		if (c >= '0' && c <= '9')
			v = v << 4 | (unsigned int)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			v = v << 4 | (unsigned int)(lower - 'a' + 10);
		else
			return 0;
	}
	r->p += 5;
	return v < 0x80 ? (char)v : 0;
}

/* Up to the next quote, backslash or control character. @high: set when a byte is not ASCII. */
static size_t plain_run(const struct reader *r, bool *high)
{
	const char *p = r->p;
	unsigned char bits = 0;

	while (p < r->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
		bits |= (unsigned char)*p++;
	*high = *high || (bits & 0x80);
	return (size_t)(p - r->p);
}

/*
 * Behind the opening quote, up to and with the closing one. @ret: into the text, or into the scratch
 * until the next string.
 */
static bool read_text(struct reader *r, struct slice *ret, bool *high)
{
	const char *start = r->p;
	size_t n;

	*high = false;
	n = plain_run(r, high);
	r->p += n;
	if (take(r, '"')) {
		*ret = (struct slice){ start, n };
		return true;
	}
	r->scratch.n = 0;
	bytes_append(&r->scratch, start, n);
	while (take(r, '\\')) {
		char c = read_escape(r);

		if (c == 0)
			return false;
		bytes_append(&r->scratch, &c, 1);
		n = plain_run(r, high);
		bytes_append(&r->scratch, r->p, n);
		r->p += n;
	}
	*ret = (struct slice){ r->scratch.data, r->scratch.n };
	return take(r, '"') && r->scratch.error == 0;
}

static json_t *read_string(struct reader *r)
{
	struct slice s;
	bool high;

	if (!read_text(r, &s, &high))
		return NULL;
	return high ? json_stringn(s.p, s.n) : json_stringn_nocheck(s.p, s.n);
}

static json_t *read_number(struct reader *r)
{
	bool negative = take(r, '-');
	const char *start = r->p;
	json_int_t v = 0;

	for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
		if (__builtin_mul_overflow(v, (json_int_t)10, &v) || __builtin_add_overflow(v, (json_int_t)(*r->p - '0'), &v))
			return NULL;
	if (r->p == start || (*start == '0' && (negative || r->p - start > 1)))
		return NULL;
	/* A fraction, or an exponent. */
	if (r->p < r->end && !strchr(",]} \n\t\r", *r->p))
		return NULL;
	return json_integer(negative ? -v : v);
}

static json_t *read_word(struct reader *r, const char *word, json_t *value)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return NULL;
	r->p += n;
	return value;
}

static bool read_member(struct reader *r, json_t *object)
{
	char name[MAX_NAME + 1];
	size_t before = json_object_size(object);
	struct slice s;
	json_t *value;
	bool high;

	skip_blanks(r);
	if (!take(r, '"') || !read_text(r, &s, &high) || high || s.n > MAX_NAME)
		return false;
	memcpy(name, s.p, s.n);
	name[s.n] = '\0';
	skip_blanks(r);
	if (!take(r, ':'))
		return false;
	value = read_value(r);
	/* A name that was there already adds none. */
	return value && json_object_set_new_nocheck(object, name, value) == 0 && json_object_size(object) == before + 1;
}

static json_t *read_object(struct reader *r)
{
	json_t *object = json_object();
	bool good = object;

	skip_blanks(r);
	if (good && take(r, '}'))
		return object;
	do
		good = good && read_member(r, object);
	while (good && (skip_blanks(r), take(r, ',')));
	if (good && take(r, '}'))
		return object;
	json_decref(object);
	return NULL;
}

static json_t *read_array(struct reader *r)
{
	json_t *array = json_array();
	bool good = array;

	skip_blanks(r);
	if (good && take(r, ']'))
		return array;
	do
		good = good && json_array_append_new(array, read_value(r)) == 0;
	while (good && (skip_blanks(r), take(r, ',')));
	if (good && take(r, ']'))
		return array;
	json_decref(array);
	return NULL;
}

static json_t *read_value(struct reader *r)
{
	json_t *j = NULL;

	skip_blanks(r);
	if (r->p == r->end || r->depth == MAX_DEPTH)
		return NULL;
	r->depth++;
	switch (*r->p) {
	case '{':
		r->p++;
		j = read_object(r);
		break;
	case '[':
		r->p++;
		j = read_array(r);
		break;
	case '"':
		r->p++;
		j = read_string(r);
		break;
	case 't':
		j = read_word(r, "true", json_true());
		break;
	case 'f':
		j = read_word(r, "false", json_false());
		break;
	case 'n':
		j = read_word(r, "null", json_null());
		break;
	default:
		j = read_number(r);
	}
	r->depth--;
	return j;
}

json_t *json_decode(const char *text, size_t n)
{
	struct reader r = { .p = text, .end = text + n };
	json_t *j;

	skip_blanks(&r);
	j = n > 0 && r.p < r.end && (*r.p == '{' || *r.p == '[') ? read_value(&r) : NULL;
	skip_blanks(&r);
	if (j && r.p < r.end) {
		json_decref(j);
		j = NULL;
	}
	bytes_done(&r.scratch);
	return j;
}
