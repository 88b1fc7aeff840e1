/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ECS agent's configuration as a fact. The running agent's environment is Docker's word about
 * its container where Docker answers, else the process's own (the agent is none in a container on
 * Bottlerocket).
 */
#include "audit/ecs-settings.h"

#include <errno.h>
#include <string.h>

#include "audit/facts-internal.h"
#include "batten/base/bytes.h"

void ecs_settings_done(struct ecs_settings *s)
{
	if (s)
		s->config = ecs_config_free(s->config);
}

bool ecs_is_installed(struct facts *f)
{
	/* A directory for the agent's data proves nothing: Docker makes one for whoever mounts it. */
	static const char *const traces[] = { "/etc/ecs", "/usr/libexec/amazon-ecs-init", "/usr/sbin/amazon-ecs-init",
					      ECS_INSTANCE_FILE, "/var/lib/ecs/data/agent.db" };

	for (size_t i = 0; i < ARRAY_SIZE(traces); i++)
		if (facts_exists(f, traces[i]))
			return true;
	return false;
}

/* The agent's container as a block of NUL-separated NAME=VALUE. */
static int container_environment(const struct container_facts *agent, struct bytes *ret)
{
	const json_t *list = facts_json(agent->config, "Env"), *v;
	size_t i;

	json_array_foreach(list, i, v) {
		if (json_is_string(v))
			bytes_append(ret, json_string_value(v), json_string_length(v) + 1);
	}
	return bytes_reserve(ret, 0);
}

/* By the name that the kernel gave it: reading every process's arguments would take longer than all else. */
static bool find_process(struct facts *f, char **ret, size_t *ret_n)
{
	const struct process_facts *list;

	for (size_t i = 0, n = f->stand_in ? 0 : facts_processes(f, &list); i < n; i++)
		if ((strcmp(list[i].name, "agent") == 0 || strcmp(list[i].name, "amazon-ecs-agen") == 0) &&
		    ecs_agent_read(list[i].pid, ret, ret_n))
			return true;
	return false;
}

static int compare(struct facts *f, struct ecs_settings *s)
{
	bool docker = facts_source(f, SOURCE_DOCKER, NULL) == SOURCE_OK;
	const struct container_facts *agent = docker ? facts_agent(f) : NULL;
	struct bytes block = { 0 };
	char *text = NULL;
	size_t n = 0;
	int r = 0;

	if (agent) {
		s->is_ecs = s->compared = true;
		r = container_environment(agent, &block);
		if (r == 0)
			r = ecs_config_compare(s->config, (struct slice){ block.data, block.n });
		if (block.data)
			explicit_bzero(block.data, block.n);
		bytes_done(&block);
	} else if (find_process(f, &text, &n)) {
		s->is_ecs = s->compared = true;
		r = ecs_config_compare(s->config, (struct slice){ text, n });
		explicit_bzero(text, n);
		free(text);
	}
	return r;
}

int ecs_settings(struct facts *f, const struct ecs_settings **ret)
{
	const struct ecs_config_options options = { .user_data = { f->user_data, f->n_user_data } };
	struct ecs_settings *s = f->ecs;
	int r;

	f->touched |= NEEDS_FILES | (f->live ? NEEDS_DOCKER | NEEDS_PROC : 0);
	if (!s) {
		s = arena_alloc(&f->arena, sizeof(*s));
		if (!s)
			return -ENOMEM;
		*s = (struct ecs_settings){ 0 };
		r = ecs_config_load(&s->config, &f->root, &options, NULL);
		if (r < 0)
			return r;
		f->ecs = s;
		s->is_ecs = ecs_is_installed(f);
		r = f->live ? compare(f, s) : 0;
		if (r < 0)
			return r;
	}
	*ret = s;
	return 0;
}
