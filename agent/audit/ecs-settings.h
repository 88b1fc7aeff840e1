/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The ECS agent's configuration as a fact: what the files make of it, held against the agent that
 * runs.
 */
#include "batten/audit/facts.h"
#include "batten/host/ecs-config.h"

struct ecs_settings {
	struct ecs_config *config;
	bool is_ecs;   /* the host has the agent, or its directories */
	bool compared; /* a running agent was found, and ->running and ->drift of results are set */
};

/* @ret lives as long as the facts; read once. Return: 0 or -ENOMEM. */
int ecs_settings(struct facts *f, const struct ecs_settings **ret) _must_check_;

/* Does the disk say that this host is meant to run the agent? */
bool ecs_is_installed(struct facts *f);

void ecs_settings_done(struct ecs_settings *s);
