/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is there a credential in it? A container's environment, or a line of a build step: up to the first
 * zero byte a name, then a value. The answer is a rule's name, and never a part of the input.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/secrets.h"
#include "batten/base/macros.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const char *rule, const char *text, size_t n)
{
	if (rule && (rule[0] == '\0' || (rule >= text && rule <= text + n)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(freep) char *name = malloc(n + 1), *exact = malloc(n ? n : 1);
	_cleanup_(arena_done) struct arena arena = { 0 };
	struct slice rest = { exact, n };
	const char *rule;
	const char *value, *variable = NULL;
	size_t n_name;

	if (!name || !exact)
		return 0;
	memcpy(name, data, n);
	memcpy(exact, data, n); /* no byte behind it: a read past it is seen */
	name[n] = '\0';
	n_name = strlen(name);
	value = n_name < n ? name + n_name + 1 : "";
	check(secret_in_variable(name, value), name, n + 1);
	check(secret_in_text(exact, n), exact, n);
	for (size_t before = n; (rule = secret_in_assignments(&rest, &arena, &variable)); before = rest.n) {
		check(rule, exact, n);
		if (!variable || variable[0] == '\0' || rest.n >= before)
			abort();
	}
	return 0;
}
