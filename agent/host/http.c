/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One exchange on one connection. The connection ends with the exchange, so that nothing of one
 * answer can be taken for a part of the next.
 */
#include "host/http-internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "batten/base/fd.h"

#define IN_SIZE (32 * 1024)

struct http_call {
	int fd;
	struct bytes out;
	size_t n_sent;
	bool hung_up; /* the peer takes no more */
	struct http_parser parser;
	struct cursor unread;
	uint8_t in[IN_SIZE];
};

uint64_t http_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int http_call_new(struct http_call **ret, int fd, const char *head, struct diag *d)
{
	_cleanup_(fd_closep) int owned = fd;
	struct http_call *c = malloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	/* Not calloc: the buffers would all be touched, and they are most of it. */
	c->fd = -1;
	c->out = (struct bytes){ 0 };
	c->n_sent = 0;
	c->hung_up = false;
	http_parser_init(&c->parser);
	cursor_init(&c->unread, c->in, 0);
	bytes_append_str(&c->out, head);
	if (c->out.error < 0) {
		http_call_free(c);
		return -ENOMEM;
	}
	c->fd = fd_take(&owned);
	*ret = c;
	return 0;
}

struct http_call *http_call_free(struct http_call *c)
{
	if (!c)
		return NULL;
	fd_close(c->fd);
	bytes_done(&c->out);
	free(c);
	return NULL;
}

int http_call_fd(const struct http_call *c)
{
	return c->fd;
}

short http_call_events(const struct http_call *c)
{
	return http_call_unsent(c) > 0 ? POLLIN | POLLOUT : POLLIN;
}

int http_call_status(const struct http_call *c)
{
	return c->parser.status;
}

const char *http_call_api_version(const struct http_call *c)
{
	return c->parser.api_version;
}

size_t http_call_unsent(const struct http_call *c)
{
	return c->hung_up ? 0 : c->out.n - c->n_sent;
}

int http_call_send(struct http_call *c, const void *data, size_t n)
{
	if (c->n_sent == c->out.n)
		c->out.n = c->n_sent = 0;
	bytes_append(&c->out, data, n);
	return c->out.error;
}

static int flush(struct http_call *c)
{
	while (http_call_unsent(c) > 0) {
		ssize_t n = send(c->fd, c->out.data + c->n_sent, c->out.n - c->n_sent, MSG_NOSIGNAL);

		if (n >= 0) {
			c->n_sent += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return 0;
		if (errno != EPIPE && errno != ECONNRESET)
			return -errno;
		/* It may have answered before it hung up: that answer says why. */
		c->hung_up = true;
	}
	return 0;
}

int http_call_step(struct http_call *c, struct slice *body)
{
	int r = flush(c);

	if (r < 0)
		return r;
	for (;;) {
		ssize_t n;

		r = http_parse(&c->parser, &c->unread, body);
		if (r != HTTP_WAIT)
			return r;
		n = recv(c->fd, c->in, sizeof(c->in), 0);
		if (n == 0)
			return http_parse_eof(&c->parser);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? HTTP_WAIT : -errno;
		}
		cursor_init(&c->unread, c->in, (size_t)n);
	}
}

int http_call_wait(const struct http_call *c, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = http_call_events(c) };
		uint64_t now = http_now_ms();
		int timeout = -1, n;

		if (deadline_ms != UINT64_MAX) {
			if (now >= deadline_ms)
				return -ETIMEDOUT;
			timeout = (int)MIN(deadline_ms - now, (uint64_t)INT32_MAX);
		}
		n = poll(&p, 1, timeout);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int http_call_collect(struct http_call *c, uint64_t deadline_ms, size_t max_bytes, char **ret,
		      size_t *ret_n)
{
	struct bytes all = { 0 };
	int r;

	for (;;) {
		struct slice body;

		/* Whoever drips bytes fast enough never makes us wait: look at the clock anyway. */
		if (http_now_ms() >= deadline_ms) {
			r = -ETIMEDOUT;
			break;
		}
		r = http_call_step(c, &body);
		if (r == HTTP_WAIT)
			r = http_call_wait(c, deadline_ms);
		else if (r == HTTP_BODY && body.n > max_bytes - all.n)
			r = -EFBIG;
		else if (r == HTTP_BODY)
			bytes_append(&all, body.p, body.n);
		if (r < 0 || r == HTTP_END)
			break;
	}
	if (r == HTTP_END)
		return bytes_take(&all, ret, ret_n);
	bytes_done(&all);
	return r;
}
