/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Checks of the ECS agent's configuration, by the file that holds them; their rows stand in
 * ecs-config.c.
 */
#include "audit/ecs-settings.h"
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"

#define ECS_CHECK(name) int name(struct audit *a, const struct control *c, const struct subject *s)

/* ecs-config-files.c: what stands in the files, line by line */
ECS_CHECK(check_ecs_bools);
ECS_CHECK(check_ecs_lines);
ECS_CHECK(check_ecs_in_force);
ECS_CHECK(check_ecs_hidden_layers);
ECS_CHECK(check_ecs_registry_secrets);
ECS_CHECK(check_ecs_file_modes);

/* The widest mode that the file may have, 0 for one that is not judged. */
mode_t ecs_file_mode(struct audit *a, const char *path);

/* ecs-config-effect.c: what the settings come to */
ECS_CHECK(check_ecs_block_imds);
ECS_CHECK(check_ecs_task_roles);
ECS_CHECK(check_ecs_host_network_roles);
ECS_CHECK(check_ecs_privileged);
ECS_CHECK(check_ecs_lsm);
ECS_CHECK(check_ecs_awslogs);
ECS_CHECK(check_ecs_proxy);
ECS_CHECK(check_ecs_spot);
ECS_CHECK(check_ecs_pull);
ECS_CHECK(check_ecs_limits);

/*
 * For the start of each check. Return: 1 with @ret when there is an ECS agent to speak of; 0 when
 * there is none or its files cannot be read, which has been reported on @s; a negative errno.
 */
int ecs_settings_of(struct audit *a, const struct subject *s, const struct ecs_settings **ret) _must_check_;

/* "NAME is VALUE (FILE:LINE)" with the reason why it is not what is written; in the run's arena. */
const char *ecs_result_text(struct audit *a, const struct ecs_result *r);

/* Was it written by somebody: in a file, in a document, in the unit? */
bool ecs_is_written(const struct ecs_result *r);
