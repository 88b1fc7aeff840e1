/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Patching. A token stays valid exactly when it still decodes to the edited bytes: a literal when
 * it equals the new byte, a match when the new bytes repeat at its distance. That is what is
 * tested, in every part that an edit touches or stands less than a window before.
 *
 * In a member that is patched the last block loses its flag and an empty last block of ten bits is
 * appended: then a block can be ended and begun again wherever that is needed, without knowing
 * beforehand.
 */
#include "image/gzip-patch.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define NO_BIT UINT64_MAX
#define FIXED_HEADER 2U /* not the last block, type 1 */
#define FIXED_LAST 3U
#define WINDOW_SIZE (STAGE_HISTORY + STAGE_PIECE + INFLATE_SLACK)

int gzip_patch_init(struct gzip_patch *g, int in_fd, uint64_t begin, uint64_t size, int out_fd,
		    const char *name)
{
	g->enabled = out_fd >= 0;
	g->final_bit = g->codes_bit = NO_BIT;
	g->tokens = calloc(1, sizeof(*g->tokens));
	g->window = malloc(WINDOW_SIZE);
	if (!g->tokens || !g->window)
		return -ENOMEM;
	inflate_init(g->tokens, in_fd, begin, size, name);
	return splice_init(&g->out, in_fd, begin, size, out_fd, name);
}

void gzip_patch_done(struct gzip_patch *g)
{
	splice_done(&g->out);
	free(g->tokens);
	free(g->window);
	g->tokens = NULL;
	g->window = NULL;
}

void gzip_patch_sum(struct gzip_patch *g, const uint8_t *data, size_t n)
{
	g->n_plain += n;
	if (g->member_touched)
		g->crc = (uint32_t)crc32(g->crc, data, (uInt)n);
}

/* Copies up to @bit, and clears the flag of the last block on the way. */
static int copy_to(struct gzip_patch *g, uint64_t bit, struct diag *d)
{
	int r = 0;

	if (g->final_bit < bit) {
		r = splice_copy_to(&g->out, g->final_bit, d);
		if (r >= 0)
			r = splice_put(&g->out, 0, 1, d);
		splice_skip_to(&g->out, g->final_bit + 1);
		g->final_bit = NO_BIT;
	}
	return r < 0 ? r : splice_copy_to(&g->out, bit, d);
}

int gzip_patch_member(struct gzip_patch *g, const struct gzip_part *p, struct diag *d)
{
	static const uint8_t zeros[GZIP_STARGZ_SIZE];
	int r;

	g->member_touched = false;
	g->final_bit = NO_BIT;
	g->n_plain = 0;
	/* The pointer to a table of contents that describes the layer as it was. */
	if (!g->writing || p->stargz_bit == 0)
		return 0;
	r = copy_to(g, p->stargz_bit, d);
	if (r >= 0)
		r = splice_bytes(&g->out, zeros, sizeof(zeros), d);
	splice_skip_to(&g->out, p->stargz_bit + 8 * sizeof(zeros));
	return r;
}

static int put_reversed(struct gzip_patch *g, unsigned int code, unsigned int n, struct diag *d)
{
	unsigned int v = 0;

	for (unsigned int i = 0; i < n; i++)
		v |= (code >> i & 1) << (n - 1 - i);
	return splice_put(&g->out, v, n, d);
}

static int put_fixed_literal(struct gzip_patch *g, uint8_t c, struct diag *d)
{
	return c < 144 ? put_reversed(g, 0x30U + c, 8, d) : put_reversed(g, 0x190U + c - 144, 9, d);
}

/* End the block, put the literal into one with fixed codes, begin the block again. */
static int put_literal_apart(struct gzip_patch *g, const struct gzip_part *p, uint8_t c,
			     struct diag *d)
{
	uint32_t end;
	unsigned int n = inflate_code(g->tokens, 256, &end);
	int r;

	r = splice_put(&g->out, end, n, d);
	if (r >= 0)
		r = splice_put(&g->out, FIXED_HEADER, 3, d);
	if (r >= 0)
		r = put_fixed_literal(g, c, d);
	if (r >= 0)
		r = splice_put(&g->out, 0, 7, d);
	if (r >= 0)
		r = splice_put(&g->out, 0, 1, d);
	if (r >= 0)
		r = splice_copy_again(&g->out, p->header_bit + 1, p->body_bit, d);
	return r;
}

static int put_literal(struct gzip_patch *g, const struct gzip_part *p, uint8_t c, struct diag *d)
{
	uint32_t code;
	unsigned int n = inflate_code(g->tokens, c, &code);

	return n > 0 ? splice_put(&g->out, code, n, d) : put_literal_apart(g, p, c, d);
}

static int replace_token(struct gzip_patch *g, const struct stage *s, const struct gzip_part *p,
			 const struct inflate_token *t, uint64_t at, const uint8_t *bytes,
			 struct diag *d)
{
	int r = copy_to(g, t->bit, d);

	for (unsigned int i = 0; i < t->length && r >= 0; i++)
		if (!stage_removed(s, at + i, at + i + 1))
			r = put_literal(g, p, bytes[i], d);
	splice_skip_to(&g->out, t->bit_end);
	return r;
}

/* Gives the second decoder the codes of the part's block, and its place. */
static int seek_tokens(struct gzip_patch *g, const struct gzip_part *p, struct diag *d)
{
	int r = 0;

	if (g->codes_bit != p->header_bit) {
		r = inflate_seek(g->tokens, p->header_bit, d);
		if (r >= 0)
			r = inflate_block_begin(g->tokens, d);
		g->codes_bit = p->header_bit;
	}
	return r < 0 ? r : inflate_seek(g->tokens, p->bit, d);
}

/* @window: edited bytes from @low on, up to the part's end */
static bool still_valid(const struct stage *s, const struct inflate_token *t, uint64_t at,
			uint64_t low, const uint8_t *window)
{
	const uint8_t *new = window + (at - low);

	if (stage_removed(s, at - t->distance, at + t->length))
		return false;
	return t->distance ? memcmp(new, new - t->distance, t->length) == 0 : *new == t->literal;
}

static int patch_codes(struct gzip_patch *g, const struct stage *s, const struct gzip_part *p,
		       struct diag *d)
{
	uint64_t low = MAX(s->base, p->plain > STAGE_HISTORY ? p->plain - STAGE_HISTORY : 0),
		 at = p->plain;
	int r;

	stage_copy_new(s, low, p->plain_end, g->window);
	r = seek_tokens(g, p, d);
	while (r >= 0 && at < p->plain_end) {
		struct inflate_token t;

		r = inflate_token(g->tokens, &t, d);
		if (r < 0)
			break;
		/* The first pass has decoded the same bits; anything else is a file that changes.
		 */
		if (t.end || t.length > p->plain_end - at || t.distance > at - low)
			return diag_fail(d, -EIO, g->out.name,
					 "the layer changed while it was being read");
		if (!still_valid(s, &t, at, low, g->window))
			r = replace_token(g, s, p, &t, at, g->window + (at - low), d);
		at += t.length;
	}
	return r;
}

/* A stored block is written anew: its length stands on a byte boundary that may have moved. */
static int patch_stored(struct gzip_patch *g, const struct stage *s, const struct gzip_part *p,
			struct diag *d)
{
	size_t n = (size_t)(p->plain_end - p->plain), kept = 0;
	int r;

	stage_copy_new(s, p->plain, p->plain_end, g->window);
	for (size_t i = 0; i < n; i++)
		if (!stage_removed(s, p->plain + i, p->plain + i + 1))
			g->window[kept++] = g->window[i];
	r = copy_to(g, p->header_bit + 3, d);
	if (r >= 0)
		r = splice_align(&g->out, d);
	if (r >= 0)
		r = splice_put(&g->out, (uint32_t)kept | (~(uint32_t)kept & 0xffff) << 16, 32, d);
	if (r >= 0)
		r = splice_bytes(&g->out, g->window, kept, d);
	splice_skip_to(&g->out, p->bit_end);
	return r;
}

int gzip_patch_block(struct gzip_patch *g, const struct stage *s, const struct gzip_part *p,
		     uint32_t old_crc, struct diag *d)
{
	bool touched;

	if (!g->enabled)
		return 0;
	if (p->final && p->begins)
		g->final_bit = p->header_bit;
	touched = stage_touched(s, p->plain, p->plain_end);
	if (!g->member_touched) {
		if (!touched)
			return 0;
		g->writing = g->member_touched = true;
		g->crc = old_crc;
	}
	if (p->type == BLOCK_STORED)
		return patch_stored(g, s, p, d);
	return touched ? patch_codes(g, s, p, d) : 0;
}

int gzip_patch_trailer(struct gzip_patch *g, const struct gzip_part *p, struct diag *d)
{
	int r;

	if (!g->member_touched) {
		g->final_bit = NO_BIT;
		return 0;
	}
	r = copy_to(g, p->bit, d);
	if (r >= 0)
		r = splice_put(&g->out, FIXED_LAST, 10, d);
	if (r >= 0)
		r = splice_align(&g->out, d);
	if (r >= 0)
		r = splice_put(&g->out, g->crc, 32, d);
	if (r >= 0)
		r = splice_put(&g->out, (uint32_t)g->n_plain, 32, d);
	splice_skip_to(&g->out, p->bit_end);
	g->member_touched = false;
	return r;
}

int gzip_patch_end(struct gzip_patch *g, struct digest *ret_sum, uint64_t *ret_size, struct diag *d)
{
	int r;

	if (!g->enabled)
		return 0;
	r = copy_to(g, g->out.size * 8, d);
	return r < 0 ? r : splice_end(&g->out, ret_sum, ret_size, d);
}
