/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Questions to Docker from an event loop. Nothing here ever waits.
 */
#include <systemd/sd-event.h>

#include "batten/host/docker.h"

struct docker_async;

/*
 * What has come: @error 0 with text, or a negative errno of docker.h with words in @d.
 * @text belongs to the question. The last call (for an answer the only one; for a stream the one with an error) may free the
 * question; the others must not.
 */
typedef void (*docker_async_fn)(void *user, int error, const char *text, size_t n, const struct diag *d);

/*
 * docker_async_get - ask for a whole answer
 * @path: "/_ping" also negotiates the version, which every other path needs
 * Return: 0, and @fn is called once later; or a negative errno, and it is not
 */
int docker_async_get(struct docker_async **ret, sd_event *event, struct docker *k, const char *path,
		     size_t max_bytes, docker_async_fn fn, void *user, struct diag *d) _must_check_;

/*
 * docker_async_lines - follow an answer that has no end, line by line
 * @fn: called first with NULL text when Docker has accepted, then for each line; -EMSGSIZE for a
 *      longer one. Only the acceptance has a deadline.
 */
int docker_async_lines(struct docker_async **ret, sd_event *event, struct docker *k, const char *path,
		       size_t max_line, docker_async_fn fn, void *user, struct diag *d) _must_check_;

struct docker_async *docker_async_free(struct docker_async *a);
DEFINE_CLEANUP(struct docker_async *, docker_async_free)
