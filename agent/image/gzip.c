/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gzip stream as a queue of parts: a member's header, pieces of blocks, a member's trailer. A
 * part is decoded at once and committed when the walker has decided about all of its bytes; since
 * a decision needs but a few headers, the queue is nearly always one part long.
 */
#include "image/gzip-internal.h"

#include <errno.h>
#include <string.h>

#include "image/crc.h"
#include "image/gzip-patch.h"
#include "image/inflate-internal.h"

/* Undecided parts; only a stream made to do harm has more than a few. */
#define MAX_PARTS 16384

struct gzip {
	struct inflate in;
	struct stage *s;
	struct gzip_patch patch;
	struct digester *sum; /* of the compressed input */
	struct gzip_part *parts;
	size_t first, n;
	uint64_t max_plain, size;
	const char *name;
	uint64_t member_plain; /* where this member's plain bytes begin */
	uint32_t old_crc;      /* of the member so far, over what has been committed */
	uint64_t n_members;
	void (*tick)(void *arg, uint64_t done);
	void *tick_arg;
};

static int add_part(struct gzip *g, const struct gzip_part *p, struct diag *d)
{
	if (g->first > 0 && g->first == g->n)
		g->first = g->n = 0;
	if (g->n == MAX_PARTS) {
		memmove(g->parts, g->parts + g->first, (g->n - g->first) * sizeof(*g->parts));
		g->n -= g->first;
		g->first = 0;
	}
	if (g->n == MAX_PARTS)
		return diag_fail(d, -E2BIG, g->name,
				 "too many blocks within the headers of one member");
	g->parts[g->n++] = *p;
	return 0;
}

static int new_bytes(void *arg, const uint8_t *data, size_t n, struct diag *d)
{
	gzip_patch_sum(&((struct gzip *)arg)->patch, data, n);
	return 0;
}

static int commit_part(struct gzip *g, const struct gzip_part *p, struct diag *d)
{
	const uint8_t *data = g->s->data + (p->plain - g->s->base);
	int r;

	switch (p->kind) {
	case PART_MEMBER:
		g->old_crc = 0;
		return gzip_patch_member(&g->patch, p, d);
	case PART_BLOCK:
		r = gzip_patch_block(&g->patch, g->s, p, g->old_crc, d);
		if (r < 0)
			return r;
		g->old_crc = crc_add(g->old_crc, data, (size_t)(p->plain_end - p->plain));
		return stage_commit(g->s, p->plain_end, new_bytes, g, d);
	case PART_TRAILER:
		if (g->old_crc != p->crc)
			return diag_fail(d, -EBADMSG, g->name,
					 "the gzip data is damaged: a checksum is wrong");
		return gzip_patch_trailer(&g->patch, p, d);
	}
	return -EINVAL;
}

static int commit(struct gzip *g, uint64_t settled, struct diag *d)
{
	int r = 0;

	while (g->first < g->n && g->parts[g->first].plain_end <= settled && r >= 0)
		r = commit_part(g, &g->parts[g->first++], d);
	return r;
}

static int skip_text(struct gzip *g, struct diag *d)
{
	uint8_t c;
	int r;

	do
		r = inflate_bytes(&g->in, &c, 1, d);
	while (r >= 0 && c != 0);
	return r;
}

/* eStargz ends a layer with an empty member whose extra field says where its table stands. */
static int extra_field(struct gzip *g, struct gzip_part *part, struct diag *d)
{
	uint8_t n[2], field[4 + GZIP_STARGZ_SIZE];
	size_t left, k;
	int r;

	r = inflate_bytes(&g->in, n, 2, d);
	if (r < 0)
		return r;
	left = (size_t)n[0] | (size_t)n[1] << 8;
	/* The first version of the format had no subfield around it. */
	if (left == sizeof(field) || left == GZIP_STARGZ_SIZE) {
		r = inflate_bytes(&g->in, field, left, d);
		if (r >= 0 && memcmp(field + left - 6, "STARGZ", 6) == 0)
			part->stargz_bit = inflate_bit(&g->in) - 8 * GZIP_STARGZ_SIZE;
		return r;
	}
	for (; left > 0 && r >= 0; left -= k) {
		k = MIN(left, sizeof(field));
		r = inflate_bytes(&g->in, field, k, d);
	}
	return r;
}

/* RFC 1952: ten bytes, then what the flags announce. */
static int member_header(struct gzip *g, struct diag *d)
{
	enum { FHCRC = 2, FEXTRA = 4, FNAME = 8, FCOMMENT = 16 };
	struct gzip_part part = { .kind = PART_MEMBER, .bit = inflate_bit(&g->in) };
	uint8_t h[10], n[2];
	int r;

	r = inflate_bytes(&g->in, h, sizeof(h), d);
	if (r < 0)
		return r;
	if (h[0] != 0x1f || h[1] != 0x8b)
		return diag_fail(d, -EBADMSG, g->name, "%s",
				 g->n_members
					 ? "bytes behind the gzip data; readers disagree about them"
					 : "not gzip data");
	if (h[2] != 8 || h[3] & 0xe0)
		return diag_fail(d, -EBADMSG, g->name, "gzip data of an unknown kind");
	if (h[3] & FEXTRA)
		r = extra_field(g, &part, d);
	if (r >= 0 && h[3] & FNAME)
		r = skip_text(g, d);
	if (r >= 0 && h[3] & FCOMMENT)
		r = skip_text(g, d);
	if (r >= 0 && h[3] & FHCRC)
		r = inflate_bytes(&g->in, n, 2, d);
	if (r < 0)
		return r;
	part.plain = part.plain_end = g->member_plain = g->s->base + g->s->n;
	part.bit_end = inflate_bit(&g->in);
	g->n_members++;
	return add_part(g, &part, d);
}

static uint32_t u32le(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int member_trailer(struct gzip *g, struct diag *d)
{
	struct gzip_part part = { .kind = PART_TRAILER, .bit = inflate_bit(&g->in) };
	uint8_t t[8];
	int r;

	r = inflate_bytes(&g->in, t, sizeof(t), d);
	if (r < 0)
		return r;
	part.plain = part.plain_end = g->s->base + g->s->n;
	if (u32le(t + 4) != (uint32_t)(part.plain - g->member_plain))
		return diag_fail(d, -EBADMSG, g->name,
				 "the gzip data is damaged: a length is wrong");
	part.crc = u32le(t);
	part.bit_end = inflate_bit(&g->in);
	return add_part(g, &part, d);
}

/* Decodes up to a piece of the current block. */
static int block_piece(struct gzip *g, bool begins, struct diag *d)
{
	struct gzip_part part = { .kind = PART_BLOCK, .begins = begins };
	struct inflate *z = &g->in;
	struct stage *s = g->s;
	size_t at, lowest;
	int r;

	r = stage_make_room(s, STAGE_PIECE + INFLATE_SLACK, d);
	if (r < 0)
		return r;
	part.type = z->type;
	part.final = z->final;
	part.header_bit = z->header_bit;
	part.body_bit = z->body_bit;
	part.bit = inflate_bit(z);
	part.plain = s->base + s->n;
	at = s->n;
	lowest = g->member_plain > s->base ? (size_t)(g->member_plain - s->base) : 0;
	r = inflate_run(z, s->data, lowest, &at, s->n + STAGE_PIECE, d);
	if (r < 0)
		return r;
	part.bit_end = inflate_bit(z);
	part.plain_end = s->base + at;
	if (part.plain_end > g->max_plain)
		return diag_fail(d, -EFBIG, g->name, "unpacks to more than the limit of %llu bytes",
				 (unsigned long long)g->max_plain);
	r = add_part(g, &part, d);
	if (r >= 0)
		r = stage_push(s, at - s->n, d);
	if (r >= 0)
		r = commit(g, tar_walker_settled(s->walker), d);
	if (g->tick)
		g->tick(g->tick_arg, part.bit_end / 8);
	return r;
}

static int member_blocks(struct gzip *g, struct diag *d)
{
	int r;

	do {
		r = inflate_block_begin(&g->in, d);
		if (r >= 0)
			r = block_piece(g, true, d);
		while (r >= 0 && !g->in.block_done)
			r = block_piece(g, false, d);
	} while (r >= 0 && !g->in.final);
	return r;
}

static int members(struct gzip *g, struct diag *d)
{
	bool end = false;
	int r;

	do {
		r = member_header(g, d);
		if (r >= 0)
			r = member_blocks(g, d);
		if (r >= 0)
			r = member_trailer(g, d);
		if (r >= 0)
			r = inflate_at_end(&g->in, &end, d);
	} while (r >= 0 && !end);
	if (r >= 0)
		r = tar_walker_finish(g->s->walker, d);
	return r < 0 ? r : commit(g, UINT64_MAX, d);
}

static void sum_input(void *arg, const uint8_t *data, size_t n)
{
	digester_add(arg, data, n);
}

static int run(struct gzip *g, struct gzip_result *ret, struct diag *d)
{
	struct gzip_result result = { 0 };
	int r;

	r = members(g, d);
	if (r < 0)
		return r;
	result.n_members = g->n_members;
	result.changed = g->s->changed;
	r = digester_end(g->sum, &result.old_sum);
	if (r >= 0 && g->s->changed)
		r = gzip_patch_end(&g->patch, &result.new_sum, &result.new_size, d);
	if (r < 0)
		return r;
	*ret = result;
	return 0;
}

int gzip_patch(int in_fd, uint64_t begin, uint64_t size, int out_fd, struct stage *s,
	       uint64_t max_plain, const char *name, void (*tick)(void *arg, uint64_t done),
	       void *tick_arg, struct gzip_result *ret, struct diag *d)
{
	struct gzip *g;
	int r;

	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->s = s;
	g->name = name;
	g->max_plain = max_plain;
	g->size = size;
	g->tick = tick;
	g->tick_arg = tick_arg;
	g->parts = calloc(MAX_PARTS, sizeof(*g->parts));
	g->sum = digester_new();
	inflate_init(&g->in, in_fd, begin, size, name);
	g->in.on_input = sum_input;
	g->in.on_input_arg = g->sum;
	r = g->parts && g->sum ? gzip_patch_init(&g->patch, in_fd, begin, size, out_fd, name)
			       : -ENOMEM;
	if (r >= 0)
		r = run(g, ret, d);
	gzip_patch_done(&g->patch);
	g->sum = digester_free(g->sum);
	free(g->parts);
	free(g);
	return r;
}
