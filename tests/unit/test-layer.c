/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Layers made at random, packed in every way that zlib and zstd know, edited, unpacked by zlib and
 * zstd, and compared with what a few plain lines here say the edited tar must be.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/image/layer.h"
#include "batten/image/policy.h"

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525U + 1013904223U;
	return (seed >> 8) % n;
}

struct pair {
	struct bytes old, new;
};

static void checksum(char *b)
{
	unsigned int sum = 0;

	memset(b + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)b[i];
	(void)snprintf(b + 148, 8, "%06o", sum & 0777777);
	b[155] = ' ';
}

static void header(struct bytes *out, const char *name, char type, unsigned int mode, size_t size)
{
	char b[512] = { 0 };

	(void)snprintf(b, 100, "%s", name);
	(void)snprintf(b + 100, 8, "%07o", mode & 07777);
	(void)snprintf(b + 108, 8, "%07o", 0);
	(void)snprintf(b + 116, 8, "%07o", 0);
	(void)snprintf(b + 124, 12, "%011o", (unsigned int)(size & 0xffffffff));
	(void)snprintf(b + 136, 12, "%011o", 0);
	b[156] = type;
	memcpy(b + 257,
	       "ustar\0"
	       "00",
	       8);
	checksum(b);
	bytes_append(out, b, sizeof(b));
}

static void pad(struct bytes *b)
{
	static const char zeros[512];

	bytes_append(b, zeros, -b->n & 511);
}

/* A tar of @n members; .new is what must become of .old. */
static struct pair make_tar(unsigned int n, bool removals)
{
	static const char *const words[] = { "alpha",   "beta ",   "gamma", "\0\0\0\0\0\0\0\0",
					     "delta\n", "0000755", "ustar" };
	struct pair t = { 0 };

	for (unsigned int i = 0; i < n; i++) {
		bool gone = removals && rnd(4) == 0, noise = rnd(3) == 0;
		size_t size = rnd(3) == 0 ? rnd(100000) : rnd(2000);
		struct bytes m = { 0 }, e = { 0 };
		char name[64];
		unsigned int mode = rnd(3) == 0   ? 04755
				    : rnd(5) == 0 ? 02755
				    : rnd(9) == 0 ? 06711
						  : 0644;

		(void)snprintf(name, sizeof(name), "%s/file%u", gone ? "gone" : "some/dir", i);
		if (rnd(4) == 0) {
			static const char caps[] = "57 "
						   "SCHILY.xattr.security.capability="
						   "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\n";
			char blank[58];

			header(&m, "pax", 'x', 0644, 57);
			bytes_append(&m, caps, 57);
			pad(&m);
			header(&e, "pax", 'x', 0644, 57);
			(void)snprintf(blank, sizeof(blank), "57 comment=%45s\n", "");
			bytes_append(&e, blank, 57);
			pad(&e);
		}
		header(&m, name, '0', mode, size);
		header(&e, name, '0', mode & 01777, size);
		for (size_t k = 0; k < size;) {
			char c[8];
			size_t part = MIN(size - k, (size_t)8);

			memcpy(c, words[rnd(7)], 6);
			memset(c + 6, 'x', 2);
			for (int j = 0; noise && j < 8; j++)
				c[j] = (char)rnd(256);
			bytes_append(&m, c, part);
			bytes_append(&e, c, part);
			k += part;
		}
		pad(&m);
		pad(&e);
		bytes_append(&t.old, m.data, m.n);
		if (!gone)
			bytes_append(&t.new, e.data, e.n);
		bytes_done(&m);
		bytes_done(&e);
	}
	bytes_append(&t.old, (char[1024]){ 0 }, 1024);
	bytes_append(&t.new, (char[1024]){ 0 }, 1024);
	return t;
}

static void pair_done(struct pair *t)
{
	bytes_done(&t->old);
	bytes_done(&t->new);
}

static void gzip_some(struct bytes *out, const char *data, size_t n, int level, int strategy,
		      size_t flush_every)
{
	z_stream z = { 0 };
	size_t bound = n + n / 2 + 65536 + (flush_every ? n / flush_every * 64 : 0);
	char *buf = malloc(bound);

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 31, 8, strategy), Z_OK);
	z.next_out = (Bytef *)buf;
	z.avail_out = (uInt)bound;
	z.next_in = (Bytef *)(uintptr_t)data;
	while (flush_every && n > flush_every) {
		z.avail_in = (uInt)flush_every;
		assert_int_equal(deflate(&z, rnd(2) ? Z_FULL_FLUSH : Z_SYNC_FLUSH), Z_OK);
		n -= flush_every;
	}
	z.avail_in = (uInt)n;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	bytes_append(out, buf, bound - z.avail_out);
	assert_int_equal(deflateEnd(&z), Z_OK);
	free(buf);
}

static void gunzip_all(struct bytes *out, const char *data, size_t n)
{
	z_stream z = { 0 };
	char *buf = malloc(1 << 20);
	int r;

	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)n;
	do {
		do {
			z.next_out = (Bytef *)buf;
			z.avail_out = 1 << 20;
			r = inflate(&z, Z_NO_FLUSH);
			assert_true(r == Z_OK || r == Z_STREAM_END);
			bytes_append(out, buf, (1 << 20) - z.avail_out);
		} while (r != Z_STREAM_END);
		assert_int_equal(inflateReset(&z), Z_OK);
	} while (z.avail_in > 0);
	(void)inflateEnd(&z);
	free(buf);
}

static int judge(void *arg, const struct tar_member *m, struct diag *d)
{
	return image_policy_judge(arg, m);
}

static void again(void *arg)
{
}

static int memfd(const struct bytes *b)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, b->data, b->n), 0);
	return fd;
}

static struct layer_result run(const struct bytes *in, struct bytes *out, bool removals)
{
	char *remove = (char[]){ "/gone/*" };
	struct image_policy p = { .remove = &remove, .n_remove = removals };
	struct layer_watch watch = { .member = judge, .again = again, .arg = &p };
	_cleanup_(fd_closep) int fd = memfd(in), to = memfd_create("out", MFD_CLOEXEC);
	struct layer_source src = { .fd = fd, .size = in->n, .name = "test" };
	struct layer_result result;
	struct digest sum;
	struct diag d = { 0 };
	char *data;
	size_t n;
	int r;

	r = layer_run(&src, to, &watch, &result, &d);
	if (r < 0)
		fail_msg("%s", d.what);
	assert_int_equal(lseek(to, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(to, SIZE_MAX / 2, &data, &n), 0);
	bytes_append(out, data, n);
	free(data);
	assert_int_equal(digest_of(in->data, in->n, &sum), 0);
	assert_true(digest_eq(&sum, &result.old_blob));
	if (result.changed) {
		assert_int_equal(n, result.new_size);
		assert_int_equal(digest_of(out->data, n, &sum), 0);
		assert_true(digest_eq(&sum, &result.new_blob));
	} else {
		assert_int_equal(n, 0);
	}
	return result;
}

static void same(const struct bytes *a, const struct bytes *b, const char *what)
{
	if (a->n != b->n)
		fail_msg("%s: %zu bytes, wanted %zu", what, a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		if (a->data[i] != b->data[i])
			fail_msg("%s: byte %zu is %02x, wanted %02x", what, i, (uint8_t)a->data[i],
				 (uint8_t)b->data[i]);
}

static void check_sums(const struct layer_result *r, const struct pair *t)
{
	struct digest sum;

	assert_int_equal(digest_of(t->old.data, t->old.n, &sum), 0);
	assert_true(digest_eq(&sum, &r->old_diff));
	assert_int_equal(r->plain_size, t->old.n);
	if (!r->changed)
		return;
	assert_int_equal(digest_of(t->new.data, t->new.n, &sum), 0);
	assert_true(digest_eq(&sum, &r->new_diff));
}

static void check_gzip(const struct pair *t, bool removals, int level, int strategy, size_t flush,
		       unsigned int members)
{
	struct bytes packed = { 0 }, out = { 0 }, plain = { 0 }, second = { 0 };
	size_t part = t->old.n / members;
	struct layer_result r;
	char what[96];

	(void)snprintf(what, sizeof(what), "level %d strategy %d flush %zu members %u", level,
		       strategy, flush, members);
	for (unsigned int i = 0; i < members; i++)
		gzip_some(&packed, t->old.data + i * part,
			  i + 1 == members ? t->old.n - i * part : part, level, strategy, flush);
	r = run(&packed, &out, removals);
	assert_true(r.changed);
	check_sums(&r, t);
	gunzip_all(&plain, out.data, out.n);
	same(&plain, &t->new, what);
	if (!removals && out.n > packed.n + 64 * 64 * members + packed.n / 8)
		fail_msg("%s: grew from %zu to %zu", what, packed.n, out.n);
	/* Nothing is left for a second run. */
	assert_false(run(&out, &second, removals).changed);
	bytes_done(&packed);
	bytes_done(&out);
	bytes_done(&plain);
	bytes_done(&second);
}

static void gzip_layers(void **state)
{
	static const int strategies[] = { Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED,
					  Z_FILTERED };

	for (seed = 1; seed < 240; seed += 40) {
		uint32_t round = seed;
		bool removals = rnd(3) == 0;
		struct pair t = make_tar(1 + rnd(40), removals);

		/* A tar without a bit is no test of editing. */
		if (t.old.n != t.new.n || memcmp(t.old.data, t.new.data, t.old.n) != 0) {
			for (int level = 0; level <= 9; level += 3)
				for (size_t i = 0; i < ARRAY_SIZE(strategies); i++)
					check_gzip(&t, removals, level, strategies[i],
						   rnd(3) == 0 ? 64 + rnd(9000) : 0, 1 + rnd(5));
		}
		pair_done(&t);
		seed = round;
	}
}

static void plain_layers(void **state)
{
	for (uint32_t round = 1; round < 30; round++) {
		struct bytes out = { 0 };
		struct layer_result r;
		struct pair t;
		bool removals;

		seed = round * 77;
		removals = rnd(3) == 0;
		t = make_tar(20, removals);
		r = run(&t.old, &out, removals);
		check_sums(&r, &t);
		if (r.changed)
			same(&out, &t.new, "plain");
		else
			same(&t.old, &t.new, "plain, unchanged");
		bytes_done(&out);
		pair_done(&t);
	}
}

static void zstd_layers(void **state)
{
	for (uint32_t round = 1; round < 10; round++) {
		struct bytes packed = { 0 }, out = { 0 }, plain = { 0 };
		struct layer_result r;
		struct pair t;
		char *buf;
		size_t n;

		seed = round * 991;
		t = make_tar(20, false);
		n = ZSTD_compressBound(t.old.n);
		buf = malloc(MAX(n, t.new.n));
		n = ZSTD_compress(buf, n, t.old.data, t.old.n, (int)round);
		bytes_append(&packed, buf, n);
		r = run(&packed, &out, false);
		assert_true(r.changed);
		check_sums(&r, &t);
		n = ZSTD_decompress(buf, t.new.n, out.data, out.n);
		assert_int_equal(n, t.new.n);
		bytes_append(&plain, buf, n);
		same(&plain, &t.new, "zstd");
		free(buf);
		bytes_done(&packed);
		bytes_done(&out);
		bytes_done(&plain);
		pair_done(&t);
	}
}

static int run_quietly(const struct bytes *in, struct layer_result *ret)
{
	struct image_policy p = { 0 };
	struct layer_watch watch = { .member = judge, .again = again, .arg = &p };
	_cleanup_(fd_closep) int fd = memfd(in), to = memfd_create("out", MFD_CLOEXEC);
	struct layer_source src = { .fd = fd, .size = in->n, .name = "test" };
	struct diag d = { 0 };

	return layer_run(&src, to, &watch, ret, &d);
}

static void damaged_gzip_is_refused(void **state)
{
	struct bytes packed = { 0 };
	struct layer_result result;
	struct pair t;

	seed = 5;
	t = make_tar(6, false);
	gzip_some(&packed, t.old.data, t.old.n, 6, Z_DEFAULT_STRATEGY, 0);
	for (size_t n = 0; n < packed.n; n += 1 + packed.n / 300) {
		struct bytes cut = { .data = packed.data, .n = n };

		/* No layer at all is an empty layer, which exists. */
		assert_int_equal(run_quietly(&cut, &result), n == 0 ? 0 : -EBADMSG);
	}
	for (size_t i = 10; i < packed.n; i += 1 + packed.n / 300) {
		packed.data[i] ^= 0x10;
		assert_int_equal(run_quietly(&packed, &result), -EBADMSG);
		packed.data[i] ^= 0x10;
	}
	bytes_append(&packed, "x", 1);
	assert_int_equal(run_quietly(&packed, &result), -EBADMSG);
	bytes_done(&packed);
	pair_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gzip_layers),
		cmocka_unit_test(plain_layers),
		cmocka_unit_test(zstd_layers),
		cmocka_unit_test(damaged_gzip_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
