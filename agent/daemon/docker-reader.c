/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The follower in a process of its own. Its questions go to the core one at a time, and it waits for
 * each answer: the core, which waits for nobody, gives it at once.
 */
#include "daemon/docker-reader.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/host/container-record.h"
#include "batten/host/docker-follow.h"
#include "batten/host/model.h"
#include "batten/kernel/confine.h"
#include "daemon/role.h"

/* The list of 1,000 containers, as text and as a tree, and some. */
#define MAX_DATA_BYTES (64u * 1024 * 1024)
#define MAX_FILES 32

static const struct role_message messages[_READER_MAX] = {
	[READER_ASK] = { "ask", true, sizeof(struct reader_ask), sizeof(struct reader_ask), 0 },
	[READER_ANSWER] = { "answer", false, sizeof(struct reader_answer), sizeof(struct reader_answer), 0 },
	[READER_AWAIT] = { "await", true, 0, 0, 0 },
	[READER_WAITS] = { "waits", false, sizeof(struct reader_waits), sizeof(struct reader_waits), 0 },
	[READER_WAKE] = { "wake", false, 0, 0, 0 },
	[READER_FOLLOWED] = { "followed", true, sizeof(struct reader_followed), sizeof(struct reader_followed), 0 },
	[READER_LISTED] = { "listed", true, 0, MAX_CONTAINERS * READER_ID_BYTES, READER_ID_BYTES },
	[READER_ENDED] = { "ended", true, READER_ID_BYTES, READER_ID_BYTES, 0 },
	[READER_CONTAINER] = { "container", true, 1, CONTAINER_RECORD_MAX, 0 },
	[READER_OVER] = { "over", true, 1, CONTAINER_RECORD_MAX, 0 },
};

const struct role_protocol docker_reader_protocol = { messages, _READER_MAX };

struct reader {
	sd_event *event;
	struct docker_follow *follow;
};

/* ---- to the core ------------------------------------------------------------------------------- */

/* Without the core there is nothing left to do, and nobody to tell. */
static void tell(struct reader *r, enum reader_message type, const void *data, size_t n)
{
	if (role_send(ROLE_FD, &docker_reader_protocol, true, type, data, n, -1, 0) < 0)
		(void)sd_event_exit(r->event, 0);
}

static int answer_to(struct reader *r, enum reader_message type, void *buf, size_t size, int *ret_fd)
{
	uint32_t got = _READER_MAX;
	ssize_t n = role_receive(ROLE_FD, &docker_reader_protocol, false, &got, buf, size, ret_fd);

	if (n >= 0 && got == type)
		return 0;
	(void)sd_event_exit(r->event, 0);
	return n < 0 ? (int)n : -EBADMSG;
}

static int on_ask(void *user, enum follow_question q, unsigned int api_minor, const char *name, struct diag *d)
{
	struct reader_ask question = { .question = q, .api_minor = api_minor };
	_cleanup_(fd_closep) int fd = -1;
	struct reader_answer answer;
	struct reader *r = user;
	int error;

	if (name)
		(void)snprintf(question.name, sizeof(question.name), "%s", name);
	tell(r, READER_ASK, &question, sizeof(question));
	error = answer_to(r, READER_ANSWER, &answer, sizeof(answer), &fd);
	if (error < 0)
		return error;
	if (answer.error < 0 || fd < 0) {
		role_diag_terminate(&answer.why);
		if (d)
			*d = answer.why;
		return answer.error < 0 ? answer.error : -EBADMSG;
	}
	return fd_take(&fd);
}

static bool on_await(void *user)
{
	_cleanup_(fd_closep) int fd = -1;
	struct reader_waits waits;
	struct reader *r = user;

	tell(r, READER_AWAIT, NULL, 0);
	return answer_to(r, READER_WAITS, &waits, sizeof(waits), &fd) == 0 && waits.will_be_told;
}

static void on_followed(void *user, bool followed, const struct diag *d)
{
	struct reader_followed f = { .followed = followed };

	if (d)
		f.why = *d;
	tell(user, READER_FOLLOWED, &f, sizeof(f));
}

static void on_listed(void *user, const char (*ids)[CONTAINER_ID_SIZE], size_t n)
{
	struct bytes b = { 0 };

	for (size_t i = 0; i < n; i++)
		bytes_append(&b, ids[i], READER_ID_BYTES);
	/* Half a list would end the containers of the other half. */
	if (b.error == 0)
		tell(user, READER_LISTED, b.data, b.n);
	bytes_done(&b);
}

static void on_ended(void *user, const char *id)
{
	tell(user, READER_ENDED, id, READER_ID_BYTES);
}

static void tell_container(void *user, enum reader_message type, struct container *c)
{
	struct bytes b = { 0 };

	container_record_write(c, &b);
	container_free(c);
	if (b.error == 0 && b.n <= CONTAINER_RECORD_MAX)
		tell(user, type, b.data, b.n);
	bytes_done(&b);
}

static void on_container(void *user, struct container *c)
{
	tell_container(user, READER_CONTAINER, c);
}

static void on_over(void *user, struct container *c)
{
	tell_container(user, READER_OVER, c);
}

/* ---- from the core ------------------------------------------------------------------------------ */

/* Unasked it says one thing only. */
static int on_core(sd_event_source *source, int fd, uint32_t events, void *data)
{
	_cleanup_(fd_closep) int passed = -1;
	struct reader *r = data;
	char none[1];

	if (answer_to(r, READER_WAKE, none, sizeof(none), &passed) == 0)
		docker_follow_again(r->follow);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------------ */

int docker_reader_confine(struct diag *d)
{
	static const int calls[] = {
		SCMP_SYS(read), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(close),
		SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
		SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(mmap), SCMP_SYS(fstat),
	};
	/* sd-event would spread wake-ups by the boot's id, jansson's hashes start from /dev/urandom. */
	static const int refused[] = { SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(newfstatat) };
	/* A descriptor is an int: the upper half of the register means nothing. */
	static const struct confinement_when when[] = { { SCMP_SYS(sendmsg), 0, UINT32_MAX, ROLE_FD, false } };
	const struct confinement c = {
		.max_data_bytes = MAX_DATA_BYTES,
		.max_files = MAX_FILES,
		.calls = calls,
		.n_calls = ARRAY_SIZE(calls),
		.refused = refused,
		.n_refused = ARRAY_SIZE(refused),
		.when = when,
		.n_when = ARRAY_SIZE(when),
	};

	return confine(&c, d);
}

static int run(struct reader *r, const char *socket, struct diag *d)
{
	static const struct docker_follow_calls calls = {
		.ask = on_ask,
		.await = on_await,
		.followed = on_followed,
		.listed = on_listed,
		.ended = on_ended,
		.container = on_container,
		.over = on_over,
	};
	int error;

	json_object_seed(0); /* while there is a /dev/urandom */
	error = sd_event_new(&r->event);
	if (error >= 0)
		error = sd_event_add_io(r->event, NULL, ROLE_FD, EPOLLIN, on_core, r);
	if (error >= 0)
		error = docker_reader_confine(d);
	if (error >= 0)
		error = docker_follow_new(&r->follow, r->event, socket, &calls, r, d);
	return error < 0 ? error : sd_event_loop(r->event);
}

int docker_reader_run(const char *socket, struct diag *d)
{
	struct reader r = { 0 };
	int error = run(&r, socket, d);

	(void)docker_follow_free(r.follow);
	(void)sd_event_unref(r.event);
	return error;
}
