/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the observer of system calls has to tell, as an event for people.
 */
#include "batten/host/model.h"
#include "batten/seccomp/observer.h"
#include "daemon/event-log.h"

/*
 * A call that an image makes for the first time although it was observed before (seccomp.new), or the
 * first of those that the profile on trial would deny (seccomp.shadow).
 * @c: whose, or NULL while nobody knows
 */
void seccomp_event(struct event_log *log, const struct container *c, const struct observer_event *e,
		   uint64_t held_back);
