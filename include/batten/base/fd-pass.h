/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A descriptor that goes along with a message over a Unix socket.
 */
#include <sys/socket.h>

/* Room for one beside the bytes. */
union fd_passed {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

/* @m takes @fd along, or none when it is -1. @p lives as long as @m. */
void fd_pass(struct msghdr *m, union fd_passed *p, int fd);

/* The descriptor that came with @m, the caller's now, in place of @ret, which is closed; else @ret stays. */
void fd_take_passed(struct msghdr *m, int *ret);
