/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Containers by id, each with its group in the observer. The source of what is stored is the
 * container: storing the same run again changes nothing, so it can be done as often as one likes.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "batten/kernel/cgroup.h"
#include "batten/seccomp/observation-store.h"
#include "seccomp/observer-internal.h"
#include "seccomp/watch-internal.h"

#define MAX_WATCHED 512
#define STORE_EVERY_S 300
#define OVER_S 5 /* after that a container that was over when we heard of it has no task left */
#define UNCLAIMED_S 600 /* a group that no container was named for is forgotten after that */
#define UNIFIED_MOUNT "/sys/fs/cgroup"

static time_t now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* A container that runs. */
static struct watched *find(const struct seccomp_watch *w, const char *id)
{
	list_for_each(pos, &w->containers) {
		struct watched *c = container_of(pos, struct watched, link);

		if (c->over_at == 0 && strcmp(c->id, id) == 0)
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

/* Is the call one that the image has never made, though it was observed before? It is asked once for each. */
static bool is_news(struct watched *c, enum abi a, const char *call)
{
	int number = abi_call_number(a, call);
	uint64_t mask, *word;

	if (!c->has_known || number < 0 || number >= ABI_NUMBERS)
		return false;
	word = &c->known[a][number / 64];
	mask = UINT64_C(1) << (number % 64);
	if (*word & mask)
		return false;
	*word |= mask;
	return true;
}

static void on_event(void *userdata, const struct observer_event *e)
{
	struct seccomp_watch *w = userdata;
	struct watched *c = find_group(w, e->group);
	struct observer_event out = *e;

	if (!w->callback)
		return;
	out.news = e->kind == OBSERVER_CALL && e->workload && c && is_news(c, e->abi, e->call);
	w->callback(w->userdata, c ? c->id : NULL, &out);
}

static void tell_news(struct seccomp_watch *w, struct watched *c, const struct observation *o)
{
	for (enum abi a = 0; w->callback && a < _ABI_MAX; a++) {
		for (size_t i = 0; i < o->abis[a].n; i++) {
			const struct observed_call *call = &o->abis[a].v[i];
			struct observer_event e = {
				.kind = OBSERVER_CALL, .group = c->group, .time_ms = call->first_ms, .call = call->name,
				.abi = a, .comm = "", .exe = call->by, .workload = true, .news = true,
			};

			if ((call->phases & ~(unsigned int)PHASE_RUNTIME) && is_news(c, a, call->name))
				w->callback(w->userdata, c->id, &e);
		}
	}
}

/*
 * What the image did before, so that what it does for the first time can be told; and what of that the
 * container did before anybody had told whose it is.
 */
static void learn_known(struct seccomp_watch *w, struct watched *c)
{
	_cleanup_(observation_freep) struct observation *o = NULL, *now = observation_new();

	if (observation_store_find(w->dir, c->digest, &o, NULL) < 0)
		return;
	c->has_known = true;
	for (enum abi a = 0; a < _ABI_MAX; a++)
		for (size_t i = 0; i < o->abis[a].n; i++)
			if (o->abis[a].v[i].phases)
				(void)is_news(c, a, o->abis[a].v[i].name);
	if (now && observer_collect(w->observer, c->group, c->digest, now, NULL) == 0)
		tell_news(w, c, now);
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
	list_init(&w->shadow_counts);
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
	watch_shadow_done(w);
	observer_free(w->observer);
	free(w->dir);
	free(w);
	return NULL;
}

const char *seccomp_watch_means(const struct seccomp_watch *w)
{
	bool by_thread = observer_by_thread(w->observer);

	if (w->by_mntns)
		return by_thread ? "by mount namespace, threads in a table" : "by mount namespace, storage by task";
	return by_thread ? "by cgroup, threads in a table" : "by cgroup, storage by task";
}

int seccomp_watch_fd(const struct seccomp_watch *w)
{
	return observer_fd(w->observer);
}

static int store(struct seccomp_watch *w, struct watched *c, struct diag *d)
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
	tell_news(w, c, o);
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

static int end_watched(struct seccomp_watch *w, struct watched *c, struct diag *d)
{
	uint64_t group = c->group;
	int r = store(w, c, d);

	watch_shadow_end(w, c);
	(void)watched_free(c);
	/* The inode number of a namespace that has ended is soon another container's. */
	if (!find_group(w, group))
		observer_forget(w->observer, group);
	return r;
}

/* Those that were over before we heard of them, once no task of theirs can be left. */
static int end_over(struct seccomp_watch *w, struct diag *d)
{
	time_t now = now_s();
	int result = 0;

	list_for_each(pos, &w->containers) {
		struct watched *c = container_of(pos, struct watched, link);
		int r = c->over_at > 0 && now - c->over_at >= OVER_S ? end_watched(w, c, d) : 0;

		result = r < 0 ? r : result;
	}
	return result;
}

int seccomp_watch_dispatch(struct seccomp_watch *w, struct diag *d)
{
	int r = observer_dispatch(w->observer);

	if (r < 0)
		return diag_errno(d, r, "seccomp", "cannot read the observer's events");
	r = end_over(w, d);
	if (now_s() - w->stored_at < STORE_EVERY_S)
		return r;
	forget_unclaimed(w);
	return seccomp_watch_store(w, d);
}

static int watched_new(struct seccomp_watch *w, const struct container *c, uint64_t group, struct watched **ret)
{
	struct watched *own = calloc(1, sizeof(*own));

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
	learn_known(w, own);
	*ret = own;
	return 0;
}

/* The groups of a container's runs that were over before we heard of them, from the last one on. */
static int claim_over(struct seccomp_watch *w, const struct container *c, uint64_t group)
{
	int r = 0;

	do {
		struct watched *own = find_group(w, group);

		if (!own)
			r = watched_new(w, c, group, &own);
		else if (own->over_at == 0)
			continue; /* it runs */
		if (r == 0)
			own->over_at = now_s();
	} while (r == 0 && observer_earlier(w->observer, group, &group) == 0);
	return r;
}

int seccomp_watch_over(struct seccomp_watch *w, const struct container *c, struct diag *d)
{
	uint64_t group;

	/* Of one that nothing is known of there is nothing to store. */
	if (observer_find(w->observer, c->id, &group) < 0 || !c->image_id[0])
		return 0;
	return claim_over(w, c, group);
}

int seccomp_watch_runs(struct seccomp_watch *w, const struct container *c, struct diag *d)
{
	struct watched *own = find(w, c->id);
	uint64_t group, earlier;
	int r;

	if (own || c->pid <= 0)
		return 0;
	if (w->by_mntns)
		r = observer_watch_mntns(w->observer, c->pid, &group, d);
	else if (strstr(c->cgroup, c->id))
		r = observer_watch_cgroup(w->observer, c->cgroup, false, &group, d);
	else
		return diag_fail(d, -ENOENT, c->id, "has no cgroup of its own; it is not observed");
	if (r < 0)
		return r;
	own = find_group(w, group);
	if (own && own->over_at > 0 && strcmp(own->id, c->id) == 0)
		own->over_at = 0; /* it runs after all */
	else
		r = watched_new(w, c, group, &own);
	if (r == 0 && observer_earlier(w->observer, group, &earlier) == 0)
		r = claim_over(w, c, earlier);
	return r < 0 ? r : MIN(watch_shadow_begin(w, own, d), 0);
}

int seccomp_watch_ended(struct seccomp_watch *w, const char *container_id, struct diag *d)
{
	struct watched *c = find(w, container_id);

	return c ? end_watched(w, c, d) : 0;
}
