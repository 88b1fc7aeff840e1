/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Containers that stand in no slice, from the birth of their cgroup until Docker has told who they are:
 * refused meanwhile (cgroup_births_new()), and what they tried is told once they have a name.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/host/container.h"
#include "batten/imds/cgroup.h"
#include "batten/imds/config.h"
#include "daemon/guard-service.h"

struct newborns;

/* @fn: told of each attempt that newborns_keep() took, in time; NULL on no memory */
struct newborns *newborns_new(sd_event *event, void (*fn)(void *user, const struct cgroup_event *e), void *user);
struct newborns *newborns_free(struct newborns *n);
DEFINE_CLEANUP(struct newborns *, newborns_free)

/*
 * The guard's cgroup layer stands as configured, or does not. Whom it refuses stays refused; of ECS's agents it knows no more
 * than those that run: one that was made and is started at this very moment is refused for some ms, and tries again.
 */
void newborns_configure(struct newborns *n, struct guard_service *guard, const struct imds_config *c);

/* While Docker is away for long nobody is refused: nobody could tell which container is the ECS agent's. */
void newborns_docker(struct newborns *n, bool followed);

/* The kernel says that somebody was born. */
void newborns_born(struct newborns *n);

/* Docker has made a container, which may not run yet: the ECS agent's is not refused when it does. */
void newborns_made(struct newborns *n, const struct container *c);

/* The container has its row, or none: from here on that decides. */
void newborns_judged(struct newborns *n, const struct container *c);

/* Is it a newborn's attempt? Then it is kept until newborns_judged(), or for some seconds. */
bool newborns_keep(struct newborns *n, const struct cgroup_event *e);

/* What is kept is told as it is, for nobody will be there to tell it later. */
void newborns_tell_all(struct newborns *n);

/* Into the rows of the layer cgroup-ebpf: why containers in no slice are open at first, where they are. */
void newborns_status(const struct newborns *n, json_t *layers);
