/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every set of controls, listed by hand, and the words for what a row holds.
 */
#include <errno.h>
#include <string.h>

#include "audit/controls/controls.h"
#include "batten/base/macros.h"

const struct control_set *const control_sets[] = {
	&ecs_config_controls,
	&metadata_controls,
	&ecs_agent_controls,
	&docker_daemon_controls,
	&docker_files_controls,
	&container_controls,
	&image_controls,
	&host_controls,
};
const size_t n_control_sets = ARRAY_SIZE(control_sets);

const struct control *control_find(const char *id, enum area *ret_area)
{
	for (size_t i = 0; i < n_control_sets; i++) {
		for (size_t k = 0; k < control_sets[i]->n_controls; k++) {
			if (strcmp(control_sets[i]->controls[k].id, id) != 0)
				continue;
			if (ret_area)
				*ret_area = control_sets[i]->area;
			return &control_sets[i]->controls[k];
		}
	}
	return NULL;
}

static const char *const severities[_SEV_MAX] = {
	[SEV_INFO] = "info", [SEV_LOW] = "low",		  [SEV_MEDIUM] = "medium",
	[SEV_HIGH] = "high", [SEV_CRITICAL] = "critical",
};

const char *severity_name(enum severity s)
{
	return severities[s];
}

int severity_parse(const char *word, enum severity *ret)
{
	for (int i = 0; i < _SEV_MAX; i++) {
		if (strcmp(word, severities[i]) == 0) {
			*ret = (enum severity)i;
			return 0;
		}
	}
	return -EINVAL;
}

static const struct {
	const char *name, *title;
} areas[_AREA_MAX] = {
	[AREA_ECS_CONFIG] = { "ecs-config", "ECS agent configuration" },
	[AREA_METADATA] = { "metadata", "Metadata reachability" },
	[AREA_ECS_AGENT] = { "ecs-agent", "ECS agent" },
	[AREA_DOCKER_DAEMON] = { "docker-daemon", "Docker daemon" },
	[AREA_DOCKER_FILES] = { "docker-files", "Docker files and users" },
	[AREA_CONTAINERS] = { "containers", "Containers" },
	[AREA_IMAGES] = { "images", "Images" },
	[AREA_HOST] = { "host", "Host" },
};

const char *area_name(enum area a)
{
	return areas[a].name;
}

const char *area_title(enum area a)
{
	return areas[a].title;
}

int area_parse(const char *word, size_t n, enum area *ret)
{
	for (int i = 0; i < _AREA_MAX; i++) {
		if (strlen(areas[i].name) == n && memcmp(areas[i].name, word, n) == 0) {
			*ret = (enum area)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *source_name(enum source s)
{
	static const char *const names[_SOURCE_MAX] = {
		[SOURCE_FILES] = "files",
		[SOURCE_PROC] = "proc",
		[SOURCE_DOCKER] = "docker",
		[SOURCE_INTROSPECTION] = "introspection",
		[SOURCE_RULES] = "rules",
		[SOURCE_AUDIT] = "audit",
		[SOURCE_IMDS] = "imds",
	};

	return names[s];
}

const char *subject_kind_name(enum subject_kind k)
{
	static const char *const names[_SUBJECT_KIND_MAX] = {
		[SUBJECT_HOST] = "host", [SUBJECT_CONTAINER] = "container", [SUBJECT_IMAGE] = "image",
		[SUBJECT_FILE] = "file", [SUBJECT_PROCESS] = "process",	    [SUBJECT_SETTING] = "setting",
	};

	return names[k];
}
