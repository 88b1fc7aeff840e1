/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Do tasks with network interfaces of their own (awsvpc) reach the ECS agent's introspection port
 * over the bridge that joins them with the host? Tried, not derived.
 */
#include "batten/audit/facts.h"

/*
 * agent_port_try - connect from inside each of their network namespaces, all at once
 * @ret_from: the first container whose connection was accepted, when one was
 * Return: how many namespaces it was tried from; 0 when there is none, or no bridge, or we may not
 *         enter. Waits for a tenth of a second at most.
 */
size_t agent_port_try(struct facts *f, const struct container_facts **ret_from);
