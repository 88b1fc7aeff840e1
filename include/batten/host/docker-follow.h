/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Following Docker: its events, its list, and what it says of each container, as containers. Docker may
 * be absent, restart, hang or answer nonsense; the follower tries again with growing pauses, sleeps
 * while there is no socket, and never waits. It opens nothing itself: whoever made it connects and asks,
 * so that it can be a process that may do neither.
 */
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "batten/host/container.h"
#include "batten/host/docker.h"

enum follow_question {
	FOLLOW_PING, /* which version is spoken */
	FOLLOW_EVENTS,
	FOLLOW_LIST,
	FOLLOW_INSPECT,
	FOLLOW_MADE, /* a list of one that does not run yet: Docker would keep an inspect waiting while it starts */
	FOLLOW_IMAGE, /* what is known of one */
	_FOLLOW_QUESTION_MAX,
};

/*
 * docker_follow_ask - connect and send a question; never waits
 * @api_minor: of the version, as of docker_api_minor(); of no meaning for FOLLOW_PING
 * @name: of FOLLOW_INSPECT and FOLLOW_MADE, container_id_ok(); of FOLLOW_IMAGE, image_name_ok()
 * Return: a descriptor from which the answer is read, or a negative errno of docker.h
 */
int docker_follow_ask(const struct docker *k, enum follow_question q, unsigned int api_minor, const char *name,
		      struct diag *d) _must_check_;

struct docker_follow;

struct docker_follow_calls {
	/* As docker_follow_ask(). */
	int (*ask)(void *user, enum follow_question q, unsigned int api_minor, const char *name, struct diag *d);
	/* There is no socket, perhaps: true when docker_follow_again() will be called once there is one. */
	bool (*await)(void *user);
	/* Docker is followed (@d NULL), or not any more (why). Only changes are told. */
	void (*followed)(void *user, bool followed, const struct diag *d);
	/* All that run. Whoever is not among them has ended. */
	void (*listed)(void *user, const char (*ids)[CONTAINER_ID_SIZE], size_t n);
	void (*ended)(void *user, const char *id);
	/* @c is the callee's; it runs, or did when Docker answered, or was just made: then little is told of it. */
	void (*container)(void *user, struct container *c);
	/*
	 * @c, the callee's, started and was over before Docker could be asked. Of one that Docker has removed, only
	 * its id, its image and the image's digest are known.
	 */
	void (*over)(void *user, struct container *c);
};

/*
 * docker_follow_new - begin; the first calls come from the loop
 * @url: for the texts of errors
 * Return: 0 or a negative errno: -EINVAL for a bad @url, -ENOMEM
 */
int docker_follow_new(struct docker_follow **ret, sd_event *event, const char *url,
		      const struct docker_follow_calls *calls, void *user, struct diag *d) _must_check_;
struct docker_follow *docker_follow_free(struct docker_follow *f);
DEFINE_CLEANUP(struct docker_follow *, docker_follow_free)

/* The socket is there: try now. */
void docker_follow_again(struct docker_follow *f);
