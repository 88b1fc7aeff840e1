/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Work that takes its time, in a process of its own: a fork of the daemon that holds nothing of it
 * but memory, writes lines, and ends. The loop reads the lines as they come and is told the end. It is
 * for what the daemon knows already, for it has the daemon's memory; what others wrote is read by a
 * role (role.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "batten/base/macros.h"

struct worker;

struct worker_job {
	/*
	 * In the worker. @out: where its lines go. Whatever is open is closed there, but for standard
	 * error. Return: 0 when all was done.
	 */
	int (*run)(void *user, int out);
	/* In the daemon: one line, without its end. */
	void (*line)(void *user, const char *text, size_t n);
	/*
	 * In the daemon, once: the worker is gone. @whole: it ended by itself, said that all was done,
	 * and every line was read. The worker may be freed here.
	 */
	void (*end)(void *user, bool whole);
	void *user;
	uint64_t timeout_us; /* it is killed then */
	uint64_t keep;	     /* CONFINE_CAP(…) bits: the capabilities that it takes; all others go */
	int64_t priority;    /* of its lines in the loop */
	bool background;     /* a lower priority, where that may be set: the unit does not let it */
};

/* Return: 0 or a negative errno */
int worker_start(struct worker **ret, sd_event *event, const struct worker_job *job) _must_check_;

/* Kills it when it still runs; end() is not called then. */
struct worker *worker_free(struct worker *w);
DEFINE_CLEANUP(struct worker *, worker_free)
