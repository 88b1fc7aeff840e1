/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker's description of a container: a struct that is whole, or a refusal in words.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batten/base/json.h"
#include "batten/host/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(container_freep) struct container *c = NULL;
	_cleanup_(json_freep) json_t *j = NULL;
	struct diag d = { 0 };

	if (json_parse_answer((const char *)data, n, "container", &j, &d) < 0)
		return 0;
	if (container_parse(&c, j, 0, &d) < 0) {
		if (d.what[0] == '\0')
			abort();
		return 0;
	}
	if (!container_id_ok(c->id) || !c->name || !c->image || !c->family || !c->task_arn || !c->config.user ||
	    c->role >= _ROLE_MAX || c->network_mode >= _NETWORK_MAX || c->pid < 0)
		abort();
	for (size_t i = 0; i < c->n_labels; i++)
		if (!container_label(c, c->labels[i].key))
			abort();
	return 0;
}
