/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The plan of the metadata guard: configuration and kernel features in, desired state out. Nothing
 * here talks to the kernel.
 *
 * Table inet batten: the chains prerouting, translated (prerouting again, after the host's own
 * translations), forward and postrouting compare the destination first, so that all other traffic
 * pays for two rules in each; a packet to the metadata service whose
 * source is not allowed is counted and goes to the chain "verdict", which logs at a bounded rate,
 * resets TCP (ECONNREFUSED at once instead of a time-out) and drops the rest.
 *
 * Cgroup eBPF: programs at the root of the cgroups refuse the service to the tasks' slices, whatever
 * network a task has.
 *
 * Where that cannot be, the hook output matches the cgroup of the sender, for tasks in host network
 * mode; its rules name a slice by a number and are made anew with the slice.
 *
 * Table bridge batten, while an exception may need it: an address that may pass may only come from
 * the bridge ports of its own container, whoever writes it into a frame.
 *
 * Routing rules: what this host sends to the service looks up main; everything else is
 * prohibited. They stand when the whole firewall is flushed.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "batten/base/bytes.h"
#include "batten/imds/config.h"
#include "batten/imds/features.h"
#include "batten/imds/openings.h"
#include "batten/kernel/nft.h"
#include "batten/kernel/routing-rules.h"

#define IMDS_TABLE "batten"

/* 169.254.169.254 and fd00:ec2::254 (EC2 user guide, "Instance metadata"). */
extern const struct ip_address imds_addresses[2];

enum imds_layer {
	LAYER_PREROUTING,
	LAYER_TRANSLATED,
	LAYER_FORWARD,
	LAYER_POSTROUTING,
	LAYER_OUTPUT,
	LAYER_BRIDGE_PORTS,
	LAYER_ROUTING_RULES,
	LAYER_CGROUP_EBPF,
	_LAYER_MAX,
};

const char *imds_layer_name(enum imds_layer layer);

/* Whom it keeps out, for a human. */
const char *imds_layer_covers(enum imds_layer layer);

/* What the plan wants of a layer in one family. */
struct imds_layer_plan {
	enum imds_layer layer;
	int family;
	bool wanted;
	const char *reason; /* why it is off, or what it does less well; NULL: complete */
	const struct nft_table *table; /* of the plan, or NULL */
	ssize_t chain;	    /* index into that table's chains, or -1 */
	ssize_t counter;    /* index into its counters, or -1 */
};

struct imds_plan {
	bool enabled;		/* or else the plan is that there be no guard */
	struct nft_table *table; /* owned; NULL where the kernel has no nftables */
	struct nft_table *bridge; /* owned; NULL where the kernel has no bridge tables */
	struct routing_rule *rules; /* owned */
	size_t n_rules;
	struct imds_layer_plan layers[2 * _LAYER_MAX];
	size_t n_layers;
	bool owner, persist;
	const char *owner_reason; /* why the table is or is not owned */
	const char *log_reason;	  /* why blocked packets are not told of; NULL: they are */
	bool cgroup_ebpf;
	bool by_slice_id; /* the slices' ids are a part of it: plan anew when a slice is made */
	struct imds_slices slices;
	char cgroup_root[IMDS_PATH_SIZE], bpf_dir[IMDS_PATH_SIZE];
};

/*
 * imds_plan_new - make the plan
 * @open: what is open for containers beside the configuration's addresses; NULL: nothing
 * @can_keep_socket: somebody (systemd's file descriptor store) keeps the owning socket when this
 *                   process dies, so that owning a table without "persist" is safe
 * Return: 0, -ENOMEM, -E2BIG when more is open than fits
 */
int imds_plan_new(struct imds_plan **ret, const struct imds_config *c, const struct imds_features *f,
		  const struct imds_openings *open, bool can_keep_socket) _must_check_;
struct imds_plan *imds_plan_free(struct imds_plan *p);
DEFINE_CLEANUP(struct imds_plan *, imds_plan_free)

/* As text for nft, routing rules as comments; and as batten.imds-plan/1. NULL on no memory. */
void imds_plan_text(struct bytes *b, const struct imds_plan *p);
json_t *imds_plan_json(const struct imds_plan *p);
