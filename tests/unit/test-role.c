/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A role that does what none may: the test is executed anew as the role and is its evil self.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/kernel/confine.h"
#include "daemon/docker-reader.h"
#include "daemon/role.h"

/* ---- the role -------------------------------------------------------------------------------------- */

static void say(uint32_t type, uint32_t size, const void *data, size_t n)
{
	struct role_head h = { type, size };

	if (send(ROLE_FD, &h, sizeof(h), MSG_NOSIGNAL) < 0 || (n > 0 && send(ROLE_FD, data, n, MSG_NOSIGNAL) < 0))
		_exit(1);
}

static int evil(const char *kind)
{
	static char zeros[4096];

	if (strcmp(kind, "type") == 0)
		say(_READER_MAX, 0, NULL, 0);
	else if (strcmp(kind, "none") == 0) /* a number without a row */
		say(UINT32_MAX, 0, NULL, 0);
	else if (strcmp(kind, "direction") == 0)
		say(READER_WAKE, 0, NULL, 0);
	else if (strcmp(kind, "long") == 0)
		say(READER_CONTAINER, UINT32_MAX, zeros, sizeof(zeros));
	else if (strcmp(kind, "short") == 0)
		say(READER_ASK, 1, zeros, 1);
	else if (strcmp(kind, "unit") == 0)
		say(READER_LISTED, READER_ID_BYTES + 1, zeros, READER_ID_BYTES + 1);
	else if (strcmp(kind, "refused") == 0) /* the form is right, what is in it is not */
		say(READER_ENDED, READER_ID_BYTES, zeros, READER_ID_BYTES);
	else if (strcmp(kind, "exit") == 0)
		return 7;
	else if (strcmp(kind, "signal") == 0)
		(void)kill(getpid(), SIGSYS);
	else if (strcmp(kind, "good") == 0)
		say(READER_LISTED, 0, NULL, 0);
	for (;;)
		(void)pause();
}

/* ---- the core -------------------------------------------------------------------------------------- */

struct seen {
	sd_event *event;
	unsigned int messages, ends;
	char why[200];
};

static int on_message(void *user, uint32_t type, const void *data, size_t n)
{
	struct seen *s = user;

	if (type == READER_ENDED)
		return -EBADMSG;
	s->messages++;
	return sd_event_exit(s->event, 0);
}

static void on_gone(void *user, const char *why)
{
	struct seen *s = user;

	(void)snprintf(s->why, sizeof(s->why), "%s", why);
	/* The second end shows that it was started again. */
	if (++s->ends == 2)
		(void)sd_event_exit(s->event, 0);
}

static struct seen play(const char *kind)
{
	static const struct role_calls calls = { .message = on_message, .gone = on_gone };
	struct seen s = { 0 };
	struct role *r;

	assert_int_equal(sd_event_new(&s.event), 0);
	assert_int_equal(role_new(&r, s.event, "evil", kind, &docker_reader_protocol, &calls, &s), 0);
	assert_int_equal(sd_event_loop(s.event), 0);
	(void)role_free(r);
	(void)sd_event_unref(s.event);
	return s;
}

static void what_the_table_does_not_have_ends_the_role(void **state)
{
	static const char *const kinds[] = { "type", "none", "direction", "long", "short", "unit", "refused" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct seen s = play(kinds[i]);

		assert_int_equal(s.messages, 0);
		assert_int_equal(s.ends, 2);
		assert_string_equal(s.why, "it said what no reader says");
	}
}

static void its_end_is_told_and_it_is_started_again(void **state)
{
	struct seen s = play("exit");

	assert_int_equal(s.ends, 2);
	assert_string_equal(s.why, "exit code 7");
	s = play("signal");
	assert_non_null(strstr(s.why, "a system call that it may not make"));
}

static void what_it_has_arrives(void **state)
{
	struct seen s = play("good");

	assert_int_equal(s.messages, 1);
	assert_int_equal(s.ends, 0);
}

/* ---- what the reader of Docker's answers may still do --------------------------------------------- */

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 1;
}

static int try_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_exec(void)
{
	char *const argv[] = { (char *)"true", NULL };

	return execve("/bin/true", argv, NULL);
}

static int try_fork(void)
{
	return fork();
}

static int try_kill(void)
{
	return kill(getppid(), 0);
}

static int try_write(void)
{
	return (int)write(2, "", 0);
}

/* Descriptor 4 stands for a connection to Docker. */
static int try_ask_docker(void)
{
	struct msghdr m = { 0 };

	return (int)sendmsg(4, &m, MSG_NOSIGNAL);
}

static int try_duplicate(void)
{
	return dup2(4, ROLE_FD);
}

static int try_tell_the_core(void)
{
	struct msghdr m = { 0 };

	return sendmsg(ROLE_FD, &m, MSG_NOSIGNAL) < 0 && errno == ENOTSOCK ? 0 : 1;
}

static int try_memory(void)
{
	return mmap(NULL, 1u << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 1;
}

static void the_reader_may_read_and_tell(void **state)
{
	static const struct {
		int (*act)(void);
		bool allowed;
	} rows[] = {
		{ try_open, true },	 { try_tell_the_core, true }, { try_memory, true },
		{ try_socket, false },	 { try_exec, false },	      { try_fork, false },
		{ try_kill, false },	 { try_write, false },	      { try_ask_docker, false },
		{ try_duplicate, false },
	};

	if (CONFINE_SANITIZED)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			int null = open("/dev/null", O_RDWR | O_CLOEXEC);

			(void)dup2(null, ROLE_FD);
			(void)dup2(null, 4);
			_exit(docker_reader_confine(NULL) < 0 ? 99 : rows[i].act());
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (rows[i].allowed)
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		else
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_table_does_not_have_ends_the_role),
		cmocka_unit_test(its_end_is_told_and_it_is_started_again),
		cmocka_unit_test(what_it_has_arrives),
		cmocka_unit_test(the_reader_may_read_and_tell),
	};

	if (argc == 3 && strcmp(argv[0], ROLE_ARGV0) == 0)
		return evil(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
