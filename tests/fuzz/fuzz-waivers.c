/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * waivers.json: taken, or refused in words.
 */
#include <stdint.h>
#include <stdlib.h>

#include "batten/audit/waiver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(waivers_freep) struct waivers *w = NULL;
	_cleanup_(json_freep) json_t *j = NULL;
	struct diag d = { 0 };

	if (json_parse((const char *)data, n, "waivers", &j, &d) < 0 || waivers_parse(&w, j, "waivers", &d) < 0)
		if (d.what[0] == '\0')
			abort();
	return 0;
}
