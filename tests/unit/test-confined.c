/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A function in a process of its own: what it tells arrives, and what it may not do ends it.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/kernel/confine.h"
#include "batten/kernel/confined.h"

#define MAX_OUT 100000

static int say(void *user, struct bytes *out, struct diag *d)
{
	for (size_t i = *(size_t *)user; i > 0; i--)
		bytes_append(out, "x", 1);
	return 0;
}

static int complain(void *user, struct bytes *out, struct diag *d)
{
	bytes_append(out, "half", 4);
	return diag_fail(d, -EINVAL, "trace", "line %d is none", 7);
}

static int look(void *user, struct bytes *out, struct diag *d)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? -errno : 0;
}

static int connect_out(void *user, struct bytes *out, struct diag *d)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int write_elsewhere(void *user, struct bytes *out, struct diag *d)
{
	return (int)write(STDERR_FILENO, "", 0);
}

static int start(void *user, struct bytes *out, struct diag *d)
{
	return fork();
}

static int end(void *user, struct bytes *out, struct diag *d)
{
	return raise(SIGSEGV);
}

static int run(int (*fn)(void *user, struct bytes *out, struct diag *d), size_t n, size_t *ret_n, struct diag *d)
{
	const struct confined_work w = { .run = fn, .user = &n, .max_data_bytes = 64u << 20, .max_out_bytes = MAX_OUT };
	_cleanup_(freep) char *text = NULL;
	int r = confined_run(&w, &text, ret_n, d);

	if (r >= 0)
		assert_int_equal(strlen(text), *ret_n);
	return r;
}

static void what_it_tells_arrives(void **state)
{
	static const size_t sizes[] = { 0, 1, 70000, MAX_OUT };
	struct diag d = { 0 };
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(run(say, sizes[i], &n, &d), 0);
		assert_int_equal(n, sizes[i]);
	}
	assert_int_equal(run(say, MAX_OUT + 1, &n, &d), -EFBIG);
	assert_int_equal(run(complain, 0, &n, &d), -EINVAL);
	assert_string_equal(d.where, "trace");
	assert_string_equal(d.what, "line 7 is none");
}

static void what_it_may_not_do_ends_it(void **state)
{
	struct diag d = { 0 };
	size_t n;

	if (CONFINE_SANITIZED)
		skip_because(SANITIZER_ASKS_FOR_MORE);
	assert_int_equal(run(look, 0, &n, &d), -EACCES);
	assert_int_equal(run(connect_out, 0, &n, &d), -EIO);
	assert_non_null(strstr(d.what, "a system call that it may not make"));
	assert_int_equal(run(write_elsewhere, 0, &n, &d), -EIO);
	assert_int_equal(run(start, 0, &n, &d), -EIO);
	assert_int_equal(run(end, 0, &n, &d), -EIO);
}

/* A list that is empty leaves what every process makes: nothing that reaches out, no new memory but brk()'s. */
static void an_empty_list_leaves_the_process_to_itself(void **state)
{
	static const struct {
		long number, arguments[3];
		bool allowed;
	} rows[] = {
		{ SYS_getpid, { 0 }, true },   { SYS_brk, { 0 }, true },  { SYS_clock_gettime, { 0 }, true },
		{ SYS_getppid, { 0 }, false }, { SYS_mmap, { 0 }, false }, { SYS_mprotect, { 0 }, false },
		{ SYS_read, { -1 }, false },   { SYS_close, { -1 }, false }, { SYS_tgkill, { 0 }, false },
		{ SYS_prctl, { 0 }, false },   { SYS_socket, { 0 }, false }, { SYS_openat, { -1 }, false },
	};

	if (CONFINE_SANITIZED)
		skip_because(SANITIZER_ASKS_FOR_MORE);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct confinement c = { .max_data_bytes = 64u << 20 };
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			if (confine(&c, NULL) < 0)
				_exit(1);
			(void)syscall(rows[i].number, rows[i].arguments[0], rows[i].arguments[1], rows[i].arguments[2]);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (rows[i].allowed)
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		else
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_tells_arrives),
		cmocka_unit_test(what_it_may_not_do_ends_it),
		cmocka_unit_test(an_empty_list_leaves_the_process_to_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
