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

#include "image/crc.h"

#define NO_BIT UINT64_MAX
#define FIXED_HEADER 2U /* not the last block, type 1 */
#define FIXED_LAST 3U
#define WINDOW_SIZE (STAGE_HISTORY + STAGE_PIECE + INFLATE_SLACK)

int gzip_patch_init(struct gzip_patch *g, int in_fd, uint64_t begin, uint64_t size, int out_fd,
		    const char *name)
{
	g->enabled = out_fd >= 0;
	deflate_codes_fixed(&g->fixed);
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
		g->crc = crc_add(g->crc, data, n);
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

/* ---- a block with codes --------------------------------------------------------------------- */

/*
 * Walks the tokens of a part. As long as nothing is missing what is valid is copied in one go, and
 * what is not is written with the block's codes. When a code is missing the block is ended, and
 * tokens are written into a block with fixed codes, which has them all, until none has been broken
 * for a while: where one header was edited the next one is often near.
 */
struct tokens {
	struct gzip_patch *g;
	const struct stage *s;
	const struct gzip_part *p;
	uint64_t low;       /* what window[0] is */
	bool removals;      /* bytes leave in or shortly before this part */
	bool in_fixed;      /* a block of fixed codes is open */
	unsigned int quiet; /* valid tokens written into it one after the other */
};

#define QUIET_TOKENS 32

static bool is_removed(const struct tokens *k, uint64_t from, uint64_t to)
{
	return k->removals && stage_removed(k->s, from, to);
}

static bool still_valid(const struct tokens *k, const struct inflate_token *t, uint64_t at)
{
	const uint8_t *new = k->g->window + (at - k->low);

	if (is_removed(k, at - t->distance, at + t->length))
		return false;
	return t->distance ? memcmp(new, new - t->distance, t->length) == 0 : *new == t->literal;
}

/* What a broken token becomes: the stretches of a match that still repeat, and literals. */
static size_t successors(const struct tokens *k, const struct inflate_token *t, uint64_t at,
			 struct inflate_token *ret)
{
	const uint8_t *new = k->g->window + (at - k->low);
	bool repeats = t->distance && !is_removed(k, at - t->distance, at + t->length);
	size_t n = 0;

	for (unsigned int i = 0; i < t->length;) {
		const uint8_t *to = new + i, *from = to - t->distance;
		unsigned int run = 0;

		while (repeats && i + run < t->length && to[run] == from[run])
			run++;
		if (run >= 3) {
			ret[n++] = (struct inflate_token){ .length = run, .distance = t->distance };
			i += run;
			continue;
		}
		if (!is_removed(k, at + i, at + i + 1))
			ret[n++] = (struct inflate_token){ .length = 1, .literal = new[i] };
		i++;
	}
	return n;
}

static int put_all(struct tokens *k, const struct inflate_token *list, size_t n, struct diag *d)
{
	const struct deflate_codes *c = k->in_fixed ? &k->g->fixed : &k->g->own;
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = deflate_put(c, &list[i], &k->g->out, d);
	return r;
}

static int open_fixed(struct tokens *k, struct diag *d)
{
	int r = deflate_put_end(&k->g->own, &k->g->out, d);

	k->in_fixed = true;
	return r < 0 ? r : splice_put(&k->g->out, FIXED_HEADER, 3, d);
}

/* The block begins again with the codes that it had. */
static int close_fixed(struct tokens *k, struct diag *d)
{
	int r = deflate_put_end(&k->g->fixed, &k->g->out, d);

	k->in_fixed = false;
	if (r >= 0)
		r = splice_put(&k->g->out, 0, 1, d);
	return r < 0 ? r : splice_copy_again(&k->g->out, k->p->header_bit + 1, k->p->body_bit, d);
}

static int write_token(struct tokens *k, const struct inflate_token *t, uint64_t at, struct diag *d)
{
	struct inflate_token list[258];
	bool valid = still_valid(k, t, at), can = true;
	size_t n = 1;
	int r;

	if (valid && !k->in_fixed)
		return 0;
	list[0] = *t;
	if (!valid)
		n = successors(k, t, at, list);
	k->quiet = valid ? k->quiet + 1 : 0;
	for (size_t i = 0; i < n && !k->in_fixed; i++)
		can &= deflate_can(&k->g->own, &list[i]);
	r = k->in_fixed ? 0 : copy_to(k->g, t->bit, d);
	if (r >= 0 && !can)
		r = open_fixed(k, d);
	if (r >= 0)
		r = put_all(k, list, n, d);
	splice_skip_to(&k->g->out, t->bit_end);
	if (r >= 0 && k->in_fixed && k->quiet >= QUIET_TOKENS)
		r = close_fixed(k, d);
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
		if (r < 0)
			return r;
		g->codes_bit = p->header_bit;
		deflate_codes_init(&g->own, g->tokens->lens, g->tokens->n_litlen,
				   g->tokens->n_dist);
	}
	return inflate_seek(g->tokens, p->bit, d);
}

static int patch_codes(struct gzip_patch *g, const struct stage *s, const struct gzip_part *p,
		       struct diag *d)
{
	struct tokens k = { .g = g, .s = s, .p = p };
	uint64_t at = p->plain;
	int r;

	k.low = MAX(s->base, p->plain > STAGE_HISTORY ? p->plain - STAGE_HISTORY : 0);
	k.removals = stage_removed(s, k.low, p->plain_end);
	stage_copy_new(s, k.low, p->plain_end, g->window);
	r = seek_tokens(g, p, d);
	while (r >= 0 && at < p->plain_end) {
		struct inflate_token t;

		r = inflate_token(g->tokens, &t, d);
		if (r < 0)
			break;
		/* The first pass has decoded the same bits; anything else is a file that changes.
		 */
		if (t.end || t.length > p->plain_end - at || t.distance > at - k.low)
			return diag_fail(d, -EIO, g->out.name,
					 "the layer changed while it was being read");
		r = write_token(&k, &t, at, d);
		at += t.length;
	}
	return r >= 0 && k.in_fixed ? close_fixed(&k, d) : r;
}

/* A stored block is written anew: its length stands on a byte boundary that may have moved. */
static int patch_stored(struct gzip_patch *g, const struct stage *s, const struct gzip_part *p,
			struct diag *d)
{
	size_t n = (size_t)(p->plain_end - p->plain), kept = 0;
	bool removals = stage_removed(s, p->plain, p->plain_end);
	int r;

	stage_copy_new(s, p->plain, p->plain_end, g->window);
	for (size_t i = 0; i < n; i++)
		if (!removals || !stage_removed(s, p->plain + i, p->plain + i + 1))
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
