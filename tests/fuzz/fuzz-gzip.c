/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gzip patcher beside zlib. An input is taken as a gzip layer as it is, and as the contents of
 * a member with bits around it that zlib packs; what comes out is unpacked by zlib.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/image/layer.h"
#include "batten/image/policy.h"

#define MAX_INPUT_BYTES 65536
#define MAX_PLAIN (32 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int judge(void *arg, const struct tar_member *m, struct diag *d)
{
	static const struct image_policy all = { .dirs = true };

	return image_policy_judge(&all, m);
}

static void again(void *arg)
{
}

static int run(const void *data, size_t n, struct layer_result *ret, char **ret_out, size_t *ret_n)
{
	const struct layer_watch watch = { .member = judge, .again = again };
	_cleanup_(fd_closep) int in = memfd_create("in", MFD_CLOEXEC),
				 out = memfd_create("out", MFD_CLOEXEC);
	struct layer_source source = { .fd = in, .size = n, .name = "fuzz" };
	int r;

	if (in < 0 || out < 0 || fd_write_all(in, data, n) < 0)
		return -1;
	r = layer_run(&source, out, &watch, ret, NULL);
	if (r < 0)
		return r;
	return lseek(out, 0, SEEK_SET) < 0 ? -1 : fd_read_all(out, MAX_PLAIN, ret_out, ret_n);
}

/* Every member. False when zlib refuses. */
static bool unpack(const void *data, size_t n, struct bytes *out)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n };
	uint8_t buf[16384];
	int r = Z_OK;

	if (inflateInit2(&z, 31) != Z_OK)
		return false;
	while (r == Z_OK && out->n < MAX_PLAIN) {
		z.next_out = buf;
		z.avail_out = sizeof(buf);
		r = inflate(&z, Z_NO_FLUSH);
		bytes_append(out, buf, sizeof(buf) - z.avail_out);
		if (r == Z_STREAM_END && z.avail_in > 0)
			r = inflateReset(&z);
	}
	(void)inflateEnd(&z);
	return r == Z_STREAM_END;
}

static void check(const void *data, size_t n, const void *wanted, size_t n_wanted)
{
	_cleanup_(freep) char *out = NULL, *second = NULL;
	struct bytes before = { 0 }, after = { 0 };
	struct layer_result result, rest;
	size_t n_out, n_second;
	bool gzip = n > 1 && memcmp(data, "\x1f\x8b", 2) == 0;

	if (!gzip || run(data, n, &result, &out, &n_out) < 0) {
		if (wanted)
			abort();
		return;
	}
	if (!unpack(data, n, &before) || before.n != result.plain_size)
		abort();
	if (result.changed) {
		if (!unpack(out, n_out, &after) ||
		    (wanted && (after.n != n_wanted || memcmp(after.data, wanted, n_wanted) != 0)))
			abort();
		if (run(out, n_out, &rest, &second, &n_second) < 0 || rest.changed)
			abort();
	} else if (wanted) {
		abort();
	}
	bytes_done(&before);
	bytes_done(&after);
}

static void header(struct bytes *b, unsigned int mode, size_t size)
{
	unsigned char h[512] = "some/file";
	unsigned int sum = 0;

	(void)snprintf((char *)h + 100, 8, "%07o", mode);
	(void)snprintf((char *)h + 124, 12, "%011o", (unsigned int)size);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 7, "%06o", sum & 0777777);
	bytes_append(b, h, sizeof(h));
}

/* A tar around the input; @mode is what the result must have. */
static void make_tar(struct bytes *b, unsigned int mode, const uint8_t *data, size_t n)
{
	static const char zeros[1024];

	header(b, mode, n);
	bytes_append(b, data, n);
	bytes_append(b, zeros, -n & 511);
	header(b, mode, 0);
	header(b, 0644, 0);
	header(b, mode, 0);
	bytes_append(b, zeros, sizeof(zeros));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int strategies[] = { Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED,
					  Z_FILTERED };
	struct bytes old = { 0 }, new = { 0 };
	z_stream z = { 0 };
	uint8_t *packed;
	size_t bound;

	if (n < 2 || n > MAX_INPUT_BYTES)
		return 0;
	check(data, n, NULL, 0);
	make_tar(&old, 06755, data, n);
	make_tar(&new, 0755, data, n);
	bound = old.n * 2 + 4096;
	packed = malloc(bound);
	if (packed && deflateInit2(&z, data[0] % 10, Z_DEFLATED, 31, 1 + data[0] % 9,
				   strategies[data[1] % 5]) == Z_OK) {
		z.next_in = (Bytef *)old.data;
		z.avail_in = (uInt)old.n;
		z.next_out = packed;
		z.avail_out = (uInt)bound;
		if (deflate(&z, Z_FINISH) == Z_STREAM_END)
			check(packed, bound - z.avail_out, new.data, new.n);
		(void)deflateEnd(&z);
	}
	free(packed);
	bytes_done(&old);
	bytes_done(&new);
	return 0;
}
