/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel's nftables rules, read over netlink and reduced to what they match and do. iptables-nft
 * writes the same tables: its addresses and ports as ordinary comparisons or as the old "tcp" match,
 * its special targets as "target" expressions. What we do not read is counted, never left out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "audit/facts-internal.h"
#include "batten/kernel/netlink.h"

#define MAX_CHAINS 4096
#define MAX_RULES 65536
#define MESSAGE_BYTES 512
#define XT_TCP_INV_DSTPT 0x02 /* linux/netfilter/xt_tcpudp.h, which old kernels' headers hide */

/* The fields of struct xt_tcp and struct xt_udp that stand at the same place in both. */
struct xt_ports {
	uint16_t source[2], destination[2];
};

static const char *family_name(uint32_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_ARP:
		return "arp";
	default:
		return "other";
	}
}

/* ---- one rule ----------------------------------------------------------------------------------*/

struct reading {
	json_t *rule, *matches;
	uint32_t family;
	json_int_t other;
	/* The register as it was last loaded: what a comparison compares. */
	enum { LOADED_NOTHING, LOADED_IIF, LOADED_OIF, LOADED_PROTO, LOADED_SADDR, LOADED_DADDR, LOADED_DPORT,
	       LOADED_FAMILY, LOADED_OTHER } loaded;
	unsigned int prefix; /* length of a masked address; 0: whole */
};

static void set_text(struct reading *r, const char *key, bool negated, const char *text)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%s%s", key, negated ? "_not" : "");
	json_object_set_new(r->rule, name, json_string(text));
}

static void load_payload(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t base = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t n = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_LEN);

	r->prefix = 0;
	r->loaded = LOADED_OTHER;
	if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && n == 2)
		r->loaded = LOADED_DPORT;
	if (base != NFT_PAYLOAD_NETWORK_HEADER)
		return;
	/* iptables loads only the bytes of a prefix that it compares: 127/8 is one byte. */
	if (offset == 16 && n <= 4 && r->family != NFPROTO_IPV6)
		r->loaded = LOADED_DADDR;
	else if (offset == 12 && n <= 4 && r->family != NFPROTO_IPV6)
		r->loaded = LOADED_SADDR;
	else if (offset == 9 && n == 1 && r->family != NFPROTO_IPV6)
		r->loaded = LOADED_PROTO;
	else if (offset == 24 && n <= 16)
		r->loaded = LOADED_DADDR;
	else if (offset == 8 && n <= 16)
		r->loaded = LOADED_SADDR;
	else if (offset == 6 && n == 1)
		r->loaded = LOADED_PROTO;
}

static void load_meta(struct reading *r, const struct nftnl_expr *e)
{
	switch (nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY)) {
	case NFT_META_IIFNAME:
		r->loaded = LOADED_IIF;
		break;
	case NFT_META_OIFNAME:
		r->loaded = LOADED_OIF;
		break;
	case NFT_META_L4PROTO:
		r->loaded = LOADED_PROTO;
		break;
	case NFT_META_NFPROTO:
		r->loaded = LOADED_FAMILY;
		break;
	default:
		r->loaded = LOADED_OTHER;
	}
}

static void mask_loaded(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t n;
	const uint8_t *mask = nftnl_expr_get(e, NFTNL_EXPR_BITWISE_MASK, &n);

	if (!mask || (r->loaded != LOADED_DADDR && r->loaded != LOADED_SADDR)) {
		r->loaded = LOADED_OTHER;
		return;
	}
	r->prefix = 0;
	for (uint32_t i = 0; i < n; i++)
		r->prefix += (unsigned int)__builtin_popcount(mask[i]);
}

static void compare_address(struct reading *r, const char *key, bool negated, const uint8_t *data, uint32_t n)
{
	bool v6 = n > 4 || r->family == NFPROTO_IPV6;
	uint8_t bytes[16] = { 0 };
	char text[INET6_ADDRSTRLEN], with_length[INET6_ADDRSTRLEN + 8];

	memcpy(bytes, data, MIN(n, (uint32_t)sizeof(bytes)));
	if (!inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text)))
		return;
	(void)snprintf(with_length, sizeof(with_length), "%s/%u", text, r->prefix ? r->prefix : n * 8);
	set_text(r, key, negated, with_length);
}

static void compare(struct reading *r, const struct nftnl_expr *e)
{
	bool negated = nftnl_expr_get_u32(e, NFTNL_EXPR_CMP_OP) == NFT_CMP_NEQ;
	uint32_t n;
	const uint8_t *data = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &n);
	char text[32];

	if (!data)
		return;
	switch (r->loaded) {
	case LOADED_IIF:
	case LOADED_OIF:
		(void)snprintf(text, sizeof(text), "%.*s", (int)MIN(n, 16u), (const char *)data);
		set_text(r, r->loaded == LOADED_IIF ? "iif" : "oif", negated, text);
		break;
	case LOADED_PROTO:
		(void)snprintf(text, sizeof(text), "%s", data[0] == IPPROTO_TCP ? "tcp" : data[0] == IPPROTO_UDP ? "udp" : "other");
		set_text(r, "proto", negated, text);
		break;
	case LOADED_DADDR:
	case LOADED_SADDR:
		compare_address(r, r->loaded == LOADED_DADDR ? "daddr" : "saddr", negated, data, n);
		break;
	case LOADED_DPORT:
		if (n == 2 && !negated)
			json_object_set_new(r->rule, "dport", json_integer(data[0] << 8 | data[1]));
		else
			r->other++;
		break;
	case LOADED_FAMILY:
		break;
	default:
		r->other++;
	}
}

static void read_match(struct reading *r, const struct nftnl_expr *e)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_MT_NAME);
	struct xt_ports ports;
	uint32_t n;
	const uint8_t *info = nftnl_expr_get(e, NFTNL_EXPR_MT_INFO, &n);
	bool one;

	json_array_append_new(r->matches, json_string(name ? name : "?"));
	if (!name || !info || (strcmp(name, "tcp") != 0 && strcmp(name, "udp") != 0) || n < 12)
		return;
	memcpy(&ports, info, sizeof(ports));
	/* The flags that turn a comparison round stand behind the ports: at 11 for tcp, at 8 for udp. */
	one = ports.destination[0] == ports.destination[1] && !(info[strcmp(name, "tcp") == 0 ? 11 : 8] & XT_TCP_INV_DSTPT);
	json_object_set_new(r->rule, "proto", json_string(name));
	if (one)
		json_object_set_new(r->rule, "dport", json_integer(ports.destination[0]));
	else if (ports.destination[0] != 0 || ports.destination[1] != 65535)
		r->other++;
}

static void read_verdict(struct reading *r, const struct nftnl_expr *e)
{
	const char *chain = nftnl_expr_get_str(e, NFTNL_EXPR_IMM_CHAIN);
	int verdict;

	if (!nftnl_expr_is_set(e, NFTNL_EXPR_IMM_VERDICT))
		return;
	verdict = (int)nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_VERDICT);
	json_object_set_new(r->rule, "verdict",
			    json_string(verdict == NF_DROP     ? "drop" :
					verdict == NF_ACCEPT   ? "accept" :
					verdict == NFT_JUMP    ? "jump" :
					verdict == NFT_GOTO    ? "goto" :
					verdict == NFT_RETURN  ? "return" :
								 "other"));
	if (chain)
		json_object_set_new(r->rule, "to", json_string(chain));
}

static int read_expression(struct nftnl_expr *e, void *data)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct reading *r = data;

	if (strcmp(name, "payload") == 0)
		load_payload(r, e);
	else if (strcmp(name, "meta") == 0)
		load_meta(r, e);
	else if (strcmp(name, "bitwise") == 0)
		mask_loaded(r, e);
	else if (strcmp(name, "cmp") == 0)
		compare(r, e);
	else if (strcmp(name, "match") == 0)
		read_match(r, e);
	else if (strcmp(name, "immediate") == 0)
		read_verdict(r, e);
	else if (strcmp(name, "target") == 0)
		json_object_set_new(r->rule, "target", json_string(nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME)));
	else if (strcmp(name, "nat") == 0)
		json_object_set_new(r->rule, "target", json_string("DNAT"));
	else if (strcmp(name, "redir") == 0)
		json_object_set_new(r->rule, "target", json_string("REDIRECT"));
	else if (strcmp(name, "reject") == 0)
		json_object_set_new(r->rule, "verdict", json_string("reject"));
	else if (strcmp(name, "counter") != 0 && strcmp(name, "log") != 0)
		r->other++; /* lookup, limit, ct, fib, … */
	return 0;
}

/* ---- the dump ----------------------------------------------------------------------------------*/

struct dump {
	json_t *chains;
	size_t n_rules;
};

static int on_chain(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct dump *dump = data;
	json_t *j;

	if (!c)
		return -ENOMEM;
	if (nftnl_chain_nlmsg_parse(nlh, c) < 0 || json_array_size(dump->chains) >= MAX_CHAINS) {
		nftnl_chain_free(c);
		return -EPROTO;
	}
	j = json_pack("{s:s, s:s, s:s, s:[]}", "family", family_name(nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY)), "table",
		      nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), "chain", nftnl_chain_get_str(c, NFTNL_CHAIN_NAME),
		      "rules");
	if (nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM)) {
		json_object_set_new(j, "hook", json_integer(nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM)));
		json_object_set_new(j, "priority", json_integer((int32_t)nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO)));
	}
	if (nftnl_chain_is_set(c, NFTNL_CHAIN_POLICY))
		json_object_set_new(j, "policy",
				    json_string(nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) == NF_DROP ? "drop" : "accept"));
	nftnl_chain_free(c);
	return json_array_append_new(dump->chains, j) < 0 ? -ENOMEM : 0;
}

static json_t *chain_of(const struct dump *dump, const char *family, const char *table, const char *chain)
{
	json_t *v;
	size_t i;

	json_array_foreach(dump->chains, i, v) {
		if (strcmp(facts_json_string(v, "family", ""), family) == 0 &&
		    strcmp(facts_json_string(v, "table", ""), table) == 0 &&
		    strcmp(facts_json_string(v, "chain", ""), chain) == 0)
			return v;
	}
	return NULL;
}

static int on_rule(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct dump *dump = data;
	struct reading r = { .rule = json_object(), .matches = json_array() };
	json_t *chain;

	if (!rule || nftnl_rule_nlmsg_parse(nlh, rule) < 0 || ++dump->n_rules > MAX_RULES) {
		if (rule)
			nftnl_rule_free(rule);
		json_decref(r.rule);
		json_decref(r.matches);
		return rule ? -EPROTO : -ENOMEM;
	}
	r.family = nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY);
	(void)nftnl_expr_foreach(rule, read_expression, &r);
	json_object_set_new(r.rule, "matches", r.matches);
	json_object_set_new(r.rule, "other", json_integer(r.other));
	chain = chain_of(dump, family_name(r.family), nftnl_rule_get_str(rule, NFTNL_RULE_TABLE),
			 nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
	nftnl_rule_free(rule);
	if (!chain) {
		json_decref(r.rule);
		return 0; /* its chain came after the first question */
	}
	return json_array_append_new(json_object_get(chain, "rules"), r.rule) < 0 ? -ENOMEM : 0;
}

static int ask(struct nl_socket *nl, uint16_t type, nl_message_fn fn, struct dump *dump, struct diag *d)
{
	char buf[MESSAGE_BYTES];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(buf, type, NFPROTO_UNSPEC, NLM_F_DUMP, 0);

	return nl_request(nl, nlh, fn, dump, d);
}

/* Tables of the old interface are named here while its modules are loaded. */
static bool legacy_loaded(struct facts *f)
{
	const char *v4 = facts_line(f, "/proc/net/ip_tables_names"), *v6 = facts_line(f, "/proc/net/ip6_tables_names");

	return (v4 && v4[0]) || (v6 && v6[0]);
}

int source_rules_load(struct facts *f, json_t **ret, struct diag *d)
{
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	_cleanup_(json_freep) json_t *chains = NULL;
	int r;

	r = nl_open(&nl, NETLINK_NETFILTER, NULL, 0, d);
	if (r < 0)
		return r;
	/* A change in the middle spoils a dump: begin again, a few times. */
	for (int tries = 0; tries < 5; tries++) {
		struct dump dump = { 0 };
		struct diag why = { 0 };

		json_decref(chains);
		chains = dump.chains = json_array();
		if (!chains)
			return -ENOMEM;
		r = ask(nl, NFT_MSG_GETCHAIN, on_chain, &dump, &why);
		if (r >= 0)
			r = ask(nl, NFT_MSG_GETRULE, on_rule, &dump, &why);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return diag_errno(d, r == -ENOENT ? -EIO : r, "nftables", "cannot list the rules");
		*ret = json_pack("{s:b, s:O}", "legacy", legacy_loaded(f), "chains", chains);
		return *ret ? 0 : -ENOMEM;
	}
	return diag_fail(d, -EAGAIN, "nftables", "the rules change all the time");
}
