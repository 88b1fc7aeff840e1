/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tables of contents: whole and in pieces the same is said, and every mode that jansson finds where
 * Go would look for it is found. The same input is also taken as a layer with such a table.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <jansson.h>

#include "batten/base/fd.h"
#include "image/toc-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	uint64_t n, hash;
};

static int on_entry(void *arg, const struct tar_member *m, struct diag *d)
{
	struct seen *s = arg;

	if (m->path[0] != '/' || (!(m->mode & 06000) && !m->has_caps))
		abort();
	s->n++;
	for (const char *p = m->path; *p; p++)
		s->hash = s->hash * 31 + (uint8_t)*p;
	s->hash = s->hash * 31 + m->mode + m->n_caps;
	return 0;
}

static bool scan(const uint8_t *data, size_t n, size_t piece, struct seen *ret)
{
	_cleanup_(toc_json_freep) struct toc_json *t = toc_json_new(on_entry, ret);

	for (size_t at = 0; t && at < n; at += piece)
		if (toc_json_feed(t, data + at, MIN(piece, n - at), NULL) < 0)
			abort();
	return t && toc_json_whole(t);
}

static uint64_t count(const uint8_t *data, size_t n)
{
	json_t *j = json_loadb((const char *)data, n, 0, NULL), *e;
	uint64_t found = 0;
	size_t i;

	json_array_foreach(json_object_get(j, "entries"), i, e) {
		json_t *mode = json_object_get(e, "mode");

		found += json_is_integer(mode) && json_integer_value(mode) > 0 &&
			 (json_integer_value(mode) & 06000);
	}
	json_decref(j);
	return found;
}

static void as_layer(const uint8_t *data, size_t n, enum layer_compression c)
{
	_cleanup_(fd_closep) int fd = memfd_create("toc", MFD_CLOEXEC);
	struct layer_source src = { .fd = fd, .size = n, .name = "fuzz" };
	enum toc_where where;
	struct seen s = { 0 };

	if (fd < 0 || fd_write_all(fd, data, n) < 0)
		return;
	if (toc_read(&src, c, 1 << 20, on_entry, &s, &where, NULL) < 0)
		return;
	src.toc_at = n ? data[0] : 0;
	src.toc_size = n > src.toc_at ? n - src.toc_at : 0;
	if (toc_read(&src, c, 1 << 20, on_entry, &s, &where, NULL) < 0)
		return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct seen whole = { 0 }, pieces = { 0 };
	bool good = scan(data, n, n + 1, &whole);

	if (scan(data, n, 3, &pieces) != good || pieces.n != whole.n || pieces.hash != whole.hash)
		abort();
	if (good && whole.n < count(data, n))
		abort();
	as_layer(data, n, LAYER_GZIP);
	as_layer(data, n, LAYER_ZSTD);
	return 0;
}
