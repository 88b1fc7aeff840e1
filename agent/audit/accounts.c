/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * passwd(5) and group(5), line by line.
 */
#include "audit/accounts.h"

#include <errno.h>
#include <string.h>

#include "batten/base/parse.h"

#define MAX_MEMBERS 1024

/* The @index-th field of a line whose fields end with colons. */
static struct slice field(const char *line, size_t n, unsigned int index)
{
	const char *p = line, *end = line + n;

	while (index-- > 0) {
		const char *colon = memchr(p, ':', (size_t)(end - p));

		if (!colon)
			return (struct slice){ end, 0 };
		p = colon + 1;
	}
	n = (size_t)(end - p);
	return (struct slice){ p, memchr(p, ':', n) ? (size_t)((const char *)memchr(p, ':', n) - p) : n };
}

const char *account_group(struct facts *f, gid_t gid)
{
	const char *text;

	if (facts_read(f, "/etc/group", &text, NULL) < 0)
		return NULL;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t n = strcspn(p, "\n");
		struct slice name = field(p, n, 0);
		uint64_t v;

		if (parse_u64(field(p, n, 2), 0, UINT32_MAX, &v) == 0 && v == gid)
			return arena_strndup(facts_arena(f), name.p, name.n);
	}
	return NULL;
}

struct members {
	struct facts *f;
	const char **list;
	size_t n;
};

static void add(struct members *m, struct slice name)
{
	for (size_t i = 0; i < m->n; i++)
		if (slice_eq(name, m->list[i]))
			return;
	if (name.n > 0 && m->n < MAX_MEMBERS)
		m->list[m->n++] = arena_strndup(facts_arena(m->f), name.p, name.n);
}

static void add_listed(struct members *m, struct slice names)
{
	while (names.n > 0) {
		const char *comma = memchr(names.p, ',', names.n);
		size_t n = comma ? (size_t)(comma - names.p) : names.n;

		add(m, (struct slice){ names.p, n });
		n += comma != NULL;
		names.p += n;
		names.n -= n;
	}
}

static void add_primary(struct members *m, gid_t gid)
{
	const char *text;

	if (facts_read(m->f, "/etc/passwd", &text, NULL) < 0)
		return;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t n = strcspn(p, "\n");
		uint64_t v;

		if (parse_u64(field(p, n, 3), 0, UINT32_MAX, &v) == 0 && v == gid)
			add(m, field(p, n, 0));
	}
}

int account_members(struct facts *f, const char *group, gid_t *ret_gid, const char *const **ret)
{
	struct members m = { .f = f };
	const char *text;
	bool found = false;
	int r = facts_read(f, "/etc/group", &text, NULL);

	if (r < 0)
		return r;
	m.list = arena_alloc(facts_arena(f), (MAX_MEMBERS + 1) * sizeof(*m.list));
	if (!m.list)
		return -ENOMEM;
	for (const char *p = text; *p && !found; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t n = strcspn(p, "\n");
		uint64_t v;

		if (!slice_eq(field(p, n, 0), group) || parse_u64(field(p, n, 2), 0, UINT32_MAX, &v) < 0)
			continue;
		found = true;
		*ret_gid = (gid_t)v;
		add_listed(&m, field(p, n, 3));
		add_primary(&m, (gid_t)v);
	}
	*ret = m.list;
	return found ? (int)m.n : -ENOENT;
}
