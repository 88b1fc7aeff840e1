/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A package's header out of rpm's database: every file of it that there could be.
 */
#include <stddef.h>
#include <stdint.h>

#include "audit/rpm-header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *begin = (const char *)data, *end = begin + n;

	for (uint32_t i = 0; i < 8; i++) {
		struct rpm_file f;

		if (rpm_header_file((struct slice){ begin, n }, i, &f) < 0)
			continue;
		if (!f.algorithm || f.name.p < begin || f.name.p + f.name.n >= end || f.digest.p < begin ||
		    f.digest.p + f.digest.n >= end || f.directory.p < begin || f.directory.p + f.directory.n >= end)
			__builtin_trap();
	}
	return 0;
}
