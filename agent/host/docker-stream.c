/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Image archives out of Docker and into it. Neither is ever held in memory: a download is handed
 * on as it comes, an upload leaves in chunks as it is written.
 */
#include "host/docker-internal.h"

#include <errno.h>
#include <stdio.h>

#define MAX_REFUSAL (16 * 1024)
#define MAX_UPLOAD_ANSWER (1024 * 1024) /* progress lines of an image load */

struct docker_stream {
	struct docker *docker; /* the caller's; outlives the stream */
	struct http_call *call;
	struct slice body; /* received and not yet read */
	bool ended;
};

struct docker_stream *docker_stream_free(struct docker_stream *s)
{
	if (!s)
		return NULL;
	http_call_free(s->call);
	free(s);
	return NULL;
}

static int stream_new(struct docker_stream **ret, struct docker *k, const char *method,
		      const char *path, const char *headers, struct diag *d)
{
	_cleanup_(docker_stream_freep) struct docker_stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->docker = k;
	r = docker_call_blocking(&s->call, k, method, path, headers,
				 http_now_ms() + docker_timeout(k), d);
	if (r < 0)
		return r;
	*ret = take_ptr(s);
	return 0;
}

/* The next event, waited for. */
static int next_step(struct docker_stream *s, struct diag *d)
{
	uint64_t deadline_ms = http_now_ms() + DOCKER_STREAM_IDLE_MS;

	for (;;) {
		int r = http_call_step(s->call, &s->body);

		if (r == HTTP_WAIT)
			r = http_call_wait(s->call, deadline_ms);
		else if (r >= 0)
			return r;
		if (r < 0)
			return docker_fail(s->docker, r, d);
	}
}

static int refused(struct docker_stream *s, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	size_t n = 0;
	int r;

	r = http_call_collect(s->call, http_now_ms() + docker_timeout(s->docker), MAX_REFUSAL, &text, &n);
	if (r < 0)
		n = 0;
	r = docker_check_status(s->docker, http_call_status(s->call), text ? text : "", n, d);
	if (r >= 0) /* a success of another kind */
		r = diag_fail(d, -EPROTO, docker_socket(s->docker), "Docker answered with status %d and without an archive",
			      http_call_status(s->call));
	return r;
}

int docker_download(struct docker_stream **ret, struct docker *k, const char *path, struct diag *d)
{
	_cleanup_(docker_stream_freep) struct docker_stream *s = NULL;
	int r;

	r = stream_new(&s, k, "GET", path, "", d);
	if (r < 0)
		return r;
	r = next_step(s, d); /* HTTP_HEAD, or an error */
	if (r < 0)
		return r;
	if (http_call_status(s->call) != 200)
		return refused(s, d);
	*ret = take_ptr(s);
	return 0;
}

int docker_download_read(struct docker_stream *s, void *buf, size_t size, size_t *ret_n, struct diag *d)
{
	size_t n;

	while (!s->ended && s->body.n == 0) {
		int r = next_step(s, d);

		if (r < 0)
			return r;
		s->ended = r == HTTP_END;
	}
	n = s->ended ? 0 : MIN(size, s->body.n);
	if (n > 0) {
		memcpy(buf, s->body.p, n);
		s->body.p += n;
		s->body.n -= n;
	}
	*ret_n = n;
	return 0;
}

int docker_upload(struct docker_stream **ret, struct docker *k, const char *path, const char *type,
		  struct diag *d)
{
	char headers[256];

	(void)snprintf(headers, sizeof(headers),
		       "Content-Type: %s\r\nTransfer-Encoding: chunked\r\n", type);
	return stream_new(ret, k, "POST", path, headers, d);
}

/*
 * Sends what is queued. An answer that comes before the end is a refusal: sending stops there, and
 * docker_upload_finish() reads it.
 */
static int drain(struct docker_stream *s, struct diag *d)
{
	uint64_t deadline_ms = http_now_ms() + DOCKER_STREAM_IDLE_MS;

	while (!s->ended && http_call_unsent(s->call) > 0) {
		size_t before = http_call_unsent(s->call);
		int r = http_call_step(s->call, &s->body);

		if (r == HTTP_HEAD) {
			s->ended = true;
			return 0;
		}
		if (http_call_unsent(s->call) < before)
			deadline_ms = http_now_ms() + DOCKER_STREAM_IDLE_MS;
		if (r == HTTP_WAIT && http_call_unsent(s->call) > 0)
			r = http_call_wait(s->call, deadline_ms);
		if (r < 0)
			return docker_fail(s->docker, r, d);
	}
	return 0;
}

int docker_upload_write(struct docker_stream *s, const void *data, size_t n, struct diag *d)
{
	char size[24];
	int r;

	if (n == 0 || s->ended) /* a chunk of nothing would end the body */
		return 0;
	(void)snprintf(size, sizeof(size), "%zx\r\n", n);
	r = http_call_send(s->call, size, strlen(size));
	if (r >= 0)
		r = http_call_send(s->call, data, n);
	if (r >= 0)
		r = http_call_send(s->call, "\r\n", 2);
	return r < 0 ? r : drain(s, d);
}

int docker_upload_finish(struct docker_stream *s, char **ret, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r;

	if (!s->ended) {
		r = http_call_send(s->call, "0\r\n\r\n", 5);
		if (r >= 0)
			r = drain(s, d);
		if (r < 0)
			return r;
	}
	r = http_call_collect(s->call, http_now_ms() + DOCKER_STREAM_IDLE_MS, MAX_UPLOAD_ANSWER, &text, &n);
	if (r < 0)
		return docker_fail(s->docker, r, d);
	r = docker_check_status(s->docker, http_call_status(s->call), text, n, d);
	if (r < 0)
		return r;
	if (ret)
		*ret = take_ptr(text);
	return 0;
}
