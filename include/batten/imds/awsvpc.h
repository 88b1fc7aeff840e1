/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The routes of an awsvpc task. The host's packet filter never sees such a task; ECS, when asked to
 * (ECS_AWSVPC_BLOCK_IMDS), puts blackhole routes into its namespace, which only an own look finds.
 * Looking is a question to the routing table: nothing is sent.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

enum awsvpc_road {
	AWSVPC_CLOSED,	 /* a blackhole, prohibit or unreachable route */
	AWSVPC_NO_ROUTE, /* no way there, for now */
	AWSVPC_OPEN,
	AWSVPC_UNKNOWN,	 /* could not be looked at */
};

struct awsvpc_result {
	enum awsvpc_road road[2]; /* IPv4, IPv6 */
	bool added;		  /* blackhole routes were added */
	bool removed;		  /* ours were removed */
};

enum awsvpc_action {
	AWSVPC_LOOK,
	AWSVPC_CLOSE, /* add a blackhole route where the road is open */
	AWSVPC_LEAVE, /* remove the blackhole routes that we added, and no other */
};

/*
 * awsvpc_start - look, in a process of its own that enters the namespace
 * @netns:   descriptor of the namespace; stays the caller's
 * @action:  what to do before
 * @ret_pid: to be reaped by awsvpc_finish()
 * Return: a descriptor of the process, readable at its end and closed by the caller; or a negative
 *         errno
 */
int awsvpc_start(int netns, enum awsvpc_action action, pid_t *ret_pid, struct diag *d) _must_check_;

/* Reaps the process, which has ended, and tells what it found. */
void awsvpc_finish(pid_t pid, struct awsvpc_result *ret);
