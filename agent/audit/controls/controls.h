/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The sets that registry.c lists; each stands in the file of its area.
 */
#include "batten/audit/control.h"

extern const struct control_set container_controls;
extern const struct control_set docker_daemon_controls;
extern const struct control_set docker_files_controls;
extern const struct control_set ecs_agent_controls;
extern const struct control_set ecs_config_controls;
extern const struct control_set host_controls;
extern const struct control_set image_controls;
extern const struct control_set metadata_controls;

/* For the end of each file: defines the set out of the array `controls`. */
#define CONTROL_SET(set_name, set_area)                                                            \
	const struct control_set set_name = {                                                      \
		.area = (set_area),                                                                \
		.controls = controls,                                                              \
		.n_controls = sizeof(controls) / sizeof(controls[0]),                              \
	}
