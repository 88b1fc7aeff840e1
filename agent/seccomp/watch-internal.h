/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Between following containers and trying profiles on them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "batten/base/list.h"
#include "batten/seccomp/watch.h"

struct watched {
	struct list link;
	char id[CONTAINER_ID_SIZE];
	char *image, *digest; /* owned */
	uint64_t group;
	time_t over_at; /* it had ended before we heard of it: then it is stored and forgotten; 0: it runs */
	bool has_known; /* the image was observed before: @known is what it did, and every new call is news */
	uint64_t known[_ABI_MAX][ABI_NUMBERS / 64];
};

/* How often an image's containers that have ended did what the profile on trial would deny. */
struct shadow_count {
	struct list link;
	char *image, *digest; /* owned */
	char call[ABI_NAME_SIZE];
	enum abi abi;
	uint64_t count;
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
	char *shadow;		 /* owned; a profile, or a directory of profiles by digest; NULL: none is tried */
	bool shadow_by_digest;
	struct list shadow_counts; /* of containers that have ended */
	unsigned int n_shadow_counts;
};

/* A container comes: its image's own profile, if there is one. Return: 0, or why it cannot be tried. */
int watch_shadow_begin(struct seccomp_watch *w, const struct watched *c, struct diag *d) _must_check_;
/* A container ends: what was counted is kept for its image. */
void watch_shadow_end(struct seccomp_watch *w, const struct watched *c);
void watch_shadow_done(struct seccomp_watch *w);
