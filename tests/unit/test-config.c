/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "batten/base/file.h"
#include "batten/daemon/settings.h"

static char path[64];

static int with_file(const char *text, size_t n, struct settings *s, struct diag *d)
{
	assert_int_equal(file_replace(AT_FDCWD, path, text, n, 0600, NULL), 0);
	return settings_read(s, path, false, d);
}

static int setup(void **state)
{
	(void)snprintf(path, sizeof(path), "/tmp/batten-test-config-%d", getpid());
	return 0;
}

static int teardown(void **state)
{
	return unlink(path);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
	static const struct {
		const char *text;
		const char *where; /* behind the file's name */
		const char *what;
	} rows[] = {
		{ "[imds]\nproxy-mode = maybe\n", ":2", "yes or no" },
		{ "[imds]\n\n# c\nnosuch = 1\n", ":4", "unknown key nosuch" },
		{ "[imds]\nlog = yes\nlog = no\n", ":3", "stands twice" },
		{ "[imds]\n[daemon]\n[imds]\n", ":3", "stands twice" },
		{ "[nosuch]\n", ":1", "unknown section" },
		{ "log = yes\n", ":1", "before any [section]" },
		{ "[imds]\nlog\n", ":2", "KEY = VALUE" },
		{ "[imds\n", ":1", "ends with ]" },
		{ "[imds]\nlog-group = 0\n", ":2", "from 1 to 65535" },
		{ "[imds]\nlog-group = -1\n", ":2", "from 1 to 65535" },
		{ "[imds]\nlog-group = 65536\n", ":2", "from 1 to 65535" },
		{ "[imds]\ntable-owner = yes\n", ":2", "auto, no" },
		{ "[imds]\nallow-address = 1.2.3\n", ":2", "no IPv4 or IPv6 address" },
		{ "[imds]\nallow-address = 1.2.3.4,,5.6.7.8\n", ":2", "no IPv4 or IPv6 address" },
		{ "[imds]\nallow-address = 1.2.3.4,\n 5.6.7.8\n", ":3", "begins with a blank" },
		{ "[daemon]\nlog-level = loud\n", ":2", "error, warning, notice, info, debug" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct settings s;
		struct diag d = { 0 };

		assert_int_equal(with_file(rows[i].text, strlen(rows[i].text), &s, &d), -EINVAL);
		assert_string_equal(d.where + strlen(path), rows[i].where);
		assert_non_null(strstr(d.what, rows[i].what));
	}
}

static void long_lines_and_nul_bytes_are_refused(void **state)
{
	char text[9000] = "[imds]\nallow-address = ";
	struct settings s;
	struct diag d = { 0 };

	memset(text + strlen(text), '1', sizeof(text) - strlen(text));
	assert_int_equal(with_file(text, sizeof(text), &s, &d), -EINVAL);
	assert_non_null(strstr(d.what, "longer than"));
	d = (struct diag){ 0 };
	assert_int_equal(with_file("[imds]\nlog = y\0s\n", 18, &s, &d), -EINVAL);
	assert_non_null(strstr(d.what, "NUL"));
}

static void good_files_are_read(void **state)
{
	static const char text[] = "\n; c\n[imds]\r\nlog = no\r\nallow-address = 10.0.0.1 , fd00::1\nlog-group=7\n";
	struct settings s;
	struct diag d = { 0 };

	assert_int_equal(with_file(text, strlen(text), &s, &d), 0);
	assert_false(s.imds.log);
	assert_true(s.imds.enabled);
	assert_int_equal(s.imds.log_group, 7);
	assert_int_equal(s.imds.allow_address.n, 2);
	assert_int_equal(s.imds.allow_address.addresses[1].family, AF_INET6);
}

static void a_missing_file_is_an_error_when_it_was_named(void **state)
{
	struct settings s;
	struct diag d = { 0 };

	(void)with_file("", 0, &s, &d);
	assert_int_equal(settings_read(&s, "/nonexistent/batten.conf", true, &d), 0);
	assert_true(s.imds.enabled);
	assert_int_equal(settings_read(&s, "/nonexistent/batten.conf", false, &d), -ENOENT);
	assert_string_equal(d.where, "/nonexistent/batten.conf");
}

/* The shipped file holds every key, with the default that holds without the file. */
static void the_shipped_file_is_the_defaults(void **state)
{
	_cleanup_(freep) char *text = NULL;
	struct settings built_in, shipped;
	struct diag d = { 0 };

	assert_int_equal(settings_read(&built_in, "/nonexistent", true, &d), 0);
	assert_int_equal(settings_read(&shipped, "systemd/batten.conf", false, &d), 0);
	assert_memory_equal(&built_in, &shipped, sizeof(built_in));
	assert_int_equal(file_read(AT_FDCWD, "systemd/batten.conf", 65536, &text, NULL, NULL), 0);
	for (size_t i = 0; i < imds_config_section.n_keys; i++) {
		char line[128];

		(void)snprintf(line, sizeof(line), "\n%s =", imds_config_section.keys[i].name);
		assert_non_null(strstr(text, line));
		assert_non_null(strstr(text, imds_config_section.keys[i].help));
	}
	(void)with_file("", 0, &shipped, &d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_wrong_is_named_with_its_line, setup, teardown),
		cmocka_unit_test_setup_teardown(long_lines_and_nul_bytes_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(good_files_are_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_file_is_an_error_when_it_was_named, setup, teardown),
		cmocka_unit_test_setup_teardown(the_shipped_file_is_the_defaults, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
