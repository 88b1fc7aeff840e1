/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One datagram socket. The protocol is systemd's: assignments in a datagram, descriptors beside
 * them; BARRIER=1 comes with a pipe whose other end the manager closes when all before it is read.
 */
#include "daemon/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "batten/base/fd-pass.h"
#include "batten/base/fd.h"

#define MAX_UNSAID 512
#define AGAIN_US 200000ull

struct notifier {
	sd_event *event; /* referenced */
	int fd;		 /* -1: nobody listens */
	struct sockaddr_un address;
	socklen_t n_address;
	char unsaid[MAX_UNSAID];
	sd_event_source *again, *watchdog;
	uint64_t period_us;
};

static int send_now(const struct notifier *n, const char *state, int fd, int flags)
{
	union fd_passed passed;
	struct iovec text = { (char *)state, strlen(state) };
	struct msghdr m = { .msg_name = (void *)&n->address, .msg_namelen = n->n_address,
			    .msg_iov = &text, .msg_iovlen = 1 };

	fd_pass(&m, &passed, fd);
	while (sendmsg(n->fd, &m, MSG_NOSIGNAL | flags) < 0)
		if (errno != EINTR)
			return errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : -errno;
	return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct notifier *n = data;

	if (send_now(n, n->unsaid, -1, MSG_DONTWAIT) == -EAGAIN) {
		(void)sd_event_source_set_time_relative(source, AGAIN_US);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	n->unsaid[0] = '\0';
	return 0;
}

void notifier_say(struct notifier *n, const char *state)
{
	size_t have = strlen(n->unsaid);

	if (n->fd < 0 || (have == 0 && send_now(n, state, -1, MSG_DONTWAIT) != -EAGAIN))
		return;
	if (have + strlen(state) + 2 > sizeof(n->unsaid))
		return;
	/* In the order in which it happened: of two assignments to one name the manager takes the last. */
	(void)snprintf(n->unsaid + have, sizeof(n->unsaid) - have, "%s%s", have ? "\n" : "", state);
	(void)sd_event_source_set_time_relative(n->again, AGAIN_US);
	(void)sd_event_source_set_enabled(n->again, SD_EVENT_ONESHOT);
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *data)
{
	struct notifier *n = data;
	bool busy = send_now(n, "WATCHDOG=1", -1, MSG_DONTWAIT) == -EAGAIN;

	(void)sd_event_source_set_time_relative(source, busy ? MIN(AGAIN_US, n->period_us) : n->period_us);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static bool find_manager(struct notifier *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t size = path ? strlen(path) : 0;

	if (size < 2 || size >= sizeof(n->address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, path, size);
	n->n_address = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (path[0] == '/'));
	if (path[0] == '@')
		n->address.sun_path[0] = '\0';
	return true;
}

int notifier_new(struct notifier **ret, sd_event *event)
{
	_cleanup_(notifier_freep) struct notifier *n = calloc(1, sizeof(*n));
	uint64_t watchdog_us = 0;
	int r;

	if (!n)
		return -ENOMEM;
	n->event = sd_event_ref(event);
	n->fd = -1;
	if (find_manager(n)) {
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (n->fd < 0)
			return -errno;
	}
	r = sd_event_add_time_relative(event, &n->again, CLOCK_MONOTONIC, AGAIN_US, 0, on_again, n);
	if (r >= 0)
		r = sd_event_source_set_enabled(n->again, SD_EVENT_OFF);
	if (r >= 0 && n->fd >= 0 && sd_watchdog_enabled(0, &watchdog_us) > 0) {
		n->period_us = watchdog_us / 2;
		r = sd_event_add_time_relative(event, &n->watchdog, CLOCK_MONOTONIC, n->period_us, 0, on_watchdog, n);
	}
	if (r < 0)
		return r;
	*ret = take_ptr(n);
	return 0;
}

struct notifier *notifier_free(struct notifier *n)
{
	if (!n)
		return NULL;
	(void)sd_event_source_disable_unref(n->again);
	(void)sd_event_source_disable_unref(n->watchdog);
	(void)fd_close(n->fd);
	(void)sd_event_unref(n->event);
	free(n);
	return NULL;
}

/* As send_now(), but waits for a busy manager until the socket's time is over. */
static bool send_patiently(const struct notifier *n, const char *state, int fd)
{
	return send_now(n, state, fd, 0) == 0;
}

bool notifier_store(struct notifier *n, int fd, const char *name, uint64_t timeout_ms)
{
	const struct timeval patience = { .tv_sec = (time_t)(timeout_ms / 1000),
					  .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000) };
	struct pollfd closed = { .fd = -1 };
	char state[128];
	bool sent;
	int p[2];

	/* FDPOLL=0: or the manager throws the descriptor out at its first error event. */
	(void)snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	if (n->fd < 0 || setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    !send_patiently(n, state, fd) || pipe2(p, O_CLOEXEC) < 0)
		return false;
	sent = send_patiently(n, "BARRIER=1", p[1]);
	(void)fd_close(p[1]);
	closed.fd = p[0];
	sent = sent && poll(&closed, 1, (int)timeout_ms) == 1 && (closed.revents & POLLHUP);
	(void)fd_close(p[0]);
	return sent;
}
