/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A run of the audit in a worker: its findings as lines of JSON, one each, in the form of
 * life_finding_json(); and what Docker is, {"docker": {…}}, for later runs that do not ask.
 */
#include <jansson.h>

#include "batten/audit/changes.h"
#include "batten/daemon/settings.h"

struct audit_request {
	struct control_mask controls;
	/* Containers to be judged by what is known of them: Docker's answers by id, as text. NULL: ask Docker. */
	json_t *containers;
	const json_t *docker_info; /* of an earlier run, NULL when there was none */
	const struct audit_config *config;
	const char *docker; /* URL or "" */
};

/* In the worker. Return: 0, or a negative errno with {"error": TEXT} as the last line. */
int audit_worker_run(const struct audit_request *q, int out);
