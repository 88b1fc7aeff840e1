/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Edits of ecs.config: one assignment in one line, every other byte as it was. The line that counts is
 * the last one with the name, as ecs-init reads it; a line that only meant to be it ("export NAME=",
 * "NAME =") gives its place; else the assignment comes behind everything, with the line ends of the file
 * and with a newline at the end only where there was one.
 */
#include <errno.h>
#include <string.h>

#include "audit/fix-internal.h"
#include "batten/host/go-values.h"

struct line {
	size_t from, to; /* without what ends it */
	struct slice text; /* without blanks around it */
};

/* The line that begins at @at. Return: where the next one begins. */
static size_t line_at(struct slice text, size_t at, struct line *ret)
{
	const char *end = memchr(text.p + at, '\n', text.n - at);

	ret->from = at;
	ret->to = end ? (size_t)(end - text.p) : text.n;
	ret->text = go_trim_space((struct slice){ text.p + at, ret->to - at });
	return end ? ret->to + 1 : text.n;
}

static struct slice name_of(struct slice line)
{
	const char *equals = line.n > 0 ? memchr(line.p, '=', line.n) : NULL;

	return (struct slice){ line.p, equals ? (size_t)(equals - line.p) : 0 };
}

/* "export NAME=" and "NAME =": no such name for the agent. */
static bool meant_to_be(struct slice name, const char *wanted)
{
	static const char export_word[] = "export ";

	if (name.n > sizeof(export_word) - 1 && memcmp(name.p, export_word, sizeof(export_word) - 1) == 0) {
		name.p += sizeof(export_word) - 1;
		name.n -= sizeof(export_word) - 1;
	}
	return slice_eq(slice_trim(name), wanted);
}

static int put_in(struct slice text, const struct line *l, const char *name, const char *value, struct bytes *out)
{
	bytes_append(out, text.p, (size_t)(l->text.p - text.p));
	bytes_printf(out, "%s=%s", name, value);
	bytes_append(out, l->text.p + l->text.n, text.n - (size_t)(l->text.p - text.p) - l->text.n);
	return out->error;
}

int lines_replace(struct slice text, unsigned int line, const char *name, const char *value, struct bytes *out)
{
	struct line l;
	size_t at = 0;

	for (unsigned int i = 1; at < text.n; i++) {
		at = line_at(text, at, &l);
		if (i == line)
			return put_in(text, &l, name, value, out);
	}
	return -ERANGE;
}

static int append(struct slice text, const char *name, const char *value, struct bytes *out)
{
	bool crlf = memmem(text.p, text.n, "\r\n", 2) != NULL, ended = text.n == 0 || text.p[text.n - 1] == '\n';
	const char *end = crlf ? "\r\n" : "\n";

	bytes_append(out, text.p, text.n);
	bytes_printf(out, "%s%s=%s%s", ended ? "" : end, name, value, ended ? end : "");
	return out->error;
}

int lines_set(struct slice text, const char *name, const char *value, unsigned int wrong_line, struct bytes *out)
{
	struct line l, exact = { 0 }, meant = { 0 };
	bool is_exact = false, is_meant = false;
	size_t at = 0;

	if (text.n == 0)
		text.p = "";
	for (unsigned int i = 1; at < text.n; i++) {
		struct slice found;

		at = line_at(text, at, &l);
		found = name_of(l.text);
		if (slice_eq(found, name)) {
			exact = l;
			is_exact = true;
		} else if (i == wrong_line || (found.n > 0 && meant_to_be(found, name))) {
			meant = l;
			is_meant = true;
		}
	}
	if (is_exact || is_meant)
		return put_in(text, is_exact ? &exact : &meant, name, value, out);
	return append(text, name, value, out);
}
