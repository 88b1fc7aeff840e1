/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A blocked attempt as an event for people: who it was, as far as it is certain.
 */
#include "batten/host/model.h"
#include "batten/imds/cgroup.h"
#include "batten/kernel/nflog.h"
#include "daemon/event-log.h"

/* Name, id, task, family and image, as far as they are known, into an event. */
void event_add_container(json_t *j, const struct container *c);

/* Of the cgroup layer: the group is the kernel's word; the process is certain where it asked itself. */
void blocked_event_cgroup(struct event_log *log, const struct host_model *m, const struct cgroup_event *e);

/*
 * Of a packet that the table refused. Its source address is its own word, and a neighbour's frame
 * can carry any: the container is only claimed.
 * @held_back: events that were held back before this one
 */
void blocked_event_packet(struct event_log *log, const struct host_model *m, const struct nflog_packet *p,
			  uint64_t held_back);
