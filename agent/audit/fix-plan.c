/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans: what a control's menders want to be different, collected before anything is. Several findings
 * may work on the same object; each sees what the one before left.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/fix-internal.h"
#include "audit/secrets.h"
#include "batten/base/diff.h"
#include "batten/base/fd.h"
#include "batten/host/ecs-config.h"

void plan_done(struct fix_plan *p)
{
	for (size_t i = 0; i < p->n_changes; i++)
		change_done(&p->changes[i]);
	free(p->changes);
	*p = (struct fix_plan){ 0 };
}

static struct change *find(const struct fix_plan *p, enum change_kind kind, const char *path)
{
	for (size_t i = 0; i < p->n_changes; i++)
		if (p->changes[i].kind == kind && strcmp(p->changes[i].path, path) == 0)
			return &p->changes[i];
	return NULL;
}

/* @c: taken over, also on failure */
static int add(struct fix_plan *p, struct change *c)
{
	struct change *grown = reallocarray(p->changes, p->n_changes + 1, sizeof(*grown));

	if (grown)
		p->changes = grown;
	if (!grown || !c->path || (c->kind != CHANGE_NODE && (!c->from || !c->to))) {
		change_done(c);
		return -ENOMEM;
	}
	grown[p->n_changes++] = *c;
	return 0;
}

/* Where a path leads when links are followed, as a path in the tree. Return: 0 or a negative errno. */
static int resolve(struct fix_plan *p, const char *path, char *ret, size_t size)
{
	_cleanup_(fd_closep) int fd = root_open(&p->fix->root, path, O_PATH);
	char link[32], here[PATH_MAX], top[PATH_MAX];
	ssize_t n, n_top;
	int k;

	if (fd < 0) {
		k = snprintf(ret, size, "%s", path);
		return k < 0 || (size_t)k >= size ? -ENAMETOOLONG : fd == -ENOENT ? 0 : fd;
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, here, sizeof(here));
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", p->fix->root.fd);
	n_top = readlink(link, top, sizeof(top));
	if (n < 0 || n_top < 0)
		return -errno;
	/* "/" is a prefix without a slash of its own behind it. */
	if (n_top == 1)
		n_top = 0;
	if (n <= n_top || memcmp(here, top, (size_t)n_top) != 0 || here[n_top] != '/' || (size_t)(n - n_top) >= size)
		return -EXDEV;
	memcpy(ret, here + n_top, (size_t)(n - n_top));
	ret[n - n_top] = '\0';
	return 0;
}

static int take(struct fix_plan *p, const char *path, struct snapshot *ret)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(freep) char *dir = strndup(path, (size_t)(slash - path));
	_cleanup_(fd_closep) int fd = -1;

	if (!dir)
		return -ENOMEM;
	fd = root_open(&p->fix->root, *dir ? dir : "/", O_RDONLY | O_DIRECTORY);
	if (fd == -ENOENT) {
		*ret = (struct snapshot){ .kind = SNAPSHOT_ABSENT };
		return 0;
	}
	return fd < 0 ? fd : snapshot_take(ret, fd, slash + 1, FIX_MAX_FILE, NULL);
}

/* A dry run lets each plan begin where the one before ended. */
static int take_or_recall(struct fix_plan *p, const char *path, struct snapshot *ret)
{
	const struct change *c = p->fix->dry ? find(p->fix->dry, CHANGE_NODE, path) : NULL;

	return c ? snapshot_copy(ret, &c->after) : take(p, path, ret);
}

static int plan_there(struct fix_plan *p, const char *path, struct snapshot **ret)
{
	struct change *known = find(p, CHANGE_NODE, path);
	struct change c = { .kind = CHANGE_NODE };
	int r;

	if (!known) {
		c.path = strdup(path);
		r = c.path ? take_or_recall(p, path, &c.before) : -ENOMEM;
		if (r >= 0)
			r = snapshot_copy(&c.after, &c.before);
		if (r < 0) {
			change_done(&c);
			return r;
		}
		r = add(p, &c);
		if (r < 0)
			return r;
		known = &p->changes[p->n_changes - 1];
	}
	*ret = &known->after;
	return 0;
}

/* Directories on the way that are not there yet come before what is in them. */
static int plan_parents(struct fix_plan *p, const char *path)
{
	char dir[PATH_MAX];
	struct snapshot *s;
	int r = 0;

	for (const char *slash = strchr(path + 1, '/'); slash && r >= 0; slash = strchr(slash + 1, '/')) {
		struct stat st;

		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
		if (root_stat(&p->fix->root, dir, true, &st) == 0)
			continue;
		r = plan_there(p, dir, &s);
		if (r >= 0 && s->kind == SNAPSHOT_ABSENT)
			*s = (struct snapshot){ .kind = SNAPSHOT_DIRECTORY, .mode = 0755 };
	}
	return r;
}

int plan_node(struct fix_plan *p, const char *path, struct snapshot **ret)
{
	char real[PATH_MAX];
	int r = resolve(p, path, real, sizeof(real));

	return r < 0 ? r : plan_there(p, real, ret);
}

int plan_file(struct fix_plan *p, const char *path, mode_t mode, struct snapshot **ret)
{
	struct snapshot *s;
	int r = plan_parents(p, path);

	if (r >= 0)
		r = plan_node(p, path, &s);
	if (r < 0)
		return r;
	if (s->kind == SNAPSHOT_ABSENT) {
		r = snapshot_set_data(s, "", 0);
		s->kind = SNAPSHOT_FILE;
		s->mode = mode;
	}
	if (r >= 0 && s->kind != SNAPSHOT_FILE)
		r = -EINVAL;
	*ret = s;
	return r;
}

int plan_link(struct fix_plan *p, const char *path, const char *target)
{
	struct snapshot *s = NULL;
	int r = plan_parents(p, path);

	if (r >= 0)
		r = plan_there(p, path, &s);
	if (r < 0 || s->kind != SNAPSHOT_ABSENT)
		return r;
	s->kind = SNAPSHOT_LINK;
	return snapshot_set_data(s, target, strlen(target));
}

int plan_value(struct fix_plan *p, const char *path, const char *to)
{
	struct change c = { .kind = CHANGE_VALUE, .path = strdup(path) };
	const char *now;
	int r;

	if (find(p, CHANGE_VALUE, path)) {
		free(c.path);
		return 0;
	}
	r = facts_read(p->audit->facts, path, &now, NULL);
	if (r < 0) {
		free(c.path);
		return r;
	}
	c.from = strdup(now);
	if (asprintf(&c.to, "%s\n", to) < 0)
		c.to = NULL;
	return add(p, &c);
}

static int add_switch(struct fix_plan *p, enum change_kind kind, const char *path, const char *from, const char *to)
{
	struct change c = { .kind = kind };

	if (find(p, kind, path))
		return 0;
	c.path = strdup(path);
	c.from = strdup(from);
	c.to = strdup(to);
	return add(p, &c);
}

int plan_unit(struct fix_plan *p, const char *unit, bool active)
{
	struct diag d = { 0 };
	bool now;
	int r = p->fix->host->unit_active(p->fix->host->data, unit, &now, &d);

	if (r < 0)
		return r;
	return add_switch(p, CHANGE_UNIT, unit, now ? "active" : "inactive", active ? "active" : "inactive");
}

int plan_guard(struct fix_plan *p)
{
	struct diag d = { 0 };
	bool on;
	int r = p->fix->host->guard_is_on(p->fix->host->guard_data, &on, &d);

	return r < 0 ? r : add_switch(p, CHANGE_GUARD, "inet batten", on ? "on" : "off", "on");
}

int plan_watch(struct fix_plan *p, const char *path)
{
	return add_switch(p, CHANGE_WATCH, path, "off", "on");
}

int plan_swarm(struct fix_plan *p, const char *node, bool manager)
{
	return add_switch(p, CHANGE_SWARM, node, manager ? "a manager" : "a worker", "gone");
}

int plan_package(struct fix_plan *p, const char *name, const char *from, const char *to)
{
	return add_switch(p, CHANGE_PACKAGE, name, from, to);
}

int plan_refuse(struct fix_plan *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->why, sizeof(p->why), fmt, ap);
	va_end(ap);
	return 0;
}

void plan_finish(struct fix_plan *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n_changes; i++) {
		if (change_is_empty(&p->changes[i]))
			change_done(&p->changes[i]);
		else
			p->changes[kept++] = p->changes[i];
	}
	p->n_changes = kept;
}

int plan_merge(struct fix_plan *all, struct fix_plan *p)
{
	for (size_t i = 0; i < p->n_changes; i++) {
		struct change *c = &p->changes[i], *known = find(all, c->kind, c->path);
		int r;

		if (known && known->kind == CHANGE_NODE) {
			snapshot_done(&known->after);
			r = snapshot_copy(&known->after, &c->after);
			change_done(c);
		} else {
			r = add(all, c);
			*c = (struct change){ 0 };
		}
		if (r < 0)
			return r;
	}
	p->n_changes = 0;
	return 0;
}

static bool may_print(void *data, struct slice line)
{
	return !ecs_line_hides_secret(line) && !secret_in_text(line.p, line.n);
}

int plan_diff(const struct fix_plan *all, struct bytes *out)
{
	for (size_t i = 0; i < all->n_changes; i++) {
		const struct change *c = &all->changes[i];
		struct diff diff = {
			.path = c->path + 1,
			.before = { c->before.data ? c->before.data : "", c->before.n },
			.after = { c->after.data ? c->after.data : "", c->after.n },
			.created = c->before.kind == SNAPSHOT_ABSENT,
			.may_print = may_print,
		};
		int r;

		if (c->kind != CHANGE_NODE || c->after.kind != SNAPSHOT_FILE)
			continue;
		r = diff_print(&diff, out);
		if (r > 0)
			bytes_append_str(out, "# a line that holds a secret is not shown; patch will not take this diff\n");
		if (r < 0)
			return r;
	}
	return out->error;
}
