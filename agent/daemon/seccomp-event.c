/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel's word for all of it: container, call and executable are certain.
 */
#include "daemon/seccomp-event.h"

#include <stdio.h>

#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "daemon/blocked-event.h"

static const struct log_message msg_new = { "c3d9e5f70b1b4d8eaf405b6c9d0e1f33",
					     "a system call that the image had never made" };
static const struct log_message msg_shadow = { "d4eaf6081c2c4e9fb0516c7d0e1f2a34",
						"a system call that the profile on trial would deny" };

void seccomp_event(struct event_log *log, const struct container *c, const struct observer_event *e,
		   uint64_t held_back)
{
	bool shadow = e->kind == OBSERVER_SHADOW;
	const char *process = e->exe[0] ? e->exe : e->comm;
	char message[256];
	json_t *j;

	(void)snprintf(message, sizeof(message), "%.64s%s made %.64s (%s), which %s", c ? c->name : "a container",
		       c ? "" : " not yet known", e->call, abi_name(e->abi),
		       shadow ? "the profile on trial would deny" : "its image had never made");
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o}", "kind", shadow ? "seccomp.shadow" : "seccomp.new", "layer",
		      "seccomp", "syscall", e->call, "abi", abi_name(e->abi), "count", 1, "certainty", "certain", "message",
		      json_text(message));
	if (j && c)
		event_add_container(j, c);
	if (j && process[0])
		json_object_set_new(j, "process", json_text(process));
	if (j && held_back > 0)
		json_object_set_new(j, "suppressed", json_integer((json_int_t)held_back));
	event_log_add(log, j);
	log_event(LOG_NOTICE, shadow ? &msg_shadow : &msg_new, "container", c ? c->name : NULL, "task_arn",
		  c && c->task_arn[0] ? c->task_arn : NULL, "image", c ? c->image : NULL, "syscall", e->call, "abi",
		  abi_name(e->abi), "process", process[0] ? process : NULL, "suppressed",
		  held_back > 0 ? U64S(held_back) : NULL);
}
