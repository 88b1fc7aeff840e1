/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cgroup v2 first, then the v1 hierarchy of the controller: hosts that mount both keep a controller
 * in one of them only.
 */
#include "audit/cgroup-limit.h"

#include <errno.h>
#include <string.h>

#include "audit/facts-internal.h"
#include "batten/base/parse.h"

/* v1 says "no limit" with the largest multiple of the page size. */
#define V1_UNLIMITED_BYTES (INT64_MAX - 65536)

static const struct {
	const char *v2, *v1_controller, *v1;
} files[] = {
	[LIMIT_MEMORY] = { "memory.max", "memory", "memory.limit_in_bytes" },
	[LIMIT_PIDS] = { "pids.max", "pids", "pids.max" },
	[LIMIT_CPU] = { "cpu.max", "cpu", "cpu.cfs_quota_us" },
};

static uint64_t parse_number(const char *text)
{
	uint64_t v;

	if (parse_u64((struct slice){ text, strcspn(text, " \n") }, 0, UINT64_MAX, &v) < 0)
		return LIMIT_NONE; /* "max", "-1" */
	return v;
}

/* "50000 100000" is half a processor; v1 keeps the period in a file of its own. */
static uint64_t parse_cpu(struct facts *f, const char *text, const char *directory, bool v2)
{
	uint64_t quota = parse_number(text), period = 100000;
	const char *p = v2 ? strchr(text, ' ') : facts_line(f, arena_printf(&f->arena, "%s/cpu.cfs_period_us", directory));

	if (p)
		period = parse_number(p + (v2 ? 1 : 0));
	if (quota == LIMIT_NONE || period == 0 || period == LIMIT_NONE || quota > UINT64_MAX / 1000000)
		return LIMIT_NONE;
	return quota * 1000000 / period;
}

static int read_limit(struct facts *f, const char *path, enum cgroup_limit which, uint64_t *ret)
{
	const char *v2 = arena_printf(&f->arena, "/sys/fs/cgroup%s", path);
	const char *v1 = arena_printf(&f->arena, "/sys/fs/cgroup/%s%s", files[which].v1_controller, path);
	const char *text = facts_line(f, arena_printf(&f->arena, "%s/%s", v2, files[which].v2));
	bool is_v2 = text != NULL;

	if (!text)
		text = facts_line(f, arena_printf(&f->arena, "%s/%s", v1, files[which].v1));
	if (!text)
		return -ENOENT;
	*ret = which == LIMIT_CPU ? parse_cpu(f, text, is_v2 ? v2 : v1, is_v2) : parse_number(text);
	if (which == LIMIT_MEMORY && !is_v2 && *ret >= (uint64_t)V1_UNLIMITED_BYTES)
		*ret = LIMIT_NONE;
	return 0;
}

int cgroup_limit(struct facts *f, const char *path, enum cgroup_limit which, uint64_t *ret, const char **ret_where)
{
	uint64_t smallest = LIMIT_NONE, v;
	const char *where = NULL;
	bool found = false;
	size_t n = strlen(path);

	while (n > 0 && path[n - 1] == '/')
		n--;
	while (n > 0) {
		const char *here = arena_strndup(&f->arena, path, n);

		if (read_limit(f, here, which, &v) == 0) {
			found = true;
			if (v < smallest) {
				smallest = v;
				where = here;
			}
		}
		while (n > 0 && path[n - 1] != '/')
			n--;
		while (n > 0 && path[n - 1] == '/')
			n--;
	}
	if (!found)
		return -ENOENT;
	*ret = smallest;
	*ret_where = where;
	return 0;
}
