/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Containers by id, each with its group in the observer. The source of what is stored is the
 * container: storing the same run again changes nothing, so it can be done as often as one likes.
 */
#include "batten/seccomp/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "batten/kernel/cgroup.h"
#include "batten/seccomp/observation-store.h"
#include "seccomp/observer-internal.h"

#define MAX_WATCHED 512
#define STORE_EVERY_S 300
#define UNCLAIMED_S 600 /* a group that no container was named for is forgotten after that */
#define UNIFIED_MOUNT "/sys/fs/cgroup"

struct watched {
	struct list link;
	char id[CONTAINER_ID_SIZE];
	char *image, *digest; /* owned */
	uint64_t group;
};

struct seccomp_watch {
	struct observer *observer;
	char *dir; /* owned */
	struct list containers;
	seccomp_watch_callback callback;
	void *userdata;
	bool by_mntns;
	time_t stored_at;
	char host[256];
};

static time_t now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static struct watched *find(const struct seccomp_watch *w, const char *id)
{
	list_for_each(pos, &w->containers) {
		struct watched *c = container_of(pos, struct watched, link);

		if (strcmp(c->id, id) == 0)
			return c;
	}
	return NULL;
}

static struct watched *find_group(const struct seccomp_watch *w, uint64_t group)
{
	list_for_each(pos, &w->containers) {
		struct watched *c = container_of(pos, struct watched, link);

		if (c->group == group)
			return c;
	}
	return NULL;
}

static void on_event(void *userdata, const struct observer_event *e)
{
	struct seccomp_watch *w = userdata;
	const struct watched *c = find_group(w, e->group);

	if (w->callback)
		w->callback(w->userdata, c ? c->id : NULL, e);
}

/* Containers have groups of their own in cgroup2 only where it is the one hierarchy. */
static bool hybrid(void)
{
	char mount[PATH_MAX];

	return cgroup_mount(mount, NULL) < 0 || strcmp(mount, UNIFIED_MOUNT) != 0;
}

int seccomp_watch_new(struct seccomp_watch **ret, const char *dir, seccomp_watch_callback callback, void *userdata,
		      struct diag *d)
{
	_cleanup_(seccomp_watch_freep) struct seccomp_watch *w = calloc(1, sizeof(*w));
	struct observer_options options = { .max_groups = MAX_WATCHED, .make_rows = true, .denials_from_start = true };
	int r;

	if (!w)
		return -ENOMEM;
	list_init(&w->containers);
	w->dir = strdup(dir);
	if (!w->dir)
		return -ENOMEM;
	w->callback = callback;
	w->userdata = userdata;
	w->by_mntns = options.by_mntns = hybrid();
	w->stored_at = now_s();
	(void)gethostname(w->host, sizeof(w->host) - 1);
	r = observer_new(&w->observer, &options, on_event, w, d);
	if (r < 0)
		return r;
	*ret = take_ptr(w);
	return 0;
}

static struct watched *watched_free(struct watched *c)
{
	list_remove(&c->link);
	free(c->image);
	free(c->digest);
	free(c);
	return NULL;
}

struct seccomp_watch *seccomp_watch_free(struct seccomp_watch *w)
{
	struct diag ignored = { 0 };

	if (!w)
		return NULL;
	if (w->observer && seccomp_watch_store(w, &ignored) < 0)
		ignored.what[0] = '\0'; /* who frees has nobody to tell */
	list_for_each(pos, &w->containers)
		(void)watched_free(container_of(pos, struct watched, link));
	observer_free(w->observer);
	free(w->dir);
	free(w);
	return NULL;
}

int seccomp_watch_fd(const struct seccomp_watch *w)
{
	return observer_fd(w->observer);
}

static int store(struct seccomp_watch *w, const struct watched *c, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = observation_new();
	char source[SOURCE_ID_SIZE];
	struct confidence seen;
	int r;

	if (!o)
		return -ENOMEM;
	(void)snprintf(source, sizeof(source), "%.*s", (int)sizeof(source) - 1, c->id);
	r = observer_collect(w->observer, c->group, source, o, d);
	if (r == 0 && c->image[0])
		r = labels_add(&o->images, c->image);
	if (r == 0 && w->host[0])
		r = labels_add(&o->hosts, w->host);
	if (r < 0)
		return r;
	observation_confidence(o, &seen);
	/* Nothing seen yet: a container that sleeps. There is no run to count. */
	return seen.n_names > 0 ? observation_store_merge(w->dir, c->digest, o, d) : 0;
}

int seccomp_watch_store(struct seccomp_watch *w, struct diag *d)
{
	int result = 0;

	w->stored_at = now_s();
	list_for_each(pos, &w->containers) {
		int r = store(w, container_of(pos, struct watched, link), d);

		result = r < 0 ? r : result; /* one that fails keeps no other back */
	}
	return result;
}

/* Groups that were made and whose container nobody has named, Docker's or not. */
static void forget_unclaimed(struct seccomp_watch *w)
{
	int64_t limit = time_now_ms() - UNCLAIMED_S * 1000;

	list_for_each(pos, &w->observer->groups) {
		struct observed_group *g = container_of(pos, struct observed_group, link);

		if (g->started_ms < limit && !find_group(w, g->id))
			observer_forget(w->observer, g->id);
	}
}

int seccomp_watch_dispatch(struct seccomp_watch *w, struct diag *d)
{
	int r = observer_dispatch(w->observer);

	if (r < 0)
		return diag_errno(d, r, "seccomp", "cannot read the observer's events");
	if (now_s() - w->stored_at < STORE_EVERY_S)
		return 0;
	forget_unclaimed(w);
	return seccomp_watch_store(w, d);
}

int seccomp_watch_runs(struct seccomp_watch *w, const struct container *c, struct diag *d)
{
	struct watched *own;
	uint64_t group;
	int r;

	if (find(w, c->id) || c->pid <= 0)
		return 0;
	if (w->by_mntns)
		r = observer_watch_mntns(w->observer, c->pid, &group, d);
	else if (strstr(c->cgroup, c->id))
		r = observer_watch_cgroup(w->observer, c->cgroup, false, &group, d);
	else
		return diag_fail(d, -ENOENT, c->id, "has no cgroup of its own; it is not observed");
	if (r < 0)
		return r;
	own = calloc(1, sizeof(*own));
	if (!own)
		return -ENOMEM;
	list_init(&own->link);
	(void)snprintf(own->id, sizeof(own->id), "%s", c->id);
	own->group = group;
	own->image = strdup(c->image);
	own->digest = strdup(c->image_id);
	if (!own->image || !own->digest) {
		(void)watched_free(own);
		return -ENOMEM;
	}
	list_append(&w->containers, &own->link);
	return 0;
}

int seccomp_watch_ended(struct seccomp_watch *w, const char *container_id, struct diag *d)
{
	struct watched *c = find(w, container_id);
	uint64_t group;
	int r;

	if (!c)
		return 0;
	r = store(w, c, d);
	group = c->group;
	(void)watched_free(c);
	/* The number of a namespace that has ended is soon another container's. */
	if (!find_group(w, group))
		observer_forget(w->observer, group);
	return r;
}
