/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hammer: a client that connects in a tight loop and counts what it gets.
 *
 *	hammer [-t TIMEOUT_MS] [-s SECONDS] ADDRESS PORT
 *
 * Prints "up" before the first attempt. After SECONDS, or at SIGTERM, prints one line of JSON:
 * attempts, how they ended, and the longest that an attempt took (time-outs left out). A gap in a
 * guard that lasts a few microseconds shows as successes > 0, which no single connect would see.
 *
 * A connection that succeeds is reset at once: TIME_WAIT would use up the local ports.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/parse.h"

struct tally {
	uint64_t attempts, successes, refused, unreachable, timeouts, other;
	uint64_t max_us; /* of the attempts that ended by themselves */
	int last_other;	 /* errno of the last one counted as other */
};

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	stop = 1;
}

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Return: 0 connected, or the errno the client saw. */
static int attempt(const struct sockaddr *to, socklen_t n_to, int timeout_ms)
{
	_cleanup_(fd_closep) int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	socklen_t n = sizeof(int);
	int error = 0;

	if (fd < 0)
		return errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(fd, to, n_to) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (poll(&p, 1, timeout_ms) <= 0)
		return stop ? EINTR : ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		return errno;
	return error;
}

static void count(struct tally *t, int error, uint64_t took_us)
{
	t->attempts++;
	if (error != ETIMEDOUT && took_us > t->max_us)
		t->max_us = took_us;
	switch (error) {
	case 0:
		t->successes++;
		break;
	case ECONNREFUSED:
	case ECONNRESET:
		t->refused++;
		break;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EACCES:
		t->unreachable++;
		break;
	case ETIMEDOUT:
		t->timeouts++;
		break;
	default:
		t->other++;
		t->last_other = error;
	}
}

static int usage(void)
{
	(void)fputs("usage: hammer [-t TIMEOUT_MS] [-s SECONDS] ADDRESS PORT\n", stderr);
	return 2;
}

static int target(struct sockaddr_storage *ret, socklen_t *ret_size, const char *address, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	*ret = (struct sockaddr_storage){ 0 };
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*ret_size = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*ret_size = sizeof(*v6);
		return 0;
	}
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct sigaction term = { .sa_handler = on_term };
	uint64_t timeout_ms = 50, seconds = 600, port, end;
	struct sockaddr_storage to;
	struct tally t = { 0 };
	socklen_t n_to;
	int c;

	while ((c = getopt(argc, argv, "t:s:")) != -1) {
		uint64_t *value = c == 't' ? &timeout_ms : &seconds;

		if (c == '?' || parse_u64(slice_of(optarg), 1, 600000, value) < 0)
			return usage();
	}
	if (argc - optind != 2 || parse_u64(slice_of(argv[optind + 1]), 1, 65535, &port) < 0 ||
	    target(&to, &n_to, argv[optind], (uint16_t)port) < 0)
		return usage();
	(void)sigaction(SIGTERM, &term, NULL);
	(void)puts("up");
	(void)fflush(stdout);

	end = now_us() + seconds * 1000000;
	for (uint64_t before = now_us(); !stop && before < end; before = now_us()) {
		int error = attempt((struct sockaddr *)&to, n_to, (int)timeout_ms);

		if (error == EINTR)
			continue;
		count(&t, error, now_us() - before);
	}
	(void)printf("{\"attempts\": %" PRIu64 ", \"successes\": %" PRIu64 ", \"refused\": %" PRIu64
		     ", \"unreachable\": %" PRIu64 ", \"timeouts\": %" PRIu64 ", \"other\": %" PRIu64
		     ", \"other_error\": \"%s\", \"max_us\": %" PRIu64 "}\n",
		     t.attempts, t.successes, t.refused, t.unreachable, t.timeouts, t.other,
		     t.other ? strerrorname_np(t.last_other) : "", t.max_us);
	return 0;
}
