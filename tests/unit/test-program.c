/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/clock.h"
#include "batten/base/program.h"

static int shell(const char *script, int keep, unsigned int timeout_ms, struct bytes *out)
{
	const char *argv[] = { "/bin/sh", "-c", script, NULL };

	*out = (struct bytes){ 0 };
	return program_run(argv, keep, timeout_ms, out);
}

static void its_exit_status_and_its_words_come_back(void **state)
{
	struct bytes out;

	assert_int_equal(shell("echo one; echo two >&2; exit 7", -1, 0, &out), 7);
	assert_string_equal(out.data, "one\ntwo\n");
	bytes_done(&out);
	assert_int_equal(shell("exit 0", -1, 0, &out), 0);
	assert_int_equal(out.n, 0);
	bytes_done(&out);
	assert_int_equal(shell("kill -9 $$", -1, 0, &out), -ECANCELED);
	bytes_done(&out);
	assert_int_equal(program_run((const char *const[]){ "/no/such/program", NULL }, -1, 0, &out), -ENOENT);
	bytes_done(&out);
}

static void it_has_an_environment_of_its_own_and_nothing_to_read(void **state)
{
	struct bytes out;

	assert_int_equal(setenv("SECRET", "x", 1) + setenv("https_proxy", "http://p:1", 1), 0);
	assert_int_equal(shell("/usr/bin/env | sort | grep -v ^PWD= | grep -v ^_=; cat", -1, 0, &out), 0);
	assert_string_equal(out.data, "HOME=/root\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nhttps_proxy=http://p:1\n");
	bytes_done(&out);
	assert_int_equal(unsetenv("SECRET") + unsetenv("https_proxy"), 0);
}

static void it_has_the_descriptor_that_it_shall_keep_and_no_other(void **state)
{
	int keep = open("/dev/null", O_RDONLY | O_CLOEXEC), other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char script[128];
	struct bytes out;

	(void)snprintf(script, sizeof(script), "[ -e /proc/self/fd/%d ] && ! [ -e /proc/self/fd/%d ]", keep, other);
	assert_int_equal(shell(script, keep, 0, &out), 0);
	bytes_done(&out);
	(void)close(keep);
	(void)close(other);
}

static void signals_are_as_at_the_start_of_the_world(void **state)
{
	struct bytes out;
	sigset_t set, old;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, &old), 0);
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	/* Two above the classic ones are the C library's. */
	assert_int_equal(shell("for s in Blk Ign; do [ $((0x$(sed -n \"s/^Sig$s:.//p\" /proc/self/status) & 0x7fffffff)) = 0 ] || "
			       "exit 1; done", -1, 0, &out), 0);
	bytes_done(&out);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
}

static void of_very_much_the_end_is_kept(void **state)
{
	struct bytes out;

	assert_int_equal(shell("yes | head -c 1000000; echo end", -1, 0, &out), 0);
	assert_true(out.n <= PROGRAM_MAX_OUTPUT && out.n > PROGRAM_MAX_OUTPUT - 8192);
	assert_string_equal(out.data + out.n - 6, "y\nend\n");
	bytes_done(&out);
}

static void it_is_not_waited_for_beyond_its_time(void **state)
{
	struct bytes out;

	assert_int_equal(shell("echo begun; exec sleep 1000", -1, 200, &out), -ETIMEDOUT);
	assert_string_equal(out.data, "begun\n");
	bytes_done(&out);
}

/* What it left behind has its end of the pipe. */
static void nobody_it_left_behind_is_waited_for(void **state)
{
	uint64_t begin = clock_us();
	struct bytes out;

	assert_int_equal(shell("sleep 30 & echo done", -1, 0, &out), 0);
	assert_string_equal(out.data, "done\n");
	assert_true(clock_us() - begin < 20000000);
	bytes_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_exit_status_and_its_words_come_back),
		cmocka_unit_test(it_has_an_environment_of_its_own_and_nothing_to_read),
		cmocka_unit_test(it_has_the_descriptor_that_it_shall_keep_and_no_other),
		cmocka_unit_test(signals_are_as_at_the_start_of_the_world),
		cmocka_unit_test(of_very_much_the_end_is_kept),
		cmocka_unit_test(it_is_not_waited_for_beyond_its_time),
		cmocka_unit_test(nobody_it_left_behind_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
