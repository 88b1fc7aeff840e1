/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All menders, by control.
 */
#include <string.h>

#include "audit/fix-internal.h"

static const struct mender_set *const sets[] = {
	&ecs_menders, &docker_menders, &file_menders, &host_menders, &metadata_menders,
};

const struct mender *mender_nth(size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(sets); n -= sets[i++]->n)
		if (n < sets[i]->n)
			return &sets[i]->menders[n];
	return NULL;
}

const struct mender *mender_find(const char *control_id)
{
	const struct mender *m;

	for (size_t i = 0; (m = mender_nth(i)); i++)
		if (strcmp(m->control, control_id) == 0)
			return m;
	return NULL;
}
