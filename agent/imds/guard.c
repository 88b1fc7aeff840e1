/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Applying and healing. The table is replaced whole in one batch: there is no packet between the
 * old table and the new. Routing rules are added before older ones are removed, for the same reason.
 */
#include "imds/guard-internal.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "batten/base/fd.h"

int imds_guard_new(struct imds_guard **ret, const struct imds_features *assume, bool presume, int kept,
		   struct diag *d)
{
	_cleanup_(imds_guard_freep) struct imds_guard *g = calloc(1, sizeof(*g));
	_cleanup_(fd_closep) int own = kept;
	int r;

	if (!g)
		return -ENOMEM;
	if (assume)
		g->features = *assume;
	r = nl_open(&g->route, NETLINK_ROUTE, NULL, 0, d);
	if (r < 0)
		return r;
	if (own < 0 || nl_adopt(&g->nft, own, NETLINK_NETFILTER) < 0) {
		r = nl_open(&g->nft, NETLINK_NETFILTER, NULL, 0, d);
		if (r < 0)
			return r;
	} else {
		(void)fd_take(&own);
	}
	r = imds_features_probe(&g->features, presume ? NULL : g->nft, g->route, d);
	if (r < 0)
		return r;
	g->presumed = presume;
	g->cgroup_ebpf = g->features.have[FEATURE_CGROUP_EBPF];
	*ret = take_ptr(g);
	return 0;
}

struct imds_guard *imds_guard_free(struct imds_guard *g)
{
	if (!g)
		return NULL;
	g->plan = imds_plan_free(g->plan);
	imds_openings_done(&g->open);
	g->hold = cgroup_hold_free(g->hold);
	g->nft = nl_close(g->nft);
	g->route = nl_close(g->route);
	free(g);
	return NULL;
}

int imds_guard_socket_fd(const struct imds_guard *g)
{
	return nl_fd(g->nft);
}

uint32_t imds_guard_portid(const struct imds_guard *g)
{
	return nl_portid(g->nft);
}

int imds_guard_configure(struct imds_guard *g, const struct imds_config *c, const struct imds_openings *open,
			 bool can_keep)
{
	struct imds_openings copy = { 0 };
	struct imds_plan *p;
	int r;

	imds_guard_cgroup_look(g, c);
	r = open ? imds_openings_copy(&copy, open) : 0;
	if (r >= 0)
		r = imds_plan_new(&p, c, &g->features, &copy, can_keep);
	if (r < 0) {
		imds_openings_done(&copy);
		return r;
	}
	if (!g->plan || imds_guard_cgroup_differs(g->plan, p))
		g->cgroup_installed = false;
	(void)imds_plan_free(g->plan);
	g->plan = p;
	g->config = *c;
	imds_openings_done(&g->open);
	g->open = copy;
	g->can_keep = can_keep;
	return 0;
}

const struct imds_plan *imds_guard_plan(const struct imds_guard *g)
{
	return g->plan;
}

/* ---- the table ------------------------------------------------------------------------------- */

static struct guard_counter *remembered(struct imds_guard *g, const char *name)
{
	for (size_t i = 0; i < g->n_counters; i++)
		if (strcmp(g->counters[i].all.name, name) == 0)
			return &g->counters[i];
	if (g->n_counters == ARRAY_SIZE(g->counters))
		return NULL;
	(void)snprintf(g->counters[g->n_counters].all.name, NFT_NAME_SIZE, "%s", name);
	return &g->counters[g->n_counters++];
}

/* A counter that went back was reset; what it says now came on top. */
static void add_growth(uint64_t *sum, uint64_t *seen, uint64_t now)
{
	*sum += now >= *seen ? now - *seen : now;
	*seen = now;
}

static int look_at(struct imds_guard *g, const struct nft_table *t, struct nft_state *ret, struct diag *d)
{
	int r;

	*ret = (struct nft_state){ 0 };
	if (!t)
		return 0;
	r = nft_compare(g->nft, t, ret, d);
	if (r < 0)
		return r;
	for (size_t i = 0; ret->present && i < t->n_counters; i++) {
		struct guard_counter *c = remembered(g, t->counters[i].name);

		if (!c)
			continue;
		add_growth(&c->all.packets, &c->packets, ret->packets[i]);
		add_growth(&c->all.bytes, &c->bytes, ret->bytes[i]);
		ret->packets[i] = c->all.packets;
		ret->bytes[i] = c->all.bytes;
	}
	return 0;
}

int imds_guard_look(struct imds_guard *g, struct imds_look *ret, struct diag *d)
{
	int r = look_at(g, g->plan->table, &ret->table, d);

	return r < 0 ? r : look_at(g, g->plan->bridge, &ret->bridge, d);
}

int imds_guard_packets(struct imds_guard *g, uint64_t *ret, struct diag *d)
{
	struct imds_look look;
	int r = imds_guard_look(g, &look, d);

	if (r < 0)
		return r;
	*ret = 0;
	for (size_t i = 0; i < g->n_counters; i++)
		*ret += g->counters[i].all.packets;
	return 0;
}

static int owned_by_another(uint32_t portid, struct diag *d)
{
	if (portid == 0)
		return diag_fail(d, -EBUSY, "table " IMDS_TABLE, "is owned by another process");
	return diag_fail(d, -EBUSY, "table " IMDS_TABLE,
			 "is owned by another process (netlink port %u, as a rule its pid)", portid);
}

static int remove_tables(struct imds_guard *g, struct diag *d)
{
	struct diag why = { 0 };
	int r;

	if (!g->features.have[FEATURE_NFTABLES])
		return 0;
	r = nft_remove(g->nft, NFPROTO_INET, IMDS_TABLE, &why);
	/* What it opened is closed, so that nothing has to be bound any more. */
	if (r >= 0 && g->features.have[FEATURE_BRIDGE])
		r = nft_remove(g->nft, NFPROTO_BRIDGE, IMDS_TABLE, &why);
	if (r == -EPERM) /* the probe has shown that it is not CAP_NET_ADMIN */
		return owned_by_another(0, d);
	if (r < 0)
		return diag_fail(d, r, why.where, "%s", why.what);
	return 0;
}

/*
 * Who changes the ruleset all the time interrupts every reading, and must not keep us from writing: what cannot be
 * compared is different.
 */
static int look_or_doubt(struct imds_guard *g, struct imds_look *ret, struct diag *d)
{
	struct diag why = { 0 };
	int r = imds_guard_look(g, ret, &why);

	if (r == -EINTR) {
		*ret = (struct imds_look){ 0 };
		(void)snprintf(ret->table.first_difference, sizeof(ret->table.first_difference),
			       "the ruleset changes too often to be compared");
		return 0;
	}
	if (r < 0 && d)
		*d = why;
	return r;
}

static void restore_counters(struct imds_guard *g, struct nft_table *t)
{
	for (size_t i = 0; t && i < t->n_counters; i++) {
		const struct guard_counter *c = remembered(g, t->counters[i].name);

		t->counters[i].packets = c ? c->all.packets : 0;
		t->counters[i].bytes = c ? c->all.bytes : 0;
	}
}

/* The kernel's counters begin with the sums. */
static void counters_restored(struct imds_guard *g, const struct nft_table *t)
{
	for (size_t i = 0; t && i < t->n_counters; i++) {
		struct guard_counter *c = remembered(g, t->counters[i].name);

		if (!c)
			continue;
		c->packets = t->counters[i].packets;
		c->bytes = t->counters[i].bytes;
	}
}

static bool foreign(const struct imds_guard *g, uint32_t portid)
{
	return portid != 0 && portid != nl_portid(g->nft);
}

/* As it should be, and ours: nobody can mend a table that another process owns. */
static bool table_stands(const struct imds_guard *g, const struct nft_table *t, const struct nft_state *s)
{
	return nft_state_ok(t, s) && (t->absent || !(t->flags & NFT_TABLE_F_OWNER) || s->owner_portid == nl_portid(g->nft));
}

static bool tables_stand(const struct imds_guard *g, const struct imds_look *l)
{
	return table_stands(g, g->plan->table, &l->table) &&
	       (!g->plan->bridge || table_stands(g, g->plan->bridge, &l->bridge));
}

static int apply_tables(struct imds_guard *g, const struct imds_look *l, struct diag *d)
{
	const struct nft_table *tables[] = { g->plan->table, g->plan->bridge };
	size_t n = g->plan->bridge ? 2 : 1;
	struct diag why = { 0 };
	int r;

	restore_counters(g, g->plan->table);
	restore_counters(g, g->plan->bridge);
	r = l->table.present || l->bridge.present ? -EEXIST : nft_create(g->nft, tables, n, &why);
	if (r == -EEXIST) /* who asked may have been wrong, or too slow */
		r = nft_replace(g->nft, tables, n, &why);
	if (r == -EPERM && (foreign(g, l->table.owner_portid) || foreign(g, l->bridge.owner_portid)))
		return owned_by_another(foreign(g, l->table.owner_portid) ? l->table.owner_portid :
									     l->bridge.owner_portid, d);
	if (r < 0)
		return diag_fail(d, r, why.where, "%s", why.what);
	counters_restored(g, g->plan->table);
	counters_restored(g, g->plan->bridge);
	return 0;
}

/* ---- routing rules --------------------------------------------------------------------------- */

bool imds_rule_is_ours(const struct routing_rule *r)
{
	if (r->protocol != RTPROT_KERNEL || !r->has_destination)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++)
		if (r->family == imds_addresses[i].family && r->destination_bits == ip_length(r->family) * 8 &&
		    memcmp(r->destination, imds_addresses[i].bytes, ip_length(r->family)) == 0)
			return true;
	return false;
}

static bool contains(const struct routing_rule *rules, size_t n, const struct routing_rule *r)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].plain && routing_rule_equal(&rules[i], r))
			return true;
	return false;
}

enum rules_step {
	RULES_ADD = 1,	  /* what the plan has and the kernel lacks */
	RULES_REMOVE = 2, /* what is ours and not in the plan */
};

/* Makes the kernel's rules of one family those of the plan. Return: 1 when something was missing. */
static int apply_rules(struct imds_guard *g, int family, unsigned int steps, struct diag *d)
{
	_cleanup_(freep) struct routing_rule *have = NULL;
	const struct imds_plan *p = g->plan;
	int r, changed = 0;
	size_t n;

	r = routing_rules_read(g->route, family, &have, &n, d);
	if (r < 0)
		return r;
	for (size_t i = 0; steps & RULES_ADD && i < p->n_rules; i++) {
		if (p->rules[i].family != family || contains(have, n, &p->rules[i]))
			continue;
		r = routing_rule_add(g->route, &p->rules[i], d);
		if (r < 0)
			return r;
		changed = 1;
	}
	for (size_t i = 0; steps & RULES_REMOVE && i < n; i++) {
		if (!imds_rule_is_ours(&have[i]) || contains(p->rules, p->n_rules, &have[i]))
			continue;
		r = routing_rule_remove(g->route, &have[i], d);
		if (r < 0)
			return r;
	}
	return changed;
}

static int apply_all_rules(struct imds_guard *g, unsigned int steps, struct diag *d)
{
	int changed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		int family = imds_addresses[i].family, r;

		if (!g->features.have[family == AF_INET ? FEATURE_ROUTING_RULES : FEATURE_ROUTING_RULES_IPV6])
			continue;
		r = apply_rules(g, family, steps, d);
		if (r < 0)
			return r;
		changed |= r;
	}
	return changed;
}

/* ---- what callers ask for --------------------------------------------------------------------- */

/* The same configuration again, after more was found out about the kernel. */
static int plan_again(struct imds_guard *g)
{
	const struct imds_config c = g->config;
	struct imds_openings open = g->open;
	int r;

	g->open = (struct imds_openings){ 0 };
	r = imds_guard_configure(g, &c, &open, g->can_keep);
	imds_openings_done(&open);
	return r;
}

/*
 * Where a packet meets one layer open and the next one closed it had better be the table that is closed: that resets
 * the connection, while a routing rule's ICMP is limited in its rate, and a client that gets none waits a second.
 * So rules open before the table does, and close after it.
 */
static int apply(struct imds_guard *g, struct diag *d)
{
	struct imds_look look;
	int r, rules;

	if (g->plan->enabled && !g->plan->table && g->plan->n_rules == 0)
		return diag_fail(d, -EOPNOTSUPP, "guard",
				 "nothing can keep IMDS closed here: no nftables, and no routing rules");
	/* First, for where the programs cannot be had the table has to do more. */
	if (imds_guard_cgroup_apply(g)) {
		r = plan_again(g);
		if (r < 0)
			return r;
	}
	r = look_or_doubt(g, &look, d);
	if (r < 0)
		return r;
	rules = apply_all_rules(g, g->plan->enabled ? RULES_ADD : RULES_REMOVE, d);
	if (!g->plan->table)
		r = remove_tables(g, d);
	else if (!tables_stand(g, &look))
		r = apply_tables(g, &look, d);
	if (r >= 0 && rules >= 0)
		rules = apply_all_rules(g, RULES_ADD | RULES_REMOVE, d);
	return r < 0 ? r : MIN(rules, 0);
}

int imds_guard_apply(struct imds_guard *g, struct diag *d)
{
	struct diag why = { 0 };
	int r = apply(g, &why);

	if (r < 0 && g->presumed) {
		why = (struct diag){ 0 };
		r = imds_features_probe(&g->features, g->nft, g->route, &why);
		g->presumed = r < 0;
		if (r >= 0)
			r = plan_again(g);
		if (r >= 0)
			r = apply(g, &why);
	}
	if (r < 0 && d)
		*d = why;
	return r;
}

int imds_guard_heal(struct imds_guard *g, char *what, size_t n_what, struct diag *d)
{
	const struct imds_plan *p = g->plan;
	struct imds_look look;
	int healed = 0, r;

	r = look_or_doubt(g, &look, d);
	if (r < 0)
		return r;
	what[0] = '\0';
	if (p->table && !tables_stand(g, &look)) {
		r = apply_tables(g, &look, d);
		if (r < 0)
			return r;
		(void)snprintf(what, n_what, "%s",
			       look.table.first_difference[0] ? look.table.first_difference : look.bridge.first_difference);
		healed = 1;
	}
	r = apply_all_rules(g, RULES_ADD | RULES_REMOVE, d);
	if (r < 0)
		return r;
	if (r > 0) {
		size_t n = strlen(what);

		(void)snprintf(what + n, n_what - n, "%sa routing rule was missing", n > 0 ? "; " : "");
		healed = 1;
	}
	healed |= imds_guard_cgroup_heal(g, what, n_what);
	return healed;
}

int imds_guard_release(struct imds_guard *g, struct diag *d)
{
	struct nft_table *t = g->plan->table;
	struct imds_look look;
	int r;

	if (!t || !(t->flags & NFT_TABLE_F_OWNER))
		return 0;
	r = look_or_doubt(g, &look, d);
	if (r < 0)
		return r;
	t->flags = 0;
	if (g->plan->bridge)
		g->plan->bridge->flags = 0;
	return apply_tables(g, &look, d);
}

int imds_guard_remove(struct imds_guard *g, struct diag *d)
{
	int r;

	r = remove_tables(g, d);
	if (r >= 0)
		r = imds_guard_cgroup_remove(g, d);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		_cleanup_(freep) struct routing_rule *have = NULL;
		size_t n = 0;

		if (!g->features.have[i == 0 ? FEATURE_ROUTING_RULES : FEATURE_ROUTING_RULES_IPV6])
			continue;
		r = routing_rules_read(g->route, imds_addresses[i].family, &have, &n, d);
		for (size_t k = 0; r == 0 && k < n; k++)
			if (imds_rule_is_ours(&have[k]))
				r = routing_rule_remove(g->route, &have[k], d);
		if (r < 0)
			return r;
	}
	return 0;
}
