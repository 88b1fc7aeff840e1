/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the process that reads an image may still do, and what its keeper does for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/kernel/confine.h"
#include "image/run.h"
#include "unit.h"

#define KEEPER_FD 3
#define OTHER_FD 4

/* ---- the one that reads ----------------------------------------------------------------------- */

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 1;
}

static int try_fork(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? 0 : 1;
}

static int try_work(void)
{
	char c = 0;

	return write(OTHER_FD, &c, 1) == 1 && pread(OTHER_FD, &c, 1, 0) >= 0 ? 0 : 1;
}

static int try_ask(void)
{
	struct msghdr m = { 0 };

	return sendmsg(KEEPER_FD, &m, MSG_NOSIGNAL) < 0 && errno == ENOTSOCK ? 0 : 1;
}

static int try_memory(void)
{
	return mmap(NULL, 1u << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 1;
}

static int try_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int try_exec(void)
{
	char *argv[] = { (char *)(uintptr_t)"/bin/true", NULL };

	return execv(argv[0], argv);
}

static int try_kill(void)
{
	return kill(getppid(), 0);
}

static int try_send_elsewhere(void)
{
	struct msghdr m = { 0 };

	return (int)sendmsg(OTHER_FD, &m, MSG_NOSIGNAL);
}

static int try_namespace(void)
{
	return (int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
}

static int try_unlink(void)
{
	return unlinkat(AT_FDCWD, "/nonexistent", 0);
}

static int try_terminal_input(void)
{
	return (int)syscall(SYS_ioctl, 0, 0x5412, "x"); /* TIOCSTI */
}

static int try_limit_of_another(void)
{
	return (int)syscall(SYS_prlimit64, getppid(), 0, NULL, NULL);
}

static void the_reader_works_with_what_it_holds(void **state)
{
	static const struct {
		int (*act)(void);
		bool allowed;
	} rows[] = {
		{ try_open, true },	       { try_fork, true },	    { try_work, true },
		{ try_ask, true },	       { try_memory, true },	    { try_socket, false },
		{ try_exec, false },	       { try_kill, false },	    { try_send_elsewhere, false },
		{ try_namespace, false },      { try_unlink, false },	    { try_terminal_input, false },
		{ try_limit_of_another, false },
	};

	if (CONFINE_SANITIZED)
		skip_because(SANITIZER_ASKS_FOR_MORE);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			int null = open("/dev/null", O_RDWR | O_CLOEXEC);

			(void)dup2(null, KEEPER_FD);
			(void)dup2(null, OTHER_FD);
			_exit(run_confine(KEEPER_FD, NULL) < 0 ? 99 : rows[i].act());
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (rows[i].allowed)
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		else
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

/* ---- the keeper ------------------------------------------------------------------------------- */

static char scratch[64];

/* Shell lines in the scratch directory. */
static void run(const char *lines)
{
	char command[256], *argv[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", command, NULL };
	int status;
	pid_t pid;

	(void)snprintf(command, sizeof(command), "cd %s && %s", scratch, lines);
	pid = fork();
	if (pid == 0) {
		(void)execv("/bin/sh", argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int begin(void **state)
{
	(void)snprintf(scratch, sizeof(scratch), "/tmp/keeper.XXXXXX");
	assert_non_null(mkdtemp(scratch));
	run("mkdir -p in/blobs/sha256 && echo x >in/blobs/sha256/a && echo secret >outside && ln -s ../outside in/l");
	return 0;
}

static int end(void **state)
{
	run("rm -r \"$PWD\"");
	return 0;
}

/* Takes over from one that has ended. */
static void start(struct keeper *k, struct place *from, struct place *to, int *ret_source)
{
	char path[128];
	struct target_charge c = { .from = from, .to = to };

	place_done(from);
	place_done(to);
	(void)fd_close(*ret_source);
	(void)snprintf(path, sizeof(path), "oci:%s/in", scratch);
	assert_int_equal(place_parse(path, NULL, from, NULL), 0);
	(void)snprintf(path, sizeof(path), "oci:%s/out", scratch);
	assert_int_equal(place_parse(path, from, to, NULL), 0);
	*ret_source = c.source = place_open(from, NULL, NULL);
	assert_true(c.source >= 0);
	assert_int_equal(keeper_start(k, &c, NULL), 0);
}

static const char *const outside[] = {
	"", ".", "..", "../outside", "/etc/passwd", "blobs/../../outside", "blobs//sha256", "none/../../outside", "blobs/", "l/x",
};

static void it_opens_places_of_the_layout_alone(void **state)
{
	struct keeper k = KEEPER_NONE;
	struct place from = { 0 }, to = { 0 };
	enum target_kind kind;
	char name[1024] = "";
	int fd, source = -1;

	start(&k, &from, &to, &source);
	fd = keeper_source(&k, "blobs/sha256/a", NULL);
	assert_true(fd >= 0 && read(fd, name, 2) == 2 && name[0] == 'x');
	fd = fd_close(fd);
	/* Nothing is made or read before there is a target. */
	assert_true(keeper_create(&k, "index.json", NULL) < 0);
	assert_true(keeper_written(&k, "index.json", NULL) < 0);
	fd = keeper_target(&k, &kind, NULL);
	assert_true(fd >= 0 && kind == TARGET_DIRECTORY);
	fd = fd_close(fd);
	assert_true(keeper_target(&k, &kind, NULL) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
		struct diag d = { 0 };

		assert_true(keeper_source(&k, outside[i], &d) < 0);
		assert_true(d.what[0]);
		assert_true(keeper_written(&k, outside[i], NULL) < 0);
		if (strcmp(outside[i], "l/x") != 0)
			assert_true(keeper_create(&k, outside[i], NULL) < 0);
	}
	assert_true(keeper_source(&k, "l", NULL) < 0);
	memset(name, 'x', sizeof(name) - 1);
	assert_true(keeper_source(&k, name, NULL) < 0);
	fd = keeper_create(&k, "blobs/sha256/b", NULL);
	assert_true(fd >= 0 && write(fd, "b", 1) == 1);
	fd = fd_close(fd);
	assert_true(keeper_create(&k, "blobs/sha256/b", NULL) < 0);
	fd = keeper_written(&k, "blobs/sha256/b", NULL);
	assert_true(fd >= 0);
	fd = fd_close(fd);
	/* Let go before its time: nothing is left. */
	keeper_end(&k);
	run("test \"$(ls -A)\" = \"in\noutside\" && test \"$(cat outside)\" = secret");
	start(&k, &from, &to, &source);
	fd = keeper_target(&k, &kind, NULL);
	assert_true(fd >= 0);
	fd = fd_close(fd);
	fd = fd_close(keeper_create(&k, "index.json", NULL));
	char *old = NULL;

	assert_int_equal(keeper_place(&k, 0, NULL, &old, NULL), 0);
	assert_null(old);
	keeper_end(&k);
	run("test \"$(ls -A)\" = \"in\nout\noutside\" && test -f out/index.json");
	place_done(&from);
	place_done(&to);
	(void)fd_close(source);
}

static void a_request_of_another_size_ends_it(void **state)
{
	struct target_charge c = { .source = -1 };
	struct keeper k = KEEPER_NONE;
	char request[2048] = "";
	int fd;

	assert_int_equal(keeper_start(&k, &c, NULL), 0);
	fd = keeper_spool(&k, NULL);
	assert_true(fd >= 0);
	fd = fd_close(fd);
	assert_int_equal(send(k.fd, request, sizeof(request), MSG_NOSIGNAL), (int)sizeof(request));
	assert_true(keeper_spool(&k, NULL) < 0);
	keeper_end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reader_works_with_what_it_holds),
		cmocka_unit_test(it_opens_places_of_the_layout_alone),
		cmocka_unit_test(a_request_of_another_size_ends_it),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
