/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A host of two views: its init writes to a place, its service sees the same place read-only.
 */
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/kernel/host-view.h"

#define PLACE "/tmp"

enum { FINE, NO_NAMESPACE = 77 };

/* As systemd makes a service's view. Exit code: FINE or the line that is not. */
static int service(void)
{
	char path[PATH_MAX];

	host_view(PLACE "/here", path);
	if (strcmp(path, PLACE "/here") != 0)
		return __LINE__ % 70;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, PLACE, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return NO_NAMESPACE;
	if (mkdir(PLACE "/new", 0700) == 0 || errno != EROFS)
		return __LINE__ % 70;
	/* Of something that is there, and of something that is to be made. */
	host_view(PLACE "/here", path);
	if (strcmp(path, "/proc/1/root" PLACE "/here") != 0)
		return __LINE__ % 70;
	host_view(PLACE "/new", path);
	if (strcmp(path, "/proc/1/root" PLACE "/new") != 0 || mkdir(path, 0700) < 0 || access(PLACE "/new", F_OK) < 0)
		return __LINE__ % 70;
	/* Nothing is gained where the directory is not there either. */
	host_view(PLACE "/none/new", path);
	return strcmp(path, PLACE "/none/new") == 0 ? FINE : __LINE__ % 70;
}

static int init_of_host(void)
{
	pid_t pid;
	int status;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0 || mount("tmpfs", PLACE, "tmpfs", 0, NULL) < 0 ||
	    mkdir(PLACE "/here", 0700) < 0)
		return NO_NAMESPACE;
	pid = fork();
	if (pid == 0)
		_exit(service());
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void what_is_read_only_for_us_is_named_as_init_sees_it(void **state)
{
	pid_t pid = fork(), child;
	int status;

	if (pid == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(NO_NAMESPACE);
		child = fork();
		if (child == 0)
			_exit(init_of_host());
		_exit(waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_NAMESPACE)
		skip_because("no namespaces of our own here");
	assert_int_equal(WEXITSTATUS(status), FINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_only_for_us_is_named_as_init_sees_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
