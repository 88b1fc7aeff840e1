/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values out of foreign JSON by a path of keys. What is missing or of another type is the fallback:
 * a check decides what absence means.
 */
#include <string.h>

#include "batten/audit/facts.h"

const json_t *facts_json(const json_t *j, const char *path)
{
	while (j && *path) {
		size_t n = strcspn(path, ".");

		j = json_object_getn(j, path, n);
		path += n + (path[n] == '.');
	}
	return json_is_null(j) ? NULL : j;
}

const char *facts_json_string(const json_t *j, const char *path, const char *fallback)
{
	const char *s = json_string_value(facts_json(j, path));

	return s ? s : fallback;
}

int64_t facts_json_int(const json_t *j, const char *path, int64_t fallback)
{
	const json_t *v = facts_json(j, path);

	return json_is_number(v) ? (int64_t)json_number_value(v) : fallback;
}

bool facts_json_true(const json_t *j, const char *path)
{
	return json_is_true(facts_json(j, path));
}

const char *facts_json_find(const json_t *j, const char *path, const char *prefix)
{
	const json_t *array = facts_json(j, path), *v;
	size_t i;

	json_array_foreach(array, i, v) {
		const char *s = json_string_value(v);

		if (s && strncmp(s, prefix, strlen(prefix)) == 0)
			return s;
	}
	return NULL;
}
