/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>

#include "batten/base/parse.h"

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t v;
	} rows[] = {
		{ "0", 0, 0 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t v = 4711;

		assert_int_equal(parse_u64(slice_of(rows[i].text), 0, UINT64_MAX, &v), rows[i].r);
		assert_int_equal(v, rows[i].r < 0 ? 4711 : rows[i].v);
	}
	uint64_t v;

	assert_int_equal(parse_u64(slice_of("4"), 5, 9, &v), -ERANGE);
	assert_int_equal(parse_u64(slice_of("10"), 5, 9, &v), -ERANGE);
	assert_int_equal(parse_u64(slice_of("9"), 5, 9, &v), 0);
}

static void booleans(void **state)
{
	bool b = false;

	assert_int_equal(parse_bool(slice_of("yes"), &b), 0);
	assert_true(b);
	assert_int_equal(parse_bool(slice_of("off"), &b), 0);
	assert_false(b);
	assert_int_equal(parse_bool(slice_of("Yes"), &b), -EINVAL);
	assert_int_equal(parse_bool(slice_of(""), &b), -EINVAL);
}

static void durations(void **state)
{
	uint64_t ms = 0;

	assert_int_equal(parse_duration_ms(slice_of("4s"), 0, 10000, &ms), 0);
	assert_int_equal(ms, 4000);
	assert_int_equal(parse_duration_ms(slice_of("500ms"), 0, 10000, &ms), 0);
	assert_int_equal(ms, 500);
	assert_int_equal(parse_duration_ms(slice_of("2h"), 0, UINT64_MAX, &ms), 0);
	assert_int_equal(ms, 7200000);
	assert_int_equal(parse_duration_ms(slice_of("4"), 0, 10000, &ms), -EINVAL);
	assert_int_equal(parse_duration_ms(slice_of("s"), 0, 10000, &ms), -EINVAL);
	assert_int_equal(parse_duration_ms(slice_of("4 s"), 0, 10000, &ms), -EINVAL);
	assert_int_equal(parse_duration_ms(slice_of("99999999999999999h"), 0, UINT64_MAX, &ms), -ERANGE);
	assert_int_equal(parse_duration_ms(slice_of("11s"), 0, 10000, &ms), -ERANGE);
}

static void number_text(void **state)
{
	assert_string_equal(U64S(0), "0");
	assert_string_equal(U64S(1203), "1203");
	assert_string_equal(U64S(UINT64_MAX), "18446744073709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(booleans),
		cmocka_unit_test(durations),
		cmocka_unit_test(number_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
