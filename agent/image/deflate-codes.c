/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The other direction of inflate-table.c: symbols to codes.
 */
#include "image/deflate-codes.h"

#include <string.h>

#include "image/inflate-table.h"

#define MAX_BITS 15

static void assign(uint16_t *code, uint8_t *len, const uint8_t *lens, unsigned int n)
{
	unsigned int count[MAX_BITS + 1] = { 0 }, next[MAX_BITS + 1] = { 0 }, v = 0;

	for (unsigned int i = 0; i < n; i++)
		count[lens[i]]++;
	count[0] = 0;
	for (unsigned int bits = 1; bits <= MAX_BITS; bits++) {
		v = (v + count[bits - 1]) << 1;
		next[bits] = v;
	}
	for (unsigned int i = 0; i < n; i++) {
		len[i] = lens[i];
		if (lens[i] > 0)
			code[i] = (uint16_t)inflate_reverse(next[lens[i]]++, lens[i]);
	}
}

void deflate_codes_init(struct deflate_codes *c, const uint8_t *lens, unsigned int n_litlen,
			unsigned int n_dist)
{
	memset(c, 0, sizeof(*c));
	assign(c->code, c->len, lens, n_litlen);
	assign(c->code + DEFLATE_LITLEN, c->len + DEFLATE_LITLEN, lens + n_litlen, n_dist);
}

void deflate_codes_fixed(struct deflate_codes *c)
{
	uint8_t lens[DEFLATE_LITLEN + DEFLATE_DIST];

	inflate_lengths_fixed(lens);
	deflate_codes_init(c, lens, DEFLATE_LITLEN, DEFLATE_DIST);
}

bool deflate_can(const struct deflate_codes *c, const struct inflate_token *t)
{
	struct inflate_symbol s;

	if (t->distance == 0)
		return c->len[t->literal] > 0;
	inflate_length_symbol(t->length, &s);
	if (c->len[s.symbol] == 0)
		return false;
	inflate_distance_symbol(t->distance, &s);
	return c->len[DEFLATE_LITLEN + s.symbol] > 0;
}

static int put(const struct deflate_codes *c, unsigned int index, const struct inflate_symbol *s,
	       struct splice *out, struct diag *d)
{
	unsigned int n = c->len[index];

	return splice_put(out, c->code[index] | (uint32_t)s->extra << n, n + s->n_extra, d);
}

int deflate_put(const struct deflate_codes *c, const struct inflate_token *t, struct splice *out,
		struct diag *d)
{
	struct inflate_symbol s = { 0 };
	int r;

	if (t->distance == 0)
		return put(c, t->literal, &s, out, d);
	inflate_length_symbol(t->length, &s);
	r = put(c, s.symbol, &s, out, d);
	inflate_distance_symbol(t->distance, &s);
	return r < 0 ? r : put(c, DEFLATE_LITLEN + s.symbol, &s, out, d);
}

int deflate_put_end(const struct deflate_codes *c, struct splice *out, struct diag *d)
{
	return splice_put(out, c->code[DEFLATE_END], c->len[DEFLATE_END], d);
}
