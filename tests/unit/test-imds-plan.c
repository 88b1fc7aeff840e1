/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <linux/netfilter/nf_tables.h>

#include "batten/base/bytes.h"
#include "batten/imds/plan.h"
#include "kernel/nft-internal.h"

static struct imds_config defaults(void)
{
	struct imds_config c = { 0 };
	void *const targets[] = { &c };

	assert_int_equal(config_defaults(&imds_config_section, 1, targets, NULL), 0);
	return c;
}

static struct imds_plan *plan(const struct imds_config *c, const char *lack, bool can_keep)
{
	struct imds_features f = { 0 };
	struct imds_plan *p;

	imds_features_all(&f);
	if (lack)
		assert_int_equal(imds_features_assume(&f, lack, NULL), 0);
	assert_int_equal(imds_plan_new(&p, c, &f, NULL, can_keep), 0);
	return p;
}

/* What an exception on a bridge, and one in host network mode, open. */
static struct imds_openings some_openings(void)
{
	const struct ip_address a4 = { .family = AF_INET, .bytes = { 172, 17, 0, 2 } };
	const struct ip_address a6 = { .family = AF_INET6, .bytes = { 0xfd, [15] = 2 } };
	struct imds_openings o = { 0 };

	assert_int_equal(imds_openings_address(&o, &a4), 0);
	assert_int_equal(imds_openings_address(&o, &a6), 0);
	assert_int_equal(imds_openings_port(&o, &a4, "veth1"), 0);
	assert_int_equal(imds_openings_port(&o, &a6, "veth1"), 0);
	assert_int_equal(imds_openings_group(&o, 4712, 3), 0);
	return o;
}

/* On a host without cgroup-ebpf that has a slice of tasks. */
static struct imds_plan *plan_by_slice(const struct imds_config *c, const struct imds_openings *open)
{
	struct imds_features f = { 0 };
	struct imds_plan *p;

	imds_features_all(&f);
	assert_int_equal(imds_features_assume(&f, "-cgroup-ebpf", NULL), 0);
	f.slice_level = 1;
	f.slices[0].id = 4711;
	(void)snprintf(f.slices[0].path, sizeof(f.slices[0].path), "ecstasks.slice");
	f.n_slices = 1;
	assert_int_equal(imds_plan_new(&p, c, &f, open, false), 0);
	return p;
}

static const struct imds_layer_plan *layer(const struct imds_plan *p, enum imds_layer l, int family)
{
	for (size_t i = 0; i < p->n_layers; i++)
		if (p->layers[i].layer == l && p->layers[i].family == family)
			return &p->layers[i];
	fail();
	return NULL;
}

static char *text_of(const struct imds_plan *p)
{
	struct bytes b = { 0 };

	imds_plan_text(&b, p);
	assert_int_equal(b.error, 0);
	return b.data;
}

static void the_destination_is_compared_first(void **state)
{
	struct imds_config c = defaults();
	_cleanup_(imds_plan_freep) struct imds_plan *p = plan(&c, NULL, false);

	for (size_t i = 0; i < p->table->n_chains; i++) {
		const struct nft_chain *chain = &p->table->chains[i];

		if (chain->hook < 0)
			continue;
		assert_int_equal(chain->n_rules, 2); /* what all other traffic pays for */
		for (size_t k = 0; k < chain->n_rules; k++)
			assert_int_equal(chain->rules[k].statements[0].kind, STMT_DADDR);
	}
}

static void forward_names_no_interface_and_no_rule_a_port(void **state)
{
	struct imds_config c = defaults();
	_cleanup_(imds_plan_freep) struct imds_plan *p = plan(&c, NULL, false);
	_cleanup_(freep) char *text = text_of(p);
	const char *forward = strstr(text, "chain forward"), *end;

	assert_non_null(forward);
	end = strchr(forward, '}');
	assert_null(memmem(forward, (size_t)(end - forward), "iif", 3));
	assert_null(strstr(text, "sport"));
	/* The reset gives back a port, and no rule asks for one. */
	for (const char *at = text; (at = strstr(at, "dport")); at++)
		assert_int_equal(strncmp(at, "dport set", 9), 0);
}

/* Each row: what is missing, which layer goes or weakens, which must stay. */
static void each_missing_feature_degrades_and_says_so(void **state)
{
	static const struct {
		const char *lack;
		enum imds_layer layer;
		int family;
		bool wanted;
	} rows[] = {
		{ "-iifkind", LAYER_PREROUTING, AF_INET, false },
		{ "-reject-prerouting", LAYER_PREROUTING, AF_INET6, false },
		{ "-reject-prerouting", LAYER_TRANSLATED, AF_INET, false },
		{ "-undo-translation", LAYER_TRANSLATED, AF_INET6, false },
		{ "-reject", LAYER_TRANSLATED, AF_INET, false },
		{ "-postrouting-iif", LAYER_POSTROUTING, AF_INET, false },
		{ "-reject", LAYER_FORWARD, AF_INET, true },
		{ "-routing-rules", LAYER_ROUTING_RULES, AF_INET, false },
		{ "-routing-rules-ipv6", LAYER_ROUTING_RULES, AF_INET6, false },
		{ "-nftables", LAYER_FORWARD, AF_INET, false },
	};
	struct imds_config c = defaults();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(imds_plan_freep) struct imds_plan *p = plan(&c, rows[i].lack, false);
		const struct imds_layer_plan *l = layer(p, rows[i].layer, rows[i].family);

		assert_int_equal(l->wanted, rows[i].wanted);
		assert_non_null(l->reason);
		/* Something else still closes the road. */
		assert_true(layer(p, LAYER_FORWARD, rows[i].family)->wanted ||
			    layer(p, LAYER_ROUTING_RULES, rows[i].family)->wanted);
	}
}

static void without_log_or_limit_nothing_is_logged(void **state)
{
	static const char *const lacks[] = { "-log", "-limit" };
	struct imds_config c = defaults();

	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++) {
		_cleanup_(imds_plan_freep) struct imds_plan *p = plan(&c, lacks[i], false);
		_cleanup_(freep) char *text = text_of(p);

		assert_null(strstr(text, "log prefix"));
		assert_null(strstr(text, "limit rate"));
		assert_non_null(strstr(text, "reject with tcp reset"));
	}
}

static void a_table_is_owned_only_where_a_crash_cannot_open_it(void **state)
{
	struct imds_config c = defaults();
	_cleanup_(imds_plan_freep) struct imds_plan *persist = plan(&c, NULL, false);
	_cleanup_(imds_plan_freep) struct imds_plan *plain = plan(&c, "-persist", false);
	_cleanup_(imds_plan_freep) struct imds_plan *kept = plan(&c, "-persist", true);
	_cleanup_(imds_plan_freep) struct imds_plan *none = plan(&c, "-owner", true);
	_cleanup_(imds_plan_freep) struct imds_plan *off = NULL;

	assert_int_equal(persist->table->flags, NFT_TABLE_F_OWNER | NFT_F_PERSIST);
	assert_int_equal(plain->table->flags, 0);
	assert_int_equal(kept->table->flags, NFT_TABLE_F_OWNER);
	assert_int_equal(none->table->flags, 0);
	c.table_owner = TABLE_OWNER_NO;
	off = plan(&c, NULL, true);
	assert_int_equal(off->table->flags, 0);
	assert_non_null(off->owner_reason);
}

static void switches_take_layers_out(void **state)
{
	struct imds_config c = defaults();
	_cleanup_(imds_plan_freep) struct imds_plan *proxy = NULL, *rules = NULL, *off = NULL;

	c.proxy_mode = true;
	proxy = plan(&c, NULL, false);
	assert_false(layer(proxy, LAYER_PREROUTING, AF_INET)->wanted);
	assert_false(layer(proxy, LAYER_TRANSLATED, AF_INET)->wanted);
	assert_true(layer(proxy, LAYER_FORWARD, AF_INET)->wanted);
	c = defaults();
	c.routing_rules = false;
	rules = plan(&c, NULL, false);
	assert_int_equal(rules->n_rules, 0);
	c = defaults();
	c.enabled = false;
	off = plan(&c, NULL, false);
	assert_null(off->table);
	assert_int_equal(off->n_rules, 0);
	for (size_t i = 0; i < off->n_layers; i++)
		assert_false(off->layers[i].wanted);
}

static void allowances_stand_before_the_prohibition(void **state)
{
	struct imds_config c = defaults();
	_cleanup_(imds_plan_freep) struct imds_plan *p = NULL;
	_cleanup_(freep) char *text = NULL;

	c.allow_address.n = 2;
	c.allow_address.addresses[0] = (struct ip_address){ .family = AF_INET, .bytes = { 172, 17, 0, 9 } };
	c.allow_address.addresses[1] = (struct ip_address){ .family = AF_INET6, .bytes = { 0xfd, [15] = 9 } };
	p = plan(&c, NULL, false);
	text = text_of(p);
	assert_non_null(strstr(text, "elements = { 172.17.0.9 }"));
	assert_non_null(strstr(text, "elements = { fd00::9 }"));
	assert_int_equal(p->n_rules, 6);
	for (size_t i = 0; i + 2 < p->n_rules; i += 3) {
		assert_true(p->rules[i].has_source);
		assert_true(p->rules[i].priority < p->rules[i + 1].priority);
		assert_string_equal(p->rules[i + 1].iif, "lo");
		assert_int_equal(p->rules[i + 2].action, ROUTING_PROHIBIT);
		assert_true(p->rules[i + 1].priority < p->rules[i + 2].priority);
	}
}

/*
 * libnftnl refuses a value of the wrong width in silence from 1.2.7 on; nft_rule_build() notices and
 * gives none. Every statement that plans use has to build.
 */
static unsigned int statements_built(const struct nft_table *t)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < t->n_chains; i++) {
		const struct nft_chain *chain = &t->chains[i];

		for (size_t k = 0; k < chain->n_rules; k++) {
			_cleanup_(nftnl_rule_donep) struct nftnl_rule *r = NULL;

			assert_int_equal(nft_rule_build(&r, t, chain, &chain->rules[k]), 0);
			for (size_t s = 0; s < chain->rules[k].n_statements; s++)
				seen |= 1u << chain->rules[k].statements[s].kind;
		}
	}
	return seen;
}

static void every_rule_builds(void **state)
{
	struct imds_config c = defaults();
	struct imds_openings open = some_openings();
	_cleanup_(imds_plan_freep) struct imds_plan *p = plan_by_slice(&c, &open);
	unsigned int seen = statements_built(p->table) | statements_built(p->bridge);

	assert_int_equal(seen, (1u << _STMT_MAX) - 1);
	imds_openings_done(&open);
}

static void exceptions_on_bridges_are_bound_to_their_ports(void **state)
{
	struct imds_config c = defaults();
	struct imds_openings open = some_openings();
	struct imds_features f = { 0 };
	_cleanup_(imds_plan_freep) struct imds_plan *none = plan(&c, NULL, false), *bound = NULL;
	_cleanup_(freep) char *text = NULL;

	assert_true(none->bridge->absent);
	assert_false(layer(none, LAYER_BRIDGE_PORTS, AF_INET)->wanted);
	imds_features_all(&f);
	assert_int_equal(imds_plan_new(&bound, &c, &f, &open, true), 0);
	assert_true(layer(bound, LAYER_BRIDGE_PORTS, AF_INET6)->wanted);
	assert_int_equal(bound->bridge->flags, bound->table->flags);
	text = text_of(bound);
	assert_non_null(strstr(text, "table bridge batten {"));
	assert_non_null(strstr(text, "ip saddr @bound4 iifname . ip saddr != @ports4"));
	assert_non_null(strstr(text, "elements = { \"veth1\" . 172.17.0.2 }"));
	imds_openings_done(&open);
}

static void more_than_fits_is_an_error(void **state)
{
	struct imds_openings o = { 0 }, copy = { 0 };
	struct ip_address a = { .family = AF_INET, .bytes = { 10 } };

	for (unsigned int i = 0; i < IMDS_MAX_OPEN; i++) {
		a.bytes[2] = (uint8_t)(i >> 8);
		a.bytes[3] = (uint8_t)i;
		assert_int_equal(imds_openings_address(&o, &a), 0);
		assert_int_equal(imds_openings_address(&o, &a), 0);
	}
	assert_int_equal(o.n_addresses, IMDS_MAX_OPEN);
	a.bytes[1] = 1;
	assert_int_equal(imds_openings_address(&o, &a), -E2BIG);
	assert_int_equal(imds_openings_copy(&copy, &o), 0);
	assert_true(imds_openings_equal(&copy, &o));
	copy.addresses[7].bytes[1] = 9;
	assert_false(imds_openings_equal(&copy, &o));
	imds_openings_done(&copy);
	imds_openings_done(&o);
}

static void output_stands_in_for_ebpf(void **state)
{
	struct imds_config c = defaults();
	_cleanup_(imds_plan_freep) struct imds_plan *with = plan(&c, NULL, false), *without = plan_by_slice(&c, NULL);
	_cleanup_(freep) char *text = text_of(without);

	assert_true(layer(with, LAYER_CGROUP_EBPF, AF_INET)->wanted);
	assert_false(layer(with, LAYER_OUTPUT, AF_INET)->wanted);
	assert_false(layer(without, LAYER_CGROUP_EBPF, AF_INET6)->wanted);
	assert_true(layer(without, LAYER_OUTPUT, AF_INET6)->wanted);
	assert_non_null(strstr(text, "socket cgroupv2 level 1 \"ecstasks.slice\""));
}

/* bookworm's nft cannot read an object whose name is a word of its grammar. */
static void names_are_no_words_of_the_grammar(void **state)
{
	static const char *const words[] = { "fwd", "dup", "log", "last", "counter", "limit", "quota", "mark", "set",
					     "map", "element", "table", "chain", "rule", "accept", "drop", "jump" };
	struct imds_config c = defaults();
	_cleanup_(imds_plan_freep) struct imds_plan *p = plan(&c, NULL, false);

	for (size_t w = 0; w < ARRAY_SIZE(words); w++) {
		for (size_t i = 0; i < p->table->n_chains; i++)
			assert_string_not_equal(p->table->chains[i].name, words[w]);
		for (size_t i = 0; i < p->table->n_sets; i++)
			assert_string_not_equal(p->table->sets[i].name, words[w]);
		for (size_t i = 0; i < p->table->n_counters; i++)
			assert_string_not_equal(p->table->counters[i].name, words[w]);
	}
}

static void an_unknown_feature_lists_the_known_ones(void **state)
{
	struct imds_features f = { 0 };
	struct diag d = { 0 };

	assert_int_equal(imds_features_assume(&f, "owner", &d), -EINVAL);
	assert_non_null(strstr(d.what, "-owner -persist"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_destination_is_compared_first),
		cmocka_unit_test(forward_names_no_interface_and_no_rule_a_port),
		cmocka_unit_test(each_missing_feature_degrades_and_says_so),
		cmocka_unit_test(without_log_or_limit_nothing_is_logged),
		cmocka_unit_test(a_table_is_owned_only_where_a_crash_cannot_open_it),
		cmocka_unit_test(switches_take_layers_out),
		cmocka_unit_test(allowances_stand_before_the_prohibition),
		cmocka_unit_test(every_rule_builds),
		cmocka_unit_test(exceptions_on_bridges_are_bound_to_their_ports),
		cmocka_unit_test(more_than_fits_is_an_error),
		cmocka_unit_test(output_stands_in_for_ebpf),
		cmocka_unit_test(names_are_no_words_of_the_grammar),
		cmocka_unit_test(an_unknown_feature_lists_the_known_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
