/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A pipe for the lines and a descriptor of the process for its end. The end counts: what the pipe
 * still holds then is read first, and a grandchild that holds the pipe open is not waited for.
 */
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/kernel/confine.h"

#define MAX_LINE_BYTES (64 * 1024) /* a longer one fails the worker */
#define READ_BYTES 16384
#define BACKGROUND_NICE 10

struct worker {
	struct worker_job job;
	pid_t pid; /* 0: reaped */
	int out, pidfd;
	sd_event_source *lines, *end, *timeout;
	struct bytes pending;
	bool bad;
};

/* ---- in the worker ---------------------------------------------------------------------------- */

/* The kernel takes this process first when memory runs out, and the daemon that guards last. */
static void be_expendable(void)
{
	_cleanup_(fd_closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int r = fd >= 0 ? fd_write_all(fd, "500", 3) : -errno;

	(void)r; /* where that cannot be said, the unit's limit on memory is still there */
}

static void __attribute__((noreturn)) child(const struct worker_job *job, int out, pid_t parent)
{
	sigset_t none;

	/* Not the socket that owns the table, not the lock: a daemon that dies must leave none behind. */
	out = fd_keep_one(out);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	be_expendable();
	if (job->background)
		(void)setpriority(PRIO_PROCESS, 0, BACKGROUND_NICE);
	if (confine_capabilities(job->keep, NULL) < 0)
		_exit(1);
	_exit(job->run(job->user, out) < 0 ? 1 : 0);
}

/* ---- in the daemon ----------------------------------------------------------------------------- */

static void take_lines(struct worker *w)
{
	char *start = w->pending.data, *end;
	size_t left = w->pending.n;

	while (left > 0 && (end = memchr(start, '\n', left))) {
		w->job.line(w->job.user, start, (size_t)(end - start));
		left -= (size_t)(end - start) + 1;
		start = end + 1;
	}
	if (left > 0)
		memmove(w->pending.data, start, left);
	w->pending.n = left;
	w->bad = w->bad || left > MAX_LINE_BYTES || w->pending.error < 0;
}

/* One read, so that a talkative worker does not keep the loop. Return: false at the end or for now. */
static bool read_some(struct worker *w)
{
	char buf[READ_BYTES];
	ssize_t n = read(w->out, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (!w->bad) {
		bytes_append(&w->pending, buf, (size_t)n);
		take_lines(w);
	}
	return true;
}

static int on_lines(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *w = data;

	if (!read_some(w) && (events & EPOLLHUP))
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *w = data;
	siginfo_t info = { 0 };

	while (read_some(w))
		;
	if (waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return 0;
	w->pid = 0;
	w->end = sd_event_source_disable_unref(w->end);
	w->timeout = sd_event_source_disable_unref(w->timeout);
	w->lines = sd_event_source_disable_unref(w->lines);
	w->job.end(w->job.user, !w->bad && w->pending.n == 0 && info.si_code == CLD_EXITED && info.si_status == 0);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *data)
{
	struct worker *w = data;

	/* Its end is told as any other. */
	(void)kill(w->pid, SIGKILL);
	return 0;
}

static int add_sources(struct worker *w, sd_event *event)
{
	int r;

	r = sd_event_add_io(event, &w->lines, w->out, EPOLLIN, on_lines, w);
	if (r >= 0)
		r = sd_event_source_set_priority(w->lines, w->job.priority);
	if (r >= 0)
		r = sd_event_add_io(event, &w->end, w->pidfd, EPOLLIN, on_end, w);
	if (r >= 0)
		r = sd_event_source_set_priority(w->end, w->job.priority);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &w->timeout, CLOCK_MONOTONIC, w->job.timeout_us, 1000000, on_timeout,
					       w);
	return r;
}

int worker_start(struct worker **ret, sd_event *event, const struct worker_job *job)
{
	_cleanup_(worker_freep) struct worker *w = calloc(1, sizeof(*w));
	_cleanup_(fd_closep) int in = -1;
	pid_t parent = getpid();
	int ends[2], r;

	if (!w)
		return -ENOMEM;
	w->job = *job;
	w->out = w->pidfd = -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	w->out = ends[0];
	in = ends[1];
	/* Ours alone does not block; the worker waits when we are slow. */
	if (fcntl(w->out, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	w->pid = fork();
	if (w->pid < 0) {
		w->pid = 0;
		return -errno;
	}
	if (w->pid == 0)
		child(job, in, parent);
	w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
	if (w->pidfd < 0)
		return -errno;
	r = add_sources(w, event);
	if (r < 0)
		return r;
	*ret = take_ptr(w);
	return 0;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	(void)sd_event_source_disable_unref(w->lines);
	(void)sd_event_source_disable_unref(w->end);
	(void)sd_event_source_disable_unref(w->timeout);
	if (w->pid > 0) {
		(void)kill(w->pid, SIGKILL);
		(void)waitpid(w->pid, NULL, 0);
	}
	(void)fd_close(w->out);
	(void)fd_close(w->pidfd);
	bytes_done(&w->pending);
	free(w);
	return NULL;
}
