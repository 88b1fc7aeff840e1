/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Four connections at once, stepped by poll(): connect, ask, read the first line of the answer. A
 * token is asked for with the shortest life and thrown away.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "batten/base/fd.h"
#include "batten/base/parse.h"
#include "batten/imds/plan.h"
#include "imds/probe-internal.h"

#define LINE_SIZE 16 /* "HTTP/1.1 200 OK" begins within */

static const char *const questions[2] = {
	"GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: imds\r\nConnection: close\r\n\r\n",
	"PUT /latest/api/token HTTP/1.1\r\nHost: imds\r\nConnection: close\r\n"
	"X-aws-ec2-metadata-token-ttl-seconds: 1\r\nContent-Length: 0\r\n\r\n",
};

struct attempt {
	struct probe_try *try;
	int fd;
	bool connected;
	char line[LINE_SIZE];
	size_t n_line;
};

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static enum probe_outcome outcome_of(int error)
{
	switch (error) {
	case ENETUNREACH:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
		return PROBE_NO_ROUTE;
	case ETIMEDOUT:
		return PROBE_TIMEOUT;
	case EMFILE:
	case ENOMEM:
	case ENOBUFS:
		return PROBE_FAILED;
	default: /* also EINVAL, which is what a blackhole route answers */
		return PROBE_BLOCKED;
	}
}

static void end(struct attempt *a, enum probe_outcome outcome, int error, uint64_t start_us)
{
	a->try->outcome = outcome;
	a->try->error = error;
	a->try->latency_us = now_us() - start_us;
	a->fd = fd_close(a->fd);
}

static void begin(struct attempt *a, uint64_t start_us)
{
	const struct ip_address *imds = &imds_addresses[a->try->family == AF_INET6];
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(80) };
	int r;

	memcpy(&to6.sin6_addr, imds->bytes, sizeof(to6.sin6_addr));
	memcpy(&to4.sin_addr, imds->bytes, sizeof(to4.sin_addr));
	a->fd = socket(a->try->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0) {
		end(a, outcome_of(errno), errno, start_us);
		return;
	}
	if (a->try->family == AF_INET)
		r = connect(a->fd, (struct sockaddr *)&to4, sizeof(to4));
	else
		r = connect(a->fd, (struct sockaddr *)&to6, sizeof(to6));
	if (r < 0 && errno != EINPROGRESS)
		end(a, outcome_of(errno), errno, start_us);
}

/* "HTTP/1.1 401": whoever says that is the service. */
static void read_answer(struct attempt *a, uint64_t start_us)
{
	uint64_t status = 0;
	ssize_t n;

	n = recv(a->fd, a->line + a->n_line, sizeof(a->line) - a->n_line, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* connected, and then cut: a filter that came late, or a proxy */
		end(a, PROBE_BLOCKED, n < 0 ? errno : ECONNRESET, start_us);
		return;
	}
	a->n_line += (size_t)n;
	if (a->n_line < 12)
		return;
	if (memcmp(a->line, "HTTP/1.", 7) == 0 &&
	    parse_u64((struct slice){ a->line + 9, 3 }, 100, 599, &status) == 0)
		a->try->status = (int)status;
	end(a, PROBE_REACHABLE, 0, start_us);
}

static void step(struct attempt *a, uint64_t start_us)
{
	const char *question = questions[a->try->version - 1];
	int error = 0;
	socklen_t n = sizeof(error);

	if (a->connected) {
		read_answer(a, start_us);
		return;
	}
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	/* The question fits into an empty socket's buffer. */
	if (error == 0 && send(a->fd, question, strlen(question), MSG_NOSIGNAL) < 0)
		error = errno;
	if (error != 0)
		end(a, outcome_of(error), error, start_us);
	a->connected = true;
}

void probe_all(struct probe_try tries[static PROBE_TRIES], enum probe_outcome outcome, int error)
{
	for (unsigned int i = 0; i < PROBE_TRIES; i++)
		tries[i] = (struct probe_try){
			.family = i < 2 ? AF_INET : AF_INET6,
			.version = 1 + i % 2,
			.outcome = outcome,
			.error = error,
		};
}

void probe_here(struct probe_try tries[static PROBE_TRIES], uint64_t timeout_ms)
{
	uint64_t start_us = now_us(), deadline_us = start_us + timeout_ms * 1000, now;
	struct attempt attempts[PROBE_TRIES];

	probe_all(tries, PROBE_TIMEOUT, ETIMEDOUT);
	for (size_t i = 0; i < PROBE_TRIES; i++) {
		attempts[i] = (struct attempt){ .try = &tries[i], .fd = -1 };
		begin(&attempts[i], start_us);
	}
	while ((now = now_us()) < deadline_us) {
		struct pollfd p[PROBE_TRIES];
		bool any = false;

		for (size_t i = 0; i < PROBE_TRIES; i++) {
			p[i] = (struct pollfd){ .fd = attempts[i].fd,
						.events = attempts[i].connected ? POLLIN : POLLOUT };
			any = any || p[i].fd >= 0;
		}
		if (!any)
			return;
		if (poll(p, PROBE_TRIES, (int)((deadline_us - now + 999) / 1000)) < 0 && errno != EINTR)
			break;
		for (size_t i = 0; i < PROBE_TRIES; i++)
			if (p[i].fd >= 0 && p[i].revents)
				step(&attempts[i], start_us);
	}
	for (size_t i = 0; i < PROBE_TRIES; i++)
		if (attempts[i].fd >= 0)
			end(&attempts[i], PROBE_TIMEOUT, ETIMEDOUT, start_us);
}
