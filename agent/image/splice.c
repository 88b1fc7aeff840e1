/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Copying to the bit. As long as both sides stand on a byte boundary bytes are copied; behind the
 * first edit that moved the stream every byte is shifted, 64 bits at a time.
 */
#include "image/splice-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/fd.h"

int splice_init(struct splice *s, int in_fd, uint64_t begin, uint64_t size, int out_fd,
		const char *name)
{
	s->in_fd = in_fd;
	s->out_fd = out_fd;
	s->begin = begin;
	s->size = size;
	s->in_bit = s->acc = s->n_written = 0;
	s->n_acc = 0;
	s->n_out = 0;
	s->name = name;
	s->sum = digester_new();
	return s->sum ? 0 : -ENOMEM;
}

void splice_done(struct splice *s)
{
	s->sum = digester_free(s->sum);
}

static int write_out(struct splice *s, const uint8_t *data, size_t n, struct diag *d)
{
	int r;

	digester_add(s->sum, data, n);
	r = fd_write_all(s->out_fd, data, n);
	if (r < 0)
		return diag_errno(d, r, s->name, "cannot write the new layer");
	s->n_written += n;
	return 0;
}

static int flush(struct splice *s, struct diag *d)
{
	size_t n = s->n_out;

	s->n_out = 0;
	return write_out(s, s->out, n, d);
}

static int read_in(struct splice *s, uint64_t at, size_t n, struct diag *d)
{
	for (size_t have = 0; have < n;) {
		ssize_t k = fd_pread(s->in_fd, s->in + have, n - have, (off_t)(s->begin + at + have));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return diag_fail(d, k < 0 ? -errno : -EIO, s->name,
					 "cannot read the layer again");
		have += (size_t)k;
	}
	return 0;
}

int splice_put(struct splice *s, uint32_t bits, unsigned int n, struct diag *d)
{
	s->acc |= (uint64_t)bits << s->n_acc;
	s->n_acc += n;
	while (s->n_acc >= 8) {
		s->out[s->n_out++] = (uint8_t)s->acc;
		s->acc >>= 8;
		s->n_acc -= 8;
	}
	return s->n_out >= SPLICE_BUFFER ? flush(s, d) : 0;
}

static uint64_t load64le(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static void store64le(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	memcpy(p, &v, sizeof(v));
}

/* Eight bytes at a time, from @shift bits into the first of them. */
static void shift_words(uint8_t *restrict out, const uint8_t *restrict in, size_t n_words, unsigned int shift)
{
	if (shift == 0) {
		memcpy(out, in, 8 * n_words);
		return;
	}
	for (size_t i = 0; i < n_words; i++)
		store64le(out + 8 * i, load64le(in + 8 * i) >> shift | (uint64_t)in[8 * i + 8] << (64 - shift));
}

/* Up to 32 bits of s->in from @bit on. */
static int shift_few(struct splice *s, uint64_t bit, unsigned int n, struct diag *d)
{
	return splice_put(s, (uint32_t)(load64le(s->in + bit / 8) >> bit % 8 & ((1ULL << n) - 1)), n, d);
}

/* The bits of s->in from @bit on, @n of them; the buffer has 16 readable bytes behind its end. */
static int shift_copy(struct splice *s, uint64_t bit, uint64_t n, struct diag *d)
{
	unsigned int few = (unsigned int)MIN(n, (uint64_t)(-s->n_acc & 7));
	int r = 0;

	/* Up to a byte of the output: from there on all words are shifted alike. */
	if (few > 0)
		r = shift_few(s, bit, few, d);
	for (bit += few, n -= few; n >= 64 && r >= 0;) {
		size_t n_words = (size_t)MIN(n / 64, (uint64_t)(SPLICE_BUFFER - s->n_out) / 8);

		if (n_words == 0) {
			r = flush(s, d);
			continue;
		}
		shift_words(s->out + s->n_out, s->in + bit / 8, n_words, bit % 8);
		s->n_out += 8 * n_words;
		bit += 64 * (uint64_t)n_words;
		n -= 64 * (uint64_t)n_words;
	}
	for (; n > 0 && r >= 0; bit += few, n -= few) {
		few = (unsigned int)MIN(n, (uint64_t)32);
		r = shift_few(s, bit, few, d);
	}
	return r;
}

int splice_copy_again(struct splice *s, uint64_t from, uint64_t to, struct diag *d)
{
	int r = 0;

	while (from < to && r >= 0) {
		uint64_t first = from / 8, last = MIN((to + 7) / 8, first + SPLICE_BUFFER);
		uint64_t end = MIN(to, last * 8);

		r = read_in(s, first, (size_t)(last - first), d);
		if (r < 0)
			return r;
		if (s->n_acc == 0 && from % 8 == 0 && end % 8 == 0) {
			r = flush(s, d);
			if (r >= 0)
				r = write_out(s, s->in, (size_t)(last - first), d);
		} else {
			r = shift_copy(s, from - first * 8, end - from, d);
		}
		from = end;
	}
	return r;
}

int splice_copy_to(struct splice *s, uint64_t bit, struct diag *d)
{
	uint64_t whole = bit / 8 * 8;
	int r = 0;

	/* A few bits more must not keep a long run of bytes from being copied as bytes. */
	if (whole > s->in_bit)
		r = splice_copy_again(s, s->in_bit, whole, d);
	if (r >= 0)
		r = splice_copy_again(s, MAX(s->in_bit, whole), bit, d);
	s->in_bit = bit;
	return r;
}

void splice_skip_to(struct splice *s, uint64_t bit)
{
	s->in_bit = bit;
}

int splice_align(struct splice *s, struct diag *d)
{
	return splice_put(s, 0, -s->n_acc & 7, d);
}

int splice_bytes(struct splice *s, const void *data, size_t n, struct diag *d)
{
	const uint8_t *p = data;
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = splice_put(s, p[i], 8, d);
	return r;
}

int splice_end(struct splice *s, struct digest *ret_sum, uint64_t *ret_size, struct diag *d)
{
	int r = flush(s, d);

	if (r >= 0)
		r = digester_end(s->sum, ret_sum);
	if (r >= 0)
		*ret_size = s->n_written;
	return r;
}
