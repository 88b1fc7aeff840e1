/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A role: a process of the same binary, executed anew, that reads what is foreign, can do next to
 * nothing (role-main.c), and tells the core what it read in messages of one table. The core never
 * waits for it. One kind follows something and is started again when it ends, with pauses that grow; the
 * other does one piece of work.
 */
#include <systemd/sd-event.h>

#include "daemon/role-wire.h"

/* What a process is called that was not started by hand: argv[0]. */
#define ROLE_ARGV0 "batten-role"
#define ROLE_FD 3

struct role_calls {
	/* A whole message, as the table has it. A negative errno ends the role. */
	int (*message)(void *user, uint32_t type, const void *data, size_t n);
	/*
	 * It is gone, after all that it said. @why: in words; "" when one that does a piece of work ended
	 * well. Such a one may be freed here, any other will be started again.
	 */
	void (*gone)(void *user, const char *why);
};

struct role_kind {
	const char *name; /* argv[1] */
	const struct role_protocol *protocol;
	int64_t priority;    /* of its messages in the loop */
	bool once;	     /* does one piece of work */
	bool background;     /* a lower priority, where that may be set: the unit does not let it */
	uint64_t timeout_us; /* it is killed then; 0: never */
};

struct role;

/*
 * role_new - one that does a piece of work is started here, any other from the loop
 * @kind:     copied
 * @argument: argv[2] of the process; copied
 */
int role_new(struct role **ret, sd_event *event, const struct role_kind *kind, const char *argument,
	     const struct role_calls *calls, void *user) _must_check_;

/* Ends it. */
struct role *role_free(struct role *r);
DEFINE_CLEANUP(struct role *, role_free)

/* A message to it; @pass: a descriptor to go with it, or -1. One that does not take it is ended. */
void role_tell(struct role *r, uint32_t type, const void *data, size_t n, int pass);

/*
 * role_main - the process of a role, called by main() for ROLE_ARGV0
 * Return: an exit code
 */
int role_main(int argc, char **argv);
