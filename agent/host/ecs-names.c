/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names: which one it is, which one was meant, and which are safe to show.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batten/host/go-values.h"
#include "host/ecs-internal.h"

#define MAX_NAME 96	/* longer than any variable's name */
#define MAX_DISTANCE 2	/* letters between a slip and what was meant */
#define MIN_LETTERS 6	/* letters below which a slip is no slip but another name */

const char *const ecs_source_names[_ECS_SOURCE_MAX] = {
	[ECS_FROM_DEFAULT] = "default", [ECS_FROM_BUILT_IN] = "built-in",
	[ECS_FROM_FILE] = "file",	[ECS_FROM_JSON] = "json",
	[ECS_FROM_USER_DATA] = "userdata", [ECS_FROM_ENVIRONMENT] = "environment",
};

const char *const ecs_verdict_names[_ECS_VERDICT_MAX] = {
	[ECS_OK] = "ok",
	[ECS_IGNORED] = "ignored",
	[ECS_SHADOWED] = "shadowed",
	[ECS_DUPLICATE] = "duplicate",
	[ECS_UNKNOWN] = "unknown",
	[ECS_OUT_OF_RANGE] = "out-of-range",
	[ECS_INVALID] = "invalid",
	[ECS_FATAL] = "fatal",
};

const struct ecs_variable *ecs_variable_find(struct slice name)
{
	for (size_t i = 0; i < n_ecs_variables; i++)
		if (slice_eq(name, ecs_variables[i].name))
			return &ecs_variables[i];
	return NULL;
}

static bool is_name_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool starts_with_word(struct slice s, const char *word)
{
	size_t n = strlen(word);

	return s.n > n && memcmp(s.p, word, n) == 0 && (s.p[n] == ' ' || s.p[n] == '\t');
}

/* The name without what people put around it: a mark at the file's start, "export", "#", blanks. */
static struct slice bare_name(struct slice s)
{
	if (s.n >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0) {
		s.p += 3;
		s.n -= 3;
	}
	s = go_trim_space(s);
	while (s.n > 0 && (s.p[0] == '#' || s.p[0] == ';')) {
		s.p++;
		s.n--;
		s = go_trim_space(s);
	}
	if (starts_with_word(s, "export") || starts_with_word(s, "set")) {
		size_t n = s.p[0] == 'e' ? 6 : 3;

		s.p += n;
		s.n -= n;
	}
	return go_trim_space(s);
}

/* Upper case, without underscores and what else is no letter. */
static size_t squeeze(struct slice s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < size; i++) {
		char c = s.p[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			out[n++] = c;
	}
	return n;
}

/* Damerau's distance, given up beyond @limit. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b, size_t limit)
{
	size_t rows[3][MAX_NAME + 1], *old = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= n_b; j++)
		above[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t best = row[0] = i, *spare;

		for (size_t j = 1; j <= n_b; j++) {
			size_t gap = MIN(above[j], row[j - 1]) + 1;

			row[j] = MIN(gap, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], old[j - 2] + 1);
			best = MIN(best, row[j]);
		}
		if (best > limit)
			return limit + 1;
		spare = old;
		old = above;
		above = row;
		row = spare;
	}
	return above[n_b];
}

size_t ecs_name_distance(struct slice a, struct slice b, size_t limit)
{
	char x[MAX_NAME], y[MAX_NAME];
	size_t n_x = squeeze(a, x, sizeof(x)), n_y = squeeze(b, y, sizeof(y));

	if (n_x < MIN_LETTERS || n_x > n_y + limit || n_y > n_x + limit)
		return limit + 1;
	return distance(x, n_x, y, n_y, limit);
}

const struct ecs_variable *ecs_variable_near(struct slice name)
{
	const struct ecs_variable *best = NULL;
	size_t best_distance = MAX_DISTANCE + 1;

	name = bare_name(name);
	if (name.n > MAX_NAME)
		return NULL;
	best = ecs_variable_find(name);
	if (best)
		return best;
	for (size_t i = 0; i < n_ecs_variables; i++) {
		size_t d = ecs_name_distance(name, slice_of(ecs_variables[i].name), MAX_DISTANCE);

		if (d < best_distance && !(ecs_variables[i].flags & ECS_DEAD)) {
			best = &ecs_variables[i];
			best_distance = d;
		}
	}
	return best;
}

/*
 * What stands before "=" can be the middle of a secret that was broken over lines, or base64 with
 * its padding. Upper case with underscores is a name, and so is whatever is near a known one.
 */
char *ecs_redact_name(struct slice name)
{
	struct slice bare = bare_name(name);
	bool plain = bare.n > 0 && bare.n <= MAX_NAME && memchr(bare.p, '_', bare.n) && name.n < 2 * MAX_NAME;

	for (size_t i = 0; plain && i < bare.n; i++)
		plain = is_name_letter(bare.p[i]) && (bare.p[i] < 'a' || bare.p[i] > 'z');
	if (!plain && !ecs_variable_near(name))
		return strdup("***");
	return strndup(name.p, name.n);
}
