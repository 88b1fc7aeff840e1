/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The core's end. What has come is kept until a message is whole; nothing is kept of a message that
 * the table does not have, for its sender is killed.
 */
#include "daemon/role.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"

#define FIRST_PAUSE_US 100000ull
#define LONGEST_PAUSE_US 30000000ull
#define LIVED_US 10000000ull /* after that its end is a new beginning */
#define BACKGROUND_NICE 10
#define READ_BYTES (64 * 1024) /* in one turn of the loop */
#define SMALL_BYTES (64 * 1024) /* a larger buffer is given back when it is empty */

struct role {
	sd_event *event; /* referenced */
	struct role_kind kind;
	char *argument;
	const struct role_calls *calls;
	void *user;
	pid_t pid; /* 0: none */
	int pidfd, fd;
	sd_event_source *io, *end, *again, *timeout;
	uint64_t pause_us, began_us;
	struct bytes pending;
	char why[160]; /* it was ended by us, or "" */
};

/* ---- in the new process, before it becomes the role --------------------------------------------- */

static void __attribute__((noreturn)) become(const struct role *r, int fd, pid_t parent)
{
	char *const argv[] = { (char *)ROLE_ARGV0, (char *)r->kind.name, r->argument, NULL }, *const environment[] = { NULL };
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (r->kind.background)
		(void)setpriority(PRIO_PROCESS, 0, BACKGROUND_NICE);
	/* The copy is not closed by execve(); everything else of the core is. */
	if (getppid() != parent || (fd == ROLE_FD ? fcntl(fd, F_SETFD, 0) : dup2(fd, ROLE_FD)) < 0)
		_exit(1);
	(void)execve("/proc/self/exe", argv, environment);
	_exit(1);
}

/* ---- in the core ---------------------------------------------------------------------------------- */

static int on_again(sd_event_source *source, uint64_t usec, void *data);

static uint64_t now_us(const struct role *r)
{
	uint64_t us = 0;

	(void)sd_event_now(r->event, CLOCK_MONOTONIC, &us);
	return us;
}

static void start_later(struct role *r)
{
	int error;

	error = sd_event_source_set_time_relative(r->again, r->pause_us);
	if (error >= 0)
		error = sd_event_source_set_enabled(r->again, SD_EVENT_ONESHOT);
	(void)error; /* the source is there: nothing is allocated */
	r->pause_us = MIN(r->pause_us * 2, LONGEST_PAUSE_US);
}

static void forget_process(struct role *r)
{
	r->io = sd_event_source_disable_unref(r->io);
	r->end = sd_event_source_disable_unref(r->end);
	r->timeout = sd_event_source_disable_unref(r->timeout);
	r->pidfd = fd_close(r->pidfd);
	r->fd = fd_close(r->fd);
	r->pid = 0;
	bytes_done(&r->pending);
}

static void kill_role(struct role *r, const char *why)
{
	if (r->pid == 0)
		return;
	if (!r->why[0])
		(void)snprintf(r->why, sizeof(r->why), "%s", why);
	(void)kill(r->pid, SIGKILL);
	r->io = sd_event_source_disable_unref(r->io);
}

/* Whole messages out of what has come. */
static int take_messages(struct role *r)
{
	const char *p = r->pending.data;
	size_t left = r->pending.n;
	struct role_head h;
	int error = 0;

	while (error >= 0 && left >= sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		if (!role_message_check(r->kind.protocol, &h, true))
			return -EBADMSG;
		if (left - sizeof(h) < h.size)
			break;
		error = r->calls->message(r->user, h.type, p + sizeof(h), h.size);
		p += sizeof(h) + h.size;
		left -= sizeof(h) + h.size;
	}
	if (left == 0 && r->pending.size > SMALL_BYTES) {
		bytes_done(&r->pending);
	} else if (left < r->pending.n) {
		memmove(r->pending.data, p, left);
		r->pending.n = left;
	}
	return error;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct role *r = data;
	ssize_t n;
	int error = bytes_reserve(&r->pending, READ_BYTES);

	if (error < 0) {
		kill_role(r, "no memory for what it says");
		return 0;
	}
	n = recv(fd, r->pending.data + r->pending.n, READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) { /* why, its end will tell */
		r->io = sd_event_source_disable_unref(r->io);
		return 0;
	}
	r->pending.n += (size_t)n;
	if (take_messages(r) < 0)
		kill_role(r, "it said what no such process says");
	return 0;
}

static void describe_end(const struct role *r, const siginfo_t *info, char *buf, size_t size)
{
	buf[0] = '\0';
	if (r->why[0])
		(void)snprintf(buf, size, "%s", r->why);
	else if (r->kind.once && info->si_code == CLD_EXITED && info->si_status == 0)
		return;
	else if (info->si_code == CLD_EXITED)
		(void)snprintf(buf, size, "exit code %d", info->si_status);
	else
		(void)snprintf(buf, size, "killed by signal %d%s", info->si_status,
			       info->si_status == SIGSYS ? ", a system call that it may not make" : "");
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct role *r = data;
	siginfo_t info = { 0 };
	char why[200];

	if (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return 0;
	describe_end(r, &info, why, sizeof(why));
	forget_process(r);
	if (now_us(r) - r->began_us > LIVED_US)
		r->pause_us = FIRST_PAUSE_US;
	if (!r->kind.once)
		start_later(r);
	r->calls->gone(r->user, why);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *data)
{
	kill_role(data, "it took too long");
	return 0;
}

static int add_sources(struct role *r)
{
	int error;

	error = sd_event_add_io(r->event, &r->io, r->fd, EPOLLIN, on_io, r);
	if (error >= 0)
		error = sd_event_source_set_priority(r->io, r->kind.priority);
	if (error >= 0)
		error = sd_event_add_io(r->event, &r->end, r->pidfd, EPOLLIN, on_end, r);
	/* What it said before it ended comes first. */
	if (error >= 0)
		error = sd_event_source_set_priority(r->end, r->kind.priority + 1);
	if (error < 0 || r->kind.timeout_us == 0)
		return error;
	return sd_event_add_time_relative(r->event, &r->timeout, CLOCK_MONOTONIC, r->kind.timeout_us, 1000000, on_timeout,
					  r);
}

static int start(struct role *r)
{
	pid_t parent = getpid();
	int ends[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	r->why[0] = '\0';
	r->began_us = now_us(r);
	r->fd = ends[0];
	r->pid = fork();
	if (r->pid == 0)
		become(r, ends[1], parent);
	error = r->pid < 0 ? -errno : 0;
	(void)fd_close(ends[1]);
	if (error >= 0) {
		r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
		error = r->pidfd < 0 ? -errno : add_sources(r);
	}
	if (error >= 0)
		return 0;
	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		(void)waitpid(r->pid, NULL, 0);
	}
	forget_process(r);
	return error;
}

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct role *r = data;
	int error = start(r);

	if (error >= 0)
		return 0;
	start_later(r);
	r->calls->gone(r->user, strerror(-error));
	return 0;
}

int role_new(struct role **ret, sd_event *event, const struct role_kind *kind, const char *argument,
	     const struct role_calls *calls, void *user)
{
	_cleanup_(role_freep) struct role *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	r->event = sd_event_ref(event);
	r->kind = *kind;
	r->calls = calls;
	r->user = user;
	r->fd = r->pidfd = -1;
	r->pause_us = FIRST_PAUSE_US;
	r->argument = strdup(argument);
	if (!r->argument)
		return -ENOMEM;
	error = kind->once ? start(r) : sd_event_add_time_relative(event, &r->again, CLOCK_MONOTONIC, 0, 0, on_again, r);
	if (error < 0)
		return error;
	*ret = take_ptr(r);
	return 0;
}

struct role *role_free(struct role *r)
{
	if (!r)
		return NULL;
	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		(void)waitpid(r->pid, NULL, 0);
	}
	forget_process(r);
	(void)sd_event_source_disable_unref(r->again);
	(void)sd_event_unref(r->event);
	free(r->argument);
	free(r);
	return NULL;
}

void role_tell(struct role *r, uint32_t type, const void *data, size_t n, int pass)
{
	if (r->fd >= 0 && role_send(r->fd, r->kind.protocol, false, type, data, n, pass, MSG_DONTWAIT) < 0)
		kill_role(r, "it does not listen");
}
