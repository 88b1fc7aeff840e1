/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An answer as two event sources: the socket and a deadline.
 */
#include "host/docker-async.h"

#include <errno.h>
#include <sys/epoll.h>

#include "batten/base/fd.h"
#include "host/docker-internal.h"

static const size_t max_bytes[_FOLLOW_QUESTION_MAX] = {
	[FOLLOW_PING] = 4096,
	[FOLLOW_EVENTS] = 256 * 1024, /* of a line: an event carries the container's labels */
	[FOLLOW_LIST] = DOCKER_MAX_ANSWER,
	[FOLLOW_INSPECT] = 2 * 1024 * 1024,
	[FOLLOW_MADE] = 2 * 1024 * 1024,
	[FOLLOW_IMAGE] = 2 * 1024 * 1024,
};

#define MAX_STEPS 64 /* pieces of an answer in one turn of the loop: a flood waits like everybody */

struct docker_async {
	struct docker *docker; /* the caller's */
	struct http_call *call;
	sd_event_source *io, *deadline;
	struct bytes text; /* the body, or the line so far */
	size_t max; /* bytes of it */
	bool lines, ping, accepted;
	docker_async_fn fn;
	void *user;
};

struct docker_async *docker_async_free(struct docker_async *a)
{
	if (!a)
		return NULL;
	(void)sd_event_source_disable_unref(a->io);
	(void)sd_event_source_disable_unref(a->deadline);
	http_call_free(a->call);
	bytes_done(&a->text);
	free(a);
	return NULL;
}

/* Nothing comes after this: the callback may free the question. */
static void finish(struct docker_async *a, int error, struct diag *d)
{
	(void)sd_event_source_set_enabled(a->io, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(a->deadline, SD_EVENT_OFF);
	if (error < 0)
		error = docker_fail(a->docker, error, d);
	a->fn(a->user, error, error < 0 ? NULL : a->text.data ? a->text.data : "", a->text.n, d);
}

static void answered(struct docker_async *a)
{
	struct diag d = { 0 };
	int r;

	if (a->text.error < 0) {
		finish(a, a->text.error, &d);
		return;
	}
	/* A stream that ends, ends with its listener: Docker stops. */
	r = a->lines && a->accepted ? -ECONNRESET :
				      docker_check_status(a->docker, http_call_status(a->call),
							  a->text.data ? a->text.data : "", a->text.n, &d);
	if (r == 0 && a->ping)
		r = docker_negotiate(a->docker, http_call_api_version(a->call), &d);
	finish(a, r, &d);
}

/* Hands over whole lines and keeps the rest. Return: 0 or -EFBIG. */
static int take_lines(struct docker_async *a, struct slice body)
{
	while (body.n > 0) {
		const char *end = memchr(body.p, '\n', body.n);
		size_t n = end ? (size_t)(end - body.p) : body.n;

		if (n > a->max - a->text.n)
			return -EFBIG;
		bytes_append(&a->text, body.p, n);
		if (a->text.error < 0)
			return a->text.error;
		if (end) {
			if (a->text.n > 0)
				a->fn(a->user, 0, a->text.data, a->text.n, NULL);
			a->text.n = 0;
		}
		body.p += n + (end ? 1 : 0);
		body.n -= n + (end ? 1 : 0);
	}
	return 0;
}

static int take_body(struct docker_async *a, struct slice body)
{
	if (a->accepted)
		return take_lines(a, body);
	if (body.n > a->max - a->text.n)
		return -EFBIG;
	bytes_append(&a->text, body.p, body.n);
	return a->text.error;
}

static void accept_stream(struct docker_async *a)
{
	if (!a->lines || http_call_status(a->call) != 200)
		return;
	a->accepted = true;
	(void)sd_event_source_set_enabled(a->deadline, SD_EVENT_OFF);
	a->fn(a->user, 0, NULL, 0, NULL);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct docker_async *a = data;
	struct diag d = { 0 };

	for (int i = 0; i < MAX_STEPS; i++) {
		struct slice body;
		int r = http_call_step(a->call, &body);

		if (r == HTTP_WAIT)
			break;
		if (r == HTTP_END) {
			answered(a);
			return 0;
		}
		if (r == HTTP_HEAD)
			accept_stream(a);
		else if (r == HTTP_BODY)
			r = take_body(a, body);
		if (r < 0) {
			finish(a, r, &d);
			return 0;
		}
	}
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *data)
{
	struct diag d = { 0 };

	finish(data, -ETIMEDOUT, &d);
	return 0;
}

int docker_async_new(struct docker_async **ret, sd_event *event, struct docker *k, enum follow_question q, int fd,
		     docker_async_fn fn, void *user, struct diag *d)
{
	_cleanup_(docker_async_freep) struct docker_async *a = calloc(1, sizeof(*a));
	int r;

	if (!a) {
		(void)fd_close(fd);
		return -ENOMEM;
	}
	a->docker = k;
	a->max = max_bytes[q];
	a->lines = q == FOLLOW_EVENTS;
	a->ping = q == FOLLOW_PING;
	a->fn = fn;
	a->user = user;
	r = http_call_new(&a->call, fd, "", d);
	if (r >= 0)
		r = sd_event_add_io(event, &a->io, http_call_fd(a->call), EPOLLIN, on_io, a);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &a->deadline, CLOCK_MONOTONIC, docker_timeout(k) * 1000, 0,
					       on_deadline, a);
	if (r < 0)
		return r;
	*ret = take_ptr(a);
	return 0;
}
