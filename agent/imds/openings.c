/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Three lists of plain records, compared byte by byte: records are zeroed before they are filled.
 */
#include "batten/imds/openings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Appends to a list of records of @size bytes what is not in it. */
static int add(void **list, size_t *n, const void *record, size_t size)
{
	void *grown;

	for (size_t i = 0; i < *n; i++)
		if (memcmp((const char *)*list + i * size, record, size) == 0)
			return 0;
	if (*n == IMDS_MAX_OPEN)
		return -E2BIG;
	grown = reallocarray(*list, *n + 1, size);
	if (!grown)
		return -ENOMEM;
	*list = grown;
	memcpy((char *)grown + *n * size, record, size);
	++*n;
	return 0;
}

int imds_openings_address(struct imds_openings *o, const struct ip_address *a)
{
	return add((void **)&o->addresses, &o->n_addresses, a, sizeof(*a));
}

int imds_openings_port(struct imds_openings *o, const struct ip_address *a, const char *port)
{
	struct imds_port p;

	memset(&p, 0, sizeof(p));
	p.address = *a;
	(void)snprintf(p.name, sizeof(p.name), "%s", port);
	return add((void **)&o->ports, &o->n_ports, &p, sizeof(p));
}

int imds_openings_group(struct imds_openings *o, uint64_t id, unsigned int level)
{
	struct imds_group g;

	memset(&g, 0, sizeof(g));
	g.id = id;
	g.level = level;
	return add((void **)&o->groups, &o->n_groups, &g, sizeof(g));
}

static bool same(const void *a, size_t n_a, const void *b, size_t n_b, size_t size)
{
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * size) == 0);
}

bool imds_openings_equal(const struct imds_openings *a, const struct imds_openings *b)
{
	return same(a->addresses, a->n_addresses, b->addresses, b->n_addresses, sizeof(*a->addresses)) &&
	       same(a->ports, a->n_ports, b->ports, b->n_ports, sizeof(*a->ports)) &&
	       same(a->groups, a->n_groups, b->groups, b->n_groups, sizeof(*a->groups));
}

static int copy(void **ret, size_t *ret_n, const void *list, size_t n, size_t size)
{
	if (n == 0)
		return 0;
	*ret = reallocarray(NULL, n, size);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, list, n * size);
	*ret_n = n;
	return 0;
}

int imds_openings_copy(struct imds_openings *ret, const struct imds_openings *o)
{
	struct imds_openings c = { 0 };
	int r;

	r = copy((void **)&c.addresses, &c.n_addresses, o->addresses, o->n_addresses, sizeof(*o->addresses));
	if (r >= 0)
		r = copy((void **)&c.ports, &c.n_ports, o->ports, o->n_ports, sizeof(*o->ports));
	if (r >= 0)
		r = copy((void **)&c.groups, &c.n_groups, o->groups, o->n_groups, sizeof(*o->groups));
	if (r < 0)
		imds_openings_done(&c);
	else
		*ret = c;
	return r;
}

void imds_openings_done(struct imds_openings *o)
{
	free(o->addresses);
	free(o->ports);
	free(o->groups);
	*o = (struct imds_openings){ 0 };
}
