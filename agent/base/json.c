/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON through jansson.
 */
#include "batten/base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"

static bool piece_lost;	 /* of some document, for want of memory, since the last one was printed */
static jmp_buf *parsing; /* where to go on when a parser has no memory */

/*
 * jansson's lexer (2.14) does not look whether there was room for a character, and then runs past the end of a string
 * whose quotation mark it lost, writing. It is left where it stands, with what it had.
 */
static void *watched(size_t n)
{
	void *p = malloc(n);

	if (!p && parsing)
		longjmp(*parsing, 1);
	piece_lost |= !p;
	return p;
}

void json_watch_memory(void)
{
	json_set_alloc_funcs(watched, free);
}

static int parse(const char *text, size_t n, size_t flags, const char *name, json_t **ret, struct diag *d)
{
	json_error_t e;
	jmp_buf here;
	json_t *j;

	if (setjmp(here)) {
		parsing = NULL;
		return -ENOMEM;
	}
	parsing = &here;
	j = json_loadb(text, n, flags, &e);
	parsing = NULL;
	if (!j) {
		if (json_error_code(&e) == json_error_out_of_memory)
			return -ENOMEM;
		return diag_line(d, -EBADMSG, name, (unsigned int)MAX(e.line, 1), "not valid JSON: %s",
				 e.text);
	}
	*ret = j;
	return 0;
}

int json_parse(const char *text, size_t n, const char *name, json_t **ret, struct diag *d)
{
	return parse(text, n, JSON_REJECT_DUPLICATES, name, ret, d);
}

/* Escaped NULs become U+FFFD. Return: a copy of the text, NULL without memory. */
static char *without_nul(const char *text, size_t n)
{
	char *copy = malloc(n + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	for (size_t i = 0; i + 1 < n; i++) {
		if (copy[i] != '\\')
			continue;
		if (n - i >= 6 && memcmp(copy + i, "\\u0000", 6) == 0)
			memcpy(copy + i, "\\ufffd", 6);
		i++; /* what a backslash stands before is no beginning of its own */
	}
	return copy;
}

int json_parse_answer(const char *text, size_t n, const char *name, json_t **ret, struct diag *d)
{
	_cleanup_(freep) char *mended = NULL;
	struct diag why = { 0 };
	int r;

	r = parse(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, name, ret, &why);
	if (r != -EBADMSG) /* -ENOMEM and success have no words */
		return r;
	/* jansson takes no NUL in a name, and a container may have a label with one: it must not blind us to all others. */
	mended = without_nul(text, n);
	if (!mended)
		return -ENOMEM;
	return parse(mended, n, JSON_REJECT_DUPLICATES, name, ret, d);
}

/*
 * The text, with @end behind it. json_dumps() grows a buffer, and where that fails on the way
 * the rest may follow all the same (jansson 2.14): here it is measured first.
 */
static char *whole(const json_t *j, size_t flags, const char *end, size_t *ret_n)
{
	size_t n = json_dumpb(j, NULL, 0, flags | JSON_ENCODE_ANY), n_end = strlen(end);
	_cleanup_(freep) char *text = n > 0 ? malloc(n + n_end + 1) : NULL;
	bool ok = text && json_dumpb(j, text, n, flags | JSON_ENCODE_ANY) == n && !piece_lost;

	piece_lost = false;
	if (!ok)
		return NULL;
	memcpy(text + n, end, n_end + 1);
	if (ret_n)
		*ret_n = n + n_end;
	return take_ptr(text);
}

char *json_line(const json_t *j, size_t *ret_n)
{
	return whole(j, JSON_COMPACT, "", ret_n);
}

static int json_dump_to(int fd, const json_t *j, size_t flags)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;

	text = whole(j, flags, "\n", &n);
	return text ? fd_write_all(fd, text, n) : -ENOMEM;
}

int json_print(int fd, const json_t *j)
{
	return json_dump_to(fd, j, JSON_INDENT(2));
}

void json_append(struct bytes *b, const json_t *j)
{
	_cleanup_(freep) char *text = NULL;
	size_t n = 0;

	text = whole(j, JSON_INDENT(2), "\n", &n);
	if (text)
		bytes_append(b, text, n);
	else
		b->error = -ENOMEM;
}

int json_print_line(int fd, const json_t *j)
{
	return json_dump_to(fd, j, JSON_COMPACT);
}

int json_write(const char *path, const json_t *j, mode_t mode, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;

	text = whole(j, JSON_INDENT(2), "\n", &n);
	return text ? file_output(path, text, n, mode, d) : -ENOMEM;
}

/* Length of the well-formed UTF-8 sequence at @p, or 0. Shortest form, no surrogates. */
static size_t utf8_length(const unsigned char *p)
{
	static const struct {
		unsigned char lo, hi, second_lo, second_hi;
		size_t n;
	} forms[] = {
		{ 0x01, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		size_t k;

		if (p[0] < forms[i].lo || p[0] > forms[i].hi)
			continue;
		if (forms[i].n > 1 && (p[1] < forms[i].second_lo || p[1] > forms[i].second_hi))
			return 0;
		for (k = 2; k < forms[i].n; k++)
			if (p[k] < 0x80 || p[k] > 0xbf)
				return 0;
		return forms[i].n;
	}
	return 0;
}

json_t *json_text(const char *s)
{
	struct bytes b = { 0 };

	for (const unsigned char *p = (const unsigned char *)s; *p;) {
		size_t n = 0;

		while (p[n] > 0 && p[n] < 0x80)
			n++;
		if (n == 0)
			n = utf8_length(p);
		bytes_append(&b, n > 0 ? (const char *)p : "\xef\xbf\xbd", n > 0 ? n : 3);
		p += n > 0 ? n : 1;
	}
	return json_gathered(&b);
}

json_t *json_gathered(struct bytes *b)
{
	json_t *j = bytes_reserve(b, 0) == 0 ? json_stringn(b->data, b->n) : NULL;

	piece_lost |= b->error < 0;
	bytes_done(b);
	return j;
}
