/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The rows that main.c lists; each is defined beside the function that runs it.
 */
#include "cli/command.h"

extern const struct command cmd_audit;
extern const struct command cmd_completion;
extern const struct command cmd_daemon;
extern const struct command cmd_ecs_config;
extern const struct command cmd_events;
extern const struct command cmd_fix;
extern const struct command cmd_help;
extern const struct command cmd_image_inspect;
extern const struct command cmd_image_strip;
extern const struct command cmd_imds_allow;
extern const struct command cmd_imds_block;
extern const struct command cmd_imds_plan;
extern const struct command cmd_imds_probe;
extern const struct command cmd_imds_status;
extern const struct command cmd_imds_unblock;
extern const struct command cmd_metrics;
extern const struct command cmd_seccomp_diff;
extern const struct command cmd_seccomp_explain;
extern const struct command cmd_seccomp_generate;
extern const struct command cmd_seccomp_import;
extern const struct command cmd_seccomp_list;
extern const struct command cmd_seccomp_measure_runtime;
extern const struct command cmd_seccomp_merge;
extern const struct command cmd_seccomp_record;
extern const struct command cmd_seccomp_shadow;
extern const struct command cmd_seccomp_show;
extern const struct command cmd_seccomp_verify;
extern const struct command cmd_status;
