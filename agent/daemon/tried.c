/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A counter goes with its group. Its sums are exact, whatever the events leave out. It has the sender's own
 * group and no others: what a container made below its own is told by its number, and by name in the events.
 */
#include "daemon/tried.h"

#include <string.h>

#include "daemon/blocked-event.h"

#define MAX_ROWS 16

struct tried {
	struct {
		uint64_t group, count;
	} rows[MAX_ROWS]; /* the highest first */
	size_t n;
};

static int on_counter(void *user, uint64_t id, const struct cgroup_counter *c)
{
	struct tried *t = user;
	size_t i = t->n;

	while (i > 0 && t->rows[i - 1].count < c->refused)
		i--;
	if (i == MAX_ROWS)
		return 0;
	t->n = MIN(t->n + 1, (size_t)MAX_ROWS);
	memmove(&t->rows[i + 1], &t->rows[i], (t->n - i - 1) * sizeof(t->rows[0]));
	t->rows[i].group = id;
	t->rows[i].count = c->refused;
	return 0;
}

json_t *tried_json(struct cgroup_layer *layer, const struct host_model *m)
{
	struct tried t = { .n = 0 };
	json_t *rows;

	if (!layer || cgroup_layer_counters(layer, on_counter, &t) < 0 || t.n == 0)
		return NULL;
	rows = json_array();
	for (size_t i = 0; i < t.n; i++) {
		const struct container *c = host_model_find_cgroup(m, t.rows[i].group);
		json_t *row = json_pack("{s:I, s:I}", "cgroup", (json_int_t)t.rows[i].group, "count",
					(json_int_t)t.rows[i].count);

		if (row && c)
			event_add_container(row, c);
		json_array_append_new(rows, row);
	}
	return rows;
}
