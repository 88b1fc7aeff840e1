/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What guard.c and status.c share.
 */
#include "batten/imds/guard.h"
#include "batten/kernel/netlink.h"

struct imds_guard {
	struct nl_socket *nft, *route; /* owned */
	struct imds_features features;
	struct imds_plan *plan; /* owned; NULL before the first configure */
	/* The newest counters seen, by name: they outlive a table that somebody deletes. */
	struct nft_counter counters[NFT_MAX_COUNTERS];
	size_t n_counters;
};

/* A rule of ours, of this plan or an older one: to IMDS, with protocol "kernel". */
bool imds_rule_is_ours(const struct routing_rule *r);

/* Reads the table; remembers the counters. A plan without a table gives an empty state. */
int imds_guard_look(struct imds_guard *g, struct nft_state *ret, struct diag *d) _must_check_;
