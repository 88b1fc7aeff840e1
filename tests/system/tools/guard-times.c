/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guard-times: how long the guard takes, many times over, in one process.
 *
 *	guard-times replace COUNT	apply another table, one batch each; no routing rules
 *	guard-times heal COUNT		remove the table, and wait until a daemon has put it back
 *
 * Prints one line of JSON, in nanoseconds: median, 99th of a hundred, longest.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "batten/base/parse.h"
#include "batten/imds/guard.h"

#define MAX_COUNT 1000000
#define HEAL_TIMEOUT_NS (5 * 1000000000ULL)

struct bench {
	struct imds_guard *guard;
	struct imds_config config;
	struct nl_socket *nl;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A table that stands as it should be would be left alone. */
static int replace(struct bench *b, struct diag *d)
{
	int r;

	b->config.log_rate ^= 1;
	r = imds_guard_configure(b->guard, &b->config, NULL, false);
	return r < 0 ? r : imds_guard_apply(b->guard, d);
}

static int heal(struct bench *b, struct diag *d)
{
	const struct nft_table *t = imds_guard_plan(b->guard)->table;
	uint64_t end = now_ns() + HEAL_TIMEOUT_NS;
	struct nft_state s = { 0 };
	int r;

	r = nft_remove(b->nl, t->family, t->name, d);
	while (r == 0 && !s.present) {
		if (now_ns() > end)
			return diag_fail(d, -ETIME, t->name, "nobody has put the table back");
		r = nft_compare(b->nl, t, &s, d);
	}
	return r;
}

static const struct {
	const char *name;
	int (*once)(struct bench *b, struct diag *d);
} kinds[] = { { "replace", replace }, { "heal", heal } };

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int prepare(struct bench *b, struct diag *d)
{
	void *const targets[] = { &b->config };
	int r;

	r = config_defaults(&imds_config_section, 1, targets, d);
	b->config.table_owner = TABLE_OWNER_NO;
	b->config.routing_rules = false;
	if (r >= 0)
		r = imds_guard_new(&b->guard, NULL, false, -1, d);
	if (r >= 0)
		r = imds_guard_configure(b->guard, &b->config, NULL, false);
	if (r >= 0)
		r = nl_open(&b->nl, NETLINK_NETFILTER, NULL, 0, d);
	return r;
}

static int measure(struct bench *b, int (*once)(struct bench *b, struct diag *d), uint64_t n, uint64_t *took,
		   struct diag *d)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();
		int r = once(b, d);

		if (r < 0)
			return r;
		took[i] = now_ns() - begin;
	}
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(freep) uint64_t *took = NULL;
	struct bench b = { 0 };
	struct diag d = { 0 };
	size_t kind = 0;
	uint64_t n;
	int r;

	while (argc == 3 && kind < ARRAY_SIZE(kinds) && strcmp(argv[1], kinds[kind].name) != 0)
		kind++;
	if (argc != 3 || kind == ARRAY_SIZE(kinds) || parse_u64(slice_of(argv[2]), 1, MAX_COUNT, &n) < 0) {
		(void)fputs("usage: guard-times replace|heal COUNT\n", stderr);
		return 2;
	}
	took = calloc(n, sizeof(*took));
	r = took ? prepare(&b, &d) : -ENOMEM;
	if (r >= 0)
		r = measure(&b, kinds[kind].once, n, took, &d);
	b.nl = nl_close(b.nl);
	b.guard = imds_guard_free(b.guard);
	if (r < 0) {
		diag_print(&d, r);
		return 3;
	}
	qsort(took, n, sizeof(*took), ascending);
	(void)printf("{\"count\": %" PRIu64 ", \"median_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
		     ", \"max_ns\": %" PRIu64 "}\n",
		     n, took[n / 2], took[n - 1 - n / 100], took[n - 1]);
	return 0;
}
