/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plan for readers: as text that nft takes, and as JSON.
 */
#include "batten/imds/plan.h"

#include "batten/base/json.h"

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
	if (p->bridge && !p->bridge->absent)
		nft_table_text(b, p->bridge);
}

static json_t *chain_json(const struct nft_table *t, const struct nft_chain *c)
{
	json_t *rules = json_array(), *j;

	for (size_t i = 0; i < c->n_rules; i++) {
		struct bytes b = { 0 };

		nft_rule_text(&b, t, &c->rules[i]);
		json_array_append_new(rules, json_gathered(&b));
	}
	j = json_pack("{s:s, s:o}", "name", c->name, "rules", rules);
	if (j && c->hook >= 0)
		json_object_set_new(j, "priority", json_integer(c->priority));
	return j;
}

static json_t *table_json(const struct nft_table *t)
{
	json_t *chains = json_array();

	for (size_t i = 0; t && i < t->n_chains; i++)
		json_array_append_new(chains, chain_json(t, &t->chains[i]));
	return chains;
}

json_t *imds_plan_json(const struct imds_plan *p)
{
	json_t *chains = table_json(p->table), *bridge = table_json(p->bridge);
	json_t *rules = json_array(), *layers = json_array();
	char text[160];

	for (size_t i = 0; i < p->n_rules; i++) {
		routing_rule_text(&p->rules[i], text, sizeof(text));
		json_array_append_new(rules, json_pack("{s:s, s:s}", "family",
						       p->rules[i].family == AF_INET6 ? "ipv6" : "ipv4", "rule", text));
	}
	for (size_t i = 0; i < p->n_layers; i++) {
		const struct imds_layer_plan *l = &p->layers[i];
		json_t *j = json_pack("{s:s, s:s, s:b}", "layer", imds_layer_name(l->layer), "family",
				      l->family == AF_INET6 ? "ipv6" : "ipv4", "wanted", l->wanted);

		if (j && l->reason)
			json_object_set_new(j, "reason", json_string(l->reason));
		json_array_append_new(layers, j);
	}
	return json_pack("{s:s, s:{s:s, s:s, s:b, s:b, s:s}, s:o, s:o, s:o, s:o}", "schema", "batten.imds-plan/1", "table",
			 "family", "inet", "name", IMDS_TABLE, "owner", p->owner, "persist", p->persist, "reason",
			 p->owner_reason, "chains", chains, "bridge_chains", bridge, "routing_rules", rules, "layers", layers);
}
