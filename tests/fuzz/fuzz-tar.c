/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The tar walker, whole and in pieces: both must say the same, and what it edits must not be found
 * again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batten/image/policy.h"
#include "batten/image/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct walk {
	uint8_t *copy;
	size_t n;
	uint64_t members, found, hash;
};

static int on_member(void *arg, const struct tar_member *m, struct diag *d)
{
	static const struct image_policy all = { .dirs = true };
	struct walk *w = arg;
	int verdict = image_policy_judge(&all, m);

	/* A global header is only told of when it has something. */
	w->members += m->kind != TAR_GLOBAL;
	w->found += verdict != 0;
	for (const char *p = m->path; *p; p++)
		w->hash = w->hash * 31 + (uint8_t)*p;
	w->hash = w->hash * 31 + m->mode + m->size;
	return verdict;
}

static int on_replace(void *arg, uint64_t offset, const void *bytes, size_t n)
{
	struct walk *w = arg;

	if (offset > w->n || n > w->n - offset)
		abort();
	if (w->copy)
		memcpy(w->copy + offset, bytes, n);
	return 0;
}

static int walk(const uint8_t *data, size_t n, size_t piece, struct walk *ret)
{
	static const struct tar_handler handler = { .member = on_member, .replace = on_replace };
	_cleanup_(tar_walker_freep) struct tar_walker *w = tar_walker_new(&handler, ret, "fuzz");
	int r = w ? 0 : -1;

	for (size_t at = 0; at < n && r >= 0; at += piece)
		r = tar_walker_feed(w, data + at, MIN(piece, n - at), NULL);
	return r < 0 ? r : tar_walker_finish(w, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(freep) uint8_t *copy = malloc(n + 1);
	struct walk whole = { .copy = copy, .n = n }, pieces = { .n = n }, again = { .n = n };
	int r;

	if (!copy)
		return 0;
	memcpy(copy, data, n);
	r = walk(data, n, n + 1, &whole);
	if (walk(data, n, 37, &pieces) != r || pieces.hash != whole.hash ||
	    pieces.members != whole.members)
		abort();
	if (r < 0)
		return 0;
	if (walk(copy, n, n + 1, &again) < 0 || again.found > 0 || again.members != whole.members)
		abort();
	return 0;
}
