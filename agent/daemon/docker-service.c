/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The role never has Docker's socket, only connections on which the core has asked one of six
 * questions. Where there is no socket, its directory is watched here, for the role sees no files.
 */
#include "daemon/docker-service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/log.h"
#include "batten/daemon/priorities.h"
#include "batten/host/container-record.h"
#include "batten/host/docker-follow.h"
#include "daemon/docker-reader.h"
#include "daemon/role.h"

#define MAX_API_MINOR 9999

static const struct log_message msg_ended = { "c7d2e9f04a1b4c6d8e3f5a7b9c1d2e3f",
					       "the reader of Docker's answers ended, starting it again" };

struct docker_service {
	sd_event *event; /* referenced */
	struct docker *docker;
	struct host_watch *watch;
	struct role *role;
	sd_event_source *appears;
};

/* ---- what the role asks --------------------------------------------------------------------------- */

static int take_id(char *ret, const char *bytes)
{
	memcpy(ret, bytes, READER_ID_BYTES);
	ret[READER_ID_BYTES] = '\0';
	return container_id_ok(ret) ? 0 : -EBADMSG;
}

static int on_ask(struct docker_service *s, const struct reader_ask *q)
{
	struct reader_answer answer = { 0 };
	_cleanup_(fd_closep) int fd = -1;

	if (q->question >= _FOLLOW_QUESTION_MAX || q->api_minor > MAX_API_MINOR ||
	    !memchr(q->name, '\0', sizeof(q->name)) ||
	    ((q->question == FOLLOW_INSPECT || q->question == FOLLOW_MADE) && !container_id_ok(q->name)) ||
	    (q->question == FOLLOW_IMAGE && !image_name_ok(q->name)))
		return -EBADMSG;
	fd = docker_follow_ask(s->docker, (enum follow_question)q->question, q->api_minor, q->name, &answer.why);
	answer.error = MIN(fd, 0);
	role_tell(s->role, READER_ANSWER, &answer, sizeof(answer), fd);
	return 0;
}

static int on_appears(sd_event_source *source, const struct inotify_event *e, void *data)
{
	struct docker_service *s = data;
	const char *slash = strrchr(docker_socket(s->docker), '/');

	if (e->len > 0 && strcmp(e->name, slash + 1) != 0)
		return 0;
	s->appears = sd_event_source_disable_unref(s->appears);
	role_tell(s->role, READER_WAKE, NULL, 0, -1);
	return 0;
}

/* Is there no socket, and will we be told when there is one? */
static bool await_socket(struct docker_service *s)
{
	const char *path = docker_socket(s->docker), *slash = strrchr(path, '/');
	char directory[128];

	(void)snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path);
	if (!s->appears && sd_event_add_inotify(s->event, &s->appears, directory, IN_CREATE | IN_MOVED_TO, on_appears,
						s) < 0)
		return false;
	/* Looked at after the watch stands: what was made in between is seen here. */
	if (access(path, F_OK) < 0)
		return true;
	s->appears = sd_event_source_disable_unref(s->appears);
	return false;
}

/* ---- what the role tells -------------------------------------------------------------------------- */

static int on_followed(struct docker_service *s, const struct reader_followed *f)
{
	struct diag why = f->why;

	role_diag_terminate(&why);
	host_watch_docker(s->watch, f->followed != 0, f->followed ? NULL : &why);
	return 0;
}

static int on_listed(struct docker_service *s, const char *bytes, size_t n_bytes)
{
	size_t n = n_bytes / READER_ID_BYTES;
	_cleanup_(freep) char (*ids)[CONTAINER_ID_SIZE] = calloc(n + 1, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (take_id(ids[i], bytes + i * READER_ID_BYTES) < 0)
			return -EBADMSG;
	host_watch_listed(s->watch, (const char(*)[CONTAINER_ID_SIZE])ids, n);
	return 0;
}

static int on_ended(struct docker_service *s, const char *bytes)
{
	char id[CONTAINER_ID_SIZE];

	if (take_id(id, bytes) < 0)
		return -EBADMSG;
	host_watch_ended(s->watch, id);
	return 0;
}

static int on_container(struct docker_service *s, bool over, const void *data, size_t n)
{
	struct container *c;
	int r = container_record_read(&c, data, n);

	if (r >= 0 && over)
		host_watch_over(s->watch, c);
	else if (r >= 0)
		host_watch_container(s->watch, c);
	return r;
}

static int on_message(void *user, uint32_t type, const void *data, size_t n)
{
	struct docker_service *s = user;
	struct reader_followed followed;
	struct reader_waits waits;
	struct reader_ask ask;

	/* Copied: what lies in a stream lies anywhere. */
	switch ((enum reader_message)type) {
	case READER_ASK:
		memcpy(&ask, data, sizeof(ask));
		return on_ask(s, &ask);
	case READER_AWAIT:
		waits = (struct reader_waits){ await_socket(s) };
		role_tell(s->role, READER_WAITS, &waits, sizeof(waits), -1);
		return 0;
	case READER_FOLLOWED:
		memcpy(&followed, data, sizeof(followed));
		return on_followed(s, &followed);
	case READER_LISTED:
		return on_listed(s, data, n);
	case READER_ENDED:
		return on_ended(s, data);
	case READER_CONTAINER:
		return on_container(s, false, data, n);
	case READER_OVER:
		return on_container(s, true, data, n);
	default:
		return -EBADMSG;
	}
}

static void on_gone(void *user, const char *why)
{
	struct docker_service *s = user;
	struct diag d = { 0 };

	s->appears = sd_event_source_disable_unref(s->appears);
	log_event(LOG_ERR, &msg_ended, "reason", why);
	(void)diag_fail(&d, -ECONNRESET, docker_socket(s->docker), "its reader ended: %s", why);
	host_watch_docker(s->watch, false, &d);
}

/* ---- life ------------------------------------------------------------------------------------------ */

int docker_service_new(struct docker_service **ret, sd_event *event, const char *url, struct host_watch *watch,
		       struct diag *d)
{
	static const struct role_calls calls = { .message = on_message, .gone = on_gone };
	static const struct role_kind kind = { .name = DOCKER_READER, .protocol = &docker_reader_protocol,
					       .priority = PRIORITY_HOST };
	_cleanup_(docker_service_freep) struct docker_service *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->watch = watch;
	r = docker_new(&s->docker, url, d);
	if (r >= 0)
		r = role_new(&s->role, event, &kind, docker_socket(s->docker), &calls, s);
	if (r < 0)
		return r;
	*ret = take_ptr(s);
	return 0;
}

struct docker_service *docker_service_free(struct docker_service *s)
{
	if (!s)
		return NULL;
	s->role = role_free(s->role);
	s->docker = docker_free(s->docker);
	(void)sd_event_source_disable_unref(s->appears);
	(void)sd_event_unref(s->event);
	free(s);
	return NULL;
}
