/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Listening. The kernel sends the events of one nftables transaction with a generation event behind
 * them that names who committed it. Lost events (ENOBUFS) are told as such: going on as if nothing
 * had happened would leave a hole until the next change.
 */
#include "batten/imds/watch.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "batten/imds/plan.h"
#include "batten/kernel/netlink.h"
#include "batten/kernel/routing-rules.h"

/* Datagrams in one go: a flood of other people's changes must not hold the loop. */
#define BUDGET 64

struct imds_watch {
	struct nl_socket *sockets[_WATCH_MAX];
	uint32_t own_portid;
	bool touched_in_commit; /* the transaction whose end is still to come touched us */
};

int imds_watch_new(struct imds_watch **ret, uint32_t own_portid, struct diag *d)
{
	static const unsigned int nft_groups[] = { NFNLGRP_NFTABLES };
	static const unsigned int rule_groups[] = { RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE };
	_cleanup_(imds_watch_freep) struct imds_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->own_portid = own_portid;
	r = nl_open(&w->sockets[WATCH_NFTABLES], NETLINK_NETFILTER, nft_groups, ARRAY_SIZE(nft_groups), d);
	if (r < 0)
		return r;
	r = nl_open(&w->sockets[WATCH_ROUTING_RULES], NETLINK_ROUTE, rule_groups, ARRAY_SIZE(rule_groups), d);
	if (r < 0)
		return r;
	*ret = take_ptr(w);
	return 0;
}

struct imds_watch *imds_watch_free(struct imds_watch *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; i < _WATCH_MAX; i++)
		w->sockets[i] = nl_close(w->sockets[i]);
	free(w);
	return NULL;
}

int imds_watch_fd(const struct imds_watch *w, enum imds_watch_source source)
{
	return nl_fd(w->sockets[source]);
}

struct reading {
	struct imds_watch *w;
	struct imds_change *change;
};

static int on_nftables(const struct nlmsghdr *nlh, void *data)
{
	struct reading *r = data;
	struct nft_commit who = { 0 };
	bool touches, commit;

	nft_event(nlh, IMDS_TABLE, r->w->own_portid, &touches, &commit, &who);
	r->w->touched_in_commit = r->w->touched_in_commit || touches;
	r->change->touched = r->change->touched || touches;
	if (commit && r->w->touched_in_commit) {
		r->change->who = who;
		r->w->touched_in_commit = false;
	}
	return 0;
}

static int on_routing_rule(const struct nlmsghdr *nlh, void *data)
{
	struct reading *r = data;
	struct routing_rule rule;

	/* Only a rule that went can be one of ours; one that came is seen by status. */
	if (nlh->nlmsg_type != RTM_DELRULE || !routing_rule_event(nlh, &rule) || !rule.has_destination)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		if (rule.family != imds_addresses[i].family ||
		    memcmp(rule.destination, imds_addresses[i].bytes, ip_length(rule.family)) != 0)
			continue;
		r->change->touched = true;
		r->change->portid = nlh->nlmsg_pid;
	}
	return 0;
}

int imds_watch_read(struct imds_watch *w, enum imds_watch_source source, struct imds_change *ret)
{
	struct imds_change c = { 0 };
	struct reading reading = { .w = w, .change = &c };
	int r;

	r = nl_events(w->sockets[source], BUDGET, source == WATCH_NFTABLES ? on_nftables : on_routing_rule,
		      &reading);
	if (r == -ENOBUFS)
		c.lost = true;
	else if (r < 0)
		return r;
	c.more = r > 0;
	*ret = c;
	return 0;
}
