/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Prints the model of a host's containers as JSON: host-model SOCKET [introspect]
 */
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>

#include "batten/base/json.h"
#include "batten/host/model.h"

static json_t *list_json(const struct text_list *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(a, json_text(l->items[i]));
	return a;
}

static json_t *networks_json(const struct container *c)
{
	json_t *a = json_array();
	char ip[INET_ADDRSTRLEN];

	for (size_t i = 0; i < c->n_networks; i++)
		json_array_append_new(a, json_pack("{s:s, s:s}", "name", c->networks[i].name, "ip4",
						   inet_ntop(AF_INET, &c->networks[i].ip4, ip, sizeof(ip))));
	return a;
}

static json_t *container_json(const struct container *c)
{
	const struct container_config *g = &c->config;

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:i, s:s, s:s, s:I, s:s, s:I, s:o, s:b,"
			 " s:o, s:o, s:b, s:b, s:i, s:I, s:I, s:i, s:o, s:o, s:i, s:i}",
			 "id", c->id, "name", c->name, "image", c->image, "image_id", c->image_id, "role",
			 container_role_name(c->role), "task_arn", c->task_arn, "family", c->family,
			 "container_name", c->container_name, "running", c->running, "pid", (int)c->pid,
			 "network_mode", network_mode_name(c->network_mode), "network_of", c->network_of,
			 "netns", (json_int_t)c->netns, "cgroup", c->cgroup, "cgroup_id",
			 (json_int_t)c->cgroup_id, "networks", networks_json(c), "privileged", g->privileged,
			 "cap_add", list_json(&g->cap_add), "cap_drop", list_json(&g->cap_drop),
			 "no_new_privileges", g->no_new_privileges, "readonly_rootfs", g->readonly_rootfs,
			 "seccomp", (int)g->seccomp, "memory", (json_int_t)g->memory, "cap_effective",
			 (json_int_t)c->kernel.cap_effective, "seccomp_mode", c->kernel.seccomp_mode, "env_names",
			 list_json(&g->env_names), "command", list_json(&g->command), "n_mounts",
			 (int)g->n_mounts, "n_ports", (int)g->n_ports);
}

int main(int argc, char **argv)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	json_t *all = json_array(), *doc;
	struct host_model m;
	struct diag d = { 0 };
	int r;

	host_model_init(&m);
	r = docker_new(&k, argv[1], &d);
	if (r >= 0)
		r = host_model_snapshot(&m, k, true, 0, &d);
	if (r < 0) {
		diag_print(&d, r);
		return 1;
	}
	r = argc > 2 ? host_model_introspect(&m, 2000, &d) : 0;
	host_model_each(pos, &m)
		json_array_append_new(all, container_json(host_container(pos)));
	doc = json_pack("{s:s, s:s, s:s, s:i, s:o}", "api", docker_api_version(k), "agent", m.agent_version,
			"cluster", m.agent_cluster, "introspection", r, "containers", all);
	r = json_print(1, doc);
	json_decref(doc);
	host_model_done(&m);
	return r < 0;
}
