/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Where a new image goes. It is written beside its place, and takes the place when it is whole.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/image/digest.h"
#include "image/place.h"

enum target_kind {
	TARGET_ARCHIVE,	  /* a file without a name, or with a temporary one */
	TARGET_STREAM,	  /* a pipe or device: gets the image when it is whole */
	TARGET_DIRECTORY, /* an empty directory with a temporary name */
	TARGET_DAEMON,	  /* an unlinked file, for loading */
};

/* Borrowed by whoever takes it. */
struct target_charge {
	const struct place *from, *to; /* to: NULL: nothing is written */
	int source;		       /* the directory of the source's layout, or -1 */
	const char *docker_url;
};

struct target {
	const struct target_charge *charge;
	enum target_kind kind;
	int parent, fd;
	const char *base; /* in the place's path */
	char name[256];	  /* temporary */
	bool named, exchange;
};

#define TARGET_NONE ((struct target){ .parent = -1, .fd = -1 })

int target_open(struct target *t, const struct target_charge *c, struct diag *d) _must_check_;

/* As keeper_place() says. */
int target_place(struct target *t, uint64_t size, const struct digest *config, char **ret_old,
		 struct diag *d) _must_check_;

/* Whatever did not take its place goes. */
void target_done(struct target *t);
