/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel's table held against the plan. Each of the kernel's expressions is printed by
 * libnftnl, and so is what the plan would have sent; the texts must be equal. Comments are left
 * out of the comparison, since they change nothing.
 */
#include "kernel/nft-internal.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A dump is repeated when somebody changes the ruleset under it. */
#define DUMP_TRIES 16

struct reader {
	const struct nft_table *t;
	struct nft_state *s;
	size_t n_rules_seen[NFT_MAX_CHAINS];
	const struct nft_set *set; /* whose elements are being read */
	size_t n_elements_seen;
	size_t n_sets_seen, n_counters_seen;
};

static void differs(struct reader *r, bool *flag, const char *fmt, ...) _printf_(3, 4);
static void differs(struct reader *r, bool *flag, const char *fmt, ...)
{
	va_list ap;

	*flag = true;
	if (r->s->first_difference[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(r->s->first_difference, sizeof(r->s->first_difference), fmt, ap);
	va_end(ap);
}

/* libnftnl has no name of an object that it had no memory for, and says that it read it. */
static bool is(const char *name, const char *wanted)
{
	return name && strcmp(name, wanted) == 0;
}

static int on_table(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct reader *r = data;

	if (!t)
		return -ENOMEM;
	if (nftnl_table_nlmsg_parse(nlh, t) == 0) {
		r->s->present = true;
		r->s->flags = nftnl_table_get_u32(t, NFTNL_TABLE_FLAGS);
		if (nftnl_table_is_set(t, NFTNL_TABLE_OWNER))
			r->s->owner_portid = nftnl_table_get_u32(t, NFTNL_TABLE_OWNER);
		if (r->s->flags & NFT_TABLE_F_DORMANT)
			differs(r, &r->s->table_differs, "the table is dormant");
		if ((r->s->flags ^ r->t->flags) & (NFT_TABLE_F_OWNER | NFT_F_PERSIST))
			differs(r, &r->s->table_differs, "table flags are 0x%x instead of 0x%x", r->s->flags,
				r->t->flags);
	}
	nftnl_table_free(t);
	return 0;
}

static int on_counter(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct reader *r = data;
	int error = 0;

	if (!o)
		return -ENOMEM;
	if (nftnl_obj_nlmsg_parse(nlh, o) == 0 && nftnl_obj_get_u32(o, NFTNL_OBJ_TYPE) == NFT_OBJECT_COUNTER) {
		const char *table = nftnl_obj_get_str(o, NFTNL_OBJ_TABLE), *name = nftnl_obj_get_str(o, NFTNL_OBJ_NAME);

		error = table && name ? 0 : -ENOMEM;
		for (size_t i = 0; is(table, r->t->name) && i < r->t->n_counters; i++) {
			if (!is(name, r->t->counters[i].name))
				continue;
			r->s->packets[i] = nftnl_obj_get_u64(o, NFTNL_OBJ_CTR_PKTS);
			r->s->bytes[i] = nftnl_obj_get_u64(o, NFTNL_OBJ_CTR_BYTES);
			r->n_counters_seen++;
		}
	}
	nftnl_obj_free(o);
	return error;
}

static int on_set(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct reader *r = data;

	if (!s)
		return -ENOMEM;
	if (nftnl_set_nlmsg_parse(nlh, s) == 0 && is(nftnl_set_get_str(s, NFTNL_SET_TABLE), r->t->name)) {
		const char *name = nftnl_set_get_str(s, NFTNL_SET_NAME);

		for (size_t i = 0; i < r->t->n_sets; i++)
			r->n_sets_seen += is(name, r->t->sets[i].name) &&
					  nftnl_set_get_u32(s, NFTNL_SET_KEY_LEN) ==
						  nft_set_types[r->t->sets[i].type].length;
	}
	nftnl_set_free(s);
	return 0;
}

static int on_element(struct nftnl_set_elem *e, void *data)
{
	struct reader *r = data;
	const void *key;
	uint32_t n;

	key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &n);
	for (size_t i = 0; key && i < r->set->n_elements; i++) {
		if (n == nft_set_types[r->set->type].length && memcmp(key, r->set->elements[i], n) == 0) {
			r->n_elements_seen++;
			return 0;
		}
	}
	differs(r, &r->s->table_differs, "set %s has an element that does not belong", r->set->name);
	return 0;
}

static int on_elements(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return -ENOMEM;
	if (nftnl_set_elems_nlmsg_parse(nlh, s) == 0)
		(void)nftnl_set_elem_foreach(s, on_element, data);
	nftnl_set_free(s);
	return 0;
}

static ssize_t find_chain(const struct nft_table *t, const char *name)
{
	for (size_t i = 0; i < t->n_chains; i++)
		if (is(name, t->chains[i].name))
			return (ssize_t)i;
	return -1;
}

static void compare_chain(struct reader *r, struct nftnl_chain *c)
{
	const char *name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);
	ssize_t i = find_chain(r->t, name);
	bool base = nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM);
	const struct nft_chain *plan;

	if (i < 0) {
		differs(r, &r->s->table_differs, "chain %s does not belong", name);
		return;
	}
	plan = &r->t->chains[i];
	r->s->chain_present[i] = true;
	if (base != (plan->hook >= 0))
		differs(r, &r->s->chain_differs[i], "chain %s is %s base chain", name, base ? "a" : "no");
	else if (base && ((int)nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) != plan->hook ||
			  nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO) != plan->priority ||
			  nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) != NF_ACCEPT))
		differs(r, &r->s->chain_differs[i], "chain %s has another hook, priority or policy", name);
}

static int on_chain(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct reader *r = data;

	if (!c)
		return -ENOMEM;
	if (nftnl_chain_nlmsg_parse(nlh, c) == 0 && is(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), r->t->name))
		compare_chain(r, c);
	nftnl_chain_free(c);
	return 0;
}

static int append_expression(struct nftnl_expr *e, void *data)
{
	char text[512];
	int n;

	n = nftnl_expr_snprintf(text, sizeof(text), e, NFTNL_OUTPUT_DEFAULT, 0);
	bytes_printf(data, "[%s %.*s]", nftnl_expr_get_str(e, NFTNL_EXPR_NAME),
		     n < 0 ? 0 : (int)MIN((size_t)n, sizeof(text) - 1), text);
	return 0;
}

static int rule_equals(const struct nft_table *t, const struct nft_chain *c, const struct nft_rule *plan,
		       struct nftnl_rule *have)
{
	_cleanup_(nftnl_rule_donep) struct nftnl_rule *want = NULL;
	struct bytes a = { 0 }, b = { 0 };
	int r = nft_rule_build(&want, t, c, plan);

	if (r < 0)
		return r;
	(void)nftnl_expr_foreach(want, append_expression, &a);
	(void)nftnl_expr_foreach(have, append_expression, &b);
	r = a.error < 0 || b.error < 0 ? -ENOMEM : a.n == b.n && (a.n == 0 || memcmp(a.data, b.data, a.n) == 0);
	bytes_done(&a);
	bytes_done(&b);
	return r;
}

static int compare_rule(struct reader *r, struct nftnl_rule *rule)
{
	ssize_t i = find_chain(r->t, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
	const struct nft_chain *c;
	size_t number;
	int equal;

	if (i < 0)
		return 0; /* its chain does not belong, and was noticed */
	c = &r->t->chains[i];
	number = r->n_rules_seen[i]++;
	if (number >= c->n_rules) {
		differs(r, &r->s->chain_differs[i], "chain %s has more rules than it should", c->name);
		return 0;
	}
	equal = rule_equals(r->t, c, &c->rules[number], rule);
	if (equal == 0)
		differs(r, &r->s->chain_differs[i], "rule %zu of chain %s is another one", number + 1, c->name);
	return MIN(equal, 0);
}

static int on_rule(const struct nlmsghdr *nlh, void *data)
{
	_cleanup_(nftnl_rule_donep) struct nftnl_rule *rule = nftnl_rule_alloc();
	struct reader *r = data;

	if (!rule)
		return -ENOMEM;
	if (nftnl_rule_nlmsg_parse(nlh, rule) < 0 || !is(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE), r->t->name))
		return 0;
	return compare_rule(r, rule);
}

/* One request for a kind of object; @set names the set whose elements are wanted. */
static int dump(struct nl_socket *nl, uint16_t type, bool all, const char *set, nl_message_fn fn,
		struct reader *r, struct diag *d)
{
	char buf[256];
	struct nlmsghdr *nlh;

	memset(buf, 0, sizeof(buf));
	nlh = nftnl_nlmsg_build_hdr(buf, type, (uint16_t)r->t->family, all ? NLM_F_DUMP : NLM_F_ACK, 0);
	/* The attribute that names the table is number 1 in every kind of request. */
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, r->t->name);
	if (set)
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
	return nl_request(nl, nlh, fn, r, d);
}

static int compare_elements(struct nl_socket *nl, struct reader *r, struct diag *d)
{
	for (size_t i = 0; i < r->t->n_sets; i++) {
		int error;

		r->set = &r->t->sets[i];
		r->n_elements_seen = 0;
		error = dump(nl, NFT_MSG_GETSETELEM, true, r->set->name, on_elements, r, NULL);
		if (error < 0 && error != -ENOENT)
			return diag_errno(d, error, r->set->name, "cannot read the set");
		if (r->n_elements_seen < r->set->n_elements)
			differs(r, &r->s->table_differs, "set %s lacks an element", r->set->name);
	}
	return 0;
}

static int compare_once(struct nl_socket *nl, struct reader *r, struct diag *d)
{
	const char *family = nft_family_name(r->t->family);
	int error;

	error = dump(nl, NFT_MSG_GETTABLE, false, NULL, on_table, r, NULL);
	if (error == -ENOENT) {
		bool gone;

		if (!r->t->absent)
			differs(r, &gone, "table %s %s is not there", family, r->t->name);
		return 0;
	}
	if (error == 0 && r->t->absent) {
		differs(r, &r->s->table_differs, "table %s %s does not belong", family, r->t->name);
		return 0;
	}
	if (error == 0)
		error = dump(nl, NFT_MSG_GETOBJ, true, NULL, on_counter, r, NULL);
	if (error == 0)
		error = dump(nl, NFT_MSG_GETSET, true, NULL, on_set, r, NULL);
	if (error == 0)
		error = dump(nl, NFT_MSG_GETCHAIN, true, NULL, on_chain, r, NULL);
	if (error == 0)
		error = dump(nl, NFT_MSG_GETRULE, true, NULL, on_rule, r, NULL);
	if (error == 0)
		error = compare_elements(nl, r, d);
	if (error < 0)
		return error;
	if (r->n_counters_seen != r->t->n_counters || r->n_sets_seen != r->t->n_sets)
		differs(r, &r->s->table_differs, "a counter or a set is missing");
	for (size_t i = 0; i < r->t->n_chains; i++) {
		if (!r->s->chain_present[i])
			differs(r, &r->s->chain_differs[i], "chain %s is missing", r->t->chains[i].name);
		else if (r->n_rules_seen[i] < r->t->chains[i].n_rules)
			differs(r, &r->s->chain_differs[i], "chain %s lacks a rule", r->t->chains[i].name);
	}
	return 0;
}

int nft_compare(struct nl_socket *nl, const struct nft_table *t, struct nft_state *ret, struct diag *d)
{
	int error = -EINTR;

	for (int i = 0; i < DUMP_TRIES && error == -EINTR; i++) {
		struct nft_state s = { 0 };
		struct reader r = { .t = t, .s = &s };

		error = compare_once(nl, &r, d);
		if (error == 0)
			*ret = s;
	}
	if (error < 0)
		return diag_errno(d, error, t->name, "cannot read the nftables table");
	return 0;
}

void nft_event(const struct nlmsghdr *nlh, const char *table, uint32_t own_portid, bool *ret_touches,
	       bool *ret_commit, struct nft_commit *who)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a;
	bool generation;

	*ret_touches = *ret_commit = false;
	if (NFNL_SUBSYS_ID(nlh->nlmsg_type) != NFNL_SUBSYS_NFTABLES ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*g))
		return;
	generation = NFNL_MSG_TYPE(nlh->nlmsg_type) == NFT_MSG_NEWGEN;
	if (!generation && g->nfgen_family != NFPROTO_INET && g->nfgen_family != NFPROTO_BRIDGE)
		return;
	if (generation) {
		*ret_commit = true;
		*who = (struct nft_commit){ 0 };
	}
	mnl_attr_for_each(a, nlh, sizeof(*g))
	{
		uint16_t type = mnl_attr_get_type(a);

		if (!generation) {
			if (type == NFTA_TABLE_NAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0 &&
			    strcmp(mnl_attr_get_str(a), table) == 0)
				*ret_touches = nlh->nlmsg_pid != own_portid;
		} else if (type == NFTA_GEN_PROC_PID && mnl_attr_validate(a, MNL_TYPE_U32) >= 0) {
			who->pid = ntohl(mnl_attr_get_u32(a));
		} else if (type == NFTA_GEN_PROC_NAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0) {
			(void)snprintf(who->process, sizeof(who->process), "%s", mnl_attr_get_str(a));
		}
	}
}
