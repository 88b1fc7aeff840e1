/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Decoding (RFC 1951). A code is looked up in one table, long codes in a second; an entry holds
 * everything about its symbol, so that a literal costs one load and a match two:
 *
 *   bits 0-7    how many bits code and extra bits take together
 *   bits 8-12   how many of these are the code's (a pointer: how many bits index the second table)
 *   bits 16-27  literal, base of length or distance, or where the second table starts
 *   bits 28-31  what it is
 *
 * Distances have bases up to 24577: theirs start at bit 13, and nothing else needs those bits.
 */
#include "image/inflate-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "image/inflate-table.h"

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static int malformed(const struct inflate *z, struct diag *d, const char *what)
{
	return diag_fail(d, -EBADMSG, z->name, "the gzip data is damaged: %s", what);
}

/* ---- input ---------------------------------------------------------------------------------- */

void inflate_init(struct inflate *z, int fd, uint64_t begin, uint64_t size, const char *name)
{
	z->fd = fd;
	z->begin = begin;
	z->size = size;
	z->on_input = NULL;
	z->name = name;
	z->loaded = z->buf_at = 0;
	z->filled = 0;
	z->eof = false;
	z->p = z->buf;
	z->bits = 0;
	z->n_bits = 0;
	z->tables_fixed = false;
}

uint64_t inflate_bit(const struct inflate *z)
{
	return (z->buf_at + (uint64_t)(z->p - z->buf)) * 8 - z->n_bits;
}

/* Zeros behind the end let the fast loop overrun by a little, which is found out here. */
static int fill(struct inflate *z, struct diag *d)
{
	size_t used, left;

	if (z->eof)
		return inflate_bit(z) > z->size * 8 ? malformed(z, d, "it is cut short") : 0;
	/* Whole bytes go back, for they may be wanted as bytes when the buffer has moved on. */
	z->p -= z->n_bits >> 3;
	z->n_bits &= 7;
	z->bits &= (1U << z->n_bits) - 1;
	used = (size_t)(z->p - z->buf);
	left = z->filled - used;
	memmove(z->buf, z->p, left);
	z->buf_at += used;
	z->p = z->buf;
	z->filled = left;
	while (z->filled < INFLATE_IN) {
		uint64_t at = z->buf_at + z->filled;
		size_t want = (size_t)MIN((uint64_t)(INFLATE_IN - z->filled), z->size - at);
		ssize_t n;

		if (want == 0) {
			z->eof = true;
			memset(z->buf + z->filled, 0, INFLATE_IN_SLACK);
			break;
		}
		n = fd_pread(z->fd, z->buf + z->filled, want, (off_t)(z->begin + at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return diag_fail(d, n < 0 ? -errno : -EIO, z->name,
					 "cannot read the layer");
		if (z->on_input && at + (uint64_t)n > z->loaded)
			z->on_input(z->on_input_arg, z->buf + z->filled + (z->loaded - at),
				    (size_t)(at + (uint64_t)n - z->loaded));
		z->loaded = MAX(z->loaded, at + (uint64_t)n);
		z->filled += (size_t)n;
	}
	return 0;
}

/* Where the fast loop must stop to have 32 bytes in front of it. */
static const uint8_t *fast_end(const struct inflate *z)
{
	size_t n = z->filled + (z->eof ? INFLATE_IN_SLACK : 0);

	return n >= 32 ? z->buf + n - 32 : z->buf;
}

static int ensure(struct inflate *z, struct diag *d)
{
	return z->p >= fast_end(z) ? fill(z, d) : 0;
}

/* At least 56 bits, zeros behind the end. */
static inline void refill(struct inflate *z)
{
	z->bits |= load64(z->p) << z->n_bits;
	z->p += (63 - z->n_bits) >> 3;
	z->n_bits |= 56;
}

static inline void drop(struct inflate *z, unsigned int n)
{
	z->bits >>= n;
	z->n_bits -= n;
}

static int take(struct inflate *z, unsigned int n, unsigned int *ret, struct diag *d)
{
	int r = ensure(z, d);

	if (r < 0)
		return r;
	refill(z);
	*ret = (unsigned int)(z->bits & ((1U << n) - 1));
	drop(z, n);
	return 0;
}

int inflate_seek(struct inflate *z, uint64_t bit, struct diag *d)
{
	uint64_t byte = bit / 8;
	unsigned int ignored;

	z->bits = 0;
	z->n_bits = 0;
	if (byte >= z->buf_at && byte <= z->buf_at + z->filled) {
		z->p = z->buf + (byte - z->buf_at);
	} else {
		z->buf_at = byte;
		z->p = z->buf;
		z->filled = 0;
		z->eof = false;
	}
	return take(z, bit % 8, &ignored, d);
}

void inflate_align(struct inflate *z)
{
	drop(z, z->n_bits & 7);
	z->p -= z->n_bits >> 3;
	z->bits = 0;
	z->n_bits = 0;
}

static int copy_input(struct inflate *z, uint8_t *out, size_t n, struct diag *d)
{
	while (n > 0) {
		size_t have = z->filled - MIN((size_t)(z->p - z->buf), z->filled), k = MIN(n, have);
		int r;

		if (k == 0) {
			if (z->eof)
				return malformed(z, d, "it is cut short");
			r = fill(z, d);
			if (r < 0)
				return r;
			continue;
		}
		memcpy(out, z->p, k);
		z->p += k;
		out += k;
		n -= k;
	}
	return 0;
}

int inflate_bytes(struct inflate *z, void *ret, size_t n, struct diag *d)
{
	inflate_align(z);
	return copy_input(z, ret, n, d);
}

int inflate_at_end(struct inflate *z, bool *ret, struct diag *d)
{
	int r;

	inflate_align(z);
	r = ensure(z, d);
	if (r < 0)
		return r;
	*ret = z->eof && (size_t)(z->p - z->buf) >= z->filled;
	return 0;
}

/* ---- block headers -------------------------------------------------------------------------- */

static int stored_header(struct inflate *z, struct diag *d)
{
	uint8_t n[4] = { 0 };
	int r;

	r = inflate_bytes(z, n, sizeof(n), d);
	if (r < 0)
		return r;
	if ((n[0] ^ n[2]) != 0xff || (n[1] ^ n[3]) != 0xff)
		return malformed(z, d, "the length of a stored block contradicts itself");
	z->stored_left = (size_t)n[0] | (size_t)n[1] << 8;
	return 0;
}

static int read_lengths(struct inflate *z, const uint32_t *precode, struct diag *d)
{
	unsigned int n = 0, total = z->n_litlen + z->n_dist;

	while (n < total) {
		static const struct {
			unsigned int base, bits;
		} repeats[] = { { 3, 2 }, { 3, 3 }, { 11, 7 } };
		unsigned int symbol, count;
		uint32_t e;
		int r = ensure(z, d);

		if (r < 0)
			return r;
		refill(z);
		e = precode[z->bits & 0x7f];
		if (e & ENTRY_INVALID)
			return malformed(z, d, "an unassigned code among code lengths");
		drop(z, e & 0xff);
		symbol = entry_value(e);
		if (symbol < 16) {
			z->lens[n++] = (uint8_t)symbol;
			continue;
		}
		if (symbol == 16 && n == 0)
			return malformed(z, d, "a code length repeats nothing");
		count = repeats[symbol - 16].base +
			(unsigned int)(z->bits & ((1U << repeats[symbol - 16].bits) - 1));
		drop(z, repeats[symbol - 16].bits);
		if (count > total - n)
			return malformed(z, d, "too many code lengths");
		memset(z->lens + n, symbol == 16 ? z->lens[n - 1] : 0, count);
		n += count;
	}
	return 0;
}

static int dynamic_header(struct inflate *z, struct diag *d)
{
	static const uint8_t order[19] = { 16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
					   11, 4,  12, 3, 13, 2, 14, 1, 15 };
	uint32_t precode[128];
	uint8_t lens[19] = { 0 };
	unsigned int n_precode, v;
	int r;

	r = take(z, 14, &v, d);
	if (r < 0)
		return r;
	z->tables_fixed = false;
	z->n_litlen = (v & 31) + 257;
	z->n_dist = (v >> 5 & 31) + 1;
	n_precode = (v >> 10) + 4;
	if (z->n_litlen > 286 || z->n_dist > 30)
		return malformed(z, d, "too many codes");
	for (unsigned int i = 0; i < n_precode; i++) {
		r = take(z, 3, &v, d);
		if (r < 0)
			return r;
		lens[order[i]] = (uint8_t)v;
	}
	if (inflate_table_precode(precode, lens) < 0)
		return malformed(z, d, "impossible lengths of code lengths");
	r = read_lengths(z, precode, d);
	if (r < 0)
		return r;
	if (z->lens[256] == 0)
		return malformed(z, d, "a block without an end");
	if (inflate_table_litlen(z->litlen, z->lens, z->n_litlen) < 0)
		return malformed(z, d, "impossible code lengths");
	if (inflate_table_dist(z->dist, z->lens + z->n_litlen, z->n_dist) < 0)
		return malformed(z, d, "impossible lengths of distance codes");
	return 0;
}

static int fixed_header(struct inflate *z)
{
	if (z->tables_fixed)
		return 0;
	z->tables_fixed = true;
	z->n_litlen = 288;
	z->n_dist = 32;
	inflate_lengths_fixed(z->lens);
	(void)inflate_table_litlen(z->litlen, z->lens, 288);
	(void)inflate_table_dist(z->dist, z->lens + 288, 32);
	return 0;
}

int inflate_block_begin(struct inflate *z, struct diag *d)
{
	unsigned int v;
	int r;

	z->header_bit = inflate_bit(z);
	r = take(z, 3, &v, d);
	if (r < 0)
		return r;
	if (v >> 1 == 3)
		return malformed(z, d, "a block of unknown type");
	z->final = v & 1;
	z->type = (enum inflate_block)(v >> 1);
	z->block_done = false;
	z->stored_left = 0;
	if (z->type == BLOCK_STORED)
		r = stored_header(z, d);
	else if (z->type == BLOCK_FIXED)
		r = fixed_header(z);
	else
		r = dynamic_header(z, d);
	z->body_bit = inflate_bit(z);
	return r;
}

/* ---- tokens --------------------------------------------------------------------------------- */

/* Follows a pointer to the second table. */
static inline uint32_t lookup(struct inflate *z, const uint32_t *table, unsigned int table_bits)
{
	uint32_t e = table[z->bits & ((1U << table_bits) - 1)];

	if (e & ENTRY_POINTER) {
		drop(z, table_bits);
		e = table[entry_value(e) + (z->bits & ((1U << entry_code_bits(e)) - 1))];
	}
	return e;
}

/* Base plus extra bits; drops code and extra bits. */
static inline unsigned int entry_take(struct inflate *z, uint32_t e, unsigned int base)
{
	unsigned int total = e & 0xff, code = entry_code_bits(e);
	unsigned int extra = (unsigned int)((z->bits & (((uint64_t)1 << total) - 1)) >> code);

	drop(z, total);
	return base + extra;
}

int inflate_token(struct inflate *z, struct inflate_token *ret, struct diag *d)
{
	struct inflate_token t = { 0 };
	uint32_t e;
	int r = ensure(z, d);

	if (r < 0)
		return r;
	refill(z);
	t.bit = inflate_bit(z);
	e = lookup(z, z->litlen, LITLEN_BITS);
	if (e & ENTRY_LITERAL) {
		drop(z, e & 0xff);
		t.literal = (uint8_t)entry_value(e);
		t.length = 1;
	} else if (e & ENTRY_INVALID) {
		return malformed(z, d, "an unassigned code");
	} else if (e & ENTRY_END) {
		drop(z, e & 0xff);
		t.end = true;
	} else {
		t.length = entry_take(z, e, entry_value(e));
		e = lookup(z, z->dist, DIST_BITS);
		if (e & ENTRY_INVALID)
			return malformed(z, d, "an unassigned distance");
		t.distance = entry_take(z, e, entry_distance(e));
	}
	t.bit_end = inflate_bit(z);
	*ret = t;
	return 0;
}

/* Copies @n bytes from @distance back; may write up to 16 bytes too many. */
static inline void copy_match(uint8_t *out, size_t distance, size_t n)
{
	const uint8_t *from = out - distance, *end = out + n;

	if (distance >= 16) {
		do {
			memcpy(out, from, 16);
			out += 16;
			from += 16;
		} while (out < end);
	} else if (distance >= 8) {
		do {
			memcpy(out, from, 8);
			out += 8;
			from += 8;
		} while (out < end);
	} else if (distance == 1) {
		memset(out, *from, n);
	} else {
		while (out < end)
			*out++ = *from++;
	}
}

/* The state of the bit buffer lives in registers here, not in @z. */
static inline __attribute__((always_inline)) int run_codes(struct inflate *z, uint8_t *out, size_t lowest, size_t *at, size_t limit,
		     struct diag *d)
{
	const uint32_t *litlen = z->litlen, *dist = z->dist;
	uint8_t *o = out + *at, *const o_limit = out + limit;
	const uint8_t *p = z->p, *p_end = fast_end(z), *const low = out + lowest;
	uint64_t bits = z->bits;
	unsigned int n_bits = z->n_bits;
	const char *bad = NULL;

#define SYNC_OUT()                                                                                 \
	do {                                                                                       \
		z->p = p;                                                                          \
		z->bits = bits;                                                                    \
		z->n_bits = n_bits;                                                                \
	} while (0)
#define DROP(n)                                                                                    \
	do {                                                                                       \
		unsigned int _n = (n);                                                             \
		bits >>= _n;                                                                       \
		n_bits -= _n;                                                                      \
	} while (0)

	while (o < o_limit) {
		unsigned int length, distance, total;
		uint32_t e;

		if (p >= p_end) {
			int r;

			SYNC_OUT();
			r = fill(z, d);
			if (r < 0)
				return r;
			p = z->p;
			p_end = fast_end(z);
			bits = z->bits;
			n_bits = z->n_bits;
		}
		bits |= load64(p) << n_bits;
		p += (63 - n_bits) >> 3;
		n_bits |= 56;
		e = litlen[bits & ((1U << LITLEN_BITS) - 1)];
		/* Three literals of the first table leave 23 bits, which the next turn fills up. */
		if (e & ENTRY_LITERAL) {
			DROP(e & 0xff);
			*o++ = (uint8_t)entry_value(e);
			e = litlen[bits & ((1U << LITLEN_BITS) - 1)];
			if (e & ENTRY_LITERAL) {
				DROP(e & 0xff);
				*o++ = (uint8_t)entry_value(e);
				e = litlen[bits & ((1U << LITLEN_BITS) - 1)];
				if (e & ENTRY_LITERAL) {
					DROP(e & 0xff);
					*o++ = (uint8_t)entry_value(e);
					continue;
				}
			}
			bits |= load64(p) << n_bits;
			p += (63 - n_bits) >> 3;
			n_bits |= 56;
		}
		if (e & (ENTRY_POINTER | ENTRY_END | ENTRY_INVALID)) {
			if (e & ENTRY_POINTER) {
				DROP(LITLEN_BITS);
				e = litlen[entry_value(e) +
					   (bits & ((1U << entry_code_bits(e)) - 1))];
				if (e & ENTRY_LITERAL) {
					DROP(e & 0xff);
					*o++ = (uint8_t)entry_value(e);
					continue;
				}
			}
			if (e & ENTRY_END) {
				DROP(e & 0xff);
				z->block_done = true;
				break;
			}
			if (e & ENTRY_INVALID) {
				bad = "an unassigned code";
				break;
			}
		}
		total = e & 0xff;
		length = entry_value(e) + (unsigned int)((bits & (((uint64_t)1 << total) - 1)) >>
							 entry_code_bits(e));
		DROP(total);
		e = dist[bits & ((1U << DIST_BITS) - 1)];
		if (e & ENTRY_POINTER) {
			DROP(DIST_BITS);
			e = dist[entry_value(e) + (bits & ((1U << entry_code_bits(e)) - 1))];
		}
		if (e & ENTRY_INVALID) {
			bad = "an unassigned distance";
			break;
		}
		total = e & 0xff;
		distance =
			entry_distance(e) +
			(unsigned int)((bits & (((uint64_t)1 << total) - 1)) >> entry_code_bits(e));
		DROP(total);
		if (distance > (size_t)(o - low)) {
			bad = "a distance reaches before the beginning";
			break;
		}
		copy_match(o, distance, length);
		o += length;
	}
	SYNC_OUT();
	*at = (size_t)(o - out);
	if (bad)
		return malformed(z, d, bad);
	return z->eof && inflate_bit(z) > z->size * 8 ? malformed(z, d, "it is cut short") : 0;
}

static int run_anywhere(struct inflate *z, uint8_t *out, size_t lowest, size_t *at, size_t limit,
			struct diag *d)
{
	return run_codes(z, out, lowest, at, limit, d);
}

#if defined(__x86_64__)

/* The same with shifts by any register and without flags: a tenth faster. */
__attribute__((target("bmi,bmi2"))) static int run_bmi2(struct inflate *z, uint8_t *out,
							size_t lowest, size_t *at, size_t limit,
							struct diag *d)
{
	return run_codes(z, out, lowest, at, limit, d);
}

static bool has_bmi2(void)
{
	return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

#else

#define run_bmi2 run_anywhere

static bool has_bmi2(void)
{
	return false;
}

#endif

int inflate_run(struct inflate *z, uint8_t *out, size_t lowest, size_t *at, size_t limit,
		struct diag *d)
{
	size_t n;
	int r;

	if (z->type != BLOCK_STORED)
		return has_bmi2() ? run_bmi2(z, out, lowest, at, limit, d)
				  : run_anywhere(z, out, lowest, at, limit, d);
	n = MIN(z->stored_left, limit > *at ? limit - *at : 0);
	r = copy_input(z, out + *at, n, d);
	if (r < 0)
		return r;
	*at += n;
	z->stored_left -= n;
	z->block_done = z->stored_left == 0;
	return 0;
}
