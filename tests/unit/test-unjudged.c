/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is left out is named, has room for so many, and makes place when it is forgotten.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/json.h"
#include "daemon/unjudged.h"

static char *id_of(unsigned int i, char buf[static FACTS_NOTE_BYTES])
{
	(void)snprintf(buf, FACTS_NOTE_BYTES, "%s%064u", i % 2 ? "sha256:" : "", i);
	return buf;
}

static void so_many_have_room(void **state)
{
	struct unjudged *u = calloc(1, sizeof(*u));
	char id[FACTS_NOTE_BYTES], text[700];
	json_t *status, *row;
	size_t i;

	assert_non_null(u);
	u->log = event_log_new();
	assert_non_null(u->log);
	unjudged_trouble(u, text, sizeof(text));
	assert_string_equal(text, "");
	for (unsigned int k = 0; k < UNJUDGED_MAX; k++)
		assert_int_equal(unjudged_add(u, id_of(k, id), k ? "other" : "first", "signal 31"), 0);
	assert_int_equal(unjudged_add(u, id_of(UNJUDGED_MAX, id), "more", "signal 31"), -E2BIG);
	assert_null(unjudged_find(u, id));
	unjudged_trouble(u, text, sizeof(text));
	assert_string_equal(text, "64 not judged: first: judging it ended the auditor: signal 31");
	unjudged_forget(u, id); /* one that is not there */
	status = unjudged_status(u);
	assert_int_equal(json_array_size(status), UNJUDGED_MAX);
	json_array_foreach(status, i, row)
		assert_string_equal(json_string_value(json_object_get(row, i % 2 ? "image_id" : "container_id")),
				    id_of((unsigned int)i, id));
	json_decref(status);
	unjudged_forget(u, id_of(0, id));
	assert_null(unjudged_find(u, id));
	for (unsigned int k = 1; k < UNJUDGED_MAX; k++)
		assert_non_null(unjudged_find(u, id_of(k, id)));
	assert_int_equal(unjudged_add(u, id_of(UNJUDGED_MAX, id), "more", "signal 31"), 0);
	assert_int_equal(event_log_next(u->log), UNJUDGED_MAX + 2);
	(void)event_log_free(u->log);
	free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_have_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
