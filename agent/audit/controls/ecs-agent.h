/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The ECS agent as it runs, for more than its own checks.
 */
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"

/* Is the variable true in the agent's container? */
bool ecs_agent_is_told(const struct container_facts *agent, const char *name);

/* As the running agent tells it, "1.105.1"; in the run's arena. */
const char *ecs_agent_version(struct audit *a);

/*
 * Would AGT-02 find no fault with it, as far as is known here?
 * @number: "1.105.1", also with a package's release behind it
 */
bool ecs_agent_is_recent(const struct audit *a, const char *number);
