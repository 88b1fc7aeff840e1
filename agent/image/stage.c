/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bytes wait here until nothing before them is undecided. Both sums are one and the same until the
 * first edit, so a layer without any is summed once.
 */
#include "image/stage-internal.h"

#include <errno.h>
#include <string.h>

int stage_init(struct stage *s, struct tar_walker *w)
{
	*s = (struct stage){ .walker = w };
	s->data = malloc(STAGE_SIZE);
	s->old_sum = digester_new();
	s->new_sum = digester_new();
	return s->data && s->old_sum && s->new_sum ? 0 : -ENOMEM;
}

void stage_done(struct stage *s)
{
	free(s->data);
	free(s->edits);
	s->old_sum = digester_free(s->old_sum);
	s->new_sum = digester_free(s->new_sum);
	*s = (struct stage){ 0 };
}

static int add_edit(struct stage *s, const struct stage_edit *e)
{
	if (s->n_edits == s->n_edits_size) {
		size_t size = s->n_edits_size ? 2 * s->n_edits_size : 16;
		struct stage_edit *grown = reallocarray(s->edits, size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->edits = grown;
		s->n_edits_size = size;
	}
	s->edits[s->n_edits++] = *e;
	s->n_total_edits++;
	return 0;
}

int stage_replace(struct stage *s, uint64_t offset, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	int r = 0;

	while (n > 0 && r >= 0) {
		size_t k = MIN(n, (size_t)STAGE_EDIT_BYTES);
		struct stage_edit e = { .from = offset, .to = offset + k };

		memcpy(e.bytes, p, k);
		r = add_edit(s, &e);
		offset += k;
		p += k;
		n -= k;
	}
	return r;
}

int stage_remove(struct stage *s, uint64_t from, uint64_t to)
{
	/* Neighbours become one, so that a run of removed members costs one edit. */
	if (s->n_edits > 0 && s->edits[s->n_edits - 1].remove &&
	    s->edits[s->n_edits - 1].to == from) {
		s->edits[s->n_edits - 1].to = to;
		return 0;
	}
	return add_edit(s, &(struct stage_edit){ .from = from, .to = to, .remove = true });
}

int stage_push(struct stage *s, size_t n, struct diag *d)
{
	size_t at = s->n;

	s->n += n;
	return tar_walker_feed(s->walker, s->data + at, n, d);
}

bool stage_touched(const struct stage *s, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < s->n_edits; i++)
		if (s->edits[i].from < to && s->edits[i].to + STAGE_HISTORY > from)
			return true;
	return false;
}

bool stage_removed(const struct stage *s, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < s->n_edits; i++)
		if (s->edits[i].remove && s->edits[i].from < to && s->edits[i].to > from)
			return true;
	return false;
}

void stage_copy_new(const struct stage *s, uint64_t from, uint64_t to, uint8_t *out)
{
	memcpy(out, s->data + (from - s->base), (size_t)(to - from));
	for (size_t i = 0; i < s->n_edits; i++) {
		const struct stage_edit *e = &s->edits[i];
		uint64_t a = MAX(e->from, from), b = MIN(e->to, to);

		if (!e->remove && a < b)
			memcpy(out + (a - from), e->bytes + (a - e->from), (size_t)(b - a));
	}
}

/* Edited bytes, summed already. */
static int hand_on(struct stage *s, const uint8_t *p, size_t n, stage_sink *sink, void *arg,
		   struct diag *d)
{
	s->n_new += n;
	return sink && n > 0 ? sink(arg, p, n, d) : 0;
}

/* Bytes that stay what they are: both sums are about them, and are one before the first edit. */
static int keep(struct stage *s, const uint8_t *p, size_t n, stage_sink *sink, void *arg,
		struct diag *d)
{
	if (s->changed)
		digester_add_both(s->old_sum, s->new_sum, p, n);
	else
		digester_add(s->old_sum, p, n);
	return hand_on(s, p, n, sink, arg, d);
}

/* The part of an edit from @from up to @to. */
static int exchange(struct stage *s, const struct stage_edit *e, uint64_t from, uint64_t to, stage_sink *sink,
		    void *arg, struct diag *d)
{
	const uint8_t *new = e->bytes + (from - e->from);
	size_t n = (size_t)(to - from);

	if (!s->changed)
		digester_copy(s->new_sum, s->old_sum);
	s->changed = true;
	digester_add(s->old_sum, s->data + (from - s->base), n);
	if (e->remove)
		return 0;
	digester_add(s->new_sum, new, n);
	return hand_on(s, new, n, sink, arg, d);
}

static void forget_edits(struct stage *s)
{
	size_t n = 0;

	while (n < s->n_edits && s->edits[n].to + STAGE_HISTORY < s->committed)
		n++;
	if (n > 0)
		memmove(s->edits, s->edits + n, (s->n_edits - n) * sizeof(*s->edits));
	s->n_edits -= n;
}

int stage_commit(struct stage *s, uint64_t upto, stage_sink *sink, void *arg, struct diag *d)
{
	const uint8_t *data = s->data - s->base;
	uint64_t at = s->committed;
	int r = 0;

	if (upto <= at)
		return 0;
	for (size_t i = 0; i < s->n_edits && at < upto && r >= 0; i++) {
		const struct stage_edit *e = &s->edits[i];
		uint64_t from = MAX(e->from, at), to = MIN(e->to, upto);

		if (from >= to)
			continue;
		r = keep(s, data + at, (size_t)(from - at), sink, arg, d);
		if (r >= 0)
			r = exchange(s, e, from, to, sink, arg, d);
		at = to;
	}
	if (r >= 0 && at < upto)
		r = keep(s, data + at, (size_t)(upto - at), sink, arg, d);
	if (r < 0)
		return r;
	s->committed = upto;
	forget_edits(s);
	return 0;
}

int stage_make_room(struct stage *s, size_t n, struct diag *d)
{
	size_t drop = 0;

	if (s->committed - s->base > STAGE_HISTORY)
		drop = (size_t)(s->committed - s->base) - STAGE_HISTORY;
	/* Moving the history is worth it from time to time, and keeps the working set in the cache.
	 */
	if (drop >= 2 * STAGE_PIECE || s->n + n > STAGE_SIZE) {
		memmove(s->data, s->data + drop, s->n - drop);
		s->base += drop;
		s->n -= drop;
	}
	if (s->n + n > STAGE_SIZE)
		return diag_fail(d, -E2BIG, NULL, "headers of one member are larger than %d bytes",
				 TAR_MAX_HEADERS);
	return 0;
}
