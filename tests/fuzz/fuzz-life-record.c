/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A finding as the process that audits says it is; that process may be anybody's.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "batten/audit/life.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct life_finding f;
	enum status status;
	size_t length;

	if (life_record_read(data, n, &f, &status) < 0)
		return 0;
	/* Every text ends inside, and all of them and the numbers are the whole. */
	length = strlen(f.fingerprint) + strlen(f.name) + strlen(f.container_id) + strlen(f.task_arn) + strlen(f.family) +
		 strlen(f.image) + strlen(f.evidence);
	if (LIFE_RECORD_MIN + length != n || !f.control || control_at(control_number(f.control)) != f.control)
		__builtin_trap();
	return 0;
}
