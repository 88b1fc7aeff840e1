/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every row holds what Go's own functions answered for the same text.
 */
#include "unit.h"

#include <errno.h>
#include <math.h>

#include "batten/host/go-json.h"
#include "batten/host/go-values.h"

static void bools(void **state)
{
	static const char *const good[] = { "1", "t", "T", "true", "TRUE", "True",
					    "0", "f", "F", "false", "FALSE", "False" };
	static const char *const bad[] = { "", "tRuE", "yes", "on", "2", " true", "true ", "\"true\"", "trueX", "TRUe" };
	bool b;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(go_parse_bool(slice_of(good[i]), &b), 0);
		assert_int_equal(b, i < 6);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(go_parse_bool(slice_of(bad[i]), &b), -EINVAL);
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t v;
	} rows[] = {
		{ "0", 0, 0 },
		{ "-0", 0, 0 },
		{ "+7", 0, 7 },
		{ "007", 0, 7 },
		{ "-3", 0, -3 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -ERANGE, INT64_MAX },
		{ "-9223372036854775809", -ERANGE, INT64_MIN },
		{ "99999999999999999999", -ERANGE, INT64_MAX },
		{ "-99999999999999999999", -ERANGE, INT64_MIN },
		/* Too large is noticed before what follows is looked at, but only past 64 bits. */
		{ "99999999999999999999x", -ERANGE, INT64_MAX },
		{ "9223372036854775808x", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "+", -EINVAL, 0 },
		{ "-", -EINVAL, 0 },
		{ "--1", -EINVAL, 0 },
		{ " 5", -EINVAL, 0 },
		{ "5 ", -EINVAL, 0 },
		{ "1_000", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
	};
	uint64_t u = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t v = 4711;

		assert_int_equal(go_parse_int(slice_of(rows[i].text), &v), rows[i].r);
		assert_true(v == rows[i].v);
	}
	assert_int_equal(go_parse_uint(slice_of("65535"), UINT16_MAX, &u), 0);
	assert_int_equal(u, 65535);
	assert_int_equal(go_parse_uint(slice_of("65536"), UINT16_MAX, &u), -ERANGE);
	assert_int_equal(go_parse_uint(slice_of("70000x"), UINT16_MAX, &u), -ERANGE);
	assert_int_equal(go_parse_uint(slice_of("7x"), UINT16_MAX, &u), -EINVAL);
	assert_int_equal(go_parse_uint(slice_of("+1"), UINT16_MAX, &u), -EINVAL);
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t ns;
		const char *printed;
	} rows[] = {
		{ "30s", 0, 30000000000, "30s" },
		{ "1h30m", 0, 5400000000000, "1h30m0s" },
		{ "1.5h", 0, 5400000000000, "1h30m0s" },
		{ ".5s", 0, 500000000, "500ms" },
		{ "1.s", 0, 1000000000, "1s" },
		{ "+5s", 0, 5000000000, "5s" },
		{ "-1.5h", 0, -5400000000000, "-1h30m0s" },
		{ "0", 0, 0, "0s" },
		{ "-0", 0, 0, "0s" },
		{ "1us", 0, 1000, "1\xc2\xb5s" },
		{ "1\xc2\xb5s", 0, 1000, "1\xc2\xb5s" },
		{ "1\xce\xbcs", 0, 1000, "1\xc2\xb5s" },
		{ "1500ns", 0, 1500, "1.5\xc2\xb5s" },
		{ "1.0000001s", 0, 1000000100, "1.0000001s" },
		{ "100ms", 0, 100000000, "100ms" },
		{ "1m1m", 0, 120000000000, "2m0s" },
		{ "59m59.999s", 0, 3599999000000, "59m59.999s" },
		{ "0.0000000001s", 0, 0, "0s" },
		{ "1.00000000000000000001h", 0, 3600000000000, "1h0m0s" },
		{ "9223372036854775807ns", 0, INT64_MAX, "2562047h47m16.854775807s" },
		{ "-9223372036854775808ns", 0, INT64_MIN, "-2562047h47m16.854775808s" },
		{ "9223372036854775808ns", -ERANGE, 0, NULL },
		{ "9999999h", -ERANGE, 0, NULL },
		{ "", -EINVAL, 0, NULL },
		{ "5", -ENODATA, 0, NULL },
		{ "1d", -ENODATA, 0, NULL },
		{ "1h1", -ENODATA, 0, NULL },
		{ "3 s", -ENODATA, 0, NULL },
		{ "1h 3m", -ENODATA, 0, NULL },
		{ ".", -EINVAL, 0, NULL },
		{ ".s", -EINVAL, 0, NULL },
		{ "-", -EINVAL, 0, NULL },
		{ " 3s", -EINVAL, 0, NULL },
		{ "s", -EINVAL, 0, NULL },
	};
	char text[GO_DURATION_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ns = 0;

		if (go_parse_duration(slice_of(rows[i].text), &ns) != rows[i].r)
			fail_msg("%s: %d", rows[i].text, go_parse_duration(slice_of(rows[i].text), &ns));
		if (rows[i].r < 0)
			continue;
		assert_true(ns == rows[i].ns);
		assert_string_equal(go_duration_text(text, ns), rows[i].printed);
	}
}

static void floats(void **state)
{
	double f = 0;

	assert_int_equal(go_parse_float(slice_of("5.5"), &f), 0);
	assert_true(f == 5.5);
	assert_int_equal(go_parse_float(slice_of("1e3"), &f), 0);
	assert_int_equal(go_parse_float(slice_of("-Inf"), &f), 0);
	assert_true(isinf(f));
	assert_int_equal(go_parse_float(slice_of("NaN"), &f), 0);
	assert_int_equal(go_parse_float(slice_of("1e999"), &f), -ERANGE);
	assert_int_equal(go_parse_float(slice_of(" 5"), &f), -EINVAL);
	assert_int_equal(go_parse_float(slice_of("5MB"), &f), -EINVAL);
	assert_int_equal(go_parse_float(slice_of("e5"), &f), -EINVAL);
	assert_int_equal(go_parse_float(slice_of(""), &f), -EINVAL);
}

static void blanks(void **state)
{
	static const struct {
		const char *text, *trimmed;
	} rows[] = {
		{ " a b ", "a b" },
		{ "\t\r\n\v\fa", "a" },
		{ "\xc2\xa0x\xc2\xa0", "x" },
		{ "\xc2\x85x", "x" },
		{ "\xe2\x80\x83x\xe3\x80\x80", "x" },
		{ "\xef\xbb\xbfx", "\xef\xbb\xbfx" },
		{ "\x85x", "\x85x" },
		{ "   ", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_true(slice_eq(go_trim_space(slice_of(rows[i].text)), rows[i].trimmed));
}

static void prefixes(void **state)
{
	static const char *const good[] = { "10.0.0.0/8", "1.2.3.4/0", "0.0.0.0/32", "fd00::/8", "::/0", "::1/128",
					    "::ffff:1.2.3.4/120", "1.2.3.4/08" };
	static const char *const bad[] = { "10.0.0.0", "10.0.0.0/33", "01.2.3.4/8", "1.2.3/8", "/8", "fe80::1%eth0/64",
					   "1.2.3.4/+8", "::/129", "1.2.3.4/", "", "a/8", "1.2.3.4/8 " };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(go_parse_cidr(slice_of(good[i])), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(go_parse_cidr(slice_of(bad[i])), -EINVAL);
}

static int parse(const char *text, bool stream)
{
	struct go_json_doc *doc = NULL;
	size_t at;
	int r = go_json_parse(slice_of(text), stream, &doc, &at);

	if (r == 0 && !doc)
		r = 1;
	go_json_free(doc);
	return r;
}

static void json(void **state)
{
	static const char *const good[] = { "null", " 1 ", "-0", "1e+5", "[]", "{}", "[1,[2,{\"a\":[]}]]", "\"\\u0000\"",
					    "\"\\ud800\"", "\"\xff\"", "1e400", "{\"a\":1,\"a\":2}", "\"\x7f\"" };
	static const char *const bad[] = { "", "  ", "01", "+1", "1.", ".5", "-", "[1,]", "{\"a\":1,}", "{a:1}", "'a'",
					   "\"\\x\"", "\"\n\"", "[", "{", "{\"a\"", "tru", "nulll", "[1]x", "\"", "\"\\u12\"" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(parse(good[i], false), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(bad[i], false) != -EBADMSG)
			fail_msg("%s was taken", bad[i]);
	assert_int_equal(parse("[1] # x", true), 0);
	assert_int_equal(parse("  ", true), 1);
	assert_int_equal(parse("[1", true), -EBADMSG);
}

static void json_depth(void **state)
{
	char *deep = malloc(20003);

	memset(deep, '[', 10001);
	memset(deep + 10001, ']', 10001);
	deep[20002] = '\0';
	assert_int_equal(parse(deep, false), -EBADMSG);
	deep[20001] = '\0';
	assert_int_equal(parse(deep + 1, false), 0);
	free(deep);
}

static void json_keys(void **state)
{
	static const struct {
		const char *text, *name;
		bool same;
	} rows[] = {
		{ "{\"cluster\":1}", "Cluster", true },
		{ "{\"CLUSTER\":1}", "Cluster", true },
		{ "{\"Clu\xc5\xbfter\":1}", "Cluster", true },	    /* long s */
		{ "{\"TasksLin\xe2\x84\xaa\":1}", "TasksLink", true }, /* Kelvin sign */
		{ "{\"\\u0043luster\":1}", "Cluster", true },
		{ "{\"Clusters\":1}", "Cluster", false },
		{ "{\"Cluste\":1}", "Cluster", false },
		{ "{\"\":1}", "Cluster", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct go_json_doc *doc;
		size_t at;

		assert_int_equal(go_json_parse(slice_of(rows[i].text), false, &doc, &at), 0);
		assert_int_equal(go_json_key_is(go_json_root(doc)->child, rows[i].name), rows[i].same);
		go_json_free(doc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bools),    cmocka_unit_test(numbers),	  cmocka_unit_test(durations),
		cmocka_unit_test(floats),   cmocka_unit_test(blanks),	  cmocka_unit_test(prefixes),
		cmocka_unit_test(json),	    cmocka_unit_test(json_depth), cmocka_unit_test(json_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
