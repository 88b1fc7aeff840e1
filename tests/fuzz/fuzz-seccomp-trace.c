/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * strace output and audit records: the first byte chooses the reader.
 */
#include <stddef.h>
#include <stdint.h>

#include "batten/seccomp/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct observation *o = NULL;
	struct diag d = { 0 };
	int r;

	if (size == 0)
		return 0;
	if (data[0] == 'a')
		r = import_audit((const char *)data + 1, size - 1, "input", &o, &d);
	else
		r = import_strace((const char *)data + 1, size - 1, "input", &o, &d);
	if (r == 0 && !o)
		__builtin_trap();
	observation_free(o);
	return 0;
}
