/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cgroup v2 first, then the v1 hierarchy of the controller: hosts that mount both keep a controller
 * in one of them only.
 */
#include "audit/cgroup-limit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "batten/base/fd.h"
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

#define MAX_LEVELS 16

/*
 * Containers come one after another and share their upper levels, so that the last answer for each
 * level is mostly the next one too.
 */
struct level {
	const char *path; /* NULL: nothing yet */
	bool found;	  /* by it or by one above it */
	uint64_t smallest;
	const char *where;
};
struct cgroup_limits {
	int fd;	      /* of /sys/fs/cgroup; -1 when there is none */
	bool v1[_LIMIT_MAX]; /* the hierarchy that answered last */
	struct level levels[_LIMIT_MAX][MAX_LEVELS];
};

void cgroup_limits_done(struct cgroup_limits *c)
{
	if (c)
		c->fd = fd_close(c->fd);
}

static struct cgroup_limits *limits_of(struct facts *f)
{
	struct cgroup_limits *c = f->cgroup_limits;

	if (!c) {
		c = arena_alloc(&f->arena, sizeof(*c));
		if (!c)
			return NULL;
		c->fd = facts_file(f, "/sys/fs/cgroup", O_PATH | O_DIRECTORY);
		f->cgroup_limits = c;
	}
	return c;
}

static bool read_file(const struct cgroup_limits *c, const char *directory, size_t n, const char *name, char *text,
		      size_t size)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[PATH_MAX];
	ssize_t got;

	if ((size_t)snprintf(path, sizeof(path), ".%.*s/%s", (int)n, directory, name) >= sizeof(path))
		return false;
	fd = openat(c->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	got = fd < 0 ? -1 : read(fd, text, size - 1);
	text[MAX(got, 0)] = '\0';
	return got > 0;
}

static uint64_t parse_number(const char *text)
{
	uint64_t v;

	if (parse_u64((struct slice){ text, strcspn(text, " \n") }, 0, UINT64_MAX, &v) < 0)
		return LIMIT_NONE; /* "max", "-1" */
	return v;
}

/* "50000 100000" is half a processor; v1 keeps the period in a file of its own. */
static uint64_t share_of_processor(const char *quota_text, const char *period_text)
{
	uint64_t quota = parse_number(quota_text), period = parse_number(period_text);

	if (quota == LIMIT_NONE || period == 0 || period == LIMIT_NONE || quota > UINT64_MAX / 1000000)
		return LIMIT_NONE;
	return quota * 1000000 / period;
}

static bool read_v2(const struct cgroup_limits *c, const char *path, size_t n, enum cgroup_limit which, uint64_t *ret)
{
	char text[128];
	const char *blank;

	if (!read_file(c, path, n, files[which].v2, text, sizeof(text)))
		return false;
	blank = strchr(text, ' ');
	*ret = which == LIMIT_CPU ? share_of_processor(text, blank ? blank + 1 : "100000") : parse_number(text);
	return true;
}

static bool read_v1(const struct cgroup_limits *c, const char *path, size_t n, enum cgroup_limit which, uint64_t *ret)
{
	char directory[PATH_MAX], text[128], period[128];
	size_t length = (size_t)snprintf(directory, sizeof(directory), "/%s%.*s", files[which].v1_controller, (int)n, path);

	if (length >= sizeof(directory) || !read_file(c, directory, length, files[which].v1, text, sizeof(text)))
		return false;
	if (which == LIMIT_CPU)
		*ret = read_file(c, directory, length, "cpu.cfs_period_us", period, sizeof(period)) ?
			       share_of_processor(text, period) : LIMIT_NONE;
	else
		*ret = parse_number(text);
	if (which == LIMIT_MEMORY && *ret >= (uint64_t)V1_UNLIMITED_BYTES)
		*ret = LIMIT_NONE;
	return true;
}

static bool read_limit(struct cgroup_limits *c, const char *path, size_t n, enum cgroup_limit which, uint64_t *ret)
{
	bool v1 = c->v1[which];

	if ((v1 ? read_v1 : read_v2)(c, path, n, which, ret))
		return true;
	if (!(v1 ? read_v2 : read_v1)(c, path, n, which, ret))
		return false;
	c->v1[which] = !v1;
	return true;
}

/* The smallest limit from the first @n bytes of @path upwards; @depth counts them. */
static struct level look(struct facts *f, struct cgroup_limits *c, const char *path, size_t n, unsigned int depth,
			 enum cgroup_limit which)
{
	struct level *kept = depth < MAX_LEVELS ? &c->levels[which][depth] : NULL, here = { .smallest = LIMIT_NONE };
	size_t parent = n;
	uint64_t v;

	if (n == 0)
		return here;
	if (kept && kept->path && strlen(kept->path) == n && strncmp(kept->path, path, n) == 0)
		return *kept;
	while (parent > 0 && path[parent - 1] != '/')
		parent--;
	while (parent > 0 && path[parent - 1] == '/')
		parent--;
	here = look(f, c, path, parent, depth + 1, which);
	here.path = arena_strndup(&f->arena, path, n);
	if (read_limit(c, path, n, which, &v)) {
		here.found = true;
		/* Of equals the one next to the container is named. */
		if (v != LIMIT_NONE && v <= here.smallest) {
			here.smallest = v;
			here.where = here.path;
		}
	}
	if (kept)
		*kept = here;
	return here;
}

int cgroup_limit(struct facts *f, const char *path, enum cgroup_limit which, uint64_t *ret, const char **ret_where)
{
	struct cgroup_limits *c = limits_of(f);
	size_t n = strlen(path);
	struct level l;

	if (!c)
		return -ENOMEM;
	/* Outside of our own view of the hierarchy, or nothing that a kernel says. */
	if (c->fd < 0 || path[0] != '/' || strstr(path, "/../") || n >= PATH_MAX)
		return -ENOENT;
	while (n > 0 && path[n - 1] == '/')
		n--;
	l = look(f, c, path, n, 0, which);
	if (!l.found)
		return -ENOENT;
	*ret = l.smallest;
	*ret_where = l.where;
	return 0;
}
