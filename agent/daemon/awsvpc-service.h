/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The namespaces of awsvpc tasks, each looked at when a container of the task starts: by then ECS has
 * given it its interface and its routes.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/host/container.h"
#include "batten/imds/config.h"
#include "daemon/event-log.h"

struct awsvpc_service;

struct awsvpc_service *awsvpc_service_new(sd_event *event, struct event_log *log);
struct awsvpc_service *awsvpc_service_free(struct awsvpc_service *s);

/*
 * What is wanted, from here on
 * @cgroups: the cgroup programs stand, and refuse whoever is not allowed whatever the routes say
 * @open:    why every namespace is left open, and nobody accused of it; NULL: it is not; a literal
 */
void awsvpc_service_configure(struct awsvpc_service *s, enum imds_awsvpc mode, bool cgroups, const char *open);

/*
 * A container runs, or is allowed what it was not, or the other way round: looks, in a worker, if it
 * is of an awsvpc task and the mode is not "no". A namespace with an allowed container is left open.
 */
void awsvpc_service_runs(struct awsvpc_service *s, const struct container *c, bool allowed);
void awsvpc_service_ended(struct awsvpc_service *s, const struct container *c);

/* Adds the layer's two rows to those of a status. */
void awsvpc_service_status(const struct awsvpc_service *s, json_t *layers);
