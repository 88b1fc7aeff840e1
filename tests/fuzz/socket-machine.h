/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The kernel's own machine for filters: a program is attached to a socket and fed the description of a
 * call as a packet. A socket's filter loads words in network order, so the packet has each word
 * swapped; what it returns is how many bytes of the packet pass, so answers have to be small numbers.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MACHINE_WORDS (sizeof(struct seccomp_data) / 4)

static int machine_pair[2];

/* False when the kernel refuses the program. */
static inline bool machine_load(const struct sock_filter *code, size_t n)
{
	struct sock_fprog program = { .len = (unsigned short)n, .filter = (struct sock_filter *)(uintptr_t)code };

	if (machine_pair[1] == 0 &&
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, machine_pair) < 0)
		abort();
	return setsockopt(machine_pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

/* The answer to a call, at most the packet's length. */
static inline int machine_answer(const struct seccomp_data *call)
{
	uint32_t packet[MACHINE_WORDS];
	ssize_t r;

	memcpy(packet, call, sizeof(packet));
	for (size_t i = 0; i < MACHINE_WORDS; i++)
		packet[i] = __builtin_bswap32(packet[i]);
	/* One that drops everything says so to the sender of a datagram, or it does not. */
	(void)!send(machine_pair[0], packet, sizeof(packet), 0);
	r = recv(machine_pair[1], packet, sizeof(packet), 0);
	return r < 0 ? 0 : (int)r;
}
