/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Building a table as data. Plans are written by us, so that a plan which does not fit its fixed
 * arrays is a mistake of ours and ends the process at once; only set elements come from outside
 * and are counted.
 */
#include "batten/kernel/nft.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* NDEBUG must not take the bounds away. */
#define fits(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void set_text(char *to, size_t size, const char *from)
{
	int n = snprintf(to, size, "%s", from ? from : "");

	fits(n >= 0 && (size_t)n < size);
}

struct nft_table *nft_table_new(int family, const char *name)
{
	struct nft_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	set_text(t->name, sizeof(t->name), name);
	t->family = family;
	return t;
}

struct nft_table *nft_table_free(struct nft_table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_sets; i++)
		free(t->sets[i].elements);
	free(t);
	return NULL;
}

struct nft_chain *nft_table_chain(struct nft_table *t, const char *name, int hook, int priority,
				  const char *comment)
{
	struct nft_chain *c;

	fits(t->n_chains < NFT_MAX_CHAINS);
	c = &t->chains[t->n_chains++];
	set_text(c->name, sizeof(c->name), name);
	c->hook = hook;
	c->priority = priority;
	set_text(c->comment, sizeof(c->comment), comment);
	return c;
}

struct nft_rule *nft_chain_rule(struct nft_chain *c, const char *comment)
{
	struct nft_rule *r;

	fits(c->n_rules < NFT_MAX_RULES);
	r = &c->rules[c->n_rules++];
	set_text(r->comment, sizeof(r->comment), comment);
	return r;
}

void nft_rule_add(struct nft_rule *r, struct nft_statement s)
{
	fits(r->n_statements < NFT_MAX_STATEMENTS);
	r->statements[r->n_statements++] = s;
}

void nft_table_counter(struct nft_table *t, const char *name)
{
	for (size_t i = 0; i < t->n_counters; i++)
		if (strcmp(t->counters[i].name, name) == 0)
			return;
	fits(t->n_counters < NFT_MAX_COUNTERS);
	set_text(t->counters[t->n_counters].name, sizeof(t->counters[0].name), name);
	t->n_counters++;
}

struct nft_set *nft_table_set(struct nft_table *t, const char *name, enum nft_set_type type,
			      bool constant, const char *comment)
{
	struct nft_set *s;

	fits(t->n_sets < NFT_MAX_SETS);
	s = &t->sets[t->n_sets++];
	set_text(s->name, sizeof(s->name), name);
	s->type = type;
	s->constant = constant;
	set_text(s->comment, sizeof(s->comment), comment);
	return s;
}

int nft_set_add(struct nft_set *s, const void *element, size_t n)
{
	uint8_t(*grown)[NFT_KEY_SIZE], padded[NFT_KEY_SIZE] = { 0 };

	fits(n <= sizeof(padded));
	memcpy(padded, element, n);
	for (size_t i = 0; i < s->n_elements; i++)
		if (memcmp(s->elements[i], padded, sizeof(padded)) == 0)
			return 0;
	if (s->n_elements == NFT_MAX_ELEMENTS)
		return -E2BIG;
	grown = reallocarray(s->elements, s->n_elements + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->elements = grown;
	memcpy(s->elements[s->n_elements++], padded, sizeof(padded));
	return 0;
}

int nft_set_add_port(struct nft_set *s, const char *device, const struct ip_address *a)
{
	uint8_t key[NFT_KEY_SIZE] = { 0 };
	size_t room = sizeof(key) / 2;

	fits(strlen(device) < room);
	memcpy(key, device, strlen(device));
	memcpy(key + room, a->bytes, ip_length(a->family));
	return nft_set_add(s, key, room + ip_length(a->family));
}

bool nft_state_ok(const struct nft_table *t, const struct nft_state *s)
{
	if (t->absent)
		return !s->present;
	if (!s->present || s->table_differs)
		return false;
	for (size_t i = 0; i < t->n_chains; i++)
		if (!s->chain_present[i] || s->chain_differs[i])
			return false;
	return true;
}
