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

static bool is_there(struct facts *f, const char *path)
{
	struct stat st;

	return facts_stat(f, path, true, &st) == 0;
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
	} else if (!f->stand_in && ecs_agent_find(&text, &n) > 0) {
		s->is_ecs = s->compared = true;
		r = ecs_config_compare(s->config, (struct slice){ text, n });
		explicit_bzero(text, n);
		free(text);
	}
	return r;
}

int ecs_settings(struct facts *f, const struct ecs_settings **ret)
{
	struct ecs_settings *s = f->ecs;
	int r;

	f->touched |= NEEDS_FILES | (f->live ? NEEDS_DOCKER | NEEDS_PROC : 0);
	if (!s) {
		s = arena_alloc(&f->arena, sizeof(*s));
		if (!s)
			return -ENOMEM;
		*s = (struct ecs_settings){ 0 };
		r = ecs_config_load(&s->config, &f->root, &(struct ecs_config_options){ 0 }, NULL);
		if (r < 0)
			return r;
		f->ecs = s;
		s->is_ecs = is_there(f, "/etc/ecs") || is_there(f, "/var/lib/ecs");
		r = f->live ? compare(f, s) : 0;
		if (r < 0)
			return r;
	}
	*ret = s;
	return 0;
}
