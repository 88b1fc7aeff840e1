/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * HTTP/1.x answers, fed in pieces of any size. Lines are gathered in the parser; bodies are never
 * copied. What could be read in two ways (two lengths, a length and chunks) is refused.
 */
#include "host/http-internal.h"

#include <errno.h>
#include <strings.h>

enum {
	STATE_STATUS,
	STATE_HEADER,
	STATE_BODY,	   /* left bytes, or until the peer closes */
	STATE_CHUNK_SIZE,
	STATE_CHUNK,
	STATE_CHUNK_END,   /* the line break behind a chunk */
	STATE_TRAILER,
	STATE_END,
};

void http_parser_init(struct http_parser *p)
{
	*p = (struct http_parser){ .state = STATE_STATUS };
}

/* Gathers one line without its line break. Return: 1 when it is whole, 0 for more, or an error. */
static int take_line(struct http_parser *p, struct cursor *c, struct slice *ret)
{
	uint8_t b;

	while (cursor_u8(c, &b) == 0) {
		if (++p->n_head > HTTP_MAX_HEAD)
			return -E2BIG;
		if (b == '\n') {
			if (p->n_line > 0 && p->line[p->n_line - 1] == '\r')
				p->n_line--;
			*ret = (struct slice){ p->line, p->n_line };
			p->n_line = 0;
			return 1;
		}
		if (p->n_line == sizeof(p->line))
			return -E2BIG;
		p->line[p->n_line++] = (char)b;
	}
	return 0;
}

/* "HTTP/1.1 200 OK"; an interim answer (1xx) starts anew. */
static int parse_status(struct http_parser *p, struct slice line)
{
	uint64_t status;

	if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[8] != ' ' ||
	    (line.n > 12 && line.p[12] != ' '))
		return -EBADMSG;
	if (parse_u64((struct slice){ line.p + 9, 3 }, 100, 599, &status) < 0)
		return -EBADMSG;
	p->status = (int)status;
	return 0;
}

static bool name_is(struct slice name, const char *text)
{
	return name.n == strlen(text) && strncasecmp(name.p, text, name.n) == 0;
}

static int parse_header(struct http_parser *p, struct slice line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct slice name, value;

	if (!colon || colon == line.p)
		return -EBADMSG;
	name = (struct slice){ line.p, (size_t)(colon - line.p) };
	value = slice_trim((struct slice){ colon + 1, line.n - name.n - 1 });
	if (name_is(name, "content-length")) {
		uint64_t n;

		if (parse_u64(value, 0, INT64_MAX, &n) < 0 || (p->length_known && p->left != n))
			return -EBADMSG;
		p->length_known = true;
		p->left = n;
	} else if (name_is(name, "transfer-encoding")) {
		if (!name_is(value, "chunked"))
			return -EBADMSG;
		p->chunked = true;
	} else if (name_is(name, "api-version") && value.n < sizeof(p->api_version)) {
		memcpy(p->api_version, value.p, value.n);
		p->api_version[value.n] = '\0';
	}
	return 0;
}

/* The empty line. Return: HTTP_HEAD, or HTTP_WAIT to go on, or an error. */
static int end_of_head(struct http_parser *p)
{
	if (p->status < 200) {
		size_t n_head = p->n_head;

		http_parser_init(p);
		p->n_head = n_head;
		return HTTP_WAIT;
	}
	if (p->chunked && p->length_known)
		return -EBADMSG;
	p->close_ends = !p->chunked && !p->length_known;
	if (p->status == 204 || p->status == 304 || (p->length_known && p->left == 0))
		p->state = STATE_END;
	else
		p->state = p->chunked ? STATE_CHUNK_SIZE : STATE_BODY;
	return HTTP_HEAD;
}

/* Hexadecimal digits, then perhaps ";" and an extension. */
static int parse_chunk_size(struct http_parser *p, struct slice line)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < line.n; i++) {
		unsigned char b = (unsigned char)line.p[i];
		unsigned int digit;

		if (b >= '0' && b <= '9')
			digit = b - '0';
		else if ((b | 0x20) >= 'a' && (b | 0x20) <= 'f')
			digit = (b | 0x20u) - 'a' + 10u;
		else
			break;
		if (n >> 56)
			return -EBADMSG;
		n = n << 4 | digit;
	}
	if (i == 0 || (i < line.n && line.p[i] != ';' && line.p[i] != ' '))
		return -EBADMSG;
	p->left = n;
	p->state = n > 0 ? STATE_CHUNK : STATE_TRAILER;
	/* The limit on lines is for one head; a long stream has many chunks. */
	p->n_head = 0;
	return 0;
}

static int take_body(struct http_parser *p, struct cursor *c, struct slice *body)
{
	size_t n = cursor_left(c);
	const uint8_t *data;
	int r;

	if (n == 0)
		return HTTP_WAIT;
	if (!p->close_ends)
		n = (size_t)MIN((uint64_t)n, p->left);
	r = cursor_take(c, n, &data);
	if (r < 0)
		return r;
	*body = (struct slice){ (const char *)data, n };
	if (!p->close_ends) {
		p->left -= n;
		if (p->left == 0)
			p->state = p->chunked ? STATE_CHUNK_END : STATE_END;
	}
	return HTTP_BODY;
}

static int handle_line(struct http_parser *p, struct slice line)
{
	switch (p->state) {
	case STATE_STATUS:
		p->state = STATE_HEADER;
		return parse_status(p, line);
	case STATE_HEADER:
		return line.n == 0 ? end_of_head(p) : parse_header(p, line);
	case STATE_CHUNK_SIZE:
		return parse_chunk_size(p, line);
	case STATE_CHUNK_END:
		p->state = STATE_CHUNK_SIZE;
		return line.n == 0 ? 0 : -EBADMSG;
	default: /* STATE_TRAILER */
		if (line.n == 0)
			p->state = STATE_END;
		return 0;
	}
}

int http_parse(struct http_parser *p, struct cursor *c, struct slice *body)
{
	for (;;) {
		struct slice line;
		int r;

		if (p->state == STATE_END)
			return HTTP_END;
		if (p->state == STATE_BODY || p->state == STATE_CHUNK)
			return take_body(p, c, body);
		r = take_line(p, c, &line);
		if (r <= 0)
			return r < 0 ? r : HTTP_WAIT;
		r = handle_line(p, line);
		if (r != 0) /* an error or HTTP_HEAD */
			return r;
	}
}

int http_parse_eof(struct http_parser *p)
{
	if (p->state == STATE_END || (p->state == STATE_BODY && p->close_ends)) {
		p->state = STATE_END;
		return HTTP_END;
	}
	return -ECONNRESET;
}
