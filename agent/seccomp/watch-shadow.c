/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Profiles on trial on a host's containers: one for all, or one by image digest, from files that are
 * named as the store names its own. Counts of live containers are in the kernel; those of ended ones
 * are added up here by image, so that a crash looping container costs no more than one that stays.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/seccomp/observation-store.h"
#include "seccomp/watch-internal.h"

#define MAX_SHADOW_COUNTS 4096 /* of all images; what comes later is in the journal's events only */

static int try_profile(struct seccomp_watch *w, uint64_t group, const char *path, struct diag *d)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_context context;
	int r;

	profile_context_docker(&context);
	r = profile_read(path, &context, &p, d);
	return r < 0 ? r : observer_shadow(w->observer, group, p, d);
}

int watch_shadow_begin(struct seccomp_watch *w, const struct watched *c, struct diag *d)
{
	char path[PATH_MAX];

	if (!w->shadow_by_digest || observation_store_path(w->shadow, c->digest, path, NULL) < 0 ||
	    access(path, F_OK) < 0)
		return 0;
	return try_profile(w, c->group, path, d);
}

static struct shadow_count *shadow_count_free(struct shadow_count *s)
{
	list_remove(&s->link);
	free(s->image);
	free(s->digest);
	free(s);
	return NULL;
}

static void forget_counts(struct seccomp_watch *w)
{
	list_for_each(pos, &w->shadow_counts)
		(void)shadow_count_free(container_of(pos, struct shadow_count, link));
	w->n_shadow_counts = 0;
}

void watch_shadow_done(struct seccomp_watch *w)
{
	forget_counts(w);
	free(w->shadow);
	w->shadow = NULL;
}

int seccomp_watch_shadow(struct seccomp_watch *w, const char *path, struct diag *d)
{
	_cleanup_(freep) char *copy = NULL;
	struct stat st;
	int r = 0;

	if (path && (stat(path, &st) < 0 || !(copy = strdup(path))))
		return diag_errno(d, -errno, path, "no profile to try, nor a directory of profiles");
	if (path && !S_ISDIR(st.st_mode))
		r = try_profile(w, 0, path, d);
	if (r < 0)
		return r;
	if (!path || S_ISDIR(st.st_mode))
		observer_unshadow(w->observer, 0);
	watch_shadow_done(w);
	w->shadow = take_ptr(copy);
	w->shadow_by_digest = path && S_ISDIR(st.st_mode);
	list_for_each(pos, &w->containers) {
		const struct watched *c = container_of(pos, struct watched, link);
		int e;

		observer_unshadow(w->observer, c->group);
		e = watch_shadow_begin(w, c, d);
		if (e < 0) /* one that cannot be tried keeps no other back */
			r = e;
		else if (r >= 0)
			r = MAX(r, e);
	}
	return r;
}

/* ---- counts ---------------------------------------------------------------------------------- */

struct counting {
	struct seccomp_watch *w;
	const struct watched *c;
};

static struct shadow_count *find_count(const struct counting *k, enum abi a, const char *call)
{
	list_for_each(pos, &k->w->shadow_counts) {
		struct shadow_count *s = container_of(pos, struct shadow_count, link);

		if (s->abi == a && strcmp(s->call, call) == 0 && strcmp(s->digest, k->c->digest) == 0)
			return s;
	}
	return NULL;
}

static int add_count(void *userdata, enum abi a, const char *call, uint64_t count)
{
	struct counting *k = userdata;
	struct shadow_count *s = find_count(k, a, call);

	if (!s && k->w->n_shadow_counts < MAX_SHADOW_COUNTS) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		list_init(&s->link);
		s->image = strdup(k->c->image);
		s->digest = strdup(k->c->digest);
		if (!s->image || !s->digest) {
			(void)shadow_count_free(s);
			return -ENOMEM;
		}
		s->abi = a;
		(void)snprintf(s->call, sizeof(s->call), "%s", call);
		list_append(&k->w->shadow_counts, &s->link);
		k->w->n_shadow_counts++;
	}
	if (s)
		s->count += count;
	return 0;
}

void watch_shadow_end(struct seccomp_watch *w, const struct watched *c)
{
	if (w->shadow)
		(void)observer_shadow_each(w->observer, c->group, add_count, &(struct counting){ w, c });
}

/* The image's row, made when it is not there. */
static json_t *image_row(json_t *images, const char *image, const char *digest)
{
	json_t *row;
	size_t i;

	json_array_foreach(images, i, row)
		if (strcmp(json_string_value(json_object_get(row, "digest")), digest) == 0)
			return row;
	row = json_pack("{s:o, s:o, s:[]}", "image", json_text(image), "digest", json_text(digest), "denied");
	json_array_append_new(images, row);
	return row;
}

static void add_denied(json_t *row, enum abi a, const char *call, uint64_t count)
{
	json_t *list = json_object_get(row, "denied"), *one;
	size_t i;

	json_array_foreach(list, i, one) {
		if (strcmp(json_string_value(json_object_get(one, "call")), call) == 0 &&
		    strcmp(json_string_value(json_object_get(one, "abi")), abi_name(a)) == 0) {
			count += (uint64_t)json_integer_value(json_object_get(one, "count"));
			json_object_set_new(one, "count", json_integer((json_int_t)count));
			return;
		}
	}
	json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "call", call, "abi", abi_name(a), "count",
					      (json_int_t)count));
}

static int add_live(void *userdata, enum abi a, const char *call, uint64_t count)
{
	add_denied(userdata, a, call, count);
	return 0;
}

json_t *seccomp_watch_shadow_json(struct seccomp_watch *w)
{
	json_t *doc = json_object(), *images = json_array();

	list_for_each(pos, &w->shadow_counts) {
		const struct shadow_count *s = container_of(pos, struct shadow_count, link);

		add_denied(image_row(images, s->image, s->digest), s->abi, s->call, s->count);
	}
	list_for_each(pos, &w->containers) {
		const struct watched *c = container_of(pos, struct watched, link);

		if (w->shadow)
			(void)observer_shadow_each(w->observer, c->group, add_live, image_row(images, c->image, c->digest));
	}
	json_object_set_new(doc, "schema", json_string("batten.seccomp-shadow/1"));
	if (w->shadow)
		json_object_set_new(doc, "profile", json_text(w->shadow));
	json_object_set_new(doc, "images", images);
	return doc;
}
