/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Messages between the core and a role, over a stream socket: a head, then as many bytes as it says.
 * Which there are, who may say them and how long they are is one table, that both ends check against.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct role_head {
	uint32_t type;
	uint32_t size; /* of what follows */
};

struct role_message {
	const char *name; /* NULL: there is none of this number */
	bool to_core;
	uint32_t min, max;
	uint32_t unit; /* sizes are multiples of it; 0: any */
};

struct role_protocol {
	const struct role_message *messages; /* by type */
	size_t n;
};

/* Return: the message's row, or NULL when nobody may send this in this direction. */
const struct role_message *role_message_check(const struct role_protocol *p, const struct role_head *h, bool to_core);

/*
 * role_send - a whole message
 * @pass:  a descriptor that goes with it, or -1
 * @flags: MSG_DONTWAIT: -EAGAIN when it does not fit now; the connection is useless then
 * Return: 0 or a negative errno; -EBADMSG when the table does not have it
 */
int role_send(int fd, const struct role_protocol *p, bool to_core, uint32_t type, const void *data, size_t n,
	      int pass, int flags) _must_check_;

/*
 * role_receive - wait for a whole message
 * @ret_fd: a descriptor that came with it, or -1; the caller's
 * Return: its size; -ECONNRESET when the other end is gone; -EBADMSG for what the table does not have
 */
ssize_t role_receive(int fd, const struct role_protocol *p, bool to_core, uint32_t *ret_type, void *buf, size_t size,
		     int *ret_fd) _must_check_;

/* A diag as it travels: texts of a fixed size, ended by a NUL whatever arrives. */
void role_diag_terminate(struct diag *d);
