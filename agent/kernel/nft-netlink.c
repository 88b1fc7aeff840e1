/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A table as netlink messages, in one batch: name the table so that deleting it cannot fail,
 * delete it, make it anew. Between two packets the kernel changes from the old table to the new.
 *
 * Every value set on an expression is read back with nftnl_expr_is_set(): since 1.2.7 libnftnl
 * ignores a setter of the wrong width without a word, and before that it read past the value.
 */
#include "kernel/nft-internal.h"

#include <assert.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

/* libnftnl writes messages without a bound: one message of ours always fits in this. */
#define MESSAGE_ROOM (64 * 1024)

/* An element takes about 44 bytes, and its list's length has 16 bits. */
#define ELEMENTS_PER_MESSAGE 512

const struct nft_set_type_row nft_set_types[_NFT_SET_TYPE_MAX] = {
	[NFT_SET_IPV4] = { .type = 7, .length = 4, .byte_order = 2 },
	[NFT_SET_IPV6] = { .type = 8, .length = 16, .byte_order = 2 },
	[NFT_SET_IFNAME] = { .type = 41, .length = 16, .byte_order = 1 },
	/* A concatenation has six bits for each of its types, and no byte order. */
	[NFT_SET_PORT4] = { .type = 41 << 6 | 7, .length = 20 },
	[NFT_SET_PORT6] = { .type = 41 << 6 | 8, .length = 32 },
	[NFT_SET_CGROUP] = { .type = 46, .length = 8, .byte_order = 1 },
};

/* ---- expressions ---------------------------------------------------------------------------- */

struct rule_builder {
	struct nftnl_rule *rule;
	struct nftnl_expr *e; /* the newest, owned by the rule */
	int error;	      /* -ENOMEM, or -EPROTO: the library cannot say it */
};

/* The library has no code for why it did not do a thing; what it calls has. */
static int refusal(void)
{
	return errno == ENOMEM ? -ENOMEM : -EPROTO;
}

static void add(struct rule_builder *b, const char *name)
{
	if (b->error < 0)
		return;
	errno = 0;
	b->e = nftnl_expr_alloc(name);
	if (b->e)
		nftnl_rule_add_expr(b->rule, b->e);
	else
		b->error = refusal();
}

static void check(struct rule_builder *b, uint16_t attribute)
{
	if (!nftnl_expr_is_set(b->e, attribute))
		b->error = refusal();
}

#define SETTER(name, type)                                                                         \
	static void set_##name(struct rule_builder *b, uint16_t attribute, type value)             \
	{                                                                                          \
		if (b->error < 0)                                                                  \
			return;                                                                    \
		errno = 0;                                                                         \
		nftnl_expr_set_##name(b->e, attribute, value);                                     \
		check(b, attribute);                                                               \
	}
SETTER(u8, uint8_t)
SETTER(u16, uint16_t)
SETTER(u32, uint32_t)
SETTER(u64, uint64_t)
#undef SETTER

static void set_text(struct rule_builder *b, uint16_t attribute, const char *value)
{
	if (b->error < 0)
		return;
	errno = 0;
	(void)nftnl_expr_set_str(b->e, attribute, value);
	check(b, attribute);
}

static void add_meta(struct rule_builder *b, uint32_t key)
{
	add(b, "meta");
	set_u32(b, NFTNL_EXPR_META_KEY, key);
	set_u32(b, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void add_cmp(struct rule_builder *b, uint32_t op, const void *data, uint32_t n)
{
	add(b, "cmp");
	set_u32(b, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	set_u32(b, NFTNL_EXPR_CMP_OP, op);
	if (b->error < 0)
		return;
	errno = 0;
	(void)nftnl_expr_set(b->e, NFTNL_EXPR_CMP_DATA, data, n);
	check(b, NFTNL_EXPR_CMP_DATA);
}

/* A field of the IP header, into a register. */
static void add_field(struct rule_builder *b, uint32_t offset, size_t n, uint32_t reg)
{
	add(b, "payload");
	set_u32(b, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	set_u32(b, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	set_u32(b, NFTNL_EXPR_PAYLOAD_LEN, (uint32_t)n);
	set_u32(b, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void add_destination(struct rule_builder *b, int family)
{
	add_field(b, family == AF_INET ? 16 : 24, ip_length(family), NFT_REG_1);
}

static void add_source(struct rule_builder *b, int family, uint32_t reg)
{
	add_field(b, family == AF_INET ? 12 : 8, ip_length(family), reg);
}

/* The IP family comes first: the payload of the other means nothing. */
static void add_ip_family(struct rule_builder *b, int table_family, int family)
{
	const uint8_t nfproto = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
	const uint16_t protocol = htons(family == AF_INET ? ETH_P_IP : ETH_P_IPV6);

	if (table_family == NFPROTO_BRIDGE) {
		add_meta(b, NFT_META_PROTOCOL);
		add_cmp(b, NFT_CMP_EQ, &protocol, sizeof(protocol));
	} else {
		add_meta(b, NFT_META_NFPROTO);
		add_cmp(b, NFT_CMP_EQ, &nfproto, sizeof(nfproto));
	}
}

static void add_socket_cgroup(struct rule_builder *b, uint32_t level)
{
	add(b, "socket");
	set_u32(b, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_CGROUPV2);
	set_u32(b, NFTNL_EXPR_SOCKET_DREG, NFT_REG_1);
	set_u32(b, NFTNL_EXPR_SOCKET_LEVEL, level);
}

static void add_lookup(struct rule_builder *b, const char *set, bool inverted)
{
	add(b, "lookup");
	set_u32(b, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	set_text(b, NFTNL_EXPR_LOOKUP_SET, set);
	/* Also when zero: the kernel tells it back, and both are compared. */
	set_u32(b, NFTNL_EXPR_LOOKUP_FLAGS, inverted ? NFT_LOOKUP_F_INV : 0);
}

static void add_verdict(struct rule_builder *b, int verdict, const char *chain)
{
	add(b, "immediate");
	set_u32(b, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	set_u32(b, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain)
		set_text(b, NFTNL_EXPR_IMM_CHAIN, chain);
}

/* A field of the packet becomes what conntrack knows of its first direction; checksums follow. */
static void add_original(struct rule_builder *b, uint32_t key, uint32_t base, uint32_t offset, size_t n,
			 int checksum_at, uint32_t flags)
{
	add(b, "ct");
	set_u32(b, NFTNL_EXPR_CT_KEY, key);
	set_u32(b, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	set_u8(b, NFTNL_EXPR_CT_DIR, 0 /* IP_CT_DIR_ORIGINAL */);
	add(b, "payload");
	set_u32(b, NFTNL_EXPR_PAYLOAD_SREG, NFT_REG_1);
	set_u32(b, NFTNL_EXPR_PAYLOAD_BASE, base);
	set_u32(b, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	set_u32(b, NFTNL_EXPR_PAYLOAD_LEN, (uint32_t)n);
	set_u32(b, NFTNL_EXPR_PAYLOAD_CSUM_TYPE, checksum_at < 0 ? NFT_PAYLOAD_CSUM_NONE : NFT_PAYLOAD_CSUM_INET);
	set_u32(b, NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, checksum_at < 0 ? 0 : (uint32_t)checksum_at);
	set_u32(b, NFTNL_EXPR_PAYLOAD_FLAGS, flags);
}

static void add_undo_translation(struct rule_builder *b, int family)
{
	bool v4 = family == AF_INET;

	add_ip_family(b, NFPROTO_INET, family);
	/* The address is part of TCP's checksum, and of the header's own where there is one. */
	add_original(b, v4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6, NFT_PAYLOAD_NETWORK_HEADER, v4 ? 16 : 24,
		     ip_length(family), v4 ? 10 : -1, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
	add_original(b, NFT_CT_PROTO_DST, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 16, 0);
}

static void add_statement(struct rule_builder *b, int family, const struct nft_statement *s)
{
	const uint8_t max_hops = UINT8_MAX;
	const uint32_t zero = 0, loopback = 1; /* the number of "lo" in every network namespace */
	uint8_t proto;

	switch (s->kind) {
	case STMT_DADDR:
		add_ip_family(b, family, s->address.family);
		add_destination(b, s->address.family);
		add_cmp(b, NFT_CMP_EQ, s->address.bytes, (uint32_t)ip_length(s->address.family));
		break;
	case STMT_SADDR_IN:
	case STMT_SADDR_NOT_IN:
		add_source(b, s->family, NFT_REG_1);
		add_lookup(b, s->name, s->kind == STMT_SADDR_NOT_IN);
		break;
	case STMT_PORT_NOT_IN:
		/* Registers have 16 bytes, as many as the name. */
		add_meta(b, NFT_META_IIFNAME);
		add_source(b, s->family, NFT_REG_2);
		add_lookup(b, s->name, true);
		break;
	case STMT_IIFKIND_IN:
		add_meta(b, NFT_META_IIFKIND);
		add_lookup(b, s->name, false);
		break;
	case STMT_IIF_PRESENT:
		add_meta(b, NFT_META_IIF);
		add_cmp(b, NFT_CMP_NEQ, &zero, sizeof(zero));
		break;
	case STMT_IIF_NOT_LO:
		add_meta(b, NFT_META_IIF);
		add_cmp(b, NFT_CMP_NEQ, &loopback, sizeof(loopback));
		break;
	case STMT_HOPS_SPENT:
		add_field(b, 7, sizeof(max_hops), NFT_REG_1);
		add_cmp(b, NFT_CMP_NEQ, &max_hops, sizeof(max_hops));
		break;
	case STMT_SOCKET_CGROUP:
		add_socket_cgroup(b, s->number);
		add_cmp(b, NFT_CMP_EQ, &s->cgroup, sizeof(s->cgroup));
		break;
	case STMT_SOCKET_CGROUP_IN:
		add_socket_cgroup(b, s->number);
		add_lookup(b, s->name, false);
		break;
	case STMT_L4PROTO:
		proto = (uint8_t)s->number;
		add_meta(b, NFT_META_L4PROTO);
		add_cmp(b, NFT_CMP_EQ, &proto, sizeof(proto));
		break;
	case STMT_LIMIT:
		add(b, "limit");
		set_u64(b, NFTNL_EXPR_LIMIT_RATE, s->number);
		set_u64(b, NFTNL_EXPR_LIMIT_UNIT, 1);
		set_u32(b, NFTNL_EXPR_LIMIT_BURST, s->burst);
		set_u32(b, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
		set_u32(b, NFTNL_EXPR_LIMIT_FLAGS, 0);
		break;
	case STMT_LOG:
		add(b, "log");
		set_text(b, NFTNL_EXPR_LOG_PREFIX, s->name);
		set_u16(b, NFTNL_EXPR_LOG_GROUP, (uint16_t)s->number);
		set_u32(b, NFTNL_EXPR_LOG_SNAPLEN, s->snaplen);
		set_u16(b, NFTNL_EXPR_LOG_QTHRESHOLD, 1);
		break;
	case STMT_COUNT:
		add(b, "objref");
		set_u32(b, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
		set_text(b, NFTNL_EXPR_OBJREF_IMM_NAME, s->name);
		break;
	case STMT_JUMP:
		add_verdict(b, NFT_JUMP, s->name);
		break;
	case STMT_UNDO_TRANSLATION:
		add_undo_translation(b, s->family);
		break;
	case STMT_REJECT_RESET:
		add(b, "reject");
		set_u32(b, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
		set_u8(b, NFTNL_EXPR_REJECT_CODE, 0);
		break;
	case STMT_DROP:
		add_verdict(b, NF_DROP, NULL);
		break;
	case STMT_ACCEPT:
		add_verdict(b, NF_ACCEPT, NULL);
		break;
	case _STMT_MAX:
		b->error = -EPROTO;
		break;
	}
}

/* ---- comments: type, length, text with its NUL ------------------------------------------------ */

struct comment_data {
	uint8_t bytes[160];
	uint32_t n;
};

static void put_comment(struct comment_data *c, uint8_t type, const char *text)
{
	size_t n = strlen(text) + 1;

	if (n == 1 || c->n + 2 + n > sizeof(c->bytes))
		return;
	c->bytes[c->n] = type;
	c->bytes[c->n + 1] = (uint8_t)n;
	memcpy(c->bytes + c->n + 2, text, n);
	c->n += 2 + (uint32_t)n;
}

int nft_rule_build(struct nftnl_rule **ret, const struct nft_table *t, const struct nft_chain *c,
		   const struct nft_rule *r)
{
	_cleanup_(nftnl_rule_donep) struct nftnl_rule *rule = nftnl_rule_alloc();
	struct rule_builder b = { .rule = rule };
	struct comment_data comment = { 0 };

	if (!rule)
		return -ENOMEM;
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, (uint32_t)t->family);
	if (nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, t->name) < 0 ||
	    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, c->name) < 0)
		return -ENOMEM;
	put_comment(&comment, NFTNL_UDATA_RULE_COMMENT, r->comment);
	if (comment.n > 0 && nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, comment.bytes, comment.n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_statements; i++)
		add_statement(&b, t->family, &r->statements[i]);
	if (b.error < 0)
		return b.error;
	*ret = take_ptr(rule);
	return 0;
}

/* ---- the batch ------------------------------------------------------------------------------ */

struct batch {
	struct bytes bytes;
	struct nl_socket *nl;
	uint32_t first_seq, next_number; /* messages are counted from the first */
	struct nlmsghdr *last; /* dies when the buffer grows */
	int error;
};

static struct nlmsghdr *begin(struct batch *b, int family, uint16_t type, uint16_t flags)
{
	uint32_t seq = nl_next_seq(b->nl);

	if (b->error == 0)
		b->error = bytes_reserve(&b->bytes, MESSAGE_ROOM);
	if (b->error < 0)
		return NULL;
	if (b->bytes.n == 0)
		b->first_seq = seq;
	b->next_number = seq - b->first_seq + 1;
	b->last = nftnl_nlmsg_build_hdr(b->bytes.data + b->bytes.n, type, (uint16_t)family, flags, seq);
	return b->last;
}

static void end(struct batch *b, const struct nlmsghdr *nlh)
{
	b->bytes.n += NLMSG_ALIGN(nlh->nlmsg_len);
}

static void put_mark(struct batch *b, bool closing)
{
	uint32_t seq = nl_next_seq(b->nl);
	struct nlmsghdr *nlh;

	if (b->error == 0)
		b->error = bytes_reserve(&b->bytes, MESSAGE_ROOM);
	if (b->error < 0)
		return;
	if (b->bytes.n == 0)
		b->first_seq = seq;
	b->next_number = seq - b->first_seq + 1;
	nlh = closing ? nftnl_batch_end(b->bytes.data + b->bytes.n, seq) :
			nftnl_batch_begin(b->bytes.data + b->bytes.n, seq);
	b->bytes.n += NLMSG_ALIGN(nlh->nlmsg_len);
}

/* @flags: of the message, NLM_F_… */
static void put_table(struct batch *b, int family, const char *name, uint16_t type, uint16_t flags,
		      const struct nft_table *full)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct comment_data comment = { 0 };
	struct nlmsghdr *nlh;
	bool ok;

	nlh = begin(b, family, type, flags);
	ok = t && nlh && nftnl_table_set_str(t, NFTNL_TABLE_NAME, name) == 0;
	if (ok) {
		/* Flags are left out of the first naming: they could not be changed there. */
		if (full && full->flags)
			nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, full->flags);
		if (full && full->with_comments)
			put_comment(&comment, NFTNL_UDATA_TABLE_COMMENT, full->comment);
		if (comment.n > 0)
			ok = nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, comment.bytes, comment.n) == 0;
		nftnl_table_nlmsg_build_payload(nlh, t);
		end(b, nlh);
	}
	if (!ok)
		b->error = -ENOMEM;
	if (t)
		nftnl_table_free(t);
}

static void put_counter(struct batch *b, const struct nft_table *t, const struct nft_counter *c)
{
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct nlmsghdr *nlh = begin(b, t->family, NFT_MSG_NEWOBJ, NLM_F_CREATE);

	if (!o || !nlh) {
		b->error = -ENOMEM;
	} else {
		nftnl_obj_set_u32(o, NFTNL_OBJ_FAMILY, (uint32_t)t->family);
		nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, t->name);
		nftnl_obj_set_str(o, NFTNL_OBJ_NAME, c->name);
		nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
		nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_PKTS, c->packets);
		nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_BYTES, c->bytes);
		/* Its setters of strings do not say that they had no memory. */
		if (nftnl_obj_get_str(o, NFTNL_OBJ_TABLE) && nftnl_obj_get_str(o, NFTNL_OBJ_NAME)) {
			nftnl_obj_nlmsg_build_payload(nlh, o);
			end(b, nlh);
		} else {
			b->error = -ENOMEM;
		}
	}
	if (o)
		nftnl_obj_free(o);
}

static struct nftnl_set *set_head(const struct nft_table *t, const struct nft_set *s, uint32_t id)
{
	struct nftnl_set *set = nftnl_set_alloc();

	if (!set)
		return NULL;
	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, (uint32_t)t->family);
	nftnl_set_set_u32(set, NFTNL_SET_ID, id);
	if (nftnl_set_set_str(set, NFTNL_SET_TABLE, t->name) < 0 ||
	    nftnl_set_set_str(set, NFTNL_SET_NAME, s->name) < 0) {
		nftnl_set_free(set);
		return NULL;
	}
	return set;
}

static void put_elements(struct batch *b, const struct nft_table *t, const struct nft_set *s,
			 uint32_t id, size_t from, size_t n)
{
	struct nftnl_set *set = set_head(t, s, id);
	struct nlmsghdr *nlh = begin(b, t->family, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	bool ok = set && nlh;

	for (size_t i = from; ok && i < from + n; i++) {
		struct nftnl_set_elem *e = nftnl_set_elem_alloc();

		ok = e && nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, s->elements[i],
					     nft_set_types[s->type].length) == 0;
		if (ok)
			nftnl_set_elem_add(set, e);
		else if (e)
			nftnl_set_elem_free(e);
	}
	if (ok) {
		nftnl_set_elems_nlmsg_build_payload(nlh, set);
		end(b, nlh);
	} else {
		b->error = -ENOMEM;
	}
	if (set)
		nftnl_set_free(set);
}

static void put_set(struct batch *b, const struct nft_table *t, const struct nft_set *s, uint32_t id)
{
	/* KEYBYTEORDER first, as nft writes it, then the comment. */
	struct comment_data data = { .bytes = { NFTNL_UDATA_SET_KEYBYTEORDER, 4 }, .n = 6 };
	struct nftnl_set *set = set_head(t, s, id);
	struct nlmsghdr *nlh = begin(b, t->family, NFT_MSG_NEWSET, NLM_F_CREATE);
	bool ok = set && nlh;

	if (ok) {
		memcpy(data.bytes + 2, &nft_set_types[s->type].byte_order, 4);
		put_comment(&data, NFTNL_UDATA_SET_COMMENT, s->comment);
		nftnl_set_set_u32(set, NFTNL_SET_FLAGS, s->constant ? NFT_SET_CONSTANT : 0);
		nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, nft_set_types[s->type].type);
		nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, nft_set_types[s->type].length);
		ok = nftnl_set_set_data(set, NFTNL_SET_USERDATA, data.bytes, data.n) == 0;
		nftnl_set_nlmsg_build_payload(nlh, set);
		end(b, nlh);
	}
	if (!ok)
		b->error = -ENOMEM;
	if (set)
		nftnl_set_free(set);
	for (size_t i = 0; i < s->n_elements; i += ELEMENTS_PER_MESSAGE)
		put_elements(b, t, s, id, i, MIN(s->n_elements - i, (size_t)ELEMENTS_PER_MESSAGE));
}

static void put_chain(struct batch *b, const struct nft_table *t, const struct nft_chain *c)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();
	struct comment_data comment = { 0 };
	struct nlmsghdr *nlh = begin(b, t->family, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	bool ok = chain && nlh && nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, t->name) == 0 &&
		  nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, c->name) == 0;

	if (ok) {
		if (c->hook >= 0) {
			nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, (uint32_t)c->hook);
			nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, c->priority);
			nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
			ok = nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "filter") == 0;
		}
		if (t->with_comments)
			put_comment(&comment, NFTNL_UDATA_CHAIN_COMMENT, c->comment);
		if (comment.n > 0)
			ok &= nftnl_chain_set_data(chain, NFTNL_CHAIN_USERDATA, comment.bytes, comment.n) == 0;
		nftnl_chain_nlmsg_build_payload(nlh, chain);
		end(b, nlh);
	}
	if (!ok)
		b->error = -ENOMEM;
	if (chain)
		nftnl_chain_free(chain);
}

static void put_rules(struct batch *b, const struct nft_table *t, const struct nft_chain *c)
{
	for (size_t i = 0; i < c->n_rules; i++) {
		_cleanup_(nftnl_rule_donep) struct nftnl_rule *rule = NULL;
		int r = nft_rule_build(&rule, t, c, &c->rules[i]);
		/* Without APPEND the kernel would insert at the front. */
		struct nlmsghdr *nlh = begin(b, t->family, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);

		if (r < 0 || !nlh) {
			b->error = b->error < 0 ? b->error : r;
			return;
		}
		nftnl_rule_nlmsg_build_payload(nlh, rule);
		end(b, nlh);
	}
}

/* Named, so that deleting cannot fail, and deleted. */
static void put_no_table(struct batch *b, int family, const char *name)
{
	put_table(b, family, name, NFT_MSG_NEWTABLE, NLM_F_CREATE, NULL);
	put_table(b, family, name, NFT_MSG_DELTABLE, 0, NULL);
}

/* @fresh: where there is none yet; the kernel refuses it otherwise */
static void put_all(struct batch *b, const struct nft_table *t, bool fresh)
{
	if (!fresh)
		put_no_table(b, t->family, t->name);
	if (t->absent)
		return;
	put_table(b, t->family, t->name, NFT_MSG_NEWTABLE, fresh ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_CREATE, t);
	for (size_t i = 0; i < t->n_counters; i++)
		put_counter(b, t, &t->counters[i]);
	for (size_t i = 0; i < t->n_sets; i++)
		put_set(b, t, &t->sets[i], (uint32_t)i + 1);
	for (size_t i = 0; i < t->n_chains; i++)
		put_chain(b, t, &t->chains[i]);
	/* A rule may jump to any chain, so that all chains stand first. */
	for (size_t i = 0; i < t->n_chains; i++)
		put_rules(b, t, &t->chains[i]);
}

static void first_refusal(uint32_t number, int error, void *data)
{
	uint32_t *first = data;

	*first = MIN(*first, number);
}

static int send_batch(struct batch *b, int family, const char *table, struct diag *d)
{
	uint32_t failed = UINT32_MAX;
	char where[64];
	int r;

	if (b->error < 0)
		return diag_errno(d, b->error, table, "cannot build the nftables batch");
	r = nl_batch(b->nl, b->bytes.data, b->bytes.n, b->first_seq, first_refusal, &failed, d);
	if (r < 0) {
		(void)snprintf(where, sizeof(where), "table %s %s", nft_family_name(family), table);
		return diag_errno(d, r, where, "the kernel refused message %u of the nftables batch", failed);
	}
	return 0;
}

static int put_tables(struct nl_socket *nl, const struct nft_table *const *tables, size_t n, bool fresh, struct diag *d)
{
	struct batch b = { .nl = nl };
	int r;

	put_mark(&b, false);
	for (size_t i = 0; i < n; i++)
		put_all(&b, tables[i], fresh);
	put_mark(&b, true);
	r = send_batch(&b, tables[0]->family, tables[0]->name, d);
	bytes_done(&b.bytes);
	return r;
}

int nft_replace(struct nl_socket *nl, const struct nft_table *const *tables, size_t n, struct diag *d)
{
	return put_tables(nl, tables, n, false, d);
}

int nft_create(struct nl_socket *nl, const struct nft_table *const *tables, size_t n, struct diag *d)
{
	return put_tables(nl, tables, n, true, d);
}

int nft_remove(struct nl_socket *nl, int family, const char *name, struct diag *d)
{
	struct batch b = { .nl = nl };
	int r;

	put_mark(&b, false);
	put_no_table(&b, family, name);
	put_mark(&b, true);
	r = send_batch(&b, family, name, d);
	bytes_done(&b.bytes);
	return r;
}

/* ---- trying --------------------------------------------------------------------------------- */

struct trial {
	struct nft_table *const *tables;
	int *errors;		       /* of each table; what was refused once is not tried again */
	bool sent[NFT_MAX_TRIED];      /* in this round */
	uint32_t first[NFT_MAX_TRIED]; /* number of the table's first message */
	size_t n;
};

/* Tables stand in order, and each has the messages from its first one on. */
static void refused_in_trial(uint32_t number, int error, void *data)
{
	struct trial *t = data;

	for (size_t i = t->n; i-- > 0;) {
		/* Number 0 opens the batch: refusing that is refusing all. */
		if (!t->sent[i] || (number > 0 && number < t->first[i]))
			continue;
		t->errors[i] = t->errors[i] < 0 ? t->errors[i] : error;
		if (number > 0)
			return;
	}
}

static void put_trial(struct batch *b, struct trial *t)
{
	put_mark(b, false);
	for (size_t i = 0; i < t->n && b->error != -ENOMEM; i++) {
		size_t before = b->bytes.n;

		t->sent[i] = t->errors[i] == 0;
		if (!t->sent[i])
			continue;
		t->first[i] = b->next_number;
		put_all(b, t->tables[i], false);
		if (b->error < 0 && b->error != -ENOMEM) {
			/* What the library cannot say the kernel is not asked. */
			t->errors[i] = b->error;
			t->sent[i] = false;
			b->bytes.n = before;
			b->error = 0;
		}
	}
	put_mark(b, true);
}

static int remove_tried(struct nl_socket *nl, const struct trial *t, struct diag *d)
{
	struct batch b = { .nl = nl };
	int r;

	put_mark(&b, false);
	for (size_t i = 0; i < t->n; i++)
		put_no_table(&b, t->tables[i]->family, t->tables[i]->name);
	put_mark(&b, true);
	r = send_batch(&b, NFPROTO_INET, "of a trial", d);
	bytes_done(&b.bytes);
	return r;
}

int nft_try(struct nl_socket *nl, struct nft_table *const *tables, size_t n, int *ret_errors, struct diag *d)
{
	struct trial t = { .tables = tables, .errors = ret_errors, .n = n };
	int r = -EAGAIN;

	assert(n <= NFT_MAX_TRIED);
	for (size_t i = 0; i < n; i++) {
		tables[i]->flags |= NFT_TABLE_F_DORMANT;
		ret_errors[i] = 0;
	}
	/* Each round that is refused has at least one table less: one that was refused. */
	for (size_t round = 0; round <= n && r < 0; round++) {
		struct batch b = { .nl = nl };

		put_trial(&b, &t);
		r = b.error < 0 ? b.error :
				  nl_batch(nl, b.bytes.data, b.bytes.n, b.first_seq, refused_in_trial, &t, NULL);
		bytes_done(&b.bytes);
		/* A refusal is an answer, unless it is about who asks or about memory. */
		if (r == -EPERM || r == -ENOMEM || r == -ENOBUFS)
			return r;
	}
	return r < 0 ? r : remove_tried(nl, &t, d);
}
