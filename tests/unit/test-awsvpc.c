/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The worker that enters a task's network, looked at in the moment of its end.
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/imds/awsvpc.h"

#define NOT_TRACED 9

/* Stands for the daemon: it holds what a task must not come near. */
static void __attribute__((noreturn)) start_one(void)
{
	struct awsvpc_result result;
	int ends[2], netns, fd;
	pid_t pid;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(NOT_TRACED);
	(void)raise(SIGSTOP);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		_exit(1);
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	fd = netns < 0 ? -1 : awsvpc_start(netns, AWSVPC_LOOK, &pid, NULL);
	if (fd < 0)
		_exit(1);
	awsvpc_finish(pid, &result);
	_exit(0);
}

static int highest_descriptor(pid_t pid)
{
	int highest = -1;
	struct stat st;
	char path[64];

	for (int fd = 0; fd < 1024; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		if (lstat(path, &st) == 0)
			highest = fd;
	}
	return highest;
}

static void it_holds_the_namespace_alone(void **state)
{
	int status, highest = -1, code = -1;
	pid_t starter = fork(), pid;

	if (starter == 0)
		start_one();
	assert_int_equal(waitpid(starter, &status, 0), starter);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_TRACED)
		skip_because("nobody may be traced here");
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, starter, NULL,
				(void *)(PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)), 0);
	(void)ptrace(PTRACE_CONT, starter, NULL, NULL);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (pid == starter && WIFEXITED(status))
			code = WEXITSTATUS(status);
		if (!WIFSTOPPED(status))
			continue;
		if (pid != starter && status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			highest = highest_descriptor(pid);
		(void)ptrace(PTRACE_CONT, pid, NULL, NULL);
	}
	assert_int_equal(code, 0);
	assert_int_equal(highest, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_holds_the_namespace_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
