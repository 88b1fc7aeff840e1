/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Decoding tables out of code lengths; the layout of an entry stands in inflate.c.
 */
#include <stdint.h>

#define ENTRY_LITERAL 0x80000000U
#define ENTRY_POINTER 0x40000000U
#define ENTRY_END 0x20000000U
#define ENTRY_INVALID 0x10000000U

static inline unsigned int entry_value(uint32_t e)
{
	return e >> 16 & 0xfff;
}

static inline unsigned int entry_code_bits(uint32_t e)
{
	return e >> 8 & 0x1f;
}

static inline unsigned int entry_distance(uint32_t e)
{
	return e >> 13 & 0x7fff;
}

/* Return: 0, or -EBADMSG for lengths that are no code (as zlib judges). */
int inflate_table_precode(uint32_t *table, const uint8_t *lens);
int inflate_table_litlen(uint32_t *table, const uint8_t *lens, unsigned int n);
int inflate_table_dist(uint32_t *table, const uint8_t *lens, unsigned int n);

/* The 288 and 32 lengths of a block with fixed codes. */
void inflate_lengths_fixed(uint8_t *lens);

unsigned int inflate_reverse(unsigned int code, unsigned int n);

/* A symbol and its extra bits. */
struct inflate_symbol {
	unsigned int symbol, n_extra, extra;
};

/* @length: 3…258; @distance: 1…32768 */
void inflate_length_symbol(unsigned int length, struct inflate_symbol *ret);
void inflate_distance_symbol(unsigned int distance, struct inflate_symbol *ret);
