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
	struct imds_config config; /* what the plan was made of */
	struct imds_openings open; /* too; owned */
	bool can_keep;
	bool presumed; /* nftables was not asked for its features yet */
	/* What was blocked in all: the sum outlives a table that somebody deletes, and a counter that he resets. */
	struct guard_counter {
		struct nft_counter all;
		uint64_t packets, bytes; /* the kernel's, when it was read last */
	} counters[NFT_MAX_COUNTERS];
	size_t n_counters;
	struct cgroup_hold *hold; /* of what is pinned; owned, NULL where nothing is */
	bool cgroup_ebpf;	 /* the kernel can; whether this host can is looked at each time */
	bool cgroup_installed;	 /* by this process, as the plan wants it */
	bool cgroup_raced;	 /* without the program that guards a slice as it is made */
	bool cgroup_refused;	 /* the kernel refused the programs: no use in asking again */
	char cgroup_reason[200]; /* why the cgroup layer could not be installed; "" */
};

/* A rule of ours, of this plan or an older one: to IMDS, with protocol "kernel". */
bool imds_rule_is_ours(const struct routing_rule *r);

/* The plan's tables as they are in the kernel. A plan without one gives an empty state. */
struct imds_look {
	struct nft_state table, bridge;
};

/* Reads the tables; the counters in @ret are sums, which never go back. */
int imds_guard_look(struct imds_guard *g, struct imds_look *ret, struct diag *d) _must_check_;

/* ---- the cgroup layer (guard-cgroup.c) ------------------------------------------------------- */

/*
 * Installs it, or takes it away when the plan does not want it. A failure is kept for the status.
 * Return: true when the plan counts on a layer that cannot be had here, and has to be made anew
 */
bool imds_guard_cgroup_apply(struct imds_guard *g);

/* Installs what is missing. Return: 1 when it was and now is not, else 0; adds to @what what it was. */
int imds_guard_cgroup_heal(struct imds_guard *g, char *what, size_t n_what);

/* Finds out what a plan has to know: can programs be pinned, and where are the slices? */
void imds_guard_cgroup_look(struct imds_guard *g, const struct imds_config *c);

/* Would the layer be installed differently? */
bool imds_guard_cgroup_differs(const struct imds_plan *a, const struct imds_plan *b);

int imds_guard_cgroup_remove(struct imds_guard *g, struct diag *d) _must_check_;
void imds_guard_cgroup_status(struct imds_guard *g, int family, struct imds_layer_status *l);
