/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Between a layer's bytes and what becomes of them: holds plain bytes back until the tar walker has
 * decided about them, sums them before and after the edits, and hands the edited bytes on.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/image/digest.h"
#include "batten/image/tar.h"

#define STAGE_PIECE 65536 /* what is produced between two looks at the walker */
#define STAGE_HISTORY 32768

/* History, a held-back member's headers, pieces, and what a decoder may overrun. */
#define STAGE_SIZE (STAGE_HISTORY + TAR_MAX_HEADERS + 4 * STAGE_PIECE)
#define STAGE_EDIT_BYTES 64

struct stage_edit {
	uint64_t from, to;
	bool remove;
	uint8_t bytes[STAGE_EDIT_BYTES];
};

struct stage {
	struct tar_walker *walker;
	uint8_t *data;            /* STAGE_SIZE bytes */
	uint64_t base;            /* offset of data[0] in the plain stream */
	size_t n;                 /* bytes in data */
	uint64_t committed;       /* offset up to which everything was summed and handed on */
	struct stage_edit *edits; /* ascending; those behind the history are forgotten */
	size_t n_edits, n_edits_size;
	uint64_t n_total_edits;
	bool changed;
	uint64_t n_new; /* bytes of the edited stream */
	struct digester *old_sum, *new_sum;
};

/* A piece of the edited stream. Return: 0 or a negative errno. */
typedef int stage_sink(void *arg, const uint8_t *data, size_t n, struct diag *d);

/* Takes over nothing; fills in the members that @handler's replace and remove need. */
int stage_init(struct stage *s, struct tar_walker *w);
void stage_done(struct stage *s);

/* For the handler of the walker. */
int stage_replace(struct stage *s, uint64_t offset, const void *bytes, size_t n) _must_check_;
int stage_remove(struct stage *s, uint64_t from, uint64_t to) _must_check_;

/* @n bytes were written behind the last ones: shows them to the walker. */
int stage_push(struct stage *s, size_t n, struct diag *d) _must_check_;

/* Does an edit touch the plain range, or stand so close before it that a match could reach it? */
bool stage_touched(const struct stage *s, uint64_t from, uint64_t to);

/* True when a removed range reaches into the plain range. */
bool stage_removed(const struct stage *s, uint64_t from, uint64_t to);

/* The edited bytes of a plain range that is in memory, removed ones still at their place. */
void stage_copy_new(const struct stage *s, uint64_t from, uint64_t to, uint8_t *out);

/*
 * stage_commit - sum and hand on everything before @upto
 * @upto: not beyond what the walker has settled
 * @sink: may be NULL
 */
int stage_commit(struct stage *s, uint64_t upto, stage_sink *sink, void *arg,
		 struct diag *d) _must_check_;

/* Forgets committed bytes but the history, to make room. -E2BIG when there is none to be made. */
int stage_make_room(struct stage *s, size_t n, struct diag *d) _must_check_;
