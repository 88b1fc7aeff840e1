/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * As much HTTP/1.1 as the Docker engine and the ECS agent's introspection port need: one request
 * on one connection, whose answer is taken piece by piece. Nothing here blocks but
 * http_call_wait(), and that has a deadline.
 *
 * Why not libcurl: a daemon that keeps one easy handle on Docker's event stream was measured at
 * 10.9 MiB resident against 2.7 MiB without (libcurl brings TLS, LDAP, Kerberos and HTTP/2 along,
 * and loading it late saves nothing for whoever follows the stream); our whole budget is 12 MiB.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/bytes.h"
#include "batten/base/cursor.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/base/parse.h"

#define HTTP_MAX_LINE 8192		/* bytes of one header line */
#define HTTP_MAX_HEAD (64 * 1024)	/* bytes of all header lines, chunk headers and trailers */

enum http_step {
	HTTP_WAIT, /* nothing more until the peer sends or takes something */
	HTTP_HEAD, /* status and headers are known; comes once, before all others */
	HTTP_BODY, /* a piece of the body */
	HTTP_END,  /* the answer is whole */
};

struct http_parser {
	int state; /* private, as are all but the last two */
	uint64_t left;
	size_t n_head;
	bool chunked, length_known, close_ends;
	char line[HTTP_MAX_LINE];
	size_t n_line;
	int status;
	char api_version[16]; /* Docker's Api-Version header, or "" */
};

void http_parser_init(struct http_parser *p);

/*
 * http_parse - take the next event out of received bytes
 * @c:    moves past what was used; empty when the answer is HTTP_WAIT
 * @body: for HTTP_BODY: points into @c's memory
 * Return: enum http_step, or -EBADMSG for what is not HTTP/1.x, -E2BIG beyond the limits above
 */
int http_parse(struct http_parser *p, struct cursor *c, struct slice *body) _must_check_;

/* The peer closed. Return: HTTP_END when the answer may end so, -ECONNRESET when it was cut. */
int http_parse_eof(struct http_parser *p) _must_check_;

struct http_call;

/*
 * http_call_new - one exchange on a connected socket
 * @fd: non-blocking; belongs to the call from now on, also when this fails
 * @head: request line and headers, with the empty line
 */
int http_call_new(struct http_call **ret, int fd, const char *head, struct diag *d) _must_check_;
struct http_call *http_call_free(struct http_call *c);
DEFINE_CLEANUP(struct http_call *, http_call_free)

/* For an event loop: the socket, and the poll events that the call waits for. */
int http_call_fd(const struct http_call *c);
short http_call_events(const struct http_call *c);

int http_call_status(const struct http_call *c);
const char *http_call_api_version(const struct http_call *c);

/* Queues bytes of a request body; they leave in http_call_step(). */
int http_call_send(struct http_call *c, const void *data, size_t n) _must_check_;

/* Bytes that are queued and not sent. A peer that hung up takes nothing: 0. */
size_t http_call_unsent(const struct http_call *c);

/*
 * http_call_step - send what is queued, read, and give the next event
 * @body: lives until the next step
 * Return: enum http_step or a negative errno: -ECONNRESET (cut), -EBADMSG, -E2BIG, …
 */
int http_call_step(struct http_call *c, struct slice *body) _must_check_;

/*
 * http_call_wait - wait for the socket
 * @deadline_ms: clock of http_now_ms(); UINT64_MAX waits for ever
 * Return: 0 or -ETIMEDOUT
 */
int http_call_wait(const struct http_call *c, uint64_t deadline_ms) _must_check_;

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t http_now_ms(void);

/*
 * http_call_collect - the whole answer, in a string
 * @max_bytes: a longer body is -EFBIG
 * @ret: freed by the caller, NUL-terminated
 */
int http_call_collect(struct http_call *c, uint64_t deadline_ms, size_t max_bytes, char **ret,
		      size_t *ret_n) _must_check_;
