/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Unified diffs of small texts. What both texts begin and end with is left out first; what remains is
 * compared line by line through a table of common lengths, or, where that would be too large, taken
 * as wholly changed: longer than it could be, and never wrong.
 */
#include "batten/base/diff.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define CONTEXT 3
#define MAX_TABLE (1024 * 1024) /* cells */

struct lines {
	struct slice *v; /* each with its line end, where it has one */
	size_t n;
};

/* One line of the result. */
struct row {
	char sign; /* ' ', '-', '+' */
	struct slice line;
};

struct rows {
	struct row *v;
	size_t n;
};

static int split(struct slice text, struct lines *ret)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n' || i + 1 == text.n;
	ret->v = calloc(n + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	while (at < text.n) {
		const char *end = memchr(text.p + at, '\n', text.n - at);
		size_t length = end ? (size_t)(end - (text.p + at)) + 1 : text.n - at;

		ret->v[ret->n++] = (struct slice){ text.p + at, length };
		at += length;
	}
	return 0;
}

static bool same(struct slice a, struct slice b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static void add(struct rows *rows, char sign, struct slice line)
{
	rows->v[rows->n++] = (struct row){ sign, line };
}

/* The middle parts, @n_a and @n_b lines, by the longest common subsequence. */
static int compare(struct rows *rows, const struct slice *a, size_t n_a, const struct slice *b, size_t n_b)
{
	_cleanup_(freep) uint32_t *table = NULL;
	size_t width = n_b + 1, i = 0, k = 0;

	if (n_a > 0 && n_b > 0 && n_a < MAX_TABLE / (n_b + 1)) {
		table = calloc((n_a + 1) * width, sizeof(*table));
		if (!table)
			return -ENOMEM;
		for (size_t x = n_a; x-- > 0;)
			for (size_t y = n_b; y-- > 0;)
				table[x * width + y] = same(a[x], b[y]) ?
							       table[(x + 1) * width + y + 1] + 1 :
							       MAX(table[(x + 1) * width + y], table[x * width + y + 1]);
	}
	while (table && i < n_a && k < n_b) {
		if (same(a[i], b[k])) {
			add(rows, ' ', a[i++]);
			k++;
		} else if (table[(i + 1) * width + k] >= table[i * width + k + 1]) {
			add(rows, '-', a[i++]);
		} else {
			add(rows, '+', b[k++]);
		}
	}
	while (i < n_a)
		add(rows, '-', a[i++]);
	while (k < n_b)
		add(rows, '+', b[k++]);
	return 0;
}

static int make_rows(struct rows *ret, const struct lines *a, const struct lines *b)
{
	size_t head = 0, tail = 0;
	int r;

	ret->v = calloc(a->n + b->n + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	while (head < a->n && head < b->n && same(a->v[head], b->v[head]))
		head++;
	while (tail < a->n - head && tail < b->n - head && same(a->v[a->n - 1 - tail], b->v[b->n - 1 - tail]))
		tail++;
	for (size_t i = 0; i < head; i++)
		add(ret, ' ', a->v[i]);
	r = compare(ret, a->v + head, a->n - head - tail, b->v + head, b->n - head - tail);
	for (size_t i = 0; i < tail; i++)
		add(ret, ' ', a->v[a->n - tail + i]);
	return r;
}

static bool may_print(const struct diff *d, struct slice line)
{
	return !d->may_print || d->may_print(d->data, line);
}

/* The rows @from…@to that belong to the change at @at: context around it as far as it may be shown. */
static void hunk_bounds(const struct diff *d, const struct rows *rows, size_t at, size_t *ret_from, size_t *ret_to)
{
	size_t from = at, to = at, quiet = 0;

	while (from > 0 && at - from < CONTEXT && rows->v[from - 1].sign == ' ' && may_print(d, rows->v[from - 1].line))
		from--;
	/* Two changes with up to twice the context between them make one hunk. */
	for (size_t i = at; i < rows->n && quiet <= 2 * CONTEXT; i++) {
		if (rows->v[i].sign == ' ') {
			if (!may_print(d, rows->v[i].line))
				break;
			quiet++;
		} else {
			quiet = 0;
			to = i + 1;
		}
	}
	for (size_t i = 0; i < CONTEXT && to < rows->n && rows->v[to].sign == ' ' && may_print(d, rows->v[to].line); i++)
		to++;
	*ret_from = from;
	*ret_to = to;
}

static int print_hunk(const struct diff *d, const struct rows *rows, size_t from, size_t to, struct bytes *out)
{
	size_t line_a = 1, line_b = 1, n_a = 0, n_b = 0;
	int hidden = 0;

	for (size_t i = 0; i < from; i++) {
		line_a += rows->v[i].sign != '+';
		line_b += rows->v[i].sign != '-';
	}
	for (size_t i = from; i < to; i++) {
		n_a += rows->v[i].sign != '+';
		n_b += rows->v[i].sign != '-';
	}
	/* An empty side stands on the line before. */
	bytes_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n", line_a - (n_a == 0), n_a, line_b - (n_b == 0), n_b);
	for (size_t i = from; i < to; i++) {
		struct slice line = rows->v[i].line;

		bytes_append(out, &rows->v[i].sign, 1);
		if (may_print(d, line)) {
			bytes_append(out, line.p, line.n);
		} else {
			bytes_append_str(out, "***\n");
			hidden = 1;
			continue;
		}
		if (line.n == 0 || line.p[line.n - 1] != '\n')
			bytes_append_str(out, "\n\\ No newline at end of file\n");
	}
	return hidden;
}

int diff_print(const struct diff *d, struct bytes *out)
{
	struct lines a = { 0 }, b = { 0 };
	struct rows rows = { 0 };
	bool begun = false, hidden = false;
	int r = split(d->before, &a);

	if (r >= 0)
		r = split(d->after, &b);
	if (r >= 0)
		r = make_rows(&rows, &a, &b);
	for (size_t i = 0; r >= 0 && i < rows.n;) {
		size_t from, to;

		if (rows.v[i].sign == ' ') {
			i++;
			continue;
		}
		if (!begun && d->created)
			bytes_printf(out, "--- /dev/null\n+++ b/%s\n", d->path);
		else if (!begun)
			bytes_printf(out, "--- a/%s\n+++ b/%s\n", d->path, d->path);
		begun = true;
		hunk_bounds(d, &rows, i, &from, &to);
		hidden |= print_hunk(d, &rows, from, to, out) > 0;
		i = to;
	}
	free(a.v);
	free(b.v);
	free(rows.v);
	return r < 0 ? r : out->error < 0 ? out->error : hidden;
}
