/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Edits of other people's files. What `batten fix` makes of an ecs.config is read by the agent's reader
 * as it was meant, with every other byte as it was; what it makes of a daemon.json is, to jansson, the
 * same document with the one member set, or without it.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/fix-internal.h"
#include "host/ecs-internal.h"

#define NAME "ECS_AWSVPC_BLOCK_IMDS"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void config(struct slice text, unsigned int wrong_line)
{
	struct bytes out = { 0 }, again = { 0 };
	const struct ecs_line *line;
	size_t head = 0, tail = 0;
	struct ecs_lines l;

	if (lines_set(text, NAME, "true", wrong_line, &out) < 0)
		abort();
	while (head < text.n && head < out.n && text.p[head] == out.data[head])
		head++;
	while (tail < text.n - head && tail < out.n - head && text.p[text.n - 1 - tail] == out.data[out.n - 1 - tail])
		tail++;
	/* One stretch in one line. */
	if (memchr(text.p + head, '\n', text.n - head - tail))
		abort();
	if (ecs_read_agent((struct slice){ out.data, out.n }, &l) == 0) {
		line = ecs_lines_find(&l, slice_of(NAME));
		if (!line || !slice_eq(line->value, "true"))
			abort();
		ecs_lines_done(&l);
	}
	if (lines_set((struct slice){ out.data, out.n }, NAME, "true", 0, &again) < 0 || again.n != out.n ||
	    memcmp(again.data, out.data, out.n) != 0)
		abort();
	bytes_done(&out);
	bytes_done(&again);
}

static void daemon_json(struct slice text, bool set)
{
	json_t *before = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL), *after;
	struct bytes out = { 0 };
	struct diag d = { 0 };
	int r = daemon_json_set(text, "daemon.json", "icc", set ? "false" : NULL, &out, &d);

	if (r < 0 && d.what[0] == '\0')
		abort();
	if (r >= 0 && json_is_object(before)) {
		after = json_loadb(out.data, out.n, 0, NULL);
		if (set)
			json_object_set_new(before, "icc", json_false());
		else
			json_object_del(before, "icc");
		if (!after || !json_equal(before, after))
			abort();
		json_decref(after);
	}
	json_decref(before);
	bytes_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text;

	if (n == 0)
		return 0;
	text = (struct slice){ (const char *)data + 1, n - 1 };
	if (data[0] & 0x80)
		daemon_json(text, data[0] & 1);
	else
		config(text, data[0] & 0x0f);
	return 0;
}
