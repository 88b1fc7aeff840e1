/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guard's layers as they are. Nothing is believed because it was once installed: table and rules
 * are read back from the kernel each time.
 */
#include "imds/guard-internal.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/json.h"
#include "batten/base/table.h"

static const char *const state_names[_IMDS_STATE_MAX] = {
	[IMDS_ACTIVE] = "active",
	[IMDS_DEGRADED] = "degraded",
	[IMDS_MISSING] = "missing",
	[IMDS_OFF] = "off",
};

static const char *family_name(int family)
{
	return family == AF_INET ? "ipv4" : "ipv6";
}

static void set_reason(struct imds_layer_status *l, enum imds_state state, const char *reason)
{
	l->state = state;
	(void)snprintf(l->reason, sizeof(l->reason), "%s", reason ? reason : "");
}

static void chain_status(const struct nft_state *s, const struct imds_layer_plan *p,
			 struct imds_layer_status *l)
{
	const struct nft_table *t = p->table;
	/* Whatever the hook sends to the chain "verdict" depends on that chain too. */
	bool shared_differs = s->table_differs;

	for (size_t i = 0; i < t->n_chains; i++)
		if (t->chains[i].hook < 0)
			shared_differs = shared_differs || !s->chain_present[i] || s->chain_differs[i];
	if (!s->present || !s->chain_present[p->chain]) {
		set_reason(l, IMDS_MISSING, s->present ? "the chain is not there" :
					    p->layer == LAYER_BRIDGE_PORTS ? "table bridge batten is not there" :
									     "table inet batten is not there");
		return;
	}
	l->counted = true;
	l->packets = s->packets[p->counter];
	l->bytes = s->bytes[p->counter];
	if (s->chain_differs[p->chain] || shared_differs)
		set_reason(l, IMDS_DEGRADED, s->first_difference);
	else
		set_reason(l, p->reason ? IMDS_DEGRADED : IMDS_ACTIVE, p->reason);
}

/* A rule before ours that takes packets to IMDS elsewhere makes ours worthless. */
static bool may_precede(const struct routing_rule *r, uint32_t priority)
{
	if (r->priority >= priority || r->priority == 0 /* the local table */ || imds_rule_is_ours(r))
		return false;
	if (strcmp(r->iif, "lo") == 0)
		return false;
	if (!r->has_destination)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		size_t whole = r->destination_bits / 8, bits = r->destination_bits % 8;
		const uint8_t *a = imds_addresses[i].bytes;

		if (r->family != imds_addresses[i].family || memcmp(a, r->destination, whole) != 0)
			continue;
		if (bits == 0 || ((a[whole] ^ r->destination[whole]) >> (8 - bits)) == 0)
			return true;
	}
	return false;
}

static int routing_status(struct imds_guard *g, int family, struct imds_layer_status *l, struct diag *d)
{
	_cleanup_(freep) struct routing_rule *have = NULL;
	uint32_t prohibit = UINT32_MAX;
	char text[160];
	size_t n;
	int r;

	r = routing_rules_read(g->route, family, &have, &n, d);
	if (r < 0)
		return r;
	for (size_t i = 0; i < g->plan->n_rules; i++) {
		const struct routing_rule *want = &g->plan->rules[i];
		bool found = false;

		if (want->family != family)
			continue;
		for (size_t k = 0; k < n && !found; k++)
			found = have[k].plain && routing_rule_equal(&have[k], want);
		if (want->action == ROUTING_PROHIBIT)
			prohibit = want->priority;
		if (found)
			continue;
		routing_rule_text(want, text, sizeof(text));
		if (want->action == ROUTING_PROHIBIT)
			l->state = IMDS_MISSING;
		else if (l->state == IMDS_ACTIVE)
			l->state = IMDS_DEGRADED;
		(void)snprintf(l->reason, sizeof(l->reason), "\"%s\" is not there", text);
	}
	for (size_t i = 0; i < n && l->state == IMDS_ACTIVE; i++) {
		if (!may_precede(&have[i], prohibit))
			continue;
		routing_rule_text(&have[i], text, sizeof(text));
		l->state = IMDS_DEGRADED;
		(void)snprintf(l->reason, sizeof(l->reason), "somebody's rule \"%s\" comes first", text);
	}
	return 0;
}

static bool closes(const struct imds_layer_status *l)
{
	return (l->layer == LAYER_FORWARD || l->layer == LAYER_ROUTING_RULES) && l->state == IMDS_ACTIVE;
}

int imds_guard_status(struct imds_guard *g, struct imds_status *ret, struct diag *d)
{
	struct imds_status s = { 0 };
	bool closed[2] = { false };
	struct imds_look look;
	int r;

	r = imds_guard_look(g, &look, d);
	if (r < 0)
		return r;
	for (size_t i = 0; i < g->plan->n_layers; i++) {
		const struct imds_layer_plan *p = &g->plan->layers[i];
		struct imds_layer_status *l = &s.layers[s.n_layers++];

		l->layer = p->layer;
		l->family = p->family;
		if (!p->wanted)
			set_reason(l, IMDS_OFF, p->reason);
		else if (p->layer == LAYER_ROUTING_RULES)
			r = routing_status(g, p->family, l, d);
		else if (p->layer == LAYER_CGROUP_EBPF)
			imds_guard_cgroup_status(g, p->family, l);
		else
			chain_status(p->layer == LAYER_BRIDGE_PORTS ? &look.bridge : &look.table, p, l);
		if (r < 0)
			return r;
		/* Weaker only in that clients time out still keeps the road closed. */
		closed[l->family == AF_INET6] |= closes(l) || (l->layer == LAYER_FORWARD && p->wanted && p->reason &&
							       strcmp(l->reason, p->reason) == 0);
	}
	s.owner = look.table.flags & NFT_TABLE_F_OWNER && look.table.owner_portid != 0;
	s.persist = look.table.flags & NFT_F_PERSIST;
	(void)snprintf(s.owner_reason, sizeof(s.owner_reason), "%s",
		       !look.table.present ? "there is no table" : g->plan->owner_reason);
	(void)snprintf(s.log_reason, sizeof(s.log_reason), "%s", g->plan->log_reason ? g->plan->log_reason : "");
	s.closed = closed[0] && closed[1];
	*ret = s;
	return 0;
}

json_t *imds_status_json(const struct imds_status *s)
{
	json_t *layers = json_array(), *log = json_pack("{s:s}", "state", s->log_reason[0] ? "off" : "active");

	if (log && s->log_reason[0])
		json_object_set_new(log, "reason", json_text(s->log_reason));
	for (size_t i = 0; i < s->n_layers; i++) {
		const struct imds_layer_status *l = &s->layers[i];
		json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "layer", imds_layer_name(l->layer), "family",
				      family_name(l->family), "state", state_names[l->state], "covers",
				      imds_layer_covers(l->layer));

		if (j && l->reason[0])
			json_object_set_new(j, "reason", json_text(l->reason));
		if (j && l->counted) {
			json_object_set_new(j, "packets", json_integer((json_int_t)l->packets));
			json_object_set_new(j, "bytes", json_integer((json_int_t)l->bytes));
		}
		json_array_append_new(layers, j);
	}
	return json_pack("{s:s, s:b, s:o, s:o, s:I, s:{s:b, s:b, s:s}}", "schema", "batten.imds-status/1", "closed",
			 s->closed, "layers", layers, "log", log, "heals", (json_int_t)s->heals, "table", "owner", s->owner,
			 "persist", s->persist, "reason", s->owner_reason);
}

static enum table_style state_style(const char *state)
{
	static const enum table_style styles[_IMDS_STATE_MAX] = {
		[IMDS_ACTIVE] = STYLE_GOOD,
		[IMDS_DEGRADED] = STYLE_WARN,
		[IMDS_MISSING] = STYLE_BAD,
		[IMDS_OFF] = STYLE_DIM,
	};

	for (size_t i = 0; i < _IMDS_STATE_MAX; i++)
		if (strcmp(state_names[i], state) == 0)
			return styles[i];
	return STYLE_PLAIN;
}

static const char *member(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "";
}

static void print_tried(const json_t *tried, FILE *f)
{
	const json_t *row;
	size_t i;

	json_array_foreach (tried, i, row) {
		const char *name = member(row, "container");

		(void)fprintf(f, "%s", i == 0 ? "Refused by cgroup-ebpf: " : ", ");
		if (name[0])
			(void)fprintf(f, "%s", name);
		else
			(void)fprintf(f, "cgroup %lld", (long long)json_integer_value(json_object_get(row, "cgroup")));
		(void)fprintf(f, " %lld%s", (long long)json_integer_value(json_object_get(row, "count")),
			      i + 1 == json_array_size(tried) ? ".\n" : "");
	}
}

int imds_status_print(const json_t *status, FILE *f)
{
	static const char *const heads[] = { "LAYER", "FAMILY", "STATE", "BLOCKED", "COVERS", "REASON" };
	_cleanup_(table_freep) struct table *t = table_new(ARRAY_SIZE(heads));
	const json_t *table = json_object_get(status, "table"), *layers = json_object_get(status, "layers");
	const json_t *log = json_object_get(status, "log");
	bool closed = json_is_true(json_object_get(status, "closed"));
	const json_t *l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(heads); i++)
		table_cell(t, STYLE_HEAD, heads[i]);
	json_array_foreach (layers, i, l) {
		const json_t *packets = json_object_get(l, "packets");

		table_cell(t, STYLE_PLAIN, member(l, "layer"));
		table_cell(t, STYLE_PLAIN, member(l, "family"));
		table_cell(t, state_style(member(l, "state")), member(l, "state"));
		if (packets)
			table_cellf(t, STYLE_PLAIN, "%lld", (long long)json_integer_value(packets));
		else
			table_cell(t, STYLE_DIM, "-");
		table_cell(t, STYLE_PLAIN, member(l, "covers"));
		table_cell(t, STYLE_PLAIN, member(l, "reason"));
	}
	if (table_print(t, f) < 0)
		return -ENOMEM;
	(void)fprintf(f, "\nTable: %s.\nHeals: %lld.\n", member(table, "reason"),
		      (long long)json_integer_value(json_object_get(status, "heals")));
	print_tried(json_object_get(status, "tried"), f);
	if (member(log, "reason")[0])
		(void)fprintf(f, "Packets that the table refuses are not told of: %s.\n", member(log, "reason"));
	(void)fprintf(f, "%sIMDS is %s bridged containers.%s\n", style_begin(f, closed ? STYLE_GOOD : STYLE_BAD),
		      closed ? "closed to" : "NOT closed to", style_end(f, STYLE_GOOD));
	return 0;
}
