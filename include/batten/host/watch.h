/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The model kept current from an event loop: Docker's events say who starts, and the kernel says
 * who ends, also while Docker is away. Docker may be absent, restart, hang or answer nonsense;
 * the watch tries again with growing pauses, sleeps while there is no socket, and never waits.
 */
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "batten/host/model.h"

struct host_watch;

struct host_watch_calls {
	/* @c runs and is complete; also called when something about it changed. @c->inspect lives as long as the call. */
	void (*runs)(void *user, struct container *c);
	/* @c has ended and is freed after the call. Always comes after runs(). */
	void (*ended)(void *user, struct container *c);
	/* Docker is followed (@d NULL), or not any more (why). Only changes are told. */
	void (*docker)(void *user, bool followed, const struct diag *d);
};

/*
 * host_watch_new - begin; the first calls come from the loop
 * @url: as in docker_new()
 * Return: 0 or a negative errno: -EINVAL for a bad @url, -ENOMEM
 */
int host_watch_new(struct host_watch **ret, sd_event *event, const char *url,
		   const struct host_watch_calls *calls, void *user, struct diag *d) _must_check_;
struct host_watch *host_watch_free(struct host_watch *w);
DEFINE_CLEANUP(struct host_watch *, host_watch_free)

/* The containers that run, as far as known. */
const struct host_model *host_watch_model(const struct host_watch *w);
