/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A value for a variable: the first byte chooses the row, the rest is the text. What is redacted is
 * text without control bytes of its own making, and a secret's is always the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "host/ecs-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct ecs_variable *row;
	struct ecs_value v;
	struct slice text;
	char *shown;

	if (n == 0)
		return 0;
	row = &ecs_variables[data[0] % n_ecs_variables];
	text = (struct slice){ (const char *)data + 1, n - 1 };
	if (ecs_value_from_text(row, text, &v) == 0) {
		if (v.verdict != ECS_OK && !v.reason)
			__builtin_trap();
		ecs_value_done(&v);
	}
	if (ecs_value_for_init(row, text, &v) == 0)
		ecs_value_done(&v);
	shown = ecs_redact(row, text);
	if (shown && row->flags & ECS_SECRET && *shown && strcmp(shown, "***") != 0)
		__builtin_trap();
	free(shown);
	free(ecs_redact(NULL, text));
	free(ecs_redact_name(text));
	return 0;
}
