/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A container as the process that reads Docker's answers says it is; that process may be anybody's.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "batten/host/container-record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(container_freep) struct container *c = NULL;
	struct bytes again = { 0 };

	if (container_record_read(&c, data, n) < 0)
		return 0;
	container_record_write(c, &again);
	if (again.error == 0 && (again.n != n || memcmp(again.data, data, n) != 0))
		__builtin_trap();
	bytes_done(&again);
	return 0;
}
