/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What was blocked and no event told of: limits in the kernel and here keep a flood from costing more
 * than a few events, and the counters, which are exact, say how many there were.
 */
#include <stdint.h>
#include <systemd/sd-event.h>

#include "batten/base/macros.h"
#include "daemon/event-log.h"

enum untold_source {
	UNTOLD_PACKETS,	 /* that the tables refused */
	UNTOLD_ATTEMPTS, /* that the cgroup programs refused */
	_UNTOLD_MAX,
};

struct untold;

/*
 * untold_new
 * @count: how many the kernel has counted of a source; a negative errno when it cannot be asked
 * Return: NULL on no memory
 */
struct untold *untold_new(sd_event *event, struct event_log *log,
			  int64_t (*count)(void *user, enum untold_source source), void *user);
struct untold *untold_free(struct untold *u);
DEFINE_CLEANUP(struct untold *, untold_free)

/* Counters may have been made anew: what they say now is the beginning. */
void untold_start(struct untold *u);

/* An event told of @n. What is left over a second later is told in one sum. */
void untold_told(struct untold *u, enum untold_source source, uint64_t n);
