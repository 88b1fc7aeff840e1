/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Who changed the guard: events of nftables and of the routing rules. Knows nothing of mending.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/kernel/nft.h"

struct imds_watch;

enum imds_watch_source {
	WATCH_NFTABLES,
	WATCH_ROUTING_RULES,
	_WATCH_MAX,
};

struct imds_change {
	bool touched; /* something of ours was changed by somebody else: look at it */
	bool lost;    /* events were lost: look at everything */
	bool more;    /* more events wait; read again soon */
	struct nft_commit who; /* of nftables changes, where the kernel tells */
	uint32_t portid; /* netlink port that asked for the change of a routing rule */
};

/*
 * imds_watch_new - start listening; open it before applying, so that nothing in between is missed
 * @own_portid: netlink port of the guard, whose own changes do not count
 * Return: 0 or a negative errno: -EPERM without CAP_NET_ADMIN
 */
int imds_watch_new(struct imds_watch **ret, uint32_t own_portid, struct diag *d) _must_check_;
struct imds_watch *imds_watch_free(struct imds_watch *w);
DEFINE_CLEANUP(struct imds_watch *, imds_watch_free)

/* Poll for reading. Stays the watch's. */
int imds_watch_fd(const struct imds_watch *w, enum imds_watch_source source);

/* Reads what has come. Return: 0 or a negative errno. */
int imds_watch_read(struct imds_watch *w, enum imds_watch_source source, struct imds_change *ret) _must_check_;
