/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One descriptor for each message: there is no room for more, and what has none the kernel closes.
 */
#include "batten/base/fd-pass.h"

#include <string.h>

#include "batten/base/fd.h"

void fd_pass(struct msghdr *m, union fd_passed *p, int fd)
{
	if (fd < 0)
		return;
	memset(p, 0, sizeof(*p));
	p->head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&p->head), &fd, sizeof(fd));
	m->msg_control = p;
	m->msg_controllen = sizeof(p->room);
}

void fd_take_passed(struct msghdr *m, int *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(*ret)))
			continue;
		(void)fd_close(*ret);
		memcpy(ret, CMSG_DATA(c), sizeof(*ret));
	}
}
