/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The model kept current in an event loop: Docker's follower (docker-follow.h), wherever it runs, says
 * who starts, and the kernel says who ends, also while Docker is away.
 */
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "batten/host/model.h"

struct host_watch;

struct host_watch_calls {
	/* @c runs and is complete; also called when something about it changed. @c->inspect_text lives as long as the call. */
	void (*runs)(void *user, struct container *c);
	/* @c does not run: it was just made, or has not been started again. Freed after the call. */
	void (*made)(void *user, const struct container *c);
	/* @c has ended and is freed after the call. Always comes after runs(). */
	void (*ended)(void *user, struct container *c);
	/* @c ran and was over before runs() could be called for it; freed after the call. Little of it may be known. */
	void (*over)(void *user, struct container *c);
	/* Docker is followed (@d NULL), or not any more (why). Only changes are told. */
	void (*docker)(void *user, bool followed, const struct diag *d);
};

/* Return: 0 or -ENOMEM */
int host_watch_new(struct host_watch **ret, sd_event *event, const struct host_watch_calls *calls,
		   void *user) _must_check_;
struct host_watch *host_watch_free(struct host_watch *w);
DEFINE_CLEANUP(struct host_watch *, host_watch_free)

/* What a follower tells; the meaning is that of struct docker_follow_calls. */
void host_watch_docker(struct host_watch *w, bool followed, const struct diag *d);
void host_watch_listed(struct host_watch *w, const char (*ids)[CONTAINER_ID_SIZE], size_t n);
void host_watch_ended(struct host_watch *w, const char *id);
/* @c is the watch's from here on. */
void host_watch_container(struct host_watch *w, struct container *c);
void host_watch_over(struct host_watch *w, struct container *c);

/* The containers that run, as far as known. */
const struct host_model *host_watch_model(const struct host_watch *w);
