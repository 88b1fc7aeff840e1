/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What `batten fix` mended or undid, as events: its journal is watched.
 */
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "daemon/event-log.h"

struct fix_watch;

/*
 * fix_watch_new - watch STATE_DIR/fix, which is made when it is missing
 * @log: the caller's; outlives the watch
 * Return: 0 or a negative errno
 */
int fix_watch_new(struct fix_watch **ret, sd_event *event, const char *state_dir, struct event_log *log,
		  struct diag *d) _must_check_;
struct fix_watch *fix_watch_free(struct fix_watch *w);
DEFINE_CLEANUP(struct fix_watch *, fix_watch_free)
