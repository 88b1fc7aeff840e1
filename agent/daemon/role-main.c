/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How a role begins. Whoever started it must be the parent process, at the other end of descriptor 3;
 * whatever else is open is closed. The role then confines itself, before the first foreign byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "daemon/audit-role.h"
#include "daemon/docker-reader.h"
#include "daemon/role.h"

#define EXIT_USAGE 2
#define EXIT_CANNOT 3

static const struct {
	const char *name;
	int (*run)(const char *argument, struct diag *d);
} roles[] = {
	{ DOCKER_READER, docker_reader_run },
	{ AUDIT_ROLE, audit_role_run },
};

static bool started_by_the_core(void)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(ROLE_FD, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.pid == getppid();
}

/* The kernel takes this process first when memory runs out, and the core, which guards, last. */
static void be_expendable(void)
{
	_cleanup_(fd_closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int r = fd >= 0 ? fd_write_all(fd, "500", 3) : -errno;

	(void)r; /* where that cannot be said, its own limit on memory is still there */
}

int role_main(int argc, char **argv)
{
	struct diag d = { 0 };
	int r = -ENOENT;

	if (argc != 3 || !started_by_the_core()) {
		(void)fprintf(stderr, "%s: a part of batten daemon, which starts it; see batten(8)\n", ROLE_ARGV0);
		return EXIT_USAGE;
	}
	(void)syscall(SYS_close_range, ROLE_FD + 1, ~0u, 0);
	be_expendable();
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			r = roles[i].run(argv[2], &d);
	if (r < 0)
		diag_print(&d, r);
	return r < 0 ? EXIT_CANNOT : 0;
}
