/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two sums at once must be what each is alone, wherever the pieces begin and end.
 */
#include "batten/image/digest.h"
#include "unit.h"

#define SIZE 20000

static uint8_t text[SIZE];

static int fill(void **state)
{
	uint32_t x = 2463534242;

	for (size_t i = 0; i < SIZE; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		text[i] = (uint8_t)x;
	}
	return 0;
}

/* Alone, out of one piece. */
static void assert_sum(struct digester *s, const void *data, size_t n)
{
	struct digest got, want;

	assert_int_equal(digester_end(s, &got), 0);
	assert_int_equal(digest_of(data, n, &want), 0);
	assert_true(digest_eq(&got, &want));
}

static void known_sums(void **state)
{
	static const struct {
		const char *text, *hex;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char hex[DIGEST_HEX_SIZE];
		struct digest d;

		assert_int_equal(digest_of(rows[i].text, strlen(rows[i].text), &d), 0);
		digest_hex(&d, hex);
		assert_string_equal(hex, rows[i].hex);
	}
}

/* The sums part at an edit of @n_edit bytes, as a layer's do, and go on together. */
static void part_and_go_on(size_t before, size_t n_edit, size_t piece)
{
	_cleanup_(digester_freep) struct digester *a = digester_new(), *b = digester_new();
	uint8_t other[SIZE];

	memcpy(other, text, SIZE);
	for (size_t i = 0; i < n_edit; i++)
		other[before + i] ^= 0x55;
	digester_add(a, text, before);
	digester_copy(b, a);
	digester_add(a, text + before, n_edit);
	digester_add(b, other + before, n_edit);
	for (size_t at = before + n_edit; at < SIZE; at += piece)
		digester_add_both(a, b, text + at, MIN(piece, SIZE - at));
	assert_sum(a, text, SIZE);
	assert_sum(b, other, SIZE);
}

static void two_at_once(void **state)
{
	static const size_t pieces[] = { 1, 63, 64, 65, 500, 4096, SIZE };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		for (size_t before = 0; before < 130; before += 13)
			part_and_go_on(before, 1 + before % 7, pieces[i]);
}

/* What was removed moves the blocks of one against those of the other. */
static void out_of_step(void **state)
{
	_cleanup_(digester_freep) struct digester *a = digester_new(), *b = digester_new();

	digester_add(a, text, 700);
	digester_add_both(a, b, text + 700, SIZE - 700);
	assert_sum(a, text, SIZE);
	assert_sum(b, text + 700, SIZE - 700);
	/* And by 64: in step, although of other lengths. */
	digester_add(a, text, 640);
	digester_add_both(a, b, text + 640, SIZE - 640);
	assert_sum(a, text, SIZE);
	assert_sum(b, text + 640, SIZE - 640);
}

/* A length that does not fit into the lower word of the count. */
static void many_bytes(void **state)
{
	_cleanup_(digester_freep) struct digester *a = digester_new(), *b = digester_new();
	struct digest x, y;

	for (unsigned int i = 0; i < (600U << 20) / SIZE; i++)
		digester_add_both(a, b, text, SIZE);
	digester_add(a, text, 5);
	digester_add(b, text, 5);
	assert_int_equal(digester_end(a, &x), 0);
	assert_int_equal(digester_end(b, &y), 0);
	assert_true(digest_eq(&x, &y));
	for (unsigned int i = 0; i < (600U << 20) / SIZE; i++)
		digester_add(a, text, SIZE);
	digester_add(a, text, 5);
	assert_int_equal(digester_end(a, &y), 0);
	assert_true(digest_eq(&x, &y));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums),
		cmocka_unit_test(two_at_once),
		cmocka_unit_test(out_of_step),
		cmocka_unit_test(many_bytes),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
