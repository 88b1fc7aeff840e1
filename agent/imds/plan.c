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
 * Only addresses are matched, never ports: later fragments have none.
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
#define LOG_SNAPLEN 96 /* both headers with options, and the ports */

const struct ip_address imds_addresses[2] = {
	{ .family = AF_INET, .bytes = { 169, 254, 169, 254 } },
	{ .family = AF_INET6, .bytes = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 } },
};

static const char *const allow_sets[2] = { "allow4", "allow6" };

/* Devices through which a container's packets enter the host. */
static const char *const container_kinds[] = { "bridge", "veth", "macvlan", "ipvlan" };

static const char *const layer_names[_LAYER_MAX] = {
	[LAYER_PREROUTING] = "prerouting",
	[LAYER_TRANSLATED] = "translated",
	[LAYER_FORWARD] = "forward",
	[LAYER_POSTROUTING] = "postrouting",
	[LAYER_OUTPUT] = "output",
	[LAYER_ROUTING_RULES] = "routing-rules",
	[LAYER_CGROUP_EBPF] = "cgroup-ebpf",
};

const char *imds_layer_name(enum imds_layer layer)
{
	return layer_names[layer];
}

struct imds_plan *imds_plan_free(struct imds_plan *p)
{
	if (!p)
		return NULL;
	p->table = nft_table_free(p->table);
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

/* One base chain: for each family a rule that sends the service's packets on. */
static void add_hook(struct imds_plan *p, enum imds_layer layer, int hook, int priority,
		     const char *comment, const struct nft_statement *condition,
		     const struct nft_statement *verdict, const char *weakness)
{
	struct nft_table *t = p->table;
	struct nft_chain *c = nft_table_chain(t, layer_names[layer], hook, priority, comment);

	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		int family = imds_addresses[i].family;
		struct imds_layer_plan *l = add_layer(p, layer, family);
		struct nft_rule *r = nft_chain_rule(c, NULL);
		struct nft_statement s;
		char counter[NFT_NAME_SIZE];

		(void)snprintf(counter, sizeof(counter), "%s_ip%d", layer_names[layer],
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

static void add_verdict_chain(struct nft_table *t, const struct imds_config *c, const struct imds_features *f)
{
	struct nft_chain *chain = nft_table_chain(t, "verdict", -1, 0, "what happens to a packet that is not allowed");
	struct nft_rule *r;

	if (c->log && f->have[FEATURE_LOG] && f->have[FEATURE_LIMIT]) {
		struct nft_statement log = named(STMT_LOG, "imds");

		log.number = c->log_group;
		log.snaplen = LOG_SNAPLEN;
		r = nft_chain_rule(chain, "a flood costs no more than this");
		nft_rule_add(r, (struct nft_statement){
					.kind = STMT_LIMIT, .number = c->log_rate, .burst = 2 * c->log_rate });
		nft_rule_add(r, log);
	}
	if (f->have[FEATURE_REJECT] && f->have[FEATURE_UNDO_TRANSLATION])
		for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++)
			add_reset(chain, imds_addresses[i].family, "in the name of whom the sender asked");
	if (f->have[FEATURE_REJECT])
		add_reset(chain, 0, "refused at once, no time-out");
	nft_rule_add(nft_chain_rule(chain, NULL), (struct nft_statement){ .kind = STMT_DROP });
}

static int add_sets(struct nft_table *t, const struct imds_config *c)
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
	for (size_t i = 0; i < c->allow_address.n; i++) {
		const struct ip_address *a = &c->allow_address.addresses[i];

		r = nft_set_add(sets[a->family == AF_INET6], a->bytes, ip_length(a->family));
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
static void add_output(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f,
		       const char *weak)
{
	struct nft_chain *chain;

	if (cgroup_ebpf_possible(c, f)) {
		add_layer_off(p, LAYER_OUTPUT, "not needed: cgroup-ebpf refuses before there is a packet");
		return;
	}
	if (!f->on_host && !c->cgroup_root[0]) {
		add_layer_off(p, LAYER_OUTPUT, "not in the host's own network, and no cgroup-root is set");
		return;
	}
	if (!f->have[FEATURE_SOCKET_CGROUP]) {
		add_layer_off(p, LAYER_OUTPUT, imds_feature_lack(f, FEATURE_SOCKET_CGROUP));
		return;
	}
	p->by_slice_id = true;
	if (f->n_slices == 0) {
		add_layer_off(p, LAYER_OUTPUT, "there is no slice of tasks yet");
		return;
	}
	chain = nft_table_chain(p->table, layer_names[LAYER_OUTPUT], NF_INET_LOCAL_OUT, PRIORITY_BEFORE_FILTER,
				"tasks in host network mode, known by their cgroup");
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		int family = imds_addresses[i].family;
		struct imds_layer_plan *l = add_layer(p, LAYER_OUTPUT, family);
		char counter[NFT_NAME_SIZE];

		(void)snprintf(counter, sizeof(counter), "output_ip%d", family == AF_INET ? 4 : 6);
		nft_table_counter(p->table, counter);
		for (size_t k = 0; k < MIN(f->n_slices, (size_t)NFT_MAX_RULES / 2); k++) {
			struct nft_rule *r = nft_chain_rule(chain, NULL);
			struct nft_statement s = { .kind = STMT_SOCKET_CGROUP, .number = f->slice_level,
						   .cgroup = f->slices[k].id };

			memcpy(s.cgroup_path, f->slices[k].path, sizeof(s.cgroup_path));
			nft_rule_add(r, (struct nft_statement){ .kind = STMT_DADDR, .address = imds_addresses[i] });
			nft_rule_add(r, s);
			nft_rule_add(r, named(STMT_COUNT, counter));
			nft_rule_add(r, named(STMT_JUMP, "verdict"));
		}
		l->chain = chain - p->table->chains;
		l->counter = (ssize_t)p->table->n_counters - 1;
		l->reason = weak;
	}
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

static int add_table(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f)
{
	const char *weak = f->have[FEATURE_REJECT] ? NULL : "clients time out: the kernel cannot reject packets";
	struct nft_statement to_verdict = named(STMT_JUMP, "verdict");
	struct nft_statement kinds = named(STMT_IIFKIND_IN, "container_kinds");
	struct nft_statement iif = { .kind = STMT_IIF_PRESENT }, drop = { .kind = STMT_DROP };
	int r;

	p->table = nft_table_new(IMDS_TABLE);
	if (!p->table)
		return -ENOMEM;
	(void)snprintf(p->table->comment, sizeof(p->table->comment), "%s",
		       "metadata guard; made by batten, which restores it: see batten imds status");
	p->table->with_comments = f->have[FEATURE_COMMENT];
	p->table->flags = (p->owner ? NFT_TABLE_F_OWNER : 0) | (p->persist ? NFT_F_PERSIST : 0);
	r = add_sets(p->table, c);
	if (r < 0)
		return r;
	add_verdict_chain(p->table, c, f);
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
	add_output(p, c, f, weak);
	return 0;
}

static void add_no_table(struct imds_plan *p, const char *reason)
{
	static const enum imds_layer layers[] = { LAYER_PREROUTING, LAYER_TRANSLATED, LAYER_FORWARD, LAYER_POSTROUTING,
						   LAYER_OUTPUT };

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		add_layer_off(p, layers[i], reason);
	p->owner = p->persist = false;
	p->owner_reason = reason;
}

/*
 * Rules of one family, in the order in which they are added: the allowances first, so that nothing
 * that may pass is ever prohibited.
 */
static void add_routing_rules(struct imds_plan *p, const struct imds_config *c, const struct ip_address *imds)
{
	struct routing_rule base = { .family = imds->family, .has_destination = true, .plain = true }, r;

	memcpy(base.destination, imds->bytes, sizeof(base.destination));
	for (size_t i = 0; i < c->allow_address.n; i++) {
		const struct ip_address *a = &c->allow_address.addresses[i];

		if (a->family != imds->family)
			continue;
		r = base;
		r.priority = c->routing_rule_priority - 1;
		r.has_source = true;
		memcpy(r.source, a->bytes, sizeof(r.source));
		r.action = ROUTING_LOOKUP_MAIN;
		p->rules[p->n_rules++] = r;
	}
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

static void add_routing_layers(struct imds_plan *p, const struct imds_config *c, const struct imds_features *f)
{
	static const enum imds_feature features[2] = { FEATURE_ROUTING_RULES, FEATURE_ROUTING_RULES_IPV6 };

	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		struct imds_layer_plan *l = add_layer(p, LAYER_ROUTING_RULES, imds_addresses[i].family);

		if (!c->routing_rules) {
			l->wanted = false;
			l->reason = "routing-rules = no";
		} else if (!f->have[features[i]]) {
			l->wanted = false;
			l->reason = imds_feature_lack(f, features[i]);
		} else {
			add_routing_rules(p, c, &imds_addresses[i]);
		}
	}
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
		add_layer_off(p, LAYER_CGROUP_EBPF, "not in the host's own network, and no cgroup-root is set");
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
		  bool can_keep_socket)
{
	_cleanup_(imds_plan_freep) struct imds_plan *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->enabled = c->enabled;
	choose_owner(p, c, f, can_keep_socket);
	if (!c->enabled) {
		add_no_table(p, "enabled = no");
		add_layer_off(p, LAYER_ROUTING_RULES, "enabled = no");
		add_layer_off(p, LAYER_CGROUP_EBPF, "enabled = no");
		memcpy(p->bpf_dir, c->bpf_dir, sizeof(p->bpf_dir));
	} else if (!f->have[FEATURE_NFTABLES]) {
		add_no_table(p, imds_feature_lack(f, FEATURE_NFTABLES));
		add_routing_layers(p, c, f);
	} else {
		r = add_table(p, c, f);
		if (r < 0)
			return r;
		add_routing_layers(p, c, f);
	}
	if (c->enabled)
		add_cgroup_layer(p, c, f);
	*ret = take_ptr(p);
	return 0;
}

void imds_plan_text(struct bytes *b, const struct imds_plan *p)
{
	char text[160];

	for (size_t i = 0; p->cgroup_ebpf && i < p->slices.n; i++)
		bytes_printf(b, "# eBPF: refused to cgroup %s/%s and all below it\n", p->cgroup_root, p->slices.names[i]);
	for (size_t i = 0; i < p->n_rules; i++) {
		routing_rule_text(&p->rules[i], text, sizeof(text));
		bytes_printf(b, "# ip %s rule add %s protocol kernel\n", p->rules[i].family == AF_INET6 ? "-6" : "-4",
			     text);
	}
	if (p->table)
		nft_table_text(b, p->table);
}

static json_t *chain_json(const struct nft_table *t, const struct nft_chain *c)
{
	json_t *rules = json_array(), *j;

	for (size_t i = 0; i < c->n_rules; i++) {
		struct bytes b = { 0 };

		nft_rule_text(&b, t, &c->rules[i]);
		json_array_append_new(rules, json_string(b.data ? b.data : ""));
		bytes_done(&b);
	}
	j = json_pack("{s:s, s:o}", "name", c->name, "rules", rules);
	if (j && c->hook >= 0)
		json_object_set_new(j, "priority", json_integer(c->priority));
	return j;
}

json_t *imds_plan_json(const struct imds_plan *p)
{
	json_t *chains = json_array(), *rules = json_array(), *layers = json_array();
	char text[160];

	for (size_t i = 0; p->table && i < p->table->n_chains; i++)
		json_array_append_new(chains, chain_json(p->table, &p->table->chains[i]));
	for (size_t i = 0; i < p->n_rules; i++) {
		routing_rule_text(&p->rules[i], text, sizeof(text));
		json_array_append_new(rules, json_pack("{s:s, s:s}", "family",
						       p->rules[i].family == AF_INET6 ? "ipv6" : "ipv4", "rule", text));
	}
	for (size_t i = 0; i < p->n_layers; i++) {
		const struct imds_layer_plan *l = &p->layers[i];
		json_t *j = json_pack("{s:s, s:s, s:b}", "layer", layer_names[l->layer], "family",
				      l->family == AF_INET6 ? "ipv6" : "ipv4", "wanted", l->wanted);

		if (j && l->reason)
			json_object_set_new(j, "reason", json_string(l->reason));
		json_array_append_new(layers, j);
	}
	return json_pack("{s:s, s:{s:s, s:s, s:b, s:b, s:s}, s:o, s:o, s:o}", "schema", "batten.imds-plan/1", "table",
			 "family", "inet", "name", IMDS_TABLE, "owner", p->owner, "persist", p->persist, "reason",
			 p->owner_reason, "chains", chains, "routing_rules", rules, "layers", layers);
}
