/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values as Go's standard library reads them. Each function is written from the documented grammar
 * and checked against the real one (tests/unit/test-go-values.c holds what came out).
 */
#include "batten/host/go-values.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

size_t go_utf8_next(struct slice s, uint32_t *ret)
{
	static const struct {
		unsigned char first, last;
		uint32_t mask, min;
		size_t n;
	} forms[] = {
		{ 0x00, 0x7f, 0x7f, 0, 1 },
		{ 0xc2, 0xdf, 0x1f, 0x80, 2 },
		{ 0xe0, 0xef, 0x0f, 0x800, 3 },
		{ 0xf0, 0xf4, 0x07, 0x10000, 4 },
	};
	const unsigned char *p = (const unsigned char *)s.p;

	if (s.n == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		uint32_t c = p[0] & forms[i].mask;
		size_t k;

		if (p[0] < forms[i].first || p[0] > forms[i].last || forms[i].n > s.n)
			continue;
		for (k = 1; k < forms[i].n && (p[k] & 0xc0) == 0x80; k++)
			c = c << 6 | (p[k] & 0x3f);
		if (k < forms[i].n || c < forms[i].min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			break;
		*ret = c;
		return k;
	}
	*ret = 0xfffd;
	return 1;
}

static bool go_is_space(uint32_t c)
{
	return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
	       c == 0x3000;
}

struct slice go_trim_space(struct slice s)
{
	size_t n, end = 0;
	uint32_t c;

	while ((n = go_utf8_next(s, &c)) > 0 && go_is_space(c)) {
		s.p += n;
		s.n -= n;
	}
	for (size_t i = 0; i < s.n; i += n) {
		n = go_utf8_next((struct slice){ s.p + i, s.n - i }, &c);
		if (!go_is_space(c))
			end = i + n;
	}
	s.n = end;
	return s;
}

int go_parse_bool(struct slice s, bool *ret)
{
	static const char *const words[2][6] = {
		{ "0", "f", "F", "false", "FALSE", "False" },
		{ "1", "t", "T", "true", "TRUE", "True" },
	};

	for (int v = 0; v < 2; v++) {
		for (size_t i = 0; i < ARRAY_SIZE(words[v]); i++) {
			if (slice_eq(s, words[v][i])) {
				*ret = v;
				return 0;
			}
		}
	}
	return -EINVAL;
}

/* Digit by digit: what is too large already is not looked at any further, whatever follows. */
int go_parse_uint(struct slice s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v) || v > max)
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int go_parse_int(struct slice s, int64_t *ret)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t v = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	int r;

	*ret = 0;
	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
		s.p++;
		s.n--;
	}
	r = go_parse_uint(s, UINT64_MAX, &v);
	if (r == -EINVAL)
		return r;
	if (r < 0 || v > limit) {
		v = limit;
		r = -ERANGE;
	}
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return r;
}

#define DURATION_LIMIT (UINT64_C(1) << 63)

/* Digits before the point. Return: 0 or -ERANGE. */
static int leading_int(struct slice *s, uint64_t *ret)
{
	uint64_t v = 0;

	for (; s->n > 0 && *s->p >= '0' && *s->p <= '9'; s->p++, s->n--) {
		if (v > DURATION_LIMIT / 10)
			return -ERANGE;
		v = v * 10 + (uint64_t)(*s->p - '0');
		if (v > DURATION_LIMIT)
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

/* Digits behind the point; what does not fit any more is dropped. */
static void leading_fraction(struct slice *s, uint64_t *ret, double *ret_scale)
{
	bool full = false;

	*ret = 0;
	*ret_scale = 1;
	for (; s->n > 0 && *s->p >= '0' && *s->p <= '9'; s->p++, s->n--) {
		if (full || *ret > (DURATION_LIMIT - 1) / 10) {
			full = true;
			continue;
		}
		*ret = *ret * 10 + (uint64_t)(*s->p - '0');
		*ret_scale *= 10;
	}
}

/* The unit at the front. Return: its nanoseconds, 0 when it is none. */
static uint64_t leading_unit(struct slice *s)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "\xc2\xb5s", 1000 }, /* micro sign */
		{ "\xce\xbcs", 1000 }, /* Greek mu */
		{ "ms", 1000000 },
		{ "s", 1000000000 },
		{ "m", UINT64_C(60000000000) },
		{ "h", UINT64_C(3600000000000) },
	};
	size_t n = 0;

	while (n < s->n && s->p[n] != '.' && (s->p[n] < '0' || s->p[n] > '9'))
		n++;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (slice_eq((struct slice){ s->p, n }, units[i].name)) {
			s->p += n;
			s->n -= n;
			return units[i].ns;
		}
	}
	return 0;
}

int go_parse_duration(struct slice s, int64_t *ret_ns)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t total = 0;

	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
		s.p++;
		s.n--;
	}
	if (slice_eq(s, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (s.n == 0)
		return -EINVAL;
	while (s.n > 0) {
		const char *start = s.p;
		uint64_t v = 0, fraction = 0, unit;
		double scale = 1;
		size_t n_digits;

		if (leading_int(&s, &v) < 0)
			return -ERANGE;
		n_digits = (size_t)(s.p - start);
		if (s.n > 0 && *s.p == '.') {
			s.p++;
			s.n--;
			start = s.p;
			leading_fraction(&s, &fraction, &scale);
			n_digits += (size_t)(s.p - start);
		}
		if (n_digits == 0)
			return -EINVAL;
		unit = leading_unit(&s);
		if (unit == 0)
			return -ENODATA;
		if (v > DURATION_LIMIT / unit)
			return -ERANGE;
		v *= unit;
		if (fraction > 0) {
			v += (uint64_t)((double)fraction * ((double)unit / scale));
			if (v > DURATION_LIMIT)
				return -ERANGE;
		}
		total += v;
		if (total > DURATION_LIMIT)
			return -ERANGE;
	}
	if (!negative && total > DURATION_LIMIT - 1)
		return -ERANGE;
	*ret_ns = negative ? (int64_t)(0 - total) : (int64_t)total;
	return 0;
}

int go_parse_float(struct slice s, double *ret)
{
	char text[64], *end;
	size_t digits = 0, sign = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');
	double v;

	if (s.n == 0 || s.n >= sizeof(text))
		return -EINVAL;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (strcasecmp(text + sign, "inf") != 0 && strcasecmp(text + sign, "infinity") != 0 &&
	    strcasecmp(text, "nan") != 0) {
		if (strspn(text, "0123456789.eE+-") != s.n)
			return -EINVAL;
		digits = strcspn(text, "0123456789");
		if (digits == s.n)
			return -EINVAL;
	}
	errno = 0;
	v = strtod(text, &end);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE && isinf(v))
		return -ERANGE;
	*ret = v;
	return 0;
}

/* Seconds with up to nine digits behind the point, without zeros at the end. */
static void append_fraction(char *buf, size_t size, uint64_t whole, uint64_t fraction, int width,
			    const char *unit)
{
	char digits[24] = "";

	if (fraction > 0) {
		int n = snprintf(digits, sizeof(digits), ".%0*llu", width, (unsigned long long)fraction);

		while (n > 0 && digits[n - 1] == '0')
			digits[--n] = '\0';
	}
	(void)snprintf(buf, size, "%llu%s%s", (unsigned long long)whole, digits, unit);
}

const char *go_duration_text(char buf[static GO_DURATION_SIZE], int64_t ns)
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, second = UINT64_C(1000000000), s;
	int n = ns < 0 ? snprintf(buf, GO_DURATION_SIZE, "-") : 0;
	size_t size = GO_DURATION_SIZE - (size_t)n;

	if (u == 0) {
		(void)snprintf(buf, GO_DURATION_SIZE, "0s");
	} else if (u < 1000) {
		append_fraction(buf + n, size, u, 0, 0, "ns");
	} else if (u < 1000000) {
		append_fraction(buf + n, size, u / 1000, u % 1000, 3, "\xc2\xb5s");
	} else if (u < second) {
		append_fraction(buf + n, size, u / 1000000, u % 1000000, 6, "ms");
	} else {
		s = u / second;
		if (s >= 3600)
			n += snprintf(buf + n, size, "%lluh%llum", (unsigned long long)(s / 3600),
				      (unsigned long long)(s / 60 % 60));
		else if (s >= 60)
			n += snprintf(buf + n, size, "%llum", (unsigned long long)(s / 60));
		append_fraction(buf + n, GO_DURATION_SIZE - (size_t)n, s % 60, u % second, 9, "s");
	}
	return buf;
}

int go_parse_cidr(struct slice s)
{
	const char *slash = memchr(s.p, '/', s.n);
	char address[INET6_ADDRSTRLEN + 8];
	unsigned char bytes[16];
	uint64_t bits;
	size_t n;
	bool v6;

	if (!slash)
		return -EINVAL;
	n = (size_t)(slash - s.p);
	if (n == 0 || n >= sizeof(address) || memchr(s.p, '\0', n))
		return -EINVAL;
	memcpy(address, s.p, n);
	address[n] = '\0';
	v6 = strchr(address, ':') != NULL;
	if (inet_pton(v6 ? AF_INET6 : AF_INET, address, bytes) != 1)
		return -EINVAL;
	return parse_u64((struct slice){ slash + 1, s.n - n - 1 }, 0, v6 ? 128 : 32, &bits) < 0 ? -EINVAL : 0;
}
