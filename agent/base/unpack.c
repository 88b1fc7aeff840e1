/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Small gzip files, in one step: what ships inside the binary, and user data, which may be packed to fit into 16 KiB.
 */
#include "batten/base/unpack.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#define WINDOW_OF_GZIP (16 + MAX_WBITS)

bool is_gzip(const char *data, size_t n)
{
	return n > 2 && memcmp(data, "\x1f\x8b", 2) == 0;
}

int unpack_text(struct arena *arena, const char *data, size_t n, size_t max_bytes, const char **ret, size_t *ret_n)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)data };
	char *text = arena_alloc(arena, max_bytes + 1);
	int r;

	if (!text || inflateInit2(&z, WINDOW_OF_GZIP) != Z_OK)
		return -ENOMEM;
	z.avail_in = (uInt)MIN(n, (size_t)UINT_MAX);
	z.next_out = (Bytef *)text;
	z.avail_out = (uInt)max_bytes;
	/* Several files in a row are one, and zeros behind them are filling: so gzip reads it, and cloud-init. */
	while ((r = inflate(&z, Z_FINISH)) == Z_STREAM_END) {
		for (; z.avail_in > 0 && *z.next_in == 0; z.avail_in--)
			z.next_in++;
		if (z.avail_in == 0 || inflateReset(&z) != Z_OK)
			break;
	}
	n = max_bytes - z.avail_out;
	(void)inflateEnd(&z);
	if (r != Z_STREAM_END)
		return r == Z_MEM_ERROR ? -ENOMEM : n == max_bytes ? -EFBIG : -EBADMSG;
	text[n] = '\0';
	*ret = text;
	*ret_n = n;
	return 0;
}
