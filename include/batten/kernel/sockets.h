/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The sockets that wait for somebody in our network namespace, asked of the kernel's sock_diag:
 * however many connections a host has, the answer holds these alone.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct waiting_socket {
	int family;	     /* AF_INET or AF_INET6 */
	bool udp;	     /* bound and not connected; else TCP that listens */
	uint16_t port;
	uint8_t address[16]; /* as inet_ntop() takes it */
	uint32_t inode;
};

/* Return: 0 to go on, or a negative errno to stop. */
typedef int (*waiting_socket_fn)(const struct waiting_socket *s, void *data);

/*
 * sockets_waiting - hand over each of them
 * Return: 0; a negative errno when this kernel cannot be asked; what @fn returned
 */
int sockets_waiting(waiting_socket_fn fn, void *data, struct diag *d) _must_check_;
