/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A layer's kind is told by its first bytes, as runtimes do, not by what its descriptor says.
 */
#include "image/layer-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "image/gzip-internal.h"
#include "image/toc-internal.h"

int layer_write(int fd, const void *data, size_t n, const char *name, struct diag *d)
{
	int r = fd_write_all(fd, data, n);

	return r < 0 ? diag_errno(d, r, name, "cannot write the new layer") : 0;
}

int layer_copy(int from, uint64_t offset, uint64_t n, int to, const char *name, struct diag *d)
{
	uint8_t buf[65536];
	off_t at = (off_t)offset;
	bool in_kernel = true;

	while (n > 0) {
		size_t want = (size_t)MIN(n, (uint64_t)1 << 30);
		ssize_t k = in_kernel ? copy_file_range(from, &at, to, NULL, want, 0)
				      : fd_pread(from, buf, MIN(want, sizeof(buf)), at);

		if (k < 0 && errno == EINTR)
			continue;
		/* Across file systems, out of special files, or under a filter that does not know
		 * the call. */
		if (k <= 0 && in_kernel && (k == 0 || errno != ENOSPC)) {
			in_kernel = false;
			continue;
		}
		if (k <= 0)
			return diag_errno(d, k < 0 ? -errno : -EIO, name, "cannot copy");
		if (!in_kernel) {
			int r = layer_write(to, buf, (size_t)k, name, d);

			if (r < 0)
				return r;
			at += k;
		}
		n -= (uint64_t)k;
	}
	return 0;
}

void layer_tick(const struct layer_job *j, uint64_t done)
{
	if (j->watch->tick)
		j->watch->tick(j->watch->arg, done);
}

static int on_member(void *arg, const struct tar_member *m, struct diag *d)
{
	struct layer_job *j = arg;
	int r = j->watch->member(j->watch->arg, m, d);

	if (r < 0)
		return r;
	/* A table of contents that describes the layer as it was must not stay beside the new one.
	 */
	if (m->kind == TAR_FILE && strcmp(m->path, "/stargz.index.json") == 0) {
		j->has_toc = true;
		if (j->stage.n_total_edits > 0 || r != 0 || j->drop_toc)
			r = TAR_REMOVE;
		j->toc_left |= r == TAR_REMOVE;
	}
	return j->out_fd >= 0 ? r : 0;
}

static int on_replace(void *arg, uint64_t offset, const void *bytes, size_t n)
{
	return stage_replace(&((struct layer_job *)arg)->stage, offset, bytes, n);
}

static int on_remove(void *arg, uint64_t from, uint64_t to)
{
	return stage_remove(&((struct layer_job *)arg)->stage, from, to);
}

int layer_begin(struct layer_job *j, struct diag *d)
{
	static const struct tar_handler handler = {
		.member = on_member,
		.replace = on_replace,
		.remove = on_remove,
	};
	struct tar_walker *w = tar_walker_new(&handler, j, j->src->name);

	if (!w)
		return -ENOMEM;
	return stage_init(&j->stage, w);
}

void layer_end(struct layer_job *j)
{
	struct tar_walker *w = j->stage.walker;

	stage_done(&j->stage);
	(void)tar_walker_free(w);
}

int layer_plain_sums(struct layer_job *j, struct layer_result *ret)
{
	int r;

	ret->changed = j->stage.changed;
	ret->plain_size = j->stage.committed;
	ret->has_trailer = tar_walker_has_trailer(j->stage.walker);
	r = digester_end(j->stage.old_sum, &ret->old_diff);
	if (r >= 0 && j->stage.changed)
		r = digester_end(j->stage.new_sum, &ret->new_diff);
	return r;
}

/* Written bytes begin with the first edit: what stands before it is copied then. */
static int plain_sink(void *arg, const uint8_t *data, size_t n, struct diag *d)
{
	struct layer_job *j = arg;
	uint64_t before = j->stage.n_new - n;
	int r = 0;

	if (!j->stage.changed)
		return 0;
	if (!j->started)
		r = layer_copy(j->src->fd, j->src->offset, before, j->out_fd, j->src->name, d);
	j->started = true;
	return r < 0 ? r : layer_write(j->out_fd, data, n, j->src->name, d);
}

int layer_run_plain(struct layer_job *j, struct layer_result *ret, struct diag *d)
{
	struct stage *s = &j->stage;
	uint64_t at = 0;
	int r;

	r = layer_begin(j, d);
	while (r >= 0 && at < j->src->size) {
		ssize_t k;

		r = stage_make_room(s, STAGE_PIECE, d);
		if (r < 0)
			break;
		k = fd_pread(j->src->fd, s->data + s->n,
			  (size_t)MIN((uint64_t)STAGE_PIECE, j->src->size - at),
			  (off_t)(j->src->offset + at));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return diag_fail(d, k < 0 ? -errno : -EIO, j->src->name,
					 "cannot read the layer");
		at += (uint64_t)k;
		r = stage_push(s, (size_t)k, d);
		if (r >= 0)
			r = stage_commit(s, tar_walker_settled(s->walker), plain_sink, j, d);
		layer_tick(j, at);
	}
	if (r >= 0)
		r = tar_walker_finish(s->walker, d);
	if (r >= 0)
		r = stage_commit(s, at, plain_sink, j, d);
	if (r >= 0)
		r = layer_plain_sums(j, ret);
	ret->old_blob = ret->old_diff;
	ret->new_blob = ret->new_diff;
	ret->new_size = s->n_new;
	return r;
}

static int run_gzip(struct layer_job *j, struct layer_result *ret, struct diag *d)
{
	struct gzip_result g;
	int r;

	r = layer_begin(j, d);
	if (r >= 0)
		r = gzip_patch(j->src->fd, j->src->offset, j->src->size, j->out_fd, &j->stage,
			       j->max_plain, j->src->name, j->watch->tick, j->watch->arg, &g, d);
	if (r >= 0)
		r = layer_plain_sums(j, ret);
	if (r < 0)
		return r;
	ret->old_blob = g.old_sum;
	ret->new_blob = g.new_sum;
	ret->new_size = g.new_size;
	return 0;
}

/* @p: the first bytes of the layer, zeros where it is shorter. */
static int compression_of(const uint8_t p[static 8], enum layer_compression *ret)
{
	if (p[0] == 0x1f && p[1] == 0x8b) {
		*ret = LAYER_GZIP;
	} else if (memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0 ||
		   ((p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0)) {
		*ret = LAYER_ZSTD;
	} else if (memcmp(p, "BZh", 3) == 0 || memcmp(p,
						      "\xfd"
						      "7zXZ",
						      5) == 0) {
		return -EOPNOTSUPP;
	} else {
		*ret = LAYER_PLAIN;
	}
	return 0;
}

/* ---- tables of contents ----------------------------------------------------------------------- */

static int on_copy(void *arg, const struct tar_member *m, struct diag *d)
{
	struct layer_job *j = arg;
	int r = j->watch->member(j->watch->arg, m, d);

	j->toc_stale |= r > 0;
	return r < 0 ? r : 0;
}

static int look_at_toc(struct layer_job *j, struct layer_result *ret, struct diag *d)
{
	enum toc_where where = TOC_NONE;
	int r = toc_read(j->src, ret->compression, j->max_plain, on_copy, j, &where, d);

	ret->has_toc = where == TOC_HERE || j->has_toc;
	ret->toc_elsewhere = where == TOC_ELSEWHERE;
	return r;
}

/* A table that contradicts the new tar stands before an edit, or the tar needs none. */
static bool must_demote(const struct layer_job *j, const struct layer_result *result)
{
	if (j->out_fd < 0 || !result->has_toc)
		return false;
	if (result->changed)
		return j->has_toc && !j->toc_left;
	return j->toc_stale;
}

static int run_once(struct layer_job *j, struct layer_result *ret, struct diag *d)
{
	static int (*const runs[])(struct layer_job *, struct layer_result *, struct diag *) = {
		[LAYER_PLAIN] = layer_run_plain,
		[LAYER_GZIP] = run_gzip,
		[LAYER_ZSTD] = layer_run_zstd,
	};
	int r;

	j->has_toc = j->toc_left = j->started = false;
	r = runs[ret->compression](j, ret, d);
	layer_end(j);
	return r < 0 ? r : look_at_toc(j, ret, d);
}

static int demote(struct layer_job *j, off_t out_at, struct layer_result *ret, struct diag *d)
{
	int r;

	if (lseek(j->out_fd, out_at, SEEK_SET) < 0)
		return diag_errno(d, -errno, j->src->name, "cannot write the new layer");
	j->drop_toc = true;
	j->watch->again(j->watch->arg);
	r = run_once(j, ret, d);
	if (r >= 0 && !ret->changed)
		r = diag_fail(d, -EBADMSG, j->src->name,
			      "its table of contents is no member of its tar; readers disagree about it");
	return r;
}

int layer_run(const struct layer_source *src, int out_fd, const struct layer_watch *watch,
	      struct layer_result *ret, struct diag *d)
{
	struct layer_job j = { .src = src, .watch = watch, .out_fd = out_fd };
	off_t out_at = out_fd < 0 ? 0 : lseek(out_fd, 0, SEEK_CUR);
	struct layer_result result = { 0 };
	uint8_t magic[8] = { 0 };
	int r;

	if (out_at < 0)
		return diag_errno(d, -errno, src->name, "cannot write the new layer");
	if (fd_pread(src->fd, magic, (size_t)MIN(sizeof(magic), src->size), (off_t)src->offset) < 0)
		return diag_errno(d, -errno, src->name, "cannot read the layer");
	if (compression_of(magic, &result.compression) < 0)
		return diag_fail(d, -EOPNOTSUPP, src->name,
				 "compressed with bzip2 or xz; only gzip and zstd are for layers");
	j.max_plain = MIN(LAYER_MAX_PLAIN, src->size * LAYER_MAX_RATIO + (1 << 20));
	r = run_once(&j, &result, d);
	if (r >= 0 && must_demote(&j, &result))
		r = demote(&j, out_at, &result, d);
	if (r < 0)
		return r;
	*ret = result;
	return 0;
}
