/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * One layer: a tar stream, plain or compressed, read once, and written edited when asked.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/image/digest.h"
#include "batten/image/tar.h"

enum layer_compression { LAYER_PLAIN, LAYER_GZIP, LAYER_ZSTD };

/* Bombs: a layer may not unpack to more than this, nor to more than RATIO times its size and a MiB.
 */
#define LAYER_MAX_PLAIN (UINT64_C(1) << 40)
#define LAYER_MAX_RATIO 1100

#define LAYER_ZSTD_LEVEL 3

struct layer_source {
	int fd; /* read with pread() */
	uint64_t offset, size;
	uint64_t toc_at, toc_size; /* of a zstd:chunked manifest as a descriptor tells; 0 0: it does not */
	const char *name;	   /* for diags */
};

struct layer_watch {
	/* Every member, then every copy of one in a table of contents that has what is looked for:
	 * what shall leave. Return: a set of enum tar_verdict, or a negative errno. */
	int (*member)(void *arg, const struct tar_member *m, struct diag *d);
	/* The members come once more, from the first: a second pass. */
	void (*again)(void *arg);
	/* Bytes of the source that are done; may be NULL. */
	void (*tick)(void *arg, uint64_t done);
	void *arg;
};

struct layer_result {
	enum layer_compression compression;
	bool changed;
	bool has_toc;	  /* a table of contents; it left when the layer changed */
	bool toc_elsewhere; /* one in another image: not looked into */
	bool has_trailer; /* bytes behind the end of the tar, kept */
	struct digest old_blob, old_diff, new_blob, new_diff;
	uint64_t plain_size, new_size;
};

/*
 * layer_run - walk a layer and write what becomes of it
 * @out_fd: where the new blob goes, from the present offset on; -1 to look only, or when nothing is
 *          to be edited. Nothing is written when nothing is edited.
 * Return: 0 or a negative errno: -EBADMSG damaged, malformed or ambiguous; -EFBIG a bomb; -E2BIG
 *         over a limit of the walker; -EOPNOTSUPP a compression that no runtime reads.
 */
int layer_run(const struct layer_source *src, int out_fd, const struct layer_watch *watch,
	      struct layer_result *ret, struct diag *d) _must_check_;
