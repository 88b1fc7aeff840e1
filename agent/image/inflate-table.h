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

/* A symbol's code as it is written, least significant bit first. Return: its length or 0. */
unsigned int inflate_canonical(const uint8_t *lens, unsigned int n, unsigned int symbol,
			       uint32_t *ret);
