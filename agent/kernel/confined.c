/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The result comes through a pipe, the end of the process after it: a head with error and reason, then
 * what was written.
 */
#include "batten/kernel/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/kernel/confine.h"

#define READ_BYTES 65536

struct head {
	int32_t error;
	struct diag why;
};

/* ---- in the process ------------------------------------------------------------------------------ */

static int give_up(const struct confined_work *w, int out, struct diag *d)
{
	static const int calls[] = {
		SCMP_SYS(mmap), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(close),
	};
	/* What the C library looks up and can do without: time zones, a seed for hashes. */
	static const int refused[] = { SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(newfstatat), SCMP_SYS(readlink) };
	const struct confinement_when when[] = {
		{ SCMP_SYS(write), 0, UINT32_MAX, (uint32_t)out, false },
		{ SCMP_SYS(write), 0, UINT32_MAX, (uint32_t)(w->file ? *w->file : out), false },
	};
	/* SIGXCPU says why; SIGKILL would come with the second after it. */
	const struct rlimit cpu = { w->max_cpu_seconds, w->max_cpu_seconds + 1 };
	const struct confinement c = {
		.max_data_bytes = w->max_data_bytes,
		.calls = calls,
		.n_calls = ARRAY_SIZE(calls),
		.refused = refused,
		.n_refused = ARRAY_SIZE(refused),
		.when = when,
		.n_when = w->file ? 2 : 1,
	};

	if (w->max_cpu_seconds > 0 && setrlimit(RLIMIT_CPU, &cpu) < 0)
		return diag_errno(d, -errno, NULL, "cannot limit its time");
	return confine(&c, d);
}

static void __attribute__((noreturn)) child(const struct confined_work *w, int out, pid_t parent)
{
	struct head h = { 0 };
	struct bytes b = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	h.error = give_up(w, out, &h.why);
	if (h.error >= 0)
		h.error = w->run(w->user, &b, &h.why);
	if (h.error >= 0)
		h.error = b.error;
	if (fd_write_all(out, (const char *)&h, sizeof(h)) < 0 || (h.error >= 0 && fd_write_all(out, b.data, b.n) < 0))
		_exit(1);
	_exit(0);
}

/* ---- outside --------------------------------------------------------------------------------------- */

/* Up to the end of the pipe, or of the process: an end that could not be closed here keeps the pipe open. */
static int read_all(int fd, int process, size_t max, struct bytes *b)
{
	struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = process, .events = POLLIN } };

	for (;;) {
		ssize_t n;

		if (poll(p, ARRAY_SIZE(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!p[0].revents)
			return 0;
		if (bytes_reserve(b, READ_BYTES) < 0)
			return -ENOMEM;
		n = read(fd, b->data + b->n, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		b->n += (size_t)n;
		if (b->n > max)
			return -EFBIG;
	}
}

/* Its texts are its own: ended here. */
static int take_result(const struct bytes *b, int status, char **ret, size_t *ret_n, struct diag *d)
{
	struct head h;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return diag_fail(d, -ETIMEDOUT, NULL, "its time was over before it came to an end");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || b->n < sizeof(h))
		return diag_fail(d, -EIO, NULL, "the process that reads it ended early%s",
				 WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? ": a system call that it may not make" :
				 WIFSIGNALED(status)				   ? ": killed" :
										     "");
	memcpy(&h, b->data, sizeof(h));
	if (h.error < 0) {
		h.why.where[sizeof(h.why.where) - 1] = h.why.what[sizeof(h.why.what) - 1] = '\0';
		if (d)
			*d = h.why;
		return h.error;
	}
	*ret_n = b->n - sizeof(h);
	*ret = malloc(*ret_n + 1);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, b->data + sizeof(h), *ret_n);
	(*ret)[*ret_n] = '\0';
	return 0;
}

int confined_run(const struct confined_work *w, char **ret, size_t *ret_n, struct diag *d)
{
	_cleanup_(fd_closep) int in = -1, process = -1;
	struct bytes b = { 0 };
	pid_t self = getpid(), pid;
	int ends[2], status = 0, r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return diag_errno(d, -errno, NULL, "no pipe");
	in = ends[0];
	pid = fork();
	if (pid == 0)
		child(w, ends[1], self);
	(void)fd_close(ends[1]);
	if (pid < 0)
		return diag_errno(d, -errno, NULL, "no process to read it in");
	process = (int)syscall(SYS_pidfd_open, pid, 0); /* without it the pipe's end has to do */
	r = read_all(in, process, w->max_out_bytes + sizeof(struct head), &b);
	if (r < 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	r = r < 0 ? diag_errno(d, r, NULL, "cannot read the result") : take_result(&b, status, ret, ret_n, d);
	bytes_done(&b);
	return r;
}
