/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker as its follower hears it: version, a stream of events in chunks, the list, what it says of
 * each container. Whatever comes, ids are ids and containers are whole.
 */
#include <errno.h>
#include <stdlib.h>

#include "batten/host/docker-follow.h"
#include "piece.h"

#define MAX_INPUT_BYTES 65536
#define MAX_QUESTIONS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int peers[MAX_QUESTIONS];
static size_t n_peers;

static int ask(void *user, enum follow_question q, unsigned int api_minor, const char *id, struct diag *d)
{
	int fd = -1;

	if (q == FOLLOW_INSPECT && !container_id_ok(id))
		abort();
	if (n_peers < MAX_QUESTIONS)
		fd = piece_connection(&peers[n_peers], q != FOLLOW_EVENTS);
	if (fd < 0)
		return diag_fail(d, -EHOSTDOWN, "the input", "is at its end");
	n_peers++;
	return fd;
}

static bool await(void *user)
{
	return true;
}

static void followed(void *user, bool is_followed, const struct diag *d)
{
	if (!is_followed && d && d->what[0] == '\0')
		abort();
}

static void listed(void *user, const char (*ids)[CONTAINER_ID_SIZE], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!container_id_ok(ids[i]))
			abort();
}

static void ended(void *user, const char *id)
{
	if (!container_id_ok(id))
		abort();
}

/* Of one that is gone little is known. */
static void over(void *user, struct container *c)
{
	if (!container_id_ok(c->id))
		abort();
	container_free(c);
}

static void container(void *user, struct container *c)
{
	if (!container_id_ok(c->id) || !c->name || !c->image || !c->family || !c->task_arn || c->pid < 0)
		abort();
	container_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct docker_follow_calls calls = { ask, await, followed, listed, ended, container, over };
	static sd_event *event;
	struct docker_follow *f;

	if (n > MAX_INPUT_BYTES || (!event && sd_event_new(&event) < 0))
		return 0;
	piece_rest = (struct slice){ (const char *)data, n };
	if (docker_follow_new(&f, event, "/nowhere", &calls, NULL, NULL) < 0)
		return 0;
	while (sd_event_run(event, 0) > 0)
		;
	/* The stream of events breaks off. */
	for (size_t i = 0; i < n_peers; i++)
		peers[i] = fd_close(peers[i]);
	while (sd_event_run(event, 0) > 0)
		;
	n_peers = 0;
	docker_follow_free(f);
	return 0;
}
