/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Who reads an image may open nothing. A keeper is forked off before the first foreign byte is looked
 * at; it keeps the rights of the caller, never sees what stands in an image, and does what it is asked
 * over a socket: nameless files, the files of the two layouts, and at last the image put into its place.
 */
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/image/digest.h"
#include "image/place.h"
#include "image/target.h"

struct keeper {
	int fd; /* -1: none */
	pid_t pid;
};

#define KEEPER_NONE ((struct keeper){ .fd = -1 })

/* Everything in @c is borrowed by the keeper, which has a copy of its own. */
int keeper_start(struct keeper *k, const struct target_charge *c, struct diag *d) _must_check_;

/* Lets it go, and waits until it has cleaned up. */
void keeper_end(struct keeper *k);

/* An unlinked file. Return: a descriptor or a negative errno; so do the others. */
int keeper_spool(const struct keeper *k, struct diag *d);

/* A file or directory of the source's layout, by its place in it. */
int keeper_source(const struct keeper *k, const char *name, struct diag *d);

/* What the image is to be written to: a file, or the directory of a layout. */
int keeper_target(const struct keeper *k, enum target_kind *ret, struct diag *d);

/* A new file of the destination's layout, and one that was written, for reading. */
int keeper_create(const struct keeper *k, const char *name, struct diag *d);
int keeper_written(const struct keeper *k, const char *name, struct diag *d);

/*
 * keeper_place - put what was written into its place
 * @size, @config: of an archive for a daemon
 * @ret_old: as place_load() says
 */
int keeper_place(const struct keeper *k, uint64_t size, const struct digest *config, char **ret_old,
		 struct diag *d) _must_check_;
