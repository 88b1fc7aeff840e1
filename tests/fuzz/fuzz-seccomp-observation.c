/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Observations from outside: what is taken merges with itself without changing.
 */
#include <stddef.h>
#include <stdint.h>

#include "batten/seccomp/observation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct observation *o = NULL, *twice = observation_new();
	json_t *once_json, *twice_json;
	struct diag d = { 0 };

	if (twice && observation_parse((const char *)data, size, "input", &o, &d) == 0) {
		if (observation_merge(twice, o, &d) < 0 || observation_merge(twice, o, &d) < 0)
			__builtin_trap();
		once_json = observation_json(o);
		twice_json = observation_json(twice);
		if (!json_equal(once_json, twice_json))
			__builtin_trap();
		json_decref(once_json);
		json_decref(twice_json);
	}
	observation_free(o);
	observation_free(twice);
	return 0;
}
