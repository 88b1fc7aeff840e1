/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Which controls: --area and --control, as `batten audit` and `batten fix` take them.
 */
#include "batten/audit/audit.h"
#include "cli/command.h"

#define DEFAULT_AUDIT_PROFILE "ecs"
#define MAX_NAMED_CONTROLS 256

struct selection {
	struct audit_options options; /* areas, controls and the time of now */
	const char *control_ids[MAX_NAMED_CONTROLS + 1];
	unsigned int n_control_ids;
	char words[8192]; /* the ids, cut apart */
};

/* @s: zeroed; ->options points into it. Return: 0 or -EINVAL, -E2BIG with the reason. */
int selection_parse(struct selection *s, const struct invocation *inv, struct diag *d);
