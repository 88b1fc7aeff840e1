/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Docker's answers in an event loop. Nothing here ever waits.
 */
#include <systemd/sd-event.h>

#include "batten/host/docker-follow.h"

struct docker_async;

/*
 * What has come: @error 0 with text, or a negative errno of docker.h with words in @d.
 * @text belongs to the question. The last call (for an answer the only one; for a stream the one with an error) may free the
 * question; the others must not.
 */
typedef void (*docker_async_fn)(void *user, int error, const char *text, size_t n, const struct diag *d);

/*
 * docker_async_new - read the answer to a question that has been sent
 * @q:  FOLLOW_PING also negotiates the version. FOLLOW_EVENTS has no end and comes line by line: @fn is
 *      called first with NULL text when Docker has accepted, then for each line; only the acceptance
 *      has a deadline. Any other answer comes whole.
 * @fd: non-blocking; belongs to the answer from now on, also when this fails
 * Return: 0, and @fn is called later; or a negative errno, and it is not
 */
int docker_async_new(struct docker_async **ret, sd_event *event, struct docker *k, enum follow_question q, int fd,
		     docker_async_fn fn, void *user, struct diag *d) _must_check_;

struct docker_async *docker_async_free(struct docker_async *a);
DEFINE_CLEANUP(struct docker_async *, docker_async_free)
