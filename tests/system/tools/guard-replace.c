/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guard-replace: apply the guard's table again and again, in one process; no routing rules.
 *
 *	guard-replace COUNT
 *
 * Prints one line of JSON: how many replacements were made and how long they took, in nanoseconds:
 * median, 99th of a hundred, longest.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "batten/base/parse.h"
#include "batten/imds/guard.h"

#define MAX_COUNT 1000000

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int replace(struct imds_guard *g, uint64_t n, uint64_t *took, struct diag *d)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();
		int r = imds_guard_apply(g, d);

		if (r < 0)
			return r;
		took[i] = now_ns() - begin;
	}
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(imds_guard_freep) struct imds_guard *g = NULL;
	_cleanup_(freep) uint64_t *took = NULL;
	struct imds_config config = { 0 };
	void *const targets[] = { &config };
	struct diag d = { 0 };
	uint64_t n;
	int r;

	if (argc != 2 || parse_u64(slice_of(argv[1]), 1, MAX_COUNT, &n) < 0) {
		(void)fputs("usage: guard-replace COUNT\n", stderr);
		return 2;
	}
	took = calloc(n, sizeof(*took));
	if (!took)
		return 3;
	r = config_defaults(&imds_config_section, 1, targets, &d);
	config.table_owner = TABLE_OWNER_NO;
	config.routing_rules = false;
	if (r >= 0)
		r = imds_guard_new(&g, NULL, -1, &d);
	if (r >= 0)
		r = imds_guard_configure(g, &config, false);
	if (r >= 0)
		r = replace(g, n, took, &d);
	if (r < 0) {
		diag_print(&d, r);
		return 3;
	}
	qsort(took, n, sizeof(*took), ascending);
	(void)printf("{\"replacements\": %" PRIu64 ", \"median_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
		     ", \"max_ns\": %" PRIu64 "}\n",
		     n, took[n / 2], took[n - 1 - n / 100], took[n - 1]);
	return 0;
}
