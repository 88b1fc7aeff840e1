/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The quick reader of JSON beside jansson: what the one takes the other must take, and both must
 * understand the same.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json-decode.h"
#include "batten/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(json_freep) json_t *quick = json_decode((const char *)data, n);
	_cleanup_(json_freep) json_t *slow = NULL;

	if (!quick)
		return 0;
	slow = json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (!slow || !json_equal(quick, slow))
		abort();
	return 0;
}
