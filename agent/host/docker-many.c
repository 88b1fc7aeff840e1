/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Many questions at once: Docker works on each connection by itself, so a few of them keep it busy
 * while we read what it has said already. Answers are parsed as they come.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "batten/base/json.h"
#include "host/docker-internal.h"

#define MAX_AT_ONCE 8 /* more bring nothing, and each is 40 KiB here and some goroutines there */
#define RETRY_MS 10   /* a full queue of a Unix socket cannot be polled */

struct slot {
	struct docker_question *question; /* NULL: free */
	struct http_call *call;
	struct bytes body;
};

struct batch {
	struct docker *docker;
	struct docker_question *questions;
	size_t n, next; /* the first that was not asked yet */
	size_t max_bytes;
	struct slot slots[MAX_AT_ONCE];
	size_t n_busy;
	struct diag *d; /* gets the first failure but -ENOENT */
};

static void end_slot(struct batch *b, struct slot *s, int error, struct diag *why)
{
	s->question->error = error;
	if (error < 0 && error != -ENOENT && b->d && !b->d->what[0])
		*b->d = *why;
	s->call = http_call_free(s->call);
	bytes_done(&s->body);
	s->question = NULL;
	b->n_busy--;
}

static void take_answer(struct batch *b, struct slot *s)
{
	const char *text = s->body.data ? s->body.data : "";
	struct diag why = { 0 };
	int r = s->body.error;

	if (r == 0)
		r = docker_check_status(b->docker, http_call_status(s->call), text, s->body.n, &why);
	if (r == 0)
		r = json_parse_answer(text, s->body.n, "Docker's answer", &s->question->answer, &why);
	end_slot(b, s, r == -EBADMSG ? -EPROTO : r, &why);
}

/* As far as the socket lets us. */
static void step_slot(struct batch *b, struct slot *s)
{
	struct diag why = { 0 };

	for (;;) {
		struct slice body;
		int r = http_call_step(s->call, &body);

		if (r == HTTP_WAIT)
			return;
		if (r == HTTP_END) {
			take_answer(b, s);
			return;
		}
		if (r == HTTP_BODY && body.n > b->max_bytes - s->body.n)
			r = -EFBIG;
		else if (r == HTTP_BODY)
			bytes_append(&s->body, body.p, body.n);
		if (r < 0) {
			r = docker_fail(b->docker, r, &why);
			end_slot(b, s, r, &why);
			return;
		}
	}
}

/* Return: false when Docker takes no more connections now. */
static bool fill_slot(struct batch *b, struct slot *s)
{
	struct docker_question *q = &b->questions[b->next];
	struct diag why = { 0 };
	int r = docker_call(&s->call, b->docker, "GET", q->path, "", &why);

	if (r == -EAGAIN)
		return false;
	b->next++;
	s->question = q;
	b->n_busy++;
	if (r < 0)
		end_slot(b, s, r, &why);
	return true;
}

static void fill_slots(struct batch *b)
{
	for (size_t i = 0; i < MAX_AT_ONCE && b->next < b->n; i++)
		if (!b->slots[i].question && !fill_slot(b, &b->slots[i]))
			return;
}

/* Waits for any of the sockets and takes what they have. Return: 0 or -errno of poll(). */
static int turn(struct batch *b, int timeout_ms)
{
	struct pollfd fds[MAX_AT_ONCE];
	struct slot *of[MAX_AT_ONCE];
	nfds_t n = 0;

	for (size_t i = 0; i < MAX_AT_ONCE; i++) {
		struct slot *s = &b->slots[i];

		if (!s->question)
			continue;
		of[n] = s;
		fds[n++] = (struct pollfd){ .fd = http_call_fd(s->call), .events = http_call_events(s->call) };
	}
	if (n == 0) {
		(void)nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
		return 0;
	}
	if (poll(fds, n, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].revents)
			step_slot(b, of[i]);
	return 0;
}

static void abandon(struct batch *b, int error)
{
	struct diag why = { 0 };

	error = docker_fail(b->docker, error, &why);
	for (size_t i = 0; i < MAX_AT_ONCE; i++)
		if (b->slots[i].question)
			end_slot(b, &b->slots[i], error, &why);
	for (; b->next < b->n; b->next++)
		b->questions[b->next].error = error;
	if (b->d && !b->d->what[0])
		*b->d = why;
}

int docker_get_many(struct docker *k, struct docker_question *questions, size_t n, size_t max_bytes,
		    struct diag *d)
{
	uint64_t deadline_ms = http_now_ms() + docker_timeout(k);
	struct batch b = { .docker = k, .questions = questions, .n = n, .max_bytes = max_bytes, .d = d };
	int r;

	if (!docker_negotiated(k)) {
		r = docker_ping(k, deadline_ms, d);
		if (r < 0)
			return r;
	}
	while (b.next < n || b.n_busy > 0) {
		uint64_t now = http_now_ms();

		if (now >= deadline_ms) {
			abandon(&b, -ETIMEDOUT);
			break;
		}
		fill_slots(&b);
		r = b.n_busy > 0 || b.next < n ? turn(&b, (int)MIN(deadline_ms - now, (uint64_t)INT32_MAX)) : 0;
		if (r < 0) {
			abandon(&b, r);
			break;
		}
	}
	return 0;
}
