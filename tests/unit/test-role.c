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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/root.h"
#include "batten/kernel/confine.h"
#include "daemon/audit-role.h"
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
	static const struct role_kind evil_kind = { .name = "evil", .protocol = &docker_reader_protocol };
	struct seen s = { 0 };
	struct role *r;

	assert_int_equal(sd_event_new(&s.event), 0);
	assert_int_equal(role_new(&r, s.event, &evil_kind, kind, &calls, &s), 0);
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
		assert_string_equal(s.why, "it said what no such process says");
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

/* Then the next connection would come in its place. */
static int try_close_the_core(void)
{
	return close(ROLE_FD);
}

/* The kernel takes the lower half. */
static int try_close_by_half(void)
{
	return (int)syscall(SYS_close, 1ull << 32 | ROLE_FD);
}

static int try_close_others(void)
{
	int files[500], n = 0, r = 0;

	while (n < (int)ARRAY_SIZE(files) && (files[n] = fcntl(4, F_DUPFD_CLOEXEC, 0)) >= 0)
		n++;
	while (n > 0)
		r |= close(files[--n]);
	return r | close(4) | close(0) | (close(-1) == 0);
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

static int try_write_file(void)
{
	return open("/tmp/batten-role-writes", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EACCES ? 0 : 1;
}

static int try_write_memory(void)
{
	return open("/proc/self/mem", O_RDWR | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 1;
}

static int try_truncate(void)
{
	return open("/dev/null", O_RDONLY | O_TRUNC | O_CLOEXEC);
}

static int try_read_file(void)
{
	struct root root;
	char *text;
	size_t n;
	int r = root_init(&root, NULL, NULL);

	/* By the way that does without openat2(). */
	if (r >= 0)
		r = root_read(&root, "/proc/self/status", 65536, &text, &n, NULL);
	return r < 0 || n == 0;
}

static int try_thread(void)
{
	return (int)syscall(SYS_clone3, NULL, 0) < 0 && errno == EACCES ? 0 : 1;
}

static int try_connect(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EACCES ? 0 : 1;
}

static int try_fork_refused(void)
{
	return fork() < 0 && errno == EACCES ? 0 : 1;
}

static int try_setns(void)
{
	return (int)syscall(SYS_setns, 4, 0);
}

static int try_ptrace(void)
{
	return (int)syscall(SYS_ptrace, 16, getppid(), NULL, NULL);
}

static int try_bpf(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int try_mount(void)
{
	return (int)syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
}

static int try_shared_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int try_executable_memory(void)
{
	return mprotect((void *)((uintptr_t)&try_bpf & ~4095ull), 4096, PROT_READ | PROT_EXEC);
}

static int try_large_memory(void)
{
	return mmap(NULL, 2ull << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 1;
}

struct deed {
	int (*act)(void);
	bool allowed; /* its exit code is 0; else it is killed */
};

static void try_all(int (*confine_it)(struct diag *d), const struct deed *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			int null = open("/dev/null", O_RDWR | O_CLOEXEC);

			(void)dup2(null, ROLE_FD);
			(void)dup2(null, 4);
			_exit(confine_it(NULL) < 0 ? 99 : rows[i].act());
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (rows[i].allowed != (WIFEXITED(status) && WEXITSTATUS(status) == 0))
			print_message("deed %zu: status %#x\n", i, (unsigned int)status);
		if (rows[i].allowed)
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		else
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

static void the_reader_may_read_and_tell(void **state)
{
	static const struct deed rows[] = {
		{ try_open, true },	 { try_tell_the_core, true }, { try_memory, true },
		{ try_socket, false },	 { try_exec, false },	      { try_fork, false },
		{ try_kill, false },	 { try_write, false },	      { try_ask_docker, false },
		{ try_duplicate, false },
	};

	if (CONFINE_SANITIZED)
		skip_because(SANITIZER_ASKS_FOR_MORE);
	try_all(docker_reader_confine, rows, ARRAY_SIZE(rows));
}

static void the_auditor_may_read_files_and_tell(void **state)
{
	static const struct deed rows[] = {
		{ try_read_file, true },   { try_tell_the_core, true },	  { try_large_memory, true },
		{ try_write_file, true },  { try_write_memory, true },	  { try_thread, true },
		{ try_connect, true },	   { try_fork_refused, true },	  { try_exec, false },
		{ try_truncate, false },   { try_kill, false },		  { try_write, false },
		{ try_setns, false },	   { try_ptrace, false },	  { try_bpf, false },
		{ try_mount, false },	   { try_ask_docker, false },	  { try_duplicate, false },
		{ try_shared_memory, false }, { try_executable_memory, false },
		{ try_close_the_core, false }, { try_close_by_half, false }, { try_close_others, true },
	};

	if (CONFINE_SANITIZED)
		skip_because(SANITIZER_ASKS_FOR_MORE);
	try_all(audit_role_confine, rows, ARRAY_SIZE(rows));
}

/* ---- what the auditor may have asked ------------------------------------------------------------------ */

static void only_questions_are_asked(void **state)
{
	static const struct {
		enum audit_whom whom;
		const char *path;
		bool ok;
	} rows[] = {
		{ ASK_DOCKER, "/_ping", true },
		{ ASK_DOCKER, "/info", true },
		{ ASK_DOCKER, "/containers/json", true },
		{ ASK_DOCKER, "/containers/0123abcdef/json", true },
		{ ASK_DOCKER, "/images/sha256%3Aabc/history", true },
		{ ASK_DOCKER, "/exec/abc/json", true },
		{ ASK_DOCKER, "/networks", true },
		{ ASK_AGENT, "/v1/tasks", true },
		{ ASK_DOCKER, "", false },
		{ ASK_DOCKER, "/containers//json", false },
		{ ASK_DOCKER, "/containers/abc/archive?path=/etc/shadow", false },
		{ ASK_DOCKER, "/containers/abc/export", false },
		{ ASK_DOCKER, "/containers/../secrets/json", false },
		{ ASK_DOCKER, "/containers/a/json HTTP/1.1\r\nX: y", false },
		{ ASK_DOCKER, "/containers/abc/json?size=1", false },
		{ ASK_DOCKER, "/images/abc/get", false },
		{ ASK_DOCKER, "/networks/abc", false },
		{ ASK_DOCKER, "/v1/tasks", false },
		{ ASK_AGENT, "/info", false },
		{ ASK_AGENT, "/v1/tasks?x", false },
		{ _ASK_MAX, "/info", false },
	};
	struct audit_ask endless = { .whom = ASK_DOCKER };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct audit_ask q = { .whom = rows[i].whom };

		(void)snprintf(q.path, sizeof(q.path), "%s", rows[i].path);
		assert_int_equal(audit_ask_ok(&q), rows[i].ok);
	}
	memset(endless.path, '/', sizeof(endless.path));
	assert_false(audit_ask_ok(&endless));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_table_does_not_have_ends_the_role),
		cmocka_unit_test(its_end_is_told_and_it_is_started_again),
		cmocka_unit_test(what_it_has_arrives),
		cmocka_unit_test(the_reader_may_read_and_tell),
		cmocka_unit_test(the_auditor_may_read_files_and_tell),
		cmocka_unit_test(only_questions_are_asked),
	};

	if (argc == 3 && strcmp(argv[0], ROLE_ARGV0) == 0)
		return evil(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
