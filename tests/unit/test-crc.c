/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Our checksum beside zlib's, at every length around the borders and from any address.
 */
#include "unit.h"

#include <zlib.h>

#include "image/crc.h"

static void like_zlib(void **state)
{
	static uint8_t data[70000];
	uint32_t seed = 1;

	for (size_t i = 0; i < sizeof(data); i++) {
		seed = seed * 1664525U + 1013904223U;
		data[i] = (uint8_t)(seed >> 24);
	}
	for (size_t n = 0; n < 400; n++)
		for (size_t at = 0; at < 17; at++)
			assert_int_equal(crc_add(seed, data + at, n), crc32(seed, data + at, (uInt)n));
	for (size_t n = 60000; n < sizeof(data); n += 997)
		assert_int_equal(crc_add(0, data, n), crc32(0, data, (uInt)n));
	assert_int_equal(crc_add(crc_add(0, data, 5000), data + 5000, 60000),
			 crc32(0, data, 65000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_zlib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
