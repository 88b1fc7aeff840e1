/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plan. Hook by hook:
 *
 * prerouting, raw - 1: before Docker's raw chain, conntrack and any DNAT, so that the address is the
 *   one that the container wrote. Only packets that came in through a container's kind of device;
 *   hosts that redirect the service to a proxy of their own leave this layer out.
 * translated, dstnat + 1: prerouting again, after the host's translations and before the route is
 *   looked up, from whatever device but the host's own loopback. Here a reset can still be sent; the
 *   routing rules, which come next, have only ICMP, whose rate the kernel bounds and which an IPv6
 *   client believes after a second. Not on hosts with a proxy of their own, which may own the address.
 * forward, -10: whatever is forwarded to the service is no host process, wherever it came in. Also
 *   sees what a DNAT of the host turned into the service's address.
 * postrouting, -10: a packet with an input device whose destination became the service's address
 *   after the forward hook (source routing rewrites it there). No reset can be sent from here.
 *   The host's own IPv6 neighbour discovery has an input device here, too: the kernel sets it when
 *   it builds the packet. Such packets leave with hop limit 255 (RFC 4861); none that was forwarded
 *   has that any more.
 *
 * output, -10: only what stands above it of the container's own group is accepted, for no address
 *   tells one task in host network mode from another.
 *
 * bridge prerouting, -300: before br_netfilter hands the frame to the hooks above. A packet to the
 *   service with the address of an allowed container is dropped unless it came in through a port of
 *   that container: a neighbour can write any address, but not choose the port it stands behind.
 *
 * Only addresses are matched, never TCP's ports: later fragments have none.
 *
 * A reset is made from the packet that it answers. Behind bridge netfilter the kernel sends it straight
 * to the bridge's port, around the translation back (nf_send_reset6(), nf_send_reset()): the client
 * would see it come from a stranger. So the verdict first gives the packet the destination that its
 * sender wrote. That asks for conntrack, which translations need anyway.
 */
#include "batten/imds/plan.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#define PRIORITY_RAW (-300)
#define PRIORITY_AFTER_DSTNAT (-99)
#define PRIORITY_BEFORE_FILTER (-10)
#define PRIORITY_BEFORE_BRNF (-300) /* NF_BR_PRI_BRNF is 0 */
#define LOG_SNAPLEN 96 /* both headers with options, and the ports */

const struct ip_address imds_addresses[2] = {
	{ .family = AF_INET, .bytes = { 169, 254, 169, 254 } },
	{ .family = AF_INET6, .bytes = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 } },
};

static const char *const allow_sets[2] = { "allow4", "allow6" };
static const char *const bound_sets[2] = { "bound4", "bound6" };
static const char *const port_sets[2] = { "ports4", "ports6" };

/* Devices through which a container's packets enter the host. */
static const char *const container_kinds[] = { "bridge", "veth", "macvlan", "ipvlan" };

static const struct {
	const char *name, *covers;
} layer_texts[_LAYER_MAX] = {
	[LAYER_PREROUTING] = { "prerouting", "bridges, at once" },
	[LAYER_TRANSLATED] = { "translated", "bridges, by a host DNAT" },
	[LAYER_FORWARD] = { "forward", "bridges" },
	[LAYER_POSTROUTING] = { "postrouting", "source routes" },
	[LAYER_OUTPUT] = { "output", "host-network tasks" },
	[LAYER_BRIDGE_PORTS] = { "bridge-ports", "borrowed addresses" },
	[LAYER_ROUTING_RULES] = { "routing-rules", "bridges, without a table" },
	[LAYER_CGROUP_EBPF] = { "cgroup-ebpf", "every network mode" },
};

const char *imds_layer_name(enum imds_layer layer)
{
	return layer_texts[layer].name;
}

const char *imds_layer_covers(enum imds_layer layer)
{
	return layer_texts[layer].covers;
}

struct imds_plan *imds_plan_free(struct imds_plan *p)
{
	if (!p)
		return NULL;
	p->table = nft_table_free(p->table);
	p->bridge = nft_table_free(p->bridge);
	free(p->rules);
	free(p);
	return NULL;
}

static struct nft_statement named(enum nft_statement_kind kind, const char *name)
{
	struct nft_statement s = { .kind = kind };

	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	return s;
}

static struct imds_layer_plan *add_layer(struct imds_plan *p, enum imds_layer layer, int family)
{
	struct imds_layer_plan *l = &p->layers[p->n_layers++];

	*l = (struct imds_layer_plan){
		.layer = layer, .family = family, .wanted = true, .chain = -1, .counter = -1
	};
	return l;
}

static void add_layer_off(struct imds_plan *p, enum imds_layer layer, const char *reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		struct imds_layer_plan *l = add_layer(p, layer, imds_addresses[i].family);

		l->wanted = false;
		l->reason = reason;
	}
}

static void dress(const struct imds_plan *p, struct nft_table *t, const struct imds_features *f)
{
	(void)snprintf(t->comment, sizeof(t->comment), "%s",
		       "metadata guard; made by batten, which restores it: see batten imds status");
	t->with_comments = f->have[FEATURE_COMMENT];
	t->flags = (p->owner ? NFT_TABLE_F_OWNER : 0) | (p->persist ? NFT_F_PERSIST : 0);
}

/* One base chain: for each family a rule that sends the service's packets on. */
static void add_hook(struct imds_plan *p, enum imds_layer layer, int hook, int priority,
		     const char *comment, const struct nft_statement *condition,
		     const struct nft_statement *verdict, const char *weakness)
{
	struct nft_table *t = p->table;
	struct nft_chain *c = nft_table_chain(t, layer_texts[layer].name, hook, priority, comment);

	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		int family = imds_addresses[i].family;
		struct imds_layer_plan *l = add_layer(p, layer, family);
		struct nft_rule *r = nft_chain_rule(c, NULL);
		struct nft_statement s;
		char counter[NFT_NAME_SIZE];

		(void)snprintf(counter, sizeof(counter), "%s_ip%d", layer_texts[layer].name,
			       family == AF_INET ? 4 : 6);
		nft_table_counter(t, counter);
		nft_rule_add(r, (struct nft_statement){ .kind = STMT_DADDR, .address = imds_addresses[i] });
		if (condition)
			nft_rule_add(r, *condition);
		if (layer == LAYER_POSTROUTING && family == AF_INET6)
			nft_rule_add(r, (struct nft_statement){ .kind = STMT_HOPS_SPENT });
		s = named(STMT_SADDR_NOT_IN, allow_sets[i]);
		s.family = family;
		nft_rule_add(r, s);
		nft_rule_add(r, named(STMT_COUNT, counter));
		nft_rule_add(r, *verdict);
		l->table = t;
		l->chain = c - t->chains;
		l->counter = (ssize_t)t->n_counters - 1;
		l->reason = weakness;
	}
}

/* TCP reset; @family: to a packet of this family whose destination may have been translated, 0: to any. */
static void add_reset(struct nft_chain *chain, int family, const char *comment)
{
	struct nft_rule *r = nft_chain_rule(chain, comment);

	nft_rule_add(r, (struct nft_statement){ .kind = STMT_L4PROTO, .number = IPPROTO_TCP });
	if (family)
		nft_rule_add(r, (struct nft_statement){ .kind = STMT_UNDO_TRANSLATION, .family = family });
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_REJECT_RESET });
}

static const char *why_no_log(const struct imds_config *c, const struct imds_features *f)
{
	if (!c->log)
		return "log = no";
	if (!f->have[FEATURE_LOG])
		return imds_feature_lack(f, FEATURE_LOG);
	/* Without a bound a flood would cost as much as its sender likes. */
	return f->have[FEATURE_LIMIT] ? NULL : imds_feature_lack(f, FEATURE_LIMIT);
}

/* @reset: refuse TCP at once */
static void add_verdict_chain(struct nft_table *t, const struct imds_config *c, const struct imds_features *f,
			      bool reset)
{
	struct nft_chain *chain = nft_table_chain(t, "verdict", -1, 0, "what happens to a packet that is not allowed");
	struct nft_rule *r;

	if (!why_no_log(c, f)) {
		struct nft_statement log = named(STMT_LOG, "imds");

		log.number = c->log_group;
		log.snaplen = LOG_SNAPLEN;
		r = nft_chain_rule(chain, "a flood costs no more than this");
		nft_rule_add(r, (struct nft_statement){
					.kind = STMT_LIMIT, .number = c->log_rate, .burst = 2 * c->log_rate });
		nft_rule_add(r, log);
	}
	if (reset && f->have[FEATURE_UNDO_TRANSLATION])
		for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++)
			add_reset(chain, imds_addresses[i].family, "in the name of whom the sender asked");
	if (reset)
		add_reset(chain, 0, "refused at once, no time-out");
	nft_rule_add(nft_chain_rule(chain, NULL), (struct nft_statement){ .kind = STMT_DROP });
}

/* Every address that may pass, the configuration's and the containers'. */
static int each_address(const struct imds_config *c, const struct imds_openings *open,
			int (*fn)(void *user, const struct ip_address *a), void *user)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < c->allow_address.n; i++)
		r = fn(user, &c->allow_address.addresses[i]);
	for (size_t i = 0; r >= 0 && i < open->n_addresses; i++)
		r = fn(user, &open->addresses[i]);
	return r;
}

static int add_to_set(void *user, const struct ip_address *a)
{
	struct nft_set **sets = user;

	return nft_set_add(sets[a->family == AF_INET6], a->bytes, ip_length(a->family));
}

static int add_sets(struct nft_table *t, const struct imds_config *c, const struct imds_openings *open)
{
	struct nft_set *sets[2], *kinds;
	int r;

	kinds = nft_table_set(t, "container_kinds", NFT_SET_IFNAME, true, "devices that containers send through");
	for (size_t i = 0; i < ARRAY_SIZE(container_kinds); i++) {
		r = nft_set_add(kinds, container_kinds[i], strlen(container_kinds[i]));
		if (r < 0)
			return r;
	}
	sets[0] = nft_table_set(t, allow_sets[0], NFT_SET_IPV4, false, "sources that may reach IMDS");
	sets[1] = nft_table_set(t, allow_sets[1], NFT_SET_IPV6, false, "sources that may reach IMDS");
	return each_address(c, open, add_to_set, sets);
}

/* The chain "exempt": groups that may pass, in one set for each level that has any. */
static int add_exempt(struct nft_table *t, const struct imds_openings *open)
{
	struct nft_chain *chain = nft_table_chain(t, "exempt", -1, 0, "tasks that may reach IMDS");
	int r;

	for (size_t i = 0; i < open->n_groups; i++) {
		const struct imds_group *g = &open->groups[i];
		struct nft_statement s = { .kind = STMT_SOCKET_CGROUP_IN, .number = g->level };
		struct nft_set *set = NULL;

		(void)snprintf(s.name, sizeof(s.name), "groups%u", g->level);
		for (size_t k = 0; k < t->n_sets; k++)
			if (strcmp(t->sets[k].name, s.name) == 0)
				set = &t->sets[k];
		if (!set) {
			struct nft_rule *rule;

			if (t->n_sets == NFT_MAX_SETS)
				return -E2BIG;
			set = nft_table_set(t, s.name, NFT_SET_CGROUP, false, "cgroups that may reach IMDS");
			rule = nft_chain_rule(chain, NULL);
			nft_rule_add(rule, s);
			nft_rule_add(rule, (struct nft_statement){ .kind = STMT_ACCEPT });
		}
		r = nft_set_add(set, &g->id, sizeof(g->id));
		if (r < 0)
			return r;
	}
	return 0;
}

static bool cgroup_ebpf_possible(const struct imds_config *c, const struct imds_features *f)
{
	return c->cgroup_ebpf && f->have[FEATURE_CGROUP_EBPF] && (f->on_host || c->cgroup_root[0]);
}

/* The tasks' own packets, where no program refuses them before there is any. */
static const char *why_no_output(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f)
{
	if (cgroup_ebpf_possible(c, f))
		return "not needed: cgroup-ebpf refuses before there is a packet";
	if (!f->on_host && !c->cgroup_root[0])
		return "not in the host's network, and no cgroup-root";
	if (!f->have[FEATURE_SOCKET_CGROUP])
		return imds_feature_lack(f, FEATURE_SOCKET_CGROUP);
	p->by_slice_id = true;
	return f->n_slices == 0 ? "there is no slice of tasks yet" : NULL;
}

static int add_output(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f,
		      const struct imds_openings *open, const char *weak)
{
	const char *why_not = why_no_output(p, c, f);
	struct nft_chain *chain;
	int r;

	if (why_not) {
		add_layer_off(p, LAYER_OUTPUT, why_not);
		return 0;
	}
	if (open->n_groups > 0) {
		r = add_exempt(p->table, open);
		if (r < 0)
			return r;
	}
	chain = nft_table_chain(p->table, layer_texts[LAYER_OUTPUT].name, NF_INET_LOCAL_OUT, PRIORITY_BEFORE_FILTER,
				"tasks in host network mode, known by their cgroup");
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		int family = imds_addresses[i].family;
		struct imds_layer_plan *l = add_layer(p, LAYER_OUTPUT, family);
		char counter[NFT_NAME_SIZE];

		(void)snprintf(counter, sizeof(counter), "output_ip%d", family == AF_INET ? 4 : 6);
		nft_table_counter(p->table, counter);
		if (open->n_groups > 0) {
			struct nft_rule *rule = nft_chain_rule(chain, NULL);

			nft_rule_add(rule, (struct nft_statement){ .kind = STMT_DADDR, .address = imds_addresses[i] });
			nft_rule_add(rule, named(STMT_JUMP, "exempt"));
		}
		for (size_t k = 0; k < f->n_slices; k++) {
			struct nft_rule *rule = nft_chain_rule(chain, NULL);
			struct nft_statement s = { .kind = STMT_SOCKET_CGROUP, .number = f->slice_level,
						   .cgroup = f->slices[k].id };

			memcpy(s.cgroup_path, f->slices[k].path, sizeof(s.cgroup_path));
			nft_rule_add(rule, (struct nft_statement){ .kind = STMT_DADDR, .address = imds_addresses[i] });
			nft_rule_add(rule, s);
			nft_rule_add(rule, named(STMT_COUNT, counter));
			nft_rule_add(rule, named(STMT_JUMP, "verdict"));
		}
		l->table = p->table;
		l->chain = chain - p->table->chains;
		l->counter = (ssize_t)p->table->n_counters - 1;
		l->reason = weak ? weak : "a slice that is made anew is open until its rule is renewed";
	}
	return 0;
}

static void add_translated(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f)
{
	static const enum imds_feature needed[] = { FEATURE_REJECT, FEATURE_REJECT_PREROUTING,
						    FEATURE_UNDO_TRANSLATION };
	struct nft_statement not_lo = { .kind = STMT_IIF_NOT_LO }, verdict = named(STMT_JUMP, "verdict");

	if (c->proxy_mode) {
		add_layer_off(p, LAYER_TRANSLATED, "proxy-mode = yes");
		return;
	}
	/* It is there for its answer: without one, that of the routing rules is better than none. */
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!f->have[needed[i]]) {
			add_layer_off(p, LAYER_TRANSLATED, imds_feature_lack(f, needed[i]));
			return;
		}
	}
	add_hook(p, LAYER_TRANSLATED, NF_INET_PRE_ROUTING, PRIORITY_AFTER_DSTNAT,
		 "after the host's translations, before its routes", &not_lo, &verdict, NULL);
}

static int add_table(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f,
		     const struct imds_openings *open)
{
	const char *weak = f->have[FEATURE_REJECT] ? NULL : "clients time out: the kernel cannot reject packets";
	struct nft_statement to_verdict = named(STMT_JUMP, "verdict");
	struct nft_statement kinds = named(STMT_IIFKIND_IN, "container_kinds");
	struct nft_statement iif = { .kind = STMT_IIF_PRESENT }, drop = { .kind = STMT_DROP };
	int r;

	p->table = nft_table_new(NFPROTO_INET, IMDS_TABLE);
	if (!p->table)
		return -ENOMEM;
	dress(p, p->table, f);
	r = add_sets(p->table, c, open);
	if (r < 0)
		return r;
	add_verdict_chain(p->table, c, f, f->have[FEATURE_REJECT]);
	if (c->proxy_mode)
		add_layer_off(p, LAYER_PREROUTING, "proxy-mode = yes");
	else if (!f->have[FEATURE_IIFKIND])
		add_layer_off(p, LAYER_PREROUTING, imds_feature_lack(f, FEATURE_IIFKIND));
	else if (f->have[FEATURE_REJECT] && !f->have[FEATURE_REJECT_PREROUTING])
		add_layer_off(p, LAYER_PREROUTING, imds_feature_lack(f, FEATURE_REJECT_PREROUTING));
	else
		add_hook(p, LAYER_PREROUTING, NF_INET_PRE_ROUTING, PRIORITY_RAW - 1,
			 "as containers sent it, before any translation", &kinds, &to_verdict, weak);
	add_translated(p, c, f);
	add_hook(p, LAYER_FORWARD, NF_INET_FORWARD, PRIORITY_BEFORE_FILTER,
		 "what is forwarded is no host process, wherever it came in", NULL, &to_verdict, weak);
	if (!f->have[FEATURE_POSTROUTING_IIF])
		add_layer_off(p, LAYER_POSTROUTING, imds_feature_lack(f, FEATURE_POSTROUTING_IIF));
	else
		add_hook(p, LAYER_POSTROUTING, NF_INET_POST_ROUTING, PRIORITY_BEFORE_FILTER,
			 "source routing changes the destination after forward", &iif, &drop, NULL);
	return add_output(p, c, f, open, weak);
}

static int add_bridge(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f,
		      const struct imds_openings *open)
{
	struct nft_set *bound[2], *ports[2];
	struct nft_chain *chain;
	int r = 0;

	if (!f->have[FEATURE_BRIDGE]) {
		add_layer_off(p, LAYER_BRIDGE_PORTS, imds_feature_lack(f, FEATURE_BRIDGE));
		return 0;
	}
	p->bridge = nft_table_new(NFPROTO_BRIDGE, IMDS_TABLE);
	if (!p->bridge)
		return -ENOMEM;
	p->bridge->absent = open->n_ports == 0 && c->allow.n == 0;
	if (p->bridge->absent) {
		add_layer_off(p, LAYER_BRIDGE_PORTS, "not needed: no exception stands on a bridge");
		return 0;
	}
	dress(p, p->bridge, f);
	add_verdict_chain(p->bridge, c, f, false);
	for (size_t i = 0; i < 2; i++) {
		bound[i] = nft_table_set(p->bridge, bound_sets[i], i == 0 ? NFT_SET_IPV4 : NFT_SET_IPV6, false,
					 "addresses of containers that may reach IMDS");
		ports[i] = nft_table_set(p->bridge, port_sets[i], i == 0 ? NFT_SET_PORT4 : NFT_SET_PORT6, false,
					 "the ports they may come from");
	}
	for (size_t i = 0; r >= 0 && i < open->n_ports; i++) {
		const struct imds_port *port = &open->ports[i];

		r = add_to_set(bound, &port->address);
		if (r >= 0)
			r = nft_set_add_port(ports[port->address.family == AF_INET6], port->name, &port->address);
	}
	chain = nft_table_chain(p->bridge, "prerouting", NF_INET_PRE_ROUTING, PRIORITY_BEFORE_BRNF,
				"an allowed address that comes in through a port of somebody else");
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		int family = imds_addresses[i].family;
		struct imds_layer_plan *l = add_layer(p, LAYER_BRIDGE_PORTS, family);
		struct nft_rule *rule = nft_chain_rule(chain, NULL);
		struct nft_statement s;
		char counter[NFT_NAME_SIZE];

		(void)snprintf(counter, sizeof(counter), "ports_ip%d", family == AF_INET ? 4 : 6);
		nft_table_counter(p->bridge, counter);
		nft_rule_add(rule, (struct nft_statement){ .kind = STMT_DADDR, .address = imds_addresses[i] });
		s = named(STMT_SADDR_IN, bound_sets[i]);
		s.family = family;
		nft_rule_add(rule, s);
		s = named(STMT_PORT_NOT_IN, port_sets[i]);
		s.family = family;
		nft_rule_add(rule, s);
		nft_rule_add(rule, named(STMT_COUNT, counter));
		nft_rule_add(rule, named(STMT_JUMP, "verdict"));
		l->table = p->bridge;
		l->chain = chain - p->bridge->chains;
		l->counter = (ssize_t)p->bridge->n_counters - 1;
	}
	return r;
}

static void add_no_table(struct imds_plan *p, const char *reason)
{
	static const enum imds_layer layers[] = { LAYER_PREROUTING, LAYER_TRANSLATED, LAYER_FORWARD, LAYER_POSTROUTING,
						  LAYER_OUTPUT, LAYER_BRIDGE_PORTS };

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		add_layer_off(p, layers[i], reason);
	p->owner = p->persist = false;
	p->owner_reason = reason;
}

struct allowance {
	struct imds_plan *plan;
	struct routing_rule rule; /* but for the source */
};

static int add_allowance(void *user, const struct ip_address *a)
{
	struct allowance *l = user;

	if (a->family != l->rule.family)
		return 0;
	memcpy(l->rule.source, a->bytes, sizeof(l->rule.source));
	l->plan->rules[l->plan->n_rules++] = l->rule;
	return 0;
}

/*
 * Rules of one family, in the order in which they are added: the allowances first, so that nothing
 * that may pass is ever prohibited.
 */
static void add_routing_rules(struct imds_plan *p, const struct imds_config *c, const struct imds_openings *open,
			      const struct ip_address *imds)
{
	struct routing_rule base = { .family = imds->family, .has_destination = true, .plain = true }, r;
	struct allowance allowance = { .plan = p };

	memcpy(base.destination, imds->bytes, sizeof(base.destination));
	allowance.rule = base;
	allowance.rule.priority = c->routing_rule_priority - 1;
	allowance.rule.has_source = true;
	allowance.rule.action = ROUTING_LOOKUP_MAIN;
	(void)each_address(c, open, add_allowance, &allowance);
	r = base;
	r.priority = c->routing_rule_priority;
	(void)snprintf(r.iif, sizeof(r.iif), "lo");
	r.action = ROUTING_LOOKUP_MAIN;
	p->rules[p->n_rules++] = r;
	r = base;
	r.priority = c->routing_rule_priority + 1;
	r.action = ROUTING_PROHIBIT;
	p->rules[p->n_rules++] = r;
}

static int add_routing_layers(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f,
			      const struct imds_openings *open)
{
	static const enum imds_feature features[2] = { FEATURE_ROUTING_RULES, FEATURE_ROUTING_RULES_IPV6 };

	p->rules = calloc(4 + c->allow_address.n + open->n_addresses, sizeof(*p->rules));
	if (!p->rules)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		struct imds_layer_plan *l = add_layer(p, LAYER_ROUTING_RULES, imds_addresses[i].family);

		if (!c->routing_rules) {
			l->wanted = false;
			l->reason = "routing-rules = no";
		} else if (!f->have[features[i]]) {
			l->wanted = false;
			l->reason = imds_feature_lack(f, features[i]);
		} else {
			add_routing_rules(p, c, open, &imds_addresses[i]);
		}
	}
	return 0;
}

static void add_cgroup_layer(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f)
{
	p->slices = c->slices;
	memcpy(p->cgroup_root, c->cgroup_root, sizeof(p->cgroup_root));
	memcpy(p->bpf_dir, c->bpf_dir, sizeof(p->bpf_dir));
	if (!c->cgroup_ebpf) {
		add_layer_off(p, LAYER_CGROUP_EBPF, "cgroup-ebpf = no");
	} else if (!f->have[FEATURE_CGROUP_EBPF]) {
		add_layer_off(p, LAYER_CGROUP_EBPF, imds_feature_lack(f, FEATURE_CGROUP_EBPF));
	} else if (!f->on_host && !c->cgroup_root[0]) {
		add_layer_off(p, LAYER_CGROUP_EBPF, "not in the host's network, and no cgroup-root");
	} else {
		p->cgroup_ebpf = true;
		for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++)
			(void)add_layer(p, LAYER_CGROUP_EBPF, imds_addresses[i].family);
	}
}

/*
 * An owned table cannot be flushed by others, but without "persist" it goes with its socket, and
 * the kernel tells nobody. So it is owned only where something keeps it through a crash.
 */
static void choose_owner(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f,
			 bool can_keep_socket)
{
	if (c->table_owner == TABLE_OWNER_NO) {
		p->owner_reason = "plain, for table-owner = no";
	} else if (c->table_owner == TABLE_OWNER_COMMAND) {
		p->owner_reason = "plain, for no daemon runs that could own it";
	} else if (!f->have[FEATURE_OWNER]) {
		p->owner_reason = f->forced_off[FEATURE_OWNER] ? "plain, for owner is turned off by --assume-feature" :
								 "plain, for the kernel has no table owners (5.12)";
	} else if (f->have[FEATURE_PERSIST]) {
		p->owner = p->persist = true;
		p->owner_reason = "owned, and persistent in the kernel";
	} else if (can_keep_socket) {
		p->owner = true;
		p->owner_reason = "owned; the service manager keeps the socket through a crash";
	} else {
		p->owner_reason = "plain, for the kernel drops an owned table with its owner and no service "
				  "manager keeps the socket";
	}
}

int imds_plan_new(struct imds_plan **ret, const struct imds_config *c, const struct imds_features *f,
		  const struct imds_openings *open, bool can_keep_socket)
{
	_cleanup_(imds_plan_freep) struct imds_plan *p = calloc(1, sizeof(*p));
	static const struct imds_openings nothing;
	int r = 0;

	open = open ? open : &nothing;

	if (!p)
		return -ENOMEM;
	p->enabled = c->enabled;
	choose_owner(p, c, f, can_keep_socket);
	p->log_reason = !c->enabled ? "enabled = no" : !f->have[FEATURE_NFTABLES] ? imds_feature_lack(f, FEATURE_NFTABLES) :
										      why_no_log(c, f);
	if (!c->enabled) {
		add_no_table(p, "enabled = no");
		add_layer_off(p, LAYER_ROUTING_RULES, "enabled = no");
		add_layer_off(p, LAYER_CGROUP_EBPF, "enabled = no");
		memcpy(p->bpf_dir, c->bpf_dir, sizeof(p->bpf_dir));
	} else if (!f->have[FEATURE_NFTABLES]) {
		add_no_table(p, imds_feature_lack(f, FEATURE_NFTABLES));
	} else {
		r = add_table(p, c, f, open);
		if (r >= 0)
			r = add_bridge(p, c, f, open);
	}
	if (r >= 0 && c->enabled)
		r = add_routing_layers(p, c, f, open);
	if (r < 0)
		return r;
	if (c->enabled)
		add_cgroup_layer(p, c, f);
	*ret = take_ptr(p);
	return 0;
}
