/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A zstd layer. Its tables and offsets carry over from block to block, so it cannot be patched:
 * the first pass looks, and when something is to be edited a second one compresses again, in one
 * frame at one level, with the size and a checksum in it. Frames that readers skip (a zstd:chunked
 * manifest, say) describe the old layer and are left out.
 */
#include "image/layer-internal.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>

#include "batten/base/fd.h"

#define MAX_WINDOW_LOG 23 /* 8 MiB: what the highest plain level uses */
#define BUFFER_SIZE 65536

static inline void dctx_freep(ZSTD_DCtx **c)
{
	(void)ZSTD_freeDCtx(*c);
}

static inline void cctx_freep(ZSTD_CCtx **c)
{
	(void)ZSTD_freeCCtx(*c);
}

struct writer {
	struct layer_job *job;
	ZSTD_CCtx *ctx;
	struct digester *sum;
	uint64_t n_written;
	uint8_t out[BUFFER_SIZE];
};

static int zstd_failed(const struct layer_job *j, size_t code, struct diag *d)
{
	return diag_fail(d, -EBADMSG, j->src->name, "the zstd data is damaged or unusual: %s",
			 ZSTD_getErrorName(code));
}

/* Decodes what is in @in. Return: 0 or a negative errno. @ret_left: what zstd wants next, 0 at the
 * end of a frame. */
static int decode(struct layer_job *j, ZSTD_DCtx *ctx, ZSTD_inBuffer *in, stage_sink *sink,
		  void *arg, size_t *ret_left, struct diag *d)
{
	struct stage *s = &j->stage;
	ZSTD_outBuffer out;
	int r;

	do {
		r = stage_make_room(s, STAGE_PIECE, d);
		if (r < 0)
			return r;
		out = (ZSTD_outBuffer){ s->data + s->n, STAGE_PIECE, 0 };
		*ret_left = ZSTD_decompressStream(ctx, &out, in);
		if (ZSTD_isError(*ret_left))
			return zstd_failed(j, *ret_left, d);
		if (s->base + s->n + out.pos > j->max_plain)
			return diag_fail(d, -EFBIG, j->src->name,
					 "unpacks to more than the limit of %llu bytes",
					 (unsigned long long)j->max_plain);
		r = stage_push(s, out.pos, d);
		if (r >= 0)
			r = stage_commit(s, tar_walker_settled(s->walker), sink, arg, d);
	} while (r >= 0 && (in->pos < in->size || (out.pos == out.size && *ret_left > 0)));
	return r;
}

/* One pass. @sum: of the compressed bytes, may be NULL */
static int pass(struct layer_job *j, struct digester *sum, stage_sink *sink, void *arg,
		struct diag *d)
{
	_cleanup_(dctx_freep) ZSTD_DCtx *ctx = ZSTD_createDCtx();
	uint8_t buf[BUFFER_SIZE];
	uint64_t at = 0;
	size_t left = 0;
	int r;

	if (!ctx || ZSTD_isError(ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, MAX_WINDOW_LOG)))
		return -ENOMEM;
	r = layer_begin(j, d);
	while (r >= 0 && at < j->src->size) {
		ssize_t k = fd_pread(j->src->fd, buf,
				  (size_t)MIN((uint64_t)sizeof(buf), j->src->size - at),
				  (off_t)(j->src->offset + at));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return diag_fail(d, k < 0 ? -errno : -EIO, j->src->name,
					 "cannot read the layer");
		if (sum)
			digester_add(sum, buf, (size_t)k);
		at += (uint64_t)k;
		r = decode(j, ctx, &(ZSTD_inBuffer){ buf, (size_t)k, 0 }, sink, arg, &left, d);
		layer_tick(j, at);
	}
	if (r >= 0 && left != 0)
		r = diag_fail(d, -EBADMSG, j->src->name, "the zstd data is cut short");
	if (r >= 0)
		r = tar_walker_finish(j->stage.walker, d);
	return r < 0 ? r : stage_commit(&j->stage, j->stage.base + j->stage.n, sink, arg, d);
}

static int compress(struct writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective mode, struct diag *d)
{
	size_t left;
	int r;

	do {
		ZSTD_outBuffer out = { w->out, sizeof(w->out), 0 };

		left = ZSTD_compressStream2(w->ctx, &out, in, mode);
		if (ZSTD_isError(left))
			return diag_fail(d, -EIO, w->job->src->name, "cannot compress: %s",
					 ZSTD_getErrorName(left));
		digester_add(w->sum, w->out, out.pos);
		w->n_written += out.pos;
		r = layer_write(w->job->out_fd, w->out, out.pos, w->job->src->name, d);
	} while (r >= 0 && (mode == ZSTD_e_end ? left > 0 : in->pos < in->size));
	return r;
}

static int compress_sink(void *arg, const uint8_t *data, size_t n, struct diag *d)
{
	return compress(arg, &(ZSTD_inBuffer){ data, n, 0 }, ZSTD_e_continue, d);
}

/* How long the edited stream will be has been counted by the first pass. */
static int rewrite(struct layer_job *j, uint64_t n_new, struct layer_result *ret, struct diag *d)
{
	_cleanup_(cctx_freep) ZSTD_CCtx *ctx = ZSTD_createCCtx();
	_cleanup_(digester_freep) struct digester *sum = digester_new();
	_cleanup_(freep) struct writer *w = calloc(1, sizeof(*w));
	int r;

	if (!ctx || !sum || !w ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, LAYER_ZSTD_LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1)) ||
	    ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(ctx, n_new)))
		return -ENOMEM;
	w->job = j;
	w->ctx = ctx;
	w->sum = sum;
	r = pass(j, NULL, compress_sink, w, d);
	if (r >= 0)
		r = compress(w, &(ZSTD_inBuffer){ NULL, 0, 0 }, ZSTD_e_end, d);
	if (r >= 0)
		r = layer_plain_sums(j, ret);
	if (r >= 0)
		r = digester_end(sum, &ret->new_blob);
	ret->new_size = w->n_written;
	return r;
}

int layer_run_zstd(struct layer_job *j, struct layer_result *ret, struct diag *d)
{
	_cleanup_(digester_freep) struct digester *sum = digester_new();
	uint64_t n_new;
	int r;

	if (!sum)
		return -ENOMEM;
	r = pass(j, sum, NULL, NULL, d);
	if (r >= 0)
		r = digester_end(sum, &ret->old_blob);
	if (r >= 0)
		r = layer_plain_sums(j, ret);
	if (r < 0 || (!ret->changed && !j->drop_toc))
		return r;
	n_new = j->stage.n_new;
	layer_end(j);
	j->watch->again(j->watch->arg);
	r = rewrite(j, n_new, ret, d);
	/* Without its table of contents the layer is another one, although its tar is the same. */
	if (r >= 0 && !ret->changed) {
		ret->changed = true;
		ret->new_diff = ret->old_diff;
	}
	return r;
}
