/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a lazy puller looks for a table of contents:
 *
 *  - eStargz: the blob ends in an empty gzip member whose extra field holds, in hexadecimal, where
 *    another member stands; in that one a tar begins with stargz.index.json. The first version's
 *    field had no subfield's id in front. A third kind says that the table is in another image.
 *  - zstd:chunked: a descriptor's annotation, or the last frame that decoders skip, tells place and
 *    length of zstd data that are the document itself.
 *
 * (stargz-snapshotter's docs/estargz.md; containers/storage's pkg/chunked.)
 */
#include "image/toc-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define PIECE 32768
#define MAX_WINDOW_LOG 23 /* as for layers */
#define ZSTD_MAGIC_AT 8	  /* of a frame that is skipped: id, length */

struct reading {
	const struct layer_source *src;
	struct toc_json *json;
	uint64_t at, end;	 /* in the blob: what is left to be unpacked */
	uint64_t n_plain, max_plain;
	struct tar_walker *tar; /* NULL: the document comes bare */
	uint64_t from, to;	 /* where the tar holds it; @to 0 before its header */
	uint8_t in[PIECE], out[PIECE];
};

static int unreadable(const struct reading *g, struct diag *d)
{
	return diag_fail(d, -EBADMSG, g->src->name,
			 "it points to a table of contents that cannot be read; lazy pullers and others "
			 "would disagree about the layer");
}

static int read_blob(const struct layer_source *src, void *buf, size_t n, uint64_t at,
		     struct diag *d)
{
	for (size_t have = 0; have < n;) {
		ssize_t k = pread(src->fd, (char *)buf + have, n - have,
				  (off_t)(src->offset + at + have));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return diag_fail(d, k < 0 ? -errno : -EIO, src->name,
					 "cannot read the layer");
		have += (size_t)k;
	}
	return 0;
}

/* Return: how many bytes came, 0 at the end, or a negative errno. */
static int next_piece(struct reading *g, struct diag *d)
{
	size_t n = (size_t)MIN((uint64_t)PIECE, g->end - g->at);
	int r = read_blob(g->src, g->in, n, g->at, d);

	g->at += n;
	return r < 0 ? r : (int)n;
}

/* ---- out of a tar ----------------------------------------------------------------------------- */

static int on_member(void *arg, const struct tar_member *m, struct diag *d)
{
	struct reading *g = arg;

	/* The first one is the table, or there is none. */
	if (g->to > 0)
		return 0;
	if (m->kind != TAR_FILE || strcmp(m->path, "/stargz.index.json") != 0)
		return unreadable(g, d);
	g->from = m->data;
	g->to = m->data + m->size;
	return 0;
}

static int take_plain(struct reading *g, size_t n, struct diag *d)
{
	uint64_t at = g->n_plain, from, to;
	int r = 0;

	g->n_plain += n;
	if (g->n_plain > g->max_plain)
		return diag_fail(d, -EFBIG, g->src->name,
				 "its table of contents unpacks to more than the limit");
	if (!g->tar)
		return toc_json_feed(g->json, g->out, n, d);
	if (g->to == 0 || at < g->to)
		r = tar_walker_feed(g->tar, g->out, n, d);
	from = MAX(g->from, at);
	to = MIN(g->to, g->n_plain);
	return r >= 0 && from < to ? toc_json_feed(g->json, g->out + (from - at),
						   (size_t)(to - from), d)
				   : r;
}

/* ---- gzip ------------------------------------------------------------------------------------- */

static int inflate_all(struct reading *g, z_stream *z, struct diag *d)
{
	int status = Z_OK, r;

	z->avail_out = PIECE;
	/* What follows the table in its tar is nobody's. */
	while (g->to == 0 || g->n_plain < g->to) {
		/* A full output may be followed by more without more input. */
		if (z->avail_in == 0 && z->avail_out > 0) {
			r = next_piece(g, d);
			if (r <= 0)
				return r < 0 ? r : unreadable(g, d);
			z->next_in = g->in;
			z->avail_in = (uInt)r;
		}
		if (status == Z_STREAM_END)
			(void)inflateReset(z);
		z->next_out = g->out;
		z->avail_out = PIECE;
		status = inflate(z, Z_NO_FLUSH);
		if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
			return unreadable(g, d);
		r = take_plain(g, PIECE - z->avail_out, d);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_stargz(struct reading *g, struct diag *d)
{
	static const struct tar_handler handler = { .member = on_member };
	z_stream z = { 0 };
	int r;

	g->tar = tar_walker_new(&handler, g, g->src->name);
	if (!g->tar || inflateInit2(&z, 31) != Z_OK)
		return -ENOMEM;
	r = inflate_all(g, &z, d);
	(void)inflateEnd(&z);
	return r;
}

/* The sixteen digits before "STARGZ" in the last member. Return: 1, 0 none, -EBADMSG no digits. */
static int stargz_offset(const uint8_t *footer, size_t n, uint64_t *ret)
{
	/* Ten bytes of header, the field's length, the subfield's id and length. */
	size_t at = n == 51 ? 16 : 12;
	uint64_t v = 0;

	if (memcmp(footer, "\x1f\x8b\x08\x04", 4) != 0 || memcmp(footer + at + 16, "STARGZ", 6) != 0)
		return 0;
	for (size_t i = at; i < at + 16; i++) {
		uint8_t c = footer[i];
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'f';

		if (!letter && (c < '0' || c > '9'))
			return -EBADMSG;
		v = v << 4 | (letter ? (c | 0x20U) - 'a' + 10 : (unsigned int)(c - '0'));
	}
	*ret = v;
	return 1;
}

static int find_stargz(struct reading *g, enum toc_where *ret, struct diag *d)
{
	static const size_t sizes[] = { 51, 47 };
	uint64_t size = g->src->size, at = 0;
	uint8_t end[51] = { 0 };
	int r;

	if (size < sizeof(end))
		return 0;
	r = read_blob(g->src, end, sizeof(end), size - sizeof(end), d);
	if (r < 0)
		return r;
	if (memcmp(end + 51 - 46 + 16, "STARGZEXTERNALTOC", 17) == 0) {
		*ret = TOC_ELSEWHERE;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		r = stargz_offset(end + sizeof(end) - sizes[i], sizes[i], &at);
		if (r < 0 || (r > 0 && at >= size - sizes[i]))
			return unreadable(g, d);
		if (r == 0)
			continue;
		g->at = at;
		g->end = size - sizes[i];
		*ret = TOC_HERE;
		return read_stargz(g, d);
	}
	return 0;
}

/* ---- zstd ------------------------------------------------------------------------------------- */

static inline void dctx_freep(ZSTD_DCtx **c)
{
	(void)ZSTD_freeDCtx(*c);
}

static int read_chunked(struct reading *g, struct diag *d)
{
	_cleanup_(dctx_freep) ZSTD_DCtx *ctx = ZSTD_createDCtx();
	size_t left = 1;
	int r;

	if (!ctx || ZSTD_isError(ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, MAX_WINDOW_LOG)))
		return -ENOMEM;
	while ((r = next_piece(g, d)) > 0) {
		ZSTD_inBuffer in = { g->in, (size_t)r, 0 };
		ZSTD_outBuffer out;

		do {
			out = (ZSTD_outBuffer){ g->out, PIECE, 0 };
			left = ZSTD_decompressStream(ctx, &out, &in);
			if (ZSTD_isError(left))
				return unreadable(g, d);
			r = take_plain(g, out.pos, d);
		} while (r >= 0 && (in.pos < in.size || out.pos == out.size));
		if (r < 0)
			return r;
	}
	return r < 0 ? r : left == 0 ? 0 : unreadable(g, d);
}

static uint64_t u64le(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* The last frame: place and length of the document, more numbers, "GNUlInUx" in some spelling. */
static bool chunked_footer(const uint8_t *end, size_t n, uint64_t *ret_at, uint64_t *ret_size)
{
	static const size_t sizes[] = { 64, 40 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint8_t *p = end + n - sizes[i];

		if (memcmp(p - ZSTD_MAGIC_AT, "\x50\x2a\x4d\x18", 4) != 0 || p[-4] != sizes[i] ||
		    p[-3] || p[-2] || p[-1] || strncasecmp((const char *)end + n - 8, "GNUlInUx", 8) != 0)
			continue;
		*ret_at = u64le(p);
		*ret_size = u64le(p + 8);
		return true;
	}
	return false;
}

static int read_chunked_at(struct reading *g, uint64_t at, uint64_t size, struct diag *d)
{
	if (at > g->src->size || size > g->src->size - at)
		return unreadable(g, d);
	g->at = at;
	g->end = at + size;
	return read_chunked(g, d);
}

/* The annotation is what counts when there is one; both are read, for not everybody knows it. */
static int find_chunked(struct reading *g, enum toc_where *ret, struct diag *d)
{
	uint8_t end[ZSTD_MAGIC_AT + 64];
	uint64_t size = g->src->size, at, n;
	int r = 0;

	if (g->src->toc_size > 0) {
		*ret = TOC_HERE;
		r = read_chunked_at(g, g->src->toc_at, g->src->toc_size, d);
	}
	if (r < 0 || size < sizeof(end))
		return r;
	r = read_blob(g->src, end, sizeof(end), size - sizeof(end), d);
	if (r < 0 || !chunked_footer(end, sizeof(end), &at, &n) ||
	    (g->src->toc_size > 0 && at == g->src->toc_at && n == g->src->toc_size))
		return r;
	if (*ret == TOC_HERE)
		return diag_fail(d, -EBADMSG, g->src->name,
				 "its annotation and its last frame point to two tables of contents");
	*ret = TOC_HERE;
	return read_chunked_at(g, at, n, d);
}

int toc_read(const struct layer_source *src, enum layer_compression compression, uint64_t max_plain,
	     toc_entry_fn *entry, void *arg, enum toc_where *ret, struct diag *d)
{
	_cleanup_(freep) struct reading *g = calloc(1, sizeof(*g));
	_cleanup_(toc_json_freep) struct toc_json *json = toc_json_new(entry, arg);
	enum toc_where where = TOC_NONE;
	int r = 0;

	if (!g || !json)
		return -ENOMEM;
	g->src = src;
	g->json = json;
	g->max_plain = max_plain;
	if (compression == LAYER_GZIP)
		r = find_stargz(g, &where, d);
	else if (compression == LAYER_ZSTD)
		r = find_chunked(g, &where, d);
	if (r >= 0 && where == TOC_HERE && !toc_json_whole(json))
		r = unreadable(g, d);
	(void)tar_walker_free(g->tar);
	if (r >= 0)
		*ret = where;
	return r;
}
