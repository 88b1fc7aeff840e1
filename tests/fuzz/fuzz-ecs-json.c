/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A document of the agent (ecs.config.json, the object inside user data): Go's JSON, then the
 * fields of the configuration.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "host/ecs-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_field(void *userdata, const struct ecs_field *field, const struct go_json *member)
{
	struct ecs_field meant;
	struct ecs_value v;

	if (!field)
		return (void)ecs_field_near(member->key, &meant), 0;
	if (ecs_value_from_json(field, member, &v) == 0)
		ecs_value_done(&v);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = { (const char *)data, n };
	struct go_json_doc *doc;
	struct ecs_field bad;
	size_t at;

	for (int stream = 0; stream < 2; stream++) {
		int r = go_json_parse(text, stream, &doc, &at);

		if (r == -EBADMSG && at > n)
			__builtin_trap();
		if (r < 0 || !doc)
			continue;
		if (go_json_root(doc)->type == GO_OBJECT)
			(void)!ecs_json_apply(go_json_root(doc), on_field, NULL, &bad);
		go_json_free(doc);
	}
	return 0;
}
