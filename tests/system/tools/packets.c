/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * packets: send small datagrams as fast as they go, and tell what one took.
 *
 *	packets COUNT ADDRESS PORT
 *
 * Between namespaces on one CPU the whole way of a packet, through every hook up to where it is
 * dropped, is walked inside send(): the time of the sender is the time of the path. Prints the
 * nanoseconds of one packet: the median of short runs of them, so that one in which the processor was
 * somebody else's does not count.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "batten/base/fd.h"
#include "batten/base/parse.h"

#define PAYLOAD_BYTES 32
#define RUN 100 /* packets; some 0.2 ms */

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	_cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET };
	static const char payload[PAYLOAD_BYTES];
	_cleanup_(freep) uint64_t *runs = NULL;
	uint64_t n, port;

	if (argc != 4 || parse_u64(slice_of(argv[1]), RUN, 1000000000, &n) < 0 ||
	    inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 ||
	    parse_u64(slice_of(argv[3]), 1, UINT16_MAX, &port) < 0) {
		(void)fputs("usage: packets COUNT ADDRESS PORT\n", stderr);
		return 2;
	}
	to.sin_port = htons((uint16_t)port);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("packets");
		return 3;
	}
	n /= RUN;
	runs = calloc(n, sizeof(*runs));
	if (!runs)
		return 3;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		for (int k = 0; k < RUN; k++)
			if (send(fd, payload, sizeof(payload), 0) < 0) {
				perror("packets: send");
				return 3;
			}
		runs[i] = now_ns() - begin;
	}
	qsort(runs, n, sizeof(*runs), ascending);
	(void)printf("%.1f\n", (double)runs[n / 2] / RUN);
	return 0;
}
