/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * [imds] self-test: after a change, who reaches the service is tried from inside every container, by a
 * worker. Changes that come close together are answered by one run.
 */
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "batten/base/macros.h"
#include "batten/host/model.h"
#include "batten/imds/config.h"
#include "daemon/event-log.h"

struct self_test;

struct self_test_calls {
	/* The containers to try, looked at in the worker. */
	const struct host_model *(*model)(void *user);
	/* Is this container meant to reach the service? Called in the worker. */
	bool (*may)(void *user, const struct container *c);
};

/* NULL on no memory. */
struct self_test *self_test_new(sd_event *event, struct event_log *log, const struct self_test_calls *calls,
				void *user);
struct self_test *self_test_free(struct self_test *s);
DEFINE_CLEANUP(struct self_test *, self_test_free)

/* Something changed: a run begins soon, if @mode and the place allow one. */
void self_test_soon(struct self_test *s, enum imds_self_test mode);

/* What a run that has begun finds open may have been allowed since: nobody is accused of it. Call self_test_soon() then. */
void self_test_allowed(struct self_test *s);

/* The guard does not stand, as it was asked for: no run is due, and what one finds that has begun is no matter. */
void self_test_stop(struct self_test *s);

/* Is that a process of a run? Its attempts are nobody else's. */
bool self_test_is_ours(const struct self_test *s, pid_t pid);

/* A container ended: what was said of it is forgotten. */
void self_test_ended(struct self_test *s, const struct container *c);

/* {"runs": …, "open": …} into a batten.imds-status/1. */
void self_test_status(const struct self_test *s, enum imds_self_test mode, json_t *status);
