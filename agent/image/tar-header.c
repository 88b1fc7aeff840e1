/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The 512-byte header. Numbers are octal text with blanks or NULs around them, or binary when the
 * top bit of the first byte is set; what stands in a field may mean different things to different
 * readers only where it is malformed, and malformed fields are refused.
 */
#include "image/tar-internal.h"

#include <errno.h>
#include <string.h>

#include "batten/base/macros.h"

#define AT_NAME 0
#define AT_UID 108
#define AT_GID 116
#define AT_SIZE 124
#define AT_MTIME 136
#define AT_TYPE 156
#define AT_LINK 157
#define AT_MAGIC 257
#define AT_MAJOR 329
#define AT_MINOR 337
#define AT_PREFIX 345
#define AT_GNU_ATIME 345
#define AT_GNU_CTIME 357
#define AT_GNU_SPARSE_MORE 482
#define AT_STAR_TRAILER 508
#define PREFIX_SIZE 155
#define STAR_PREFIX_SIZE 131

bool tar_block_is_zero(const uint8_t block[static TAR_BLOCK])
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK - 1) == 0;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\0';
}

/* The digits of an octal field. Return: 0, or -EBADMSG for anything between or around them. */
static int octal_digits(const uint8_t *p, size_t n, size_t *ret_first, size_t *ret_end)
{
	size_t first = 0, end;

	while (first < n && is_blank(p[first]))
		first++;
	for (end = first; end < n && p[end] >= '0' && p[end] <= '7'; end++)
		;
	for (size_t i = end; i < n; i++)
		if (!is_blank(p[i]))
			return -EBADMSG;
	/* One NUL in front is an old writer's overflow; more of them end the field for some. */
	if (end > first && first > 1 && memchr(p, '\0', first))
		return -EBADMSG;
	*ret_first = first;
	*ret_end = end;
	return 0;
}

static int octal(const uint8_t *p, size_t n, uint64_t *ret)
{
	size_t first, end;
	uint64_t v = 0;
	int r;

	r = octal_digits(p, n, &first, &end);
	if (r < 0)
		return r;
	for (size_t i = first; i < end; i++)
		v = v << 3 | (uint64_t)(p[i] - '0');
	*ret = v;
	return 0;
}

/* Negative binary numbers are for times alone, and times are no concern of ours. */
static int number(const uint8_t *p, size_t n, bool negative_too, uint64_t *ret)
{
	uint64_t v;

	if (!(p[0] & 0x80))
		return octal(p, n, ret);
	if (p[0] & 0x40) {
		if (!negative_too)
			return -EBADMSG;
		*ret = 0;
		return 0;
	}
	v = p[0] & 0x3f;
	for (size_t i = 1; i < n; i++) {
		if (v >> 55)
			return -EBADMSG;
		v = v << 8 | p[i];
	}
	*ret = v;
	return 0;
}

/* Readers accept the sum of the bytes as unsigned or as signed numbers. */
static bool checksum_fits(const uint8_t *b, uint64_t wanted)
{
	int64_t plain = 0, with_sign = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t c = i >= TAR_CHECKSUM_AT && i < TAR_CHECKSUM_AT + TAR_CHECKSUM_SIZE ? ' '
											    : b[i];

		plain += c;
		with_sign += (int8_t)c;
	}
	return wanted == (uint64_t)plain || (with_sign >= 0 && wanted == (uint64_t)with_sign);
}

static enum tar_format format_of(const uint8_t *b)
{
	if (memcmp(b + AT_MAGIC, "ustar\0", 6) == 0)
		return memcmp(b + AT_STAR_TRAILER, "tar\0", 4) == 0 ? TAR_STAR : TAR_USTAR;
	if (memcmp(b + AT_MAGIC, "ustar  \0", 8) == 0)
		return TAR_GNU;
	return TAR_V7;
}

/* A text field ends at its first NUL, and nothing may hide behind that in a name. */
static size_t text(const uint8_t *p, size_t n)
{
	const uint8_t *nul = memchr(p, '\0', n);

	return nul ? (size_t)(nul - p) : n;
}

static void join_name(const uint8_t *b, enum tar_format format, char *out)
{
	size_t n_prefix = 0, n_name = text(b + AT_NAME, 100);

	if (format == TAR_USTAR || format == TAR_STAR)
		n_prefix = text(b + AT_PREFIX, PREFIX_SIZE);
	memcpy(out, b + AT_PREFIX, n_prefix);
	if (n_prefix > 0)
		out[n_prefix++] = '/';
	memcpy(out + n_prefix, b + AT_NAME, n_name);
	out[n_prefix + n_name] = '\0';
}

int tar_header_parse(const uint8_t block[static TAR_BLOCK], struct tar_header *ret,
		     const char *where, struct diag *d)
{
	const uint8_t *b = block;
	struct tar_header h = { .format = format_of(b), .type = (char)b[AT_TYPE] };
	uint64_t sum, ignored;
	size_t n;

	if (octal(b + TAR_CHECKSUM_AT, TAR_CHECKSUM_SIZE, &sum) < 0 || !checksum_fits(b, sum))
		return diag_fail(d, -EBADMSG, where, "not a tar header: the checksum is wrong");
	if (number(b + TAR_MODE_AT, TAR_MODE_SIZE, false, &h.mode) < 0)
		return diag_fail(d, -EBADMSG, where,
				 "the mode is malformed; readers disagree about it");
	if (number(b + AT_UID, 8, false, &h.uid) < 0 || number(b + AT_GID, 8, false, &h.gid) < 0 ||
	    number(b + AT_MTIME, 12, true, &ignored) < 0)
		return diag_fail(d, -EBADMSG, where, "owner or time is malformed");
	if (number(b + AT_SIZE, 12, false, &h.size) < 0 || h.size > INT64_MAX / 2)
		return diag_fail(d, -EBADMSG, where, "the size is malformed or negative");
	if (h.format != TAR_V7 && (number(b + AT_MAJOR, 8, false, &ignored) < 0 ||
				   number(b + AT_MINOR, 8, false, &ignored) < 0))
		return diag_fail(d, -EBADMSG, where, "the device number is malformed");
	/* An old Go wrote a prefix where GNU has times; nobody else would see that prefix. */
	if (h.format == TAR_GNU &&
	    ((b[AT_GNU_ATIME] && number(b + AT_GNU_ATIME, 12, true, &ignored) < 0) ||
	     (b[AT_GNU_CTIME] && number(b + AT_GNU_CTIME, 12, true, &ignored) < 0)))
		return diag_fail(d, -EBADMSG, where,
				 "a GNU header with a prefix: readers disagree about the name");
	if (h.format == TAR_STAR && text(b + AT_PREFIX, PREFIX_SIZE) >= STAR_PREFIX_SIZE)
		return diag_fail(
			d, -EBADMSG, where,
			"a star header with a full prefix: readers disagree about the name");
	join_name(b, h.format, h.name);
	n = text(b + AT_LINK, 100);
	memcpy(h.link, b + AT_LINK, n);
	h.link[n] = '\0';
	if (h.type == 'S') {
		if (h.format != TAR_GNU)
			return diag_fail(d, -EBADMSG, where,
					 "a GNU sparse member in another format");
		h.sparse_more = b[AT_GNU_SPARSE_MORE] != 0;
	}
	*ret = h;
	return 0;
}

/* An entry ends the map for Go when its offset is empty, and for GNU tar when its length is. */
int tar_sparse_read(struct tar_sparse *s, const uint8_t *entries, size_t n)
{
	for (size_t i = 0; i < n; i++, entries += 24) {
		uint64_t from, length;

		if (entries[0] == 0 && entries[12] == 0) {
			s->ended = true;
			continue;
		}
		if (s->ended || entries[0] == 0 || entries[12] == 0 || number(entries, 12, false, &from) < 0 ||
		    number(entries + 12, 12, false, &length) < 0 || from < s->end || length > INT64_MAX / 2 ||
		    from > INT64_MAX / 2)
			return -EBADMSG;
		s->end = from + length;
		s->sum += length;
		if (s->sum > INT64_MAX / 2)
			return -EBADMSG;
	}
	return 0;
}

void tar_octal_clear(char *digits, size_t n, unsigned int bits)
{
	/* Setuid, setgid and sticky share the fourth digit from the right. */
	if (n >= 4)
		digits[n - 4] = (char)('0' + ((digits[n - 4] - '0') & ~(int)(bits >> 9)));
}

static void checksum_move(uint8_t *field, int64_t delta)
{
	size_t first, end;
	uint64_t sum;

	/* The header was parsed before: neither can fail. */
	if (octal_digits(field, TAR_CHECKSUM_SIZE, &first, &end) < 0 ||
	    octal(field, TAR_CHECKSUM_SIZE, &sum) < 0)
		return;
	sum = (uint64_t)((int64_t)sum + delta);
	for (size_t i = end; i > first; i--, sum >>= 3)
		field[i - 1] = (uint8_t)('0' + (sum & 7));
}

void tar_header_clear(uint8_t block[static TAR_BLOCK], unsigned int bits)
{
	uint8_t *mode = block + TAR_MODE_AT;
	int64_t delta = 0;
	size_t first, end;

	for (size_t i = 0; i < TAR_MODE_SIZE; i++)
		delta -= mode[i];
	if (mode[0] & 0x80)
		mode[TAR_MODE_SIZE - 2] &= (uint8_t) ~(bits >> 8);
	else if (octal_digits(mode, TAR_MODE_SIZE, &first, &end) == 0)
		tar_octal_clear((char *)mode + first, end - first, bits);
	for (size_t i = 0; i < TAR_MODE_SIZE; i++)
		delta += mode[i];
	checksum_move(block + TAR_CHECKSUM_AT, delta);
}
