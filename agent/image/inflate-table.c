/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Canonical codes into tables. Codes are assigned in order of length and symbol; since deflate
 * writes a code's first bit first, tables are indexed by the code with its bits reversed.
 */
#include "image/inflate-table.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "image/inflate-internal.h"

#define MAX_BITS 15

static const uint16_t length_base[29] = { 3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
					  15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
					  67, 83, 99, 115, 131, 163, 195, 227, 258 };
static const uint8_t length_extra[29] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
					  2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };

typedef uint32_t symbol_fn(unsigned int symbol);

/* What an entry says of its symbol, without the code's length: extra bits in 0-7, base, kind. */
static uint32_t precode_symbol(unsigned int s)
{
	return s << 16;
}

static uint32_t litlen_symbol(unsigned int s)
{
	if (s < 256)
		return ENTRY_LITERAL | s << 16;
	if (s == 256)
		return ENTRY_END;
	if (s > 285)
		return ENTRY_INVALID;
	return (uint32_t)length_base[s - 257] << 16 | length_extra[s - 257];
}

static uint32_t dist_symbol(unsigned int s)
{
	unsigned int extra = s < 4 ? 0 : s / 2 - 1;

	if (s > 29)
		return ENTRY_INVALID;
	return (s < 4 ? s + 1 : ((2 + (s & 1)) << extra) + 1) << 13 | extra;
}

unsigned int inflate_reverse(unsigned int code, unsigned int n)
{
	unsigned int r = 0;

	for (; n > 0; n--, code >>= 1)
		r = r << 1 | (code & 1);
	return r;
}

/* The code behind @code, both with their bits reversed; a longer one begins with the same bits. */
static unsigned int next_code(unsigned int code, unsigned int len)
{
	unsigned int zeros = code ^ ((1U << len) - 1), top;

	if (zeros == 0)
		return 0;
	top = 1U << (31 - __builtin_clz(zeros));
	return (code & (top - 1)) | top;
}

/* How many bits the second table behind @prefix needs: enough for the codes still to come. */
static unsigned int second_bits(const unsigned int *count, unsigned int len,
				unsigned int table_bits)
{
	unsigned int n = len - table_bits;
	int left = 1 << n;

	while (n + table_bits < MAX_BITS) {
		left -= (int)count[n + table_bits];
		if (left <= 0)
			break;
		n++;
		left <<= 1;
	}
	return n;
}

static void put(uint32_t *table, unsigned int size, unsigned int index, unsigned int step,
		uint32_t entry)
{
	for (; index < size; index += step)
		table[index] = entry;
}

static inline __attribute__((always_inline)) int build(uint32_t *table, unsigned int table_bits, unsigned int n_entries,
		 const uint8_t *lens, unsigned int n, symbol_fn *describe, bool incomplete_allowed)
{
	unsigned int count[MAX_BITS + 2] = { 0 }, first[MAX_BITS + 2], at = 1U << table_bits;
	unsigned int code = 0, second_at = 0, second_n = 0, prefix = ~0U;
	uint16_t sorted[320];
	int left = 1;

	for (unsigned int i = 0; i < n; i++)
		count[lens[i]]++;
	count[0] = 0;
	for (unsigned int len = 1; len <= MAX_BITS; len++) {
		left = left * 2 - (int)count[len];
		if (left < 0)
			return -EBADMSG;
	}
	/* A code may be incomplete when it is one code of one bit, or none at all. */
	if (left > 0 && !(incomplete_allowed && (left == 1 << MAX_BITS ||
						 (left == 1 << (MAX_BITS - 1) && count[1] == 1))))
		return -EBADMSG;
	for (unsigned int i = 0; i < n_entries; i++)
		table[i] = ENTRY_INVALID;
	first[1] = 0;
	for (unsigned int len = 1; len <= MAX_BITS; len++)
		first[len + 1] = first[len] + count[len];
	for (unsigned int i = 0; i < n; i++)
		if (lens[i] > 0)
			sorted[first[lens[i]]++] = (uint16_t)i;
	for (unsigned int len = 1, i = 0; len <= MAX_BITS; len++) {
		for (unsigned int k = count[len]; k > 0; k--, i++, count[len]--) {
			unsigned int bits = code, rest;
			uint32_t e = describe(sorted[i]);

			code = next_code(code, len);
			if (len <= table_bits) {
				put(table, 1U << table_bits, bits, 1U << len,
				    (e & ~0xffU) | len << 8 | (len + (e & 0xff)));
				continue;
			}
			if ((bits & ((1U << table_bits) - 1)) != prefix) {
				prefix = bits & ((1U << table_bits) - 1);
				second_n = second_bits(count, len, table_bits);
				second_at = at;
				at += 1U << second_n;
				if (at > n_entries)
					return -EBADMSG;
				table[prefix] = ENTRY_POINTER | second_at << 16 | second_n << 8 |
						table_bits;
			}
			rest = len - table_bits;
			put(table + second_at, 1U << second_n, bits >> table_bits, 1U << rest,
			    (e & ~0xffU) | rest << 8 | (rest + (e & 0xff)));
		}
	}
	return 0;
}

int inflate_table_precode(uint32_t *table, const uint8_t *lens)
{
	return build(table, 7, 128, lens, 19, precode_symbol, false);
}

int inflate_table_litlen(uint32_t *table, const uint8_t *lens, unsigned int n)
{
	return build(table, LITLEN_BITS, LITLEN_ENTRIES, lens, n, litlen_symbol, true);
}

int inflate_table_dist(uint32_t *table, const uint8_t *lens, unsigned int n)
{
	return build(table, DIST_BITS, DIST_ENTRIES, lens, n, dist_symbol, true);
}

void inflate_lengths_fixed(uint8_t *lens)
{
	memset(lens, 8, 144);
	memset(lens + 144, 9, 112);
	memset(lens + 256, 7, 24);
	memset(lens + 280, 8, 8);
	memset(lens + 288, 5, 32);
}

void inflate_length_symbol(unsigned int length, struct inflate_symbol *ret)
{
	unsigned int i = ARRAY_SIZE(length_base) - 1;

	while (length_base[i] > length)
		i--;
	*ret = (struct inflate_symbol){ 257 + i, length_extra[i], length - length_base[i] };
}

void inflate_distance_symbol(unsigned int distance, struct inflate_symbol *ret)
{
	unsigned int s = 29;

	while (entry_distance(dist_symbol(s)) > distance)
		s--;
	*ret = (struct inflate_symbol){ s, dist_symbol(s) & 0xff,
					distance - entry_distance(dist_symbol(s)) };
}
