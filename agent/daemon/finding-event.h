/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A step in a finding's life as an event: in the journal with its fields, and for `batten events`.
 */
#include "batten/audit/life.h"
#include "daemon/event-log.h"

void finding_event(struct event_log *log, enum life_step step, const struct life_finding *f, size_t others);

/* Something cannot be judged, or is not left out any more. @event: what it is about and why; taken over, NULL on no memory */
void finding_event_unjudged(struct event_log *log, enum life_step step, json_t *event);
