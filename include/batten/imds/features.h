/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What this kernel can do for the guard. Asked of the kernel with a throw-away batch, never derived
 * from version numbers: distributions back-port, and modules may be missing.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/kernel/netlink.h"

enum imds_feature {
	FEATURE_NFTABLES,	   /* inet tables with counters and sets */
	FEATURE_OWNER,		   /* a table that only its owner can change */
	FEATURE_PERSIST,	   /* an owned table that survives its owner */
	FEATURE_COMMENT,	   /* comments of tables and chains */
	FEATURE_IIFKIND,	   /* the kind of the input device */
	FEATURE_REJECT,		   /* TCP reset in the forward hook */
	FEATURE_REJECT_PREROUTING, /* the same in the prerouting hook */
	FEATURE_UNDO_TRANSLATION,  /* a packet's destination as conntrack first saw it, written back */
	FEATURE_POSTROUTING_IIF,   /* the input device in the postrouting hook */
	FEATURE_LIMIT,
	FEATURE_LOG, /* nflog */
	FEATURE_ROUTING_RULES,
	FEATURE_ROUTING_RULES_IPV6,
	FEATURE_SOCKET_CGROUP, /* the cgroup of a packet's sender, in the output hook */
	FEATURE_BRIDGE,	       /* tables of the bridge family, with pairs of device and address */
	FEATURE_CGROUP_EBPF, /* BPF programs, cgroup2, type information */
	FEATURE_CGROUP_TRACING, /* and such that run when a cgroup is made */
	_FEATURE_MAX,
};

struct imds_features {
	bool have[_FEATURE_MAX];
	bool forced_off[_FEATURE_MAX]; /* by --assume-feature */
	/* What the guard finds each time it plans: why no program can be pinned, and the tasks' slices. */
	char cgroup_lack[200];
	struct {
		uint64_t id;
		char path[64]; /* below the mount */
	} slices[8];
	size_t n_slices;
	unsigned int slice_level; /* counted from the mount */
	bool on_host; /* we stand in the host's network namespace: what is done is done for the whole host */
};

const char *imds_feature_name(enum imds_feature f);

/* What a reader is told when the feature is missing: "the kernel has no …". */
const char *imds_feature_lack(const struct imds_features *f, enum imds_feature which);

/*
 * imds_features_assume - "-NAME": act as if the kernel did not have it
 * Return: 0 or -EINVAL with the names that exist in @d. Before the probe or after it.
 */
int imds_features_assume(struct imds_features *f, const char *text, struct diag *d) _must_check_;

/* Every feature, for plans that are only looked at. What was forced off stays off. */
void imds_features_all(struct imds_features *f);

/*
 * imds_features_probe - ask the kernel
 * @nft: NULL: nftables is not asked but presumed to have everything
 * Return: 0 or a negative errno: -EPERM without CAP_NET_ADMIN
 */
int imds_features_probe(struct imds_features *f, struct nl_socket *nft, struct nl_socket *route,
			struct diag *d) _must_check_;
