/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Records of extended headers: "LENGTH KEY=VALUE\n", where the value may be binary. A record is
 * never shortened: a comment of its own length takes its place, and every reader skips comments.
 */
#include "image/tar-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/macros.h"

#define SCHILY "SCHILY.xattr."
#define LIBARCHIVE "LIBARCHIVE.xattr."

int tar_record_next(struct slice *left, struct tar_record *ret, const char *where, struct diag *d)
{
	const char *p = left->p, *equals;
	struct slice digits = { p, 0 };
	struct tar_record rec;
	uint64_t n;

	if (left->n == 0)
		return 0;
	while (digits.n < left->n && digits.n < 12 && p[digits.n] >= '0' && p[digits.n] <= '9')
		digits.n++;
	if (digits.n == left->n || p[digits.n] != ' ' || p[0] == '0' ||
	    parse_u64(digits, digits.n + 4, left->n, &n) < 0 || p[n - 1] != '\n')
		return diag_fail(d, -EBADMSG, where, "a record of an extended header is malformed");
	rec.whole = (struct slice){ p, n };
	rec.key.p = p + digits.n + 1;
	equals = memchr(rec.key.p, '=', n - digits.n - 2);
	if (!equals || equals == rec.key.p)
		return diag_fail(d, -EBADMSG, where, "a record of an extended header has no key");
	rec.key.n = (size_t)(equals - rec.key.p);
	rec.value = (struct slice){ equals + 1, (size_t)(p + n - 1 - (equals + 1)) };
	if (memchr(rec.key.p, '\0', rec.key.n))
		return diag_fail(d, -EBADMSG, where, "a key of an extended header contains a NUL");
	left->p += n;
	left->n -= n;
	*ret = rec;
	return 1;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* bsdtar percent-encodes attribute names, and decodes whatever it finds encoded. */
static size_t percent_decode(struct slice in, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n && n < size; i++) {
		if (in.p[i] == '%' && i + 2 < in.n && hex(in.p[i + 1]) >= 0 &&
		    hex(in.p[i + 2]) >= 0) {
			out[n++] = (char)(hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]));
			i += 2;
		} else {
			out[n++] = in.p[i];
		}
	}
	return n;
}

static bool starts_with(struct slice s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

enum tar_xattr tar_record_xattr(const struct tar_record *r, bool *ret_base64)
{
	struct slice name = r->key;
	char decoded[64];

	*ret_base64 = starts_with(name, LIBARCHIVE);
	if (*ret_base64) {
		name.p += strlen(LIBARCHIVE);
		name.n -= strlen(LIBARCHIVE);
		name.n = percent_decode(name, decoded, sizeof(decoded));
		name.p = decoded;
	} else if (starts_with(name, SCHILY)) {
		name.p += strlen(SCHILY);
		name.n -= strlen(SCHILY);
	} else {
		return TAR_XATTR_OTHER;
	}
	if (slice_eq(name, "security.capability"))
		return TAR_XATTR_CAPS;
	if (slice_eq(name, "user.containers.override_stat") ||
	    slice_eq(name, "user.fuseoverlayfs.override_stat") ||
	    slice_eq(name, "security.fuseoverlayfs.override_stat"))
		return TAR_XATTR_OVERRIDE;
	return TAR_XATTR_OTHER;
}

void tar_record_blank(const struct tar_record *r, char *out)
{
	static const char comment[] = "comment=";
	size_t n = (size_t)(r->key.p - r->whole.p);

	memcpy(out, r->whole.p, n);
	memcpy(out + n, comment, strlen(comment));
	n += strlen(comment);
	memset(out + n, ' ', r->whole.n - n - 1);
	out[r->whole.n - 1] = '\n';
}

int tar_override_mode(struct slice value, struct slice *ret_digits, unsigned int *ret_mode)
{
	const char *end = value.p + value.n, *p = value.p;
	struct slice digits;
	unsigned int mode = 0;

	for (int colons = 0; colons < 2; colons++) {
		p = memchr(p, ':', (size_t)(end - p));
		if (!p)
			return -EBADMSG;
		p++;
	}
	digits.p = p;
	while (p < end && *p >= '0' && *p <= '7')
		mode = mode << 3 | (unsigned int)(*p++ - '0');
	digits.n = (size_t)(p - digits.p);
	if (digits.n == 0 || digits.n > 8 || (p < end && *p != ':'))
		return -EBADMSG;
	*ret_digits = digits;
	*ret_mode = mode & 07777;
	return 0;
}

int tar_base64(struct slice in, uint8_t *out, size_t size)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned int bits = 0, n_bits = 0;
	size_t n = 0;

	while (in.n > 0 && in.p[in.n - 1] == '=')
		in.n--;
	for (size_t i = 0; i < in.n; i++) {
		const char *at = in.p[i] ? strchr(alphabet, in.p[i]) : NULL;

		if (!at)
			return -EBADMSG;
		bits = bits << 6 | (unsigned int)(at - alphabet);
		n_bits += 6;
		if (n_bits >= 8) {
			if (n == size)
				return -EBADMSG;
			n_bits -= 8;
			out[n++] = (uint8_t)(bits >> n_bits);
		}
	}
	return (int)n;
}

void tar_path_clean(const char *in, char *out)
{
	size_t n = 0;

	while (*in) {
		size_t part = strcspn(in, "/");

		if (part == 2 && in[0] == '.' && in[1] == '.') {
			while (n > 0 && out[--n] != '/')
				;
		} else if (part > 0 && !(part == 1 && in[0] == '.')) {
			out[n++] = '/';
			memmove(out + n, in, part);
			n += part;
		}
		in += part + (in[part] == '/');
	}
	if (n == 0)
		out[n++] = '/';
	out[n] = '\0';
}
