/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Attribution. The cgroups that the kernel saw are looked up among the containers, the deepest
 * first: a group that a container made inside its own is the container's.
 */
#include "daemon/blocked-event.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"

static const struct log_message msg_blocked = { "7253c061492db1d5f3e480b1c2d3e427", "IMDS attempt blocked" };

void event_add_container(json_t *j, const struct container *c)
{
	const struct {
		const char *key, *value;
	} pairs[] = { { "container", c->name }, { "container_id", c->id },   { "task_arn", c->task_arn },
		      { "family", c->family },	{ "image", c->image } };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pairs[i].value[0])
			json_object_set_new(j, pairs[i].key, json_text(pairs[i].value));
}

static const struct container *container_of_groups(const struct host_model *m, const struct cgroup_event *e)
{
	for (size_t i = ARRAY_SIZE(e->groups); i-- > 0;) {
		const struct container *c = host_model_find_cgroup(m, e->groups[i]);

		if (c)
			return c;
	}
	return NULL;
}

void blocked_event_cgroup(struct event_log *log, const struct host_model *m, const struct cgroup_event *e)
{
	const struct container *c = container_of_groups(m, e);
	char address[INET6_ADDRSTRLEN] = "", process[sizeof(e->comm) + 1] = "", message[256];
	const char *who;
	json_t *j;

	(void)inet_ntop(e->family == 4 ? AF_INET : AF_INET6, e->address, address, sizeof(address));
	memcpy(process, e->comm, sizeof(e->comm));
	who = c ? c->name : "a process outside of all known containers";
	(void)snprintf(message, sizeof(message), "%.64s tried to reach %s %llu time%s (%s)", who, address,
		       (unsigned long long)e->count, e->count == 1 ? "" : "s", cgroup_hook_name(e->hook));
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:s, s:o}", "kind", "imds.blocked", "layer", "cgroup-ebpf",
		      "hook", cgroup_hook_name(e->hook), "destination", address, "port", (int)e->port, "count",
		      (json_int_t)e->count, "cgroup", (json_int_t)e->cgroup, "certainty", "certain", "message",
		      json_text(message));
	if (j && c)
		event_add_container(j, c);
	if (j && e->sender_known) {
		json_object_set_new(j, "process", json_text(process));
		json_object_set_new(j, "pid", json_integer((json_int_t)e->tgid));
	}
	event_log_add(log, j);
	log_event(LOG_WARNING, &msg_blocked, "container", c ? c->name : NULL, "task_arn",
		  c && c->task_arn[0] ? c->task_arn : NULL, "family", c && c->family[0] ? c->family : NULL, "image",
		  c ? c->image : NULL, "process", e->sender_known ? process : NULL, "layer", "cgroup-ebpf", "destination",
		  address, "count", U64S(e->count), "cgroup", U64S(e->cgroup));
}

static const char *layer_of(unsigned int hook)
{
	static const char *const names[] = {
		[NF_INET_PRE_ROUTING] = "prerouting", [NF_INET_LOCAL_IN] = "input",	      [NF_INET_FORWARD] = "forward",
		[NF_INET_LOCAL_OUT] = "output",	      [NF_INET_POST_ROUTING] = "postrouting",
	};

	return hook < ARRAY_SIZE(names) ? names[hook] : "unknown";
}

void blocked_event_packet(struct event_log *log, const struct host_model *m, const struct nflog_packet *p,
			  uint64_t held_back)
{
	const struct container *c = host_model_find_address(m, p->family, p->source);
	char from[INET6_ADDRSTRLEN] = "", to[INET6_ADDRSTRLEN] = "", device[IF_NAMESIZE] = "", message[256];
	json_t *j;

	(void)inet_ntop(p->family, p->source, from, sizeof(from));
	(void)inet_ntop(p->family, p->destination, to, sizeof(to));
	if (p->input == 0 || !if_indextoname(p->input, device))
		device[0] = '\0';
	(void)snprintf(message, sizeof(message), "%.64s%s%s%s on %s tried to reach %s", c ? c->name : from, c ? " (" : "",
		       c ? from : "", c ? ")" : "", device[0] ? device : "an unknown device", to);
	j = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:s, s:o}", "kind", "imds.blocked", "layer", layer_of(p->hook),
		      "destination", to, "port", (int)p->port, "source", from, "device", device, "count", 1, "certainty",
		      "claimed", "message", json_text(message));
	if (j && c)
		event_add_container(j, c);
	if (j && held_back > 0)
		json_object_set_new(j, "suppressed", json_integer((json_int_t)held_back));
	event_log_add(log, j);
	log_event(LOG_WARNING, &msg_blocked, "claimed_container", c ? c->name : NULL, "task_arn",
		  c && c->task_arn[0] ? c->task_arn : NULL, "source", from, "device", device[0] ? device : NULL, "layer",
		  layer_of(p->hook), "destination", to, "suppressed", held_back > 0 ? U64S(held_back) : NULL);
}
