/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the kinds of layers share while they run.
 */
#include "batten/image/layer.h"
#include "image/stage-internal.h"

struct layer_job {
	const struct layer_source *src;
	const struct layer_watch *watch;
	int out_fd;
	bool has_toc;	/* stargz.index.json is in the tar */
	bool toc_left;	/* and left it */
	bool toc_stale; /* a table of contents says what shall not be said */
	bool drop_toc;	/* the second pass, for a table that is found behind what it concerns */
	bool started; /* something has been written */
	uint64_t max_plain;
	struct stage stage;
};

int layer_copy(int from, uint64_t offset, uint64_t n, int to, const char *name,
	       struct diag *d) _must_check_;
int layer_write(int fd, const void *data, size_t n, const char *name, struct diag *d) _must_check_;
void layer_tick(const struct layer_job *j, uint64_t done);

int layer_run_plain(struct layer_job *j, struct layer_result *ret, struct diag *d) _must_check_;
int layer_run_zstd(struct layer_job *j, struct layer_result *ret, struct diag *d) _must_check_;

/* A walker and a stage for one pass over the plain bytes. layer_end() takes a job that never began.
 */
int layer_begin(struct layer_job *j, struct diag *d) _must_check_;
void layer_end(struct layer_job *j);

/* The sums of the plain bytes into @ret. */
int layer_plain_sums(struct layer_job *j, struct layer_result *ret) _must_check_;
