/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/cursor.h"
#include "batten/base/diag.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/base/list.h"
#include "batten/base/log.h"
#include "batten/base/table.h"

static void cursor_does_not_move_on_failure(void **state)
{
	static const uint8_t data[] = { 0x12, 0x34, 0x56 };
	const uint8_t *p;
	struct cursor c, sub;
	uint32_t u32;
	uint16_t u16;

	cursor_init(&c, data, sizeof(data));
	assert_int_equal(cursor_u32be(&c, &u32), -EBADMSG);
	assert_int_equal(cursor_left(&c), 3);
	assert_int_equal(cursor_take(&c, SIZE_MAX, &p), -EBADMSG);
	assert_int_equal(cursor_u16be(&c, &u16), 0);
	assert_int_equal(u16, 0x1234);
	assert_int_equal(cursor_sub(&c, 2, &sub), -EBADMSG);
	assert_int_equal(cursor_sub(&c, 1, &sub), 0);
	assert_int_equal(cursor_left(&sub), 1);
	assert_int_equal(cursor_left(&c), 0);
}

static void bytes_keep_the_first_error(void **state)
{
	struct bytes b = { 0 };
	char *text = NULL;
	size_t n = 99;

	assert_int_equal(bytes_take(&b, &text, &n), 0);
	assert_string_equal(text, "");
	assert_int_equal(n, 0);
	free(text);
	bytes_append_str(&b, "a");
	assert_int_equal(bytes_reserve(&b, SIZE_MAX), -ENOMEM);
	bytes_append_str(&b, "b");
	assert_int_equal(bytes_take(&b, &text, NULL), -ENOMEM);
	assert_null(b.data);
}

static void diag_keeps_the_first_reason(void **state)
{
	struct diag d = { 0 };

	assert_int_equal(diag_line(&d, -EINVAL, "f", 3, "first"), -EINVAL);
	assert_int_equal(diag_fail(&d, -EIO, "g", "second"), -EIO);
	assert_string_equal(d.where, "f:3");
	assert_string_equal(d.what, "first");
}

static int temporary_dir(void **state)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "/tmp/batten-test-base-XXXXXX");
	*state = mkdtemp(path);
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "%s/f", (char *)*state);
	(void)unlink(command);
	(void)snprintf(command, sizeof(command), "%s/fifo", (char *)*state);
	(void)unlink(command);
	return rmdir(*state); /* fails when a temporary file was left behind */
}

static void replace_keeps_mode_and_leaves_nothing_behind(void **state)
{
	char path[128], *text;
	struct stat st;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/f", (char *)*state);
	assert_int_equal(file_replace(AT_FDCWD, path, "one", 3, 0640, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(chmod(path, 0604), 0);
	assert_int_equal(file_replace(AT_FDCWD, path, "second", 6, 0640, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(file_read(AT_FDCWD, path, 6, &text, &n, NULL), 0);
	assert_int_equal(n, 6);
	assert_string_equal(text, "second");
	free(text);
	assert_int_equal(file_read(AT_FDCWD, path, 5, &text, &n, NULL), -EFBIG);
}

static void odd_files_are_refused(void **state)
{
	char path[128], *text;

	(void)snprintf(path, sizeof(path), "%s/fifo", (char *)*state);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_read(AT_FDCWD, path, 100, &text, NULL, NULL), -EINVAL);
	assert_int_equal(file_read(AT_FDCWD, *state, 100, &text, NULL, NULL), -EISDIR);
	assert_int_equal(file_replace(AT_FDCWD, path, "x", 1, 0600, NULL), -EINVAL);
	(void)snprintf(path, sizeof(path), "%s/none/f", (char *)*state);
	assert_int_equal(file_replace(AT_FDCWD, path, "x", 1, 0600, NULL), -ENOENT);
}

static void list_survives_removal_while_walking(void **state)
{
	struct list head = LIST_INIT(head), nodes[3];
	int seen = 0;

	for (int i = 0; i < 3; i++)
		list_append(&head, &nodes[i]);
	list_for_each(n, &head)
	{
		list_remove(n);
		list_remove(n);
		seen++;
	}
	assert_int_equal(seen, 3);
	assert_true(list_empty(&head));
}

static void log_limit_counts_what_it_holds_back(void **state)
{
	struct log_limit l = { .interval_ms = 1000, .burst = 2 };
	uint64_t held = 99;

	assert_true(log_limit_allow(&l, 5000, &held));
	assert_int_equal(held, 0);
	assert_true(log_limit_allow(&l, 5001, &held));
	assert_false(log_limit_allow(&l, 5002, &held));
	assert_false(log_limit_allow(&l, 5999, &held));
	assert_true(log_limit_allow(&l, 6000, &held));
	assert_int_equal(held, 2);
	assert_true(log_limit_allow(&l, 10, &held)); /* the clock went back */
}

static void json_text_mends_bad_utf8(void **state)
{
	_cleanup_(json_freep) json_t *j = json_text("a\xff\xc3\xa4\xed\xa0\x80");

	assert_string_equal(json_string_value(j), "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void an_answer_may_hold_a_nul(void **state)
{
	static const char text[] = "[\"K=a\\u0000b\", \"next\"]";
	_cleanup_(json_freep) json_t *strict = NULL, *answer = NULL;

	assert_int_equal(json_parse(text, strlen(text), "t", &strict, NULL), -EBADMSG);
	assert_int_equal(json_parse_answer(text, strlen(text), "t", &answer, NULL), 0);
	assert_int_equal(json_array_size(answer), 2);
}

static void table_lines_up_and_escapes(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(2);
	_cleanup_(freep) char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	table_cell(t, STYLE_HEAD, "ä");
	table_cell(t, STYLE_PLAIN, "x\033[31m");
	table_cell(t, STYLE_PLAIN, "long");
	table_cellf(t, STYLE_PLAIN, "%d", 5);
	assert_int_equal(table_print(t, f), 0);
	(void)fclose(f);
	assert_string_equal(text, "ä     x\\x1b[31m\nlong  5\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_does_not_move_on_failure),
		cmocka_unit_test(bytes_keep_the_first_error),
		cmocka_unit_test(diag_keeps_the_first_reason),
		cmocka_unit_test_setup_teardown(replace_keeps_mode_and_leaves_nothing_behind, temporary_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(odd_files_are_refused, temporary_dir, remove_dir),
		cmocka_unit_test(list_survives_removal_while_walking),
		cmocka_unit_test(log_limit_counts_what_it_holds_back),
		cmocka_unit_test(json_text_mends_bad_utf8),
		cmocka_unit_test(an_answer_may_hold_a_nul),
		cmocka_unit_test(table_lines_up_and_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
