/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The container struct: names of its enums, small questions, and its end.
 */
#include "batten/host/container.h"

#include <string.h>

static const char *const role_names[_ROLE_MAX] = {
	[ROLE_PLAIN] = "plain",
	[ROLE_ECS_TASK] = "ecs-task",
	[ROLE_ECS_PAUSE] = "ecs-pause",
	[ROLE_ECS_INTERNAL] = "ecs-internal",
	[ROLE_ECS_AGENT] = "ecs-agent",
};

static const char *const network_names[_NETWORK_MAX] = {
	[NETWORK_BRIDGE] = "bridge",
	[NETWORK_USER] = "user",
	[NETWORK_HOST] = "host",
	[NETWORK_NONE] = "none",
	[NETWORK_CONTAINER] = "container",
};

const char *container_role_name(enum container_role role)
{
	return role_names[role];
}

const char *network_mode_name(enum network_mode mode)
{
	return network_names[mode];
}

bool text_list_has(const struct text_list *l, const char *text)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i], text) == 0)
			return true;
	return false;
}

const char *container_label(const struct container *c, const char *key)
{
	for (size_t i = 0; i < c->n_labels; i++)
		if (strcmp(c->labels[i].key, key) == 0)
			return c->labels[i].value;
	return NULL;
}

bool container_id_ok(const char *id)
{
	return strlen(id) == CONTAINER_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == strlen(id);
}

bool image_name_ok(const char *name)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-/:@";
	size_t n = strlen(name);

	return n > 0 && n < IMAGE_NAME_SIZE && strspn(name, letters) == n && !strchr("._-/:@", name[0]) &&
	       !strstr(name, "..") && !strstr(name, "//");
}

static void list_done(struct text_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	free(l->items);
}

static void pairs_free(struct text_pair *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(p[i].key);
		free(p[i].value);
	}
	free(p);
}

static void config_done(struct container_config *g)
{
	struct text_list *const lists[] = { &g->cap_add, &g->cap_drop,	   &g->security_opt,   &g->devices,
					    &g->binds,	 &g->masked_paths, &g->readonly_paths, &g->env_names,
					    &g->command };
	char *const texts[] = { g->apparmor,	      g->pid_mode,     g->ipc_mode,	 g->uts_mode,
				g->userns_mode,	      g->cgroupns_mode, g->network_mode_text, g->cgroup_parent,
				g->runtime,	      g->user,	       g->restart_policy, g->log_driver };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_done(lists[i]);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < g->n_ulimits; i++)
		free(g->ulimits[i].name);
	free(g->ulimits);
	for (size_t i = 0; i < g->n_mounts; i++) {
		free(g->mounts[i].type);
		free(g->mounts[i].source);
		free(g->mounts[i].destination);
		free(g->mounts[i].propagation);
	}
	free(g->mounts);
	for (size_t i = 0; i < g->n_ports; i++)
		free(g->ports[i].host_ip);
	free(g->ports);
	pairs_free(g->sysctls, g->n_sysctls);
}

struct container *container_free(struct container *c)
{
	if (!c)
		return NULL;
	free(c->name);
	free(c->image);
	free(c->image_id);
	pairs_free(c->labels, c->n_labels);
	free(c->task_arn);
	free(c->family);
	free(c->revision);
	free(c->container_name);
	free(c->cluster);
	free(c->started_at);
	free(c->network_of);
	for (size_t i = 0; i < c->n_networks; i++)
		free(c->networks[i].name);
	free(c->networks);
	free(c->cgroup);
	config_done(&c->config);
	json_decref(c->inspect);
	free(c->inspect_text);
	free(c);
	return NULL;
}
