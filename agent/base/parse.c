/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Numbers and units out of text, by hand: the C library's parsers take "-1" for a huge limit.
 */
#include "batten/base/parse.h"

#include <errno.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

int parse_u64(struct slice s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return -ERANGE;
	}
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_bool(struct slice s, bool *ret)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {
		{ "yes", true },  { "true", true },   { "on", true },	{ "1", true },
		{ "no", false },  { "false", false }, { "off", false }, { "0", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (slice_eq(s, words[i].text)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

int parse_duration_ms(struct slice s, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 }, { "h", 3600 * 1000 } };
	size_t n_digits = 0;
	uint64_t v;
	int r;

	while (n_digits < s.n && s.p[n_digits] >= '0' && s.p[n_digits] <= '9')
		n_digits++;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!slice_eq((struct slice){ s.p + n_digits, s.n - n_digits }, units[i].text))
			continue;
		r = parse_u64((struct slice){ s.p, n_digits }, 0, UINT64_MAX / units[i].ms, &v);
		if (r < 0)
			return r;
		v *= units[i].ms;
		if (v < min_ms || v > max_ms)
			return -ERANGE;
		*ret_ms = v;
		return 0;
	}
	return -EINVAL;
}

const char *u64_text(char buf[static U64_TEXT_SIZE], uint64_t v)
{
	char *p = &buf[U64_TEXT_SIZE - 1];

	*p = '\0';
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	return p;
}
