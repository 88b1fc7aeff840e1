/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Edits keep every byte that they were not asked about: ecs.config by lines, daemon.json by stretches;
 * and diffs of what they made.
 */
#include "unit.h"

#include <errno.h>

#include "audit/fix-internal.h"
#include "batten/base/diff.h"

static void lines_change_in_their_place(void **state)
{
	static const struct {
		const char *before, *after;
		unsigned int wrong_line;
	} rows[] = {
		{ "", "N=v\n", 0 },
		{ "A=1\n", "A=1\nN=v\n", 0 },
		{ "A=1", "A=1\nN=v", 0 },
		{ "A=1\r\nB=2\r\n", "A=1\r\nB=2\r\nN=v\r\n", 0 },
		{ "A=1\r\nB=2", "A=1\r\nB=2\r\nN=v", 0 },
		{ "N=old\nB=2\n", "N=v\nB=2\n", 0 },
		{ "N=\"v\" # why\r\nB=2\r\n", "N=v\r\nB=2\r\n", 0 },
		{ "  N=old  \nB=2", "  N=v  \nB=2", 0 },
		/* The last one counts for the agent. */
		{ "N=1\nN=2\nB=3\n", "N=1\nN=v\nB=3\n", 0 },
		{ "export N=old\n", "N=v\n", 0 },
		{ "N =old\nB=1\n", "N=v\nB=1\n", 0 },
		/* A line that counts is better than one that was meant to. */
		{ "N=old\nexport N=x\n", "N=v\nexport N=x\n", 0 },
		{ "A=1\nM=old\nB=2\n", "A=1\nN=v\nB=2\n", 2 },
		/* No comment and no other name is touched. */
		{ "# N=old\nNN=1\nN_=2\n", "# N=old\nNN=1\nN_=2\nN=v\n", 0 },
		{ "\xef\xbb\xbfN=old\n", "\xef\xbb\xbfN=old\nN=v\n", 0 },
		{ "\n\n", "\n\nN=v\n", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes out = { 0 };

		assert_int_equal(lines_set(slice_of(rows[i].before), "N", "v", rows[i].wrong_line, &out), 0);
		assert_string_equal(out.data, rows[i].after);
		bytes_done(&out);
		/* Once more changes nothing. */
		assert_int_equal(lines_set(slice_of(rows[i].after), "N", "v", 0, &out), 0);
		assert_string_equal(out.data, rows[i].after);
		bytes_done(&out);
	}
}

static void members_are_spliced(void **state)
{
	static const struct {
		const char *before, *path, *json, *after; /* after: NULL for a text that is refused */
	} rows[] = {
		{ "", "icc", "false", "{\n  \"icc\": false\n}\n" },
		{ " \n", "icc", "false", "{\n  \"icc\": false\n}\n" },
		{ "{}", "icc", "false", "{\"icc\": false}" },
		{ "{\"a\":1}", "icc", "false", "{\"a\":1,\"icc\":false}" },
		{ "{\"a\": 1}\n", "icc", "false", "{\"a\": 1, \"icc\": false}\n" },
		{ "{\r\n\t\"a\" : 1\r\n}", "icc", "false", "{\r\n\t\"a\" : 1,\r\n\t\"icc\" : false\r\n}" },
		{ "{\"icc\": true, \"a\": [1,  2]}", "icc", "false", "{\"icc\": false, \"a\": [1,  2]}" },
		{ "{\"a\": {\"icc\": true}}", "icc", "false", "{\"a\": {\"icc\": true}, \"icc\": false}" },
		{ "{\"s\": \"x\", \"a\": 1}", "s", NULL, "{\"a\": 1}" },
		{ "{\n  \"a\": 1,\n  \"s\": \"x\"\n}\n", "s", NULL, "{\n  \"a\": 1\n}\n" },
		{ "{\n  \"a\": 1,\n  \"s\": \"x\",\n  \"b\": 2\n}\n", "s", NULL, "{\n  \"a\": 1,\n  \"b\": 2\n}\n" },
		{ "{\"a\": 1}", "s", NULL, "{\"a\": 1}" },
		{ "{\"a\": 1}", "o.k", "\"3\"", "{\"a\": 1, \"o\": {\"k\": \"3\"}}" },
		{ "{\"o\": {\"j\": \"2\"}}", "o.k", "\"3\"", "{\"o\": {\"j\": \"2\", \"k\": \"3\"}}" },
		{ "{\"o\": {\"k\": \"2\"}}", "o.k", "\"3\"", "{\"o\": {\"k\": \"3\"}}" },
		{ "{\"icc\": true, \"icc\": false}", "icc", "false", NULL },
		{ "[1]", "icc", "false", NULL },
		{ "{\"icc\": tru", "icc", "false", NULL },
		{ "{} {}", "icc", "false", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes out = { 0 };
		struct diag d = { 0 };
		int r = daemon_json_set(slice_of(rows[i].before), "f", rows[i].path, rows[i].json, &out, &d);

		assert_int_equal(r, rows[i].after ? 0 : -EBADMSG);
		if (rows[i].after)
			assert_string_equal(out.data, rows[i].after);
		bytes_done(&out);
	}
}

static bool is_tcp(const char *text)
{
	return strncmp(text, "tcp://", 6) == 0;
}

static void strings_go_out_of_arrays(void **state)
{
	static const struct {
		const char *before, *after;
		bool keep_empty;
	} rows[] = {
		{ "{\"h\": [\"tcp://a\", \"unix:///b\", \"tcp:\\/\\/c\"], \"x\": 1}", "{\"h\": [\"unix:///b\"], \"x\": 1}", false },
		{ "{\"h\": [\"tcp://a\"], \"x\": 1}", "{\"x\": 1}", false },
		{ "{\"h\": [\"tcp://a\"], \"x\": 1}", "{\"h\": [], \"x\": 1}", true },
		{ "{\"x\": 1}", "{\"x\": 1}", false },
		{ "{\"x\": 1}", "{\"x\": 1, \"h\": []}", true },
		{ "{\"h\": \"tcp://a\"}", "{\"h\": \"tcp://a\"}", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes out = { 0 };

		assert_int_equal(daemon_json_filter(slice_of(rows[i].before), "f", "h", is_tcp, rows[i].keep_empty, &out, NULL), 0);
		assert_string_equal(out.data, rows[i].after);
		bytes_done(&out);
	}
}

static bool no_secrets(void *data, struct slice line)
{
	return !memmem(line.p, line.n, "secret", 6);
}

static void diffs_stop_before_secrets(void **state)
{
	static const struct {
		const char *before, *after, *diff;
		int r;
	} rows[] = {
		{ "a\nb\n", "a\nb\n", "", 0 },
		{ "a\nb\nc\n", "a\nB\nc\n", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n", 0 },
		{ "a", "a\nb", "--- a/f\n+++ b/f\n@@ -1,1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n"
			       "\\ No newline at end of file\n", 0 },
		{ "", "a\n", "--- a/f\n+++ b/f\n@@ -0,0 +1,1 @@\n+a\n", 0 },
		{ "a\nsecret\nb\nc\nsecret\nd\n", "a\nsecret\nb\nC\nsecret\nd\n",
		  "--- a/f\n+++ b/f\n@@ -3,2 +3,2 @@\n b\n-c\n+C\n", 0 },
		{ "secret\n", "b\n", "--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-***\n+b\n", 1 },
		{ "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "x\n2\n3\n4\n5\n6\n7\n8\ny\n",
		  "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct diff d = { .path = "f", .before = slice_of(rows[i].before), .after = slice_of(rows[i].after),
				  .may_print = no_secrets };
		struct bytes out = { 0 };

		assert_int_equal(diff_print(&d, &out), rows[i].r);
		assert_string_equal(out.data ? out.data : "", rows[i].diff);
		bytes_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_change_in_their_place),
		cmocka_unit_test(members_are_spliced),
		cmocka_unit_test(strings_go_out_of_arrays),
		cmocka_unit_test(diffs_stop_before_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
