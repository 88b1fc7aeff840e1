/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An ecs.config for both of its readers: what they find lies in their memory, and a name is found
 * again by its last line.
 */
#include <stddef.h>
#include <stdint.h>

#include "host/ecs-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct ecs_lines *l, const char *start, const char *end)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct ecs_line *v = &l->v[i];

		if (v->name.p < start || v->name.p + v->name.n > end || v->value.p < start ||
		    v->value.p + v->value.n > end)
			__builtin_trap();
		if (v->last != (ecs_lines_find(l, v->name) == v))
			__builtin_trap();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = { (const char *)data, n };
	struct ecs_lines l;
	const char *lost;

	if (ecs_read_agent(text, &l) == 0) {
		check(&l, text.p, text.p + n);
		ecs_lines_done(&l);
	}
	if (ecs_read_systemd(text, &l, &lost) == 0) {
		check(&l, l.owned, l.owned + n * 2 + 1);
		ecs_lines_done(&l);
	}
	return 0;
}
