/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Writing tokens with the codes of a block.
 */
#include "image/inflate-internal.h"
#include "image/splice-internal.h"

#define DEFLATE_LITLEN 288
#define DEFLATE_DIST 32
#define DEFLATE_END 256

struct deflate_codes {
	uint16_t code[DEFLATE_LITLEN + DEFLATE_DIST]; /* as written, first bit lowest */
	uint8_t len[DEFLATE_LITLEN + DEFLATE_DIST];   /* 0: the block has no such code */
};

/* @lens: @n_litlen lengths, then @n_dist for distances */
void deflate_codes_init(struct deflate_codes *c, const uint8_t *lens, unsigned int n_litlen,
			unsigned int n_dist);

/* The codes that every block of type 1 has. */
void deflate_codes_fixed(struct deflate_codes *c);

/* Can the token be written? A literal has no distance. */
bool deflate_can(const struct deflate_codes *c, const struct inflate_token *t);
int deflate_put(const struct deflate_codes *c, const struct inflate_token *t, struct splice *out,
		struct diag *d) _must_check_;
int deflate_put_end(const struct deflate_codes *c, struct splice *out, struct diag *d) _must_check_;
