/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which container is what. ECS puts its labels last, over whatever a task definition asked for, so
 * a task cannot hide them. The agent's own container has none: it is known by the profile that
 * ecs-init gives it (seen in amazon-ecs-agent 1.105.1), and by standing outside the tasks' slice.
 */
#include "host/container-internal.h"

#include <string.h>

#define TASKS_SLICE "/ecstasks.slice/"

/* Directories that ecs-init mounts into the agent and that nothing else has all of. */
static const struct {
	const char *source, *destination;
} agent_mounts[] = {
	{ "/var/lib/ecs/data", "/data" },
	{ "/var/log/ecs", "/log" },
	{ "/proc", "/host/proc" },
};

static bool has_mount(const struct container *c, const char *source, const char *destination)
{
	for (size_t i = 0; i < c->config.n_mounts; i++)
		if (strcmp(c->config.mounts[i].source, source) == 0 &&
		    strcmp(c->config.mounts[i].destination, destination) == 0)
			return true;
	return false;
}

static bool is_agent(const struct container *c)
{
	if (c->network_mode != NETWORK_HOST ||
	    strncmp(c->config.cgroup_parent, "ecstasks", 8) == 0 || strstr(c->cgroup, TASKS_SLICE))
		return false;
	for (size_t i = 0; i < sizeof(agent_mounts) / sizeof(agent_mounts[0]); i++)
		if (!has_mount(c, agent_mounts[i].source, agent_mounts[i].destination))
			return false;
	return true;
}

enum container_role container_recognise(const struct container *c)
{
	const char *name = c->container_name;

	if (c->task_arn[0] == '\0')
		return is_agent(c) ? ROLE_ECS_AGENT : ROLE_PLAIN;
	if (strcmp(name, "~internal~ecs~pause") == 0)
		return ROLE_ECS_PAUSE;
	/* Daemons of ECS itself run in tasks whose ARN names no partition, region or account. */
	if (strncmp(name, "~internal~ecs~", 14) == 0 || strncmp(c->task_arn, "arn:::::/", 9) == 0)
		return ROLE_ECS_INTERNAL;
	return ROLE_ECS_TASK;
}

/* What container_recognise() looks at first; it looks at the rest only where this is so. */
bool container_may_be_of_ecs(const json_t *inspect)
{
	const json_t *labels = json_object_get(json_object_get(inspect, "Config"), "Labels");
	const char *arn = json_string_value(json_object_get(labels, "com.amazonaws.ecs.task-arn"));
	const char *name = json_string_value(json_object_get(labels, "com.amazonaws.ecs.container-name"));
	const char *mode = json_string_value(json_object_get(json_object_get(inspect, "HostConfig"), "NetworkMode"));

	if (!arn || !arn[0])
		return mode && strcmp(mode, "host") == 0;
	return strncmp(arn, "arn:::::/", 9) == 0 || (name && strncmp(name, "~internal~ecs~", 14) == 0);
}
