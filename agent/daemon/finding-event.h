/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A step in a finding's life as an event: in the journal with its fields, and for `batten events`.
 */
#include "batten/audit/life.h"
#include "daemon/event-log.h"

void finding_event(struct event_log *log, enum life_step step, const struct life_finding *f, size_t others);
