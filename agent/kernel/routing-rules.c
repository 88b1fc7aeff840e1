/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Policy routing rules, read and written over rtnetlink.
 */
#include "batten/kernel/routing-rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DUMP_TRIES 16
#define MAX_RULES 65536 /* more than a host has; a bound on what a dump may cost */

bool routing_rule_equal(const struct routing_rule *a, const struct routing_rule *b)
{
	size_t n = ip_length(a->family);

	return a->family == b->family && a->priority == b->priority && a->action == b->action &&
	       a->has_source == b->has_source && a->has_destination == b->has_destination &&
	       strcmp(a->iif, b->iif) == 0 && (!a->has_source || memcmp(a->source, b->source, n) == 0) &&
	       (!a->has_destination || memcmp(a->destination, b->destination, n) == 0);
}

static bool take_address(const struct nlattr *a, int family, uint8_t *to)
{
	if (mnl_attr_get_payload_len(a) != ip_length(family))
		return false;
	memcpy(to, mnl_attr_get_payload(a), ip_length(family));
	return true;
}

static bool parse_rule(const struct nlmsghdr *nlh, struct routing_rule *r)
{
	const struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);
	size_t bits;
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*h) || (h->family != AF_INET && h->family != AF_INET6))
		return false;
	*r = (struct routing_rule){ .family = h->family, .table = h->table, .plain = true };
	bits = ip_length(h->family) * 8;
	r->destination_bits = h->dst_len;
	r->plain = h->tos == 0 && !(h->flags & FIB_RULE_INVERT) && (h->src_len == 0 || h->src_len == bits) &&
		   (h->dst_len == 0 || h->dst_len == bits);
	mnl_attr_for_each(a, nlh, sizeof(*h))
	{
		switch (mnl_attr_get_type(a)) {
		case FRA_DST:
			r->has_destination = take_address(a, h->family, r->destination);
			break;
		case FRA_SRC:
			r->has_source = take_address(a, h->family, r->source);
			break;
		case FRA_IIFNAME:
			if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
				(void)snprintf(r->iif, sizeof(r->iif), "%s", mnl_attr_get_str(a));
			break;
		case FRA_PRIORITY:
			if (mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
				r->priority = mnl_attr_get_u32(a);
			break;
		case FRA_TABLE:
			if (mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
				r->table = mnl_attr_get_u32(a);
			break;
		case FRA_PROTOCOL:
			if (mnl_attr_validate(a, MNL_TYPE_U8) >= 0)
				r->protocol = mnl_attr_get_u8(a);
			break;
		case FRA_FWMARK:
		case FRA_FWMASK:
		case FRA_OIFNAME:
		case FRA_UID_RANGE:
		case FRA_IP_PROTO:
		case FRA_SPORT_RANGE:
		case FRA_DPORT_RANGE:
		case FRA_L3MDEV:
		case FRA_TUN_ID:
			r->plain = false;
			break;
		default: /* suppressors are always told and change nothing for us */
			break;
		}
	}
	if (h->action == FR_ACT_TO_TBL)
		r->action = r->table == RT_TABLE_MAIN ? ROUTING_LOOKUP_MAIN : ROUTING_OTHER;
	else
		r->action = h->action == FR_ACT_PROHIBIT ? ROUTING_PROHIBIT : ROUTING_OTHER;
	return true;
}

struct rule_list {
	struct routing_rule *rules;
	size_t n, size;
};

static int on_rule(const struct nlmsghdr *nlh, void *data)
{
	struct rule_list *l = data;

	if (nlh->nlmsg_type != RTM_NEWRULE)
		return 0;
	if (l->n == l->size) {
		size_t size = l->size ? l->size * 2 : 16;
		struct routing_rule *grown;

		if (size > MAX_RULES)
			return -E2BIG;
		grown = reallocarray(l->rules, size, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->rules = grown;
		l->size = size;
	}
	if (parse_rule(nlh, &l->rules[l->n]))
		l->n++;
	return 0;
}

static struct nlmsghdr *put_header(char *buf, uint16_t type, uint16_t flags, int family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *h;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	h = mnl_nlmsg_put_extra_header(nlh, sizeof(*h));
	h->family = (uint8_t)family;
	return nlh;
}

int routing_rules_read(struct nl_socket *nl, int family, struct routing_rule **ret, size_t *ret_n,
		       struct diag *d)
{
	struct rule_list l = { 0 };
	int r = -EINTR;

	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		char buf[128];

		l.n = 0;
		r = nl_request(nl, put_header(buf, RTM_GETRULE, NLM_F_DUMP, family), on_rule, &l, NULL);
	}
	if (r < 0) {
		free(l.rules);
		return diag_errno(d, r, "routing rules", "cannot read");
	}
	*ret = l.rules;
	*ret_n = l.n;
	return 0;
}

static int send_rule(struct nl_socket *nl, uint16_t type, uint16_t flags, const struct routing_rule *r,
		     struct diag *d)
{
	char buf[256];
	struct nlmsghdr *nlh = put_header(buf, type, flags | NLM_F_ACK, r->family);
	struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);
	size_t n = ip_length(r->family);

	h->action = r->action == ROUTING_PROHIBIT ? FR_ACT_PROHIBIT : FR_ACT_TO_TBL;
	h->table = r->action == ROUTING_PROHIBIT ? RT_TABLE_UNSPEC : RT_TABLE_MAIN;
	if (r->has_destination) {
		h->dst_len = (uint8_t)(n * 8);
		mnl_attr_put(nlh, FRA_DST, n, r->destination);
	}
	if (r->has_source) {
		h->src_len = (uint8_t)(n * 8);
		mnl_attr_put(nlh, FRA_SRC, n, r->source);
	}
	if (r->iif[0])
		mnl_attr_put_strz(nlh, FRA_IIFNAME, r->iif);
	mnl_attr_put_u32(nlh, FRA_PRIORITY, r->priority);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, RTPROT_KERNEL);
	return nl_request(nl, nlh, NULL, NULL, d);
}

int routing_rule_add(struct nl_socket *nl, const struct routing_rule *r, struct diag *d)
{
	char text[160];
	struct diag why = { 0 };
	int e = send_rule(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, r, &why);

	if (e == 0 || e == -EEXIST)
		return 0;
	routing_rule_text(r, text, sizeof(text));
	return diag_errno(d, e, "routing rules", "cannot add \"%s\"", text);
}

int routing_rule_remove(struct nl_socket *nl, const struct routing_rule *r, struct diag *d)
{
	char text[160];
	struct diag why = { 0 };
	int e = send_rule(nl, RTM_DELRULE, 0, r, &why);

	if (e == 0 || e == -ENOENT)
		return 0;
	routing_rule_text(r, text, sizeof(text));
	return diag_errno(d, e, "routing rules", "cannot remove \"%s\"", text);
}

void routing_rule_text(const struct routing_rule *r, char *buf, size_t size)
{
	static const char *const actions[] = {
		[ROUTING_LOOKUP_MAIN] = "lookup main",
		[ROUTING_PROHIBIT] = "prohibit",
		[ROUTING_OTHER] = "(other)",
	};
	char source[INET6_ADDRSTRLEN] = "", destination[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(r->family, r->source, source, sizeof(source));
	(void)inet_ntop(r->family, r->destination, destination, sizeof(destination));
	(void)snprintf(buf, size, "pref %u%s%s%s%s%s%s %s", r->priority, r->has_source ? " from " : "",
		       r->has_source ? source : "", r->has_destination ? " to " : "",
		       r->has_destination ? destination : "", r->iif[0] ? " iif " : "", r->iif,
		       actions[r->action]);
}

bool routing_rule_event(const struct nlmsghdr *nlh, struct routing_rule *ret)
{
	if (nlh->nlmsg_type != RTM_NEWRULE && nlh->nlmsg_type != RTM_DELRULE)
		return false;
	return parse_rule(nlh, ret);
}
