/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Policy routing rules over rtnetlink: which table a packet is looked up in, or that it is
 * prohibited. Addresses are whole hosts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/kernel/netlink.h"
#include "batten/kernel/nft.h"

enum routing_action {
	ROUTING_LOOKUP_MAIN,
	ROUTING_PROHIBIT,
	ROUTING_OTHER, /* only read: somebody else's rule */
};

struct routing_rule {
	int family;
	uint32_t priority;
	bool has_source, has_destination; /* whole-host prefixes */
	uint8_t source[16], destination[16];
	char iif[16]; /* "lo" means: sent by this host; "" any */
	enum routing_action action;
	/* Filled when read: */
	uint8_t protocol;	   /* RTPROT_… */
	uint8_t destination_bits;  /* prefix length of the destination */
	uint32_t table;
	bool plain; /* has no selector but those above */
};

/*
 * Ours carry protocol "kernel": systemd-networkd deletes other rules that it did not make
 * (networkd.conf, ManageForeignRoutingPolicyRules=).
 */
bool routing_rule_equal(const struct routing_rule *a, const struct routing_rule *b);

/*
 * routing_rules_read - every rule of a family
 * @ret: freed by the caller
 * Return: 0 or a negative errno; -EAFNOSUPPORT or -EOPNOTSUPP where the kernel lacks the family
 */
int routing_rules_read(struct nl_socket *nl, int family, struct routing_rule **ret, size_t *ret_n,
		       struct diag *d) _must_check_;

/* Adds a rule. Return: 0, also when it was there, or a negative errno. */
int routing_rule_add(struct nl_socket *nl, const struct routing_rule *r, struct diag *d) _must_check_;

/* Removes a rule. Return: 0, also when it was not there, or a negative errno. */
int routing_rule_remove(struct nl_socket *nl, const struct routing_rule *r, struct diag *d) _must_check_;

/* "pref 90 to 169.254.169.254 iif lo lookup main", as ip-rule(8) writes it; @size 160 is enough. */
void routing_rule_text(const struct routing_rule *r, char *buf, size_t size);

/* Does the message say that a rule came or went? With the rule in @ret. */
bool routing_rule_event(const struct nlmsghdr *nlh, struct routing_rule *ret);
