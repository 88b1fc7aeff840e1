/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Profiles from outside: whatever the text, it is refused in words or compiles into a filter that
 * the interpreter runs to an answer.
 */
#include <stddef.h>
#include <stdint.h>

#include "batten/seccomp/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct profile_context context;
	struct seccomp_data call = { .nr = 1, .arch = abi_audit_arch(ABI_X86_64) };
	struct filter f = { 0 };
	struct profile *p = NULL;
	struct diag d = { 0 };
	uint32_t answer;

	profile_context_docker(&context);
	if (profile_parse((const char *)data, size, "input", &context, &p, &d) == 0 &&
	    filter_compile(p, FILTER_PATIENCE, &f, NULL, &d) == 0 && filter_run(f.code, f.n_code, &call, &answer) < 0)
		__builtin_trap();
	filter_done(&f);
	profile_free(p);
	return 0;
}
