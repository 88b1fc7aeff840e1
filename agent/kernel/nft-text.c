/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A table in nft's language, spelled as bookworm's nft (1.0.6) reads it. A test loads this text and
 * the netlink form of the same plan and compares what `nft list` makes of both.
 */
#include "kernel/nft-internal.h"

#include <arpa/inet.h>
#include <string.h>

static const char *const set_types[_NFT_SET_TYPE_MAX] = {
	[NFT_SET_IPV4] = "ipv4_addr",
	[NFT_SET_IPV6] = "ipv6_addr",
	[NFT_SET_IFNAME] = "ifname",
	[NFT_SET_PORT4] = "ifname . ipv4_addr",
	[NFT_SET_PORT6] = "ifname . ipv6_addr",
	[NFT_SET_CGROUP] = "cgroupsv2",
};

const char *nft_family_name(int family)
{
	return family == NFPROTO_BRIDGE ? "bridge" : "inet";
}

static const char *hook_name(int hook)
{
	static const char *const names[] = {
		[NF_INET_PRE_ROUTING] = "prerouting",	[NF_INET_LOCAL_IN] = "input",
		[NF_INET_FORWARD] = "forward",		[NF_INET_LOCAL_OUT] = "output",
		[NF_INET_POST_ROUTING] = "postrouting",
	};

	return names[hook];
}

static void address_text(struct bytes *b, int family, const uint8_t *bytes)
{
	char text[INET6_ADDRSTRLEN];

	bytes_append_str(b, inet_ntop(family, bytes, text, sizeof(text)) ? text : "?");
}

static const char *ip_keyword(int family)
{
	return family == AF_INET ? "ip" : "ip6";
}

static void statement_text(struct bytes *b, const struct nft_statement *s)
{
	switch (s->kind) {
	case STMT_DADDR:
		bytes_printf(b, "%s daddr ", ip_keyword(s->address.family));
		address_text(b, s->address.family, s->address.bytes);
		break;
	case STMT_SADDR_IN:
		bytes_printf(b, "%s saddr @%s", ip_keyword(s->family), s->name);
		break;
	case STMT_SADDR_NOT_IN:
		bytes_printf(b, "%s saddr != @%s", ip_keyword(s->family), s->name);
		break;
	case STMT_PORT_NOT_IN:
		bytes_printf(b, "iifname . %s saddr != @%s", ip_keyword(s->family), s->name);
		break;
	case STMT_IIFKIND_IN:
		bytes_printf(b, "meta iifkind @%s", s->name);
		break;
	case STMT_IIF_PRESENT:
		bytes_append_str(b, "iif != 0");
		break;
	case STMT_IIF_NOT_LO:
		bytes_append_str(b, "iif != \"lo\"");
		break;
	case STMT_HOPS_SPENT:
		bytes_append_str(b, "ip6 hoplimit != 255");
		break;
	case STMT_SOCKET_CGROUP:
		bytes_printf(b, "socket cgroupv2 level %u \"%s\"", s->number, s->cgroup_path);
		break;
	case STMT_SOCKET_CGROUP_IN:
		bytes_printf(b, "socket cgroupv2 level %u @%s", s->number, s->name);
		break;
	case STMT_L4PROTO:
		bytes_printf(b, "meta l4proto %s", s->number == IPPROTO_TCP ? "tcp" : "udp");
		break;
	case STMT_LIMIT:
		bytes_printf(b, "limit rate %u/second burst %u packets", s->number, s->burst);
		break;
	case STMT_LOG:
		bytes_printf(b, "log prefix \"%s\" group %u snaplen %u queue-threshold 1", s->name, s->number,
			     s->snaplen);
		break;
	case STMT_COUNT:
		bytes_printf(b, "counter name \"%s\"", s->name);
		break;
	case STMT_JUMP:
		bytes_printf(b, "jump %s", s->name);
		break;
	case STMT_UNDO_TRANSLATION:
		bytes_printf(b, "%s daddr set ct original %s daddr tcp dport set ct original proto-dst",
			     ip_keyword(s->family), ip_keyword(s->family));
		break;
	case STMT_REJECT_RESET:
		bytes_append_str(b, "reject with tcp reset");
		break;
	case STMT_DROP:
		bytes_append_str(b, "drop");
		break;
	case STMT_ACCEPT:
		bytes_append_str(b, "accept");
		break;
	case _STMT_MAX:
		break;
	}
}

void nft_rule_text(struct bytes *b, const struct nft_table *t, const struct nft_rule *r)
{
	for (size_t i = 0; i < r->n_statements; i++) {
		if (i > 0)
			bytes_append_str(b, " ");
		statement_text(b, &r->statements[i]);
	}
}

static void comment_text(struct bytes *b, const char *indent, const char *comment)
{
	if (comment[0])
		bytes_printf(b, "%scomment \"%s\"\n", indent, comment);
}

static void element_text(struct bytes *b, enum nft_set_type type, const uint8_t *key)
{
	uint64_t id;

	switch (type) {
	case NFT_SET_IPV4:
	case NFT_SET_IPV6:
		address_text(b, type == NFT_SET_IPV4 ? AF_INET : AF_INET6, key);
		break;
	case NFT_SET_IFNAME:
		bytes_printf(b, "\"%.16s\"", (const char *)key);
		break;
	case NFT_SET_PORT4:
	case NFT_SET_PORT6:
		bytes_printf(b, "\"%.16s\" . ", (const char *)key);
		address_text(b, type == NFT_SET_PORT4 ? AF_INET : AF_INET6, key + NFT_KEY_SIZE / 2);
		break;
	case NFT_SET_CGROUP: /* nft itself prints the number where it finds no path */
		memcpy(&id, key, sizeof(id));
		bytes_printf(b, "%llu", (unsigned long long)id);
		break;
	case _NFT_SET_TYPE_MAX:
		break;
	}
}

static void set_text(struct bytes *b, const struct nft_set *s)
{
	bytes_printf(b, "\tset %s {\n\t\ttype %s\n", s->name, set_types[s->type]);
	if (s->constant)
		bytes_append_str(b, "\t\tflags constant\n");
	comment_text(b, "\t\t", s->comment);
	for (size_t i = 0; i < s->n_elements; i++) {
		bytes_append_str(b, i == 0 ? "\t\telements = { " : ", ");
		element_text(b, s->type, s->elements[i]);
	}
	bytes_append_str(b, s->n_elements > 0 ? " }\n\t}\n\n" : "\t}\n\n");
}

static void chain_text(struct bytes *b, const struct nft_table *t, const struct nft_chain *c)
{
	bytes_printf(b, "\tchain %s {\n", c->name);
	if (t->with_comments)
		comment_text(b, "\t\t", c->comment);
	if (c->hook >= 0)
		bytes_printf(b, "\t\ttype filter hook %s priority %d; policy accept;\n", hook_name(c->hook),
			     c->priority);
	for (size_t i = 0; i < c->n_rules; i++) {
		bytes_append_str(b, "\t\t");
		nft_rule_text(b, t, &c->rules[i]);
		if (c->rules[i].comment[0])
			bytes_printf(b, " comment \"%s\"", c->rules[i].comment);
		bytes_append_str(b, "\n");
	}
	bytes_append_str(b, "\t}\n");
}

void nft_table_text(struct bytes *b, const struct nft_table *t)
{
	const char *family = nft_family_name(t->family);

	/* Naming the table first makes the delete succeed whether or not it was there. */
	bytes_printf(b, "table %s %s\ndelete table %s %s\n", family, t->name, family, t->name);
	if (t->absent)
		return;
	bytes_printf(b, "table %s %s {\n", family, t->name);
	if (t->with_comments)
		comment_text(b, "\t", t->comment);
	for (size_t i = 0; i < t->n_counters; i++)
		bytes_printf(b, "\tcounter %s {\n\t}\n\n", t->counters[i].name);
	for (size_t i = 0; i < t->n_sets; i++)
		set_text(b, &t->sets[i]);
	for (size_t i = 0; i < t->n_chains; i++) {
		if (i > 0)
			bytes_append_str(b, "\n");
		chain_text(b, t, &t->chains[i]);
	}
	bytes_append_str(b, "}\n");
}
