/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/role-wire.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "batten/base/fd-pass.h"
#include "batten/base/fd.h"

const struct role_message *role_message_check(const struct role_protocol *p, const struct role_head *h, bool to_core)
{
	const struct role_message *m = h->type < p->n ? &p->messages[h->type] : NULL;

	if (!m || !m->name || m->to_core != to_core || h->size < m->min || h->size > m->max ||
	    (m->unit > 0 && h->size % m->unit != 0))
		return NULL;
	return m;
}

int role_send(int fd, const struct role_protocol *p, bool to_core, uint32_t type, const void *data, size_t n,
	      int pass, int flags)
{
	struct role_head h = { type, (uint32_t)n };
	struct iovec parts[2] = { { &h, sizeof(h) }, { (void *)data, n } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	union fd_passed passed;

	if (n > UINT32_MAX || !role_message_check(p, &h, to_core))
		return -EBADMSG;
	fd_pass(&m, &passed, pass);
	while (parts[0].iov_len + parts[1].iov_len > 0) {
		ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL | flags);
		size_t of_head, of_data;

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		of_head = MIN((size_t)sent, parts[0].iov_len);
		of_data = (size_t)sent - of_head;
		parts[0] = (struct iovec){ (char *)parts[0].iov_base + of_head, parts[0].iov_len - of_head };
		parts[1] = (struct iovec){ (char *)parts[1].iov_base + of_data, parts[1].iov_len - of_data };
		m.msg_control = NULL; /* it went with the first byte */
		m.msg_controllen = 0;
	}
	return 0;
}

static int receive_all(int fd, void *buf, size_t n, int *ret_fd)
{
	char *p = buf;

	while (n > 0) {
		union fd_passed passed;
		struct iovec part = { p, n };
		struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &passed,
				    .msg_controllen = sizeof(passed.room) };
		ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? -ECONNRESET : -errno;
		fd_take_passed(&m, ret_fd);
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

ssize_t role_receive(int fd, const struct role_protocol *p, bool to_core, uint32_t *ret_type, void *buf, size_t size,
		     int *ret_fd)
{
	_cleanup_(fd_closep) int passed = -1;
	struct role_head h;
	int r;

	r = receive_all(fd, &h, sizeof(h), &passed);
	if (r >= 0 && (!role_message_check(p, &h, to_core) || h.size > size))
		r = -EBADMSG;
	if (r >= 0)
		r = receive_all(fd, buf, h.size, &passed);
	if (r < 0)
		return r;
	*ret_type = h.type;
	*ret_fd = fd_take(&passed);
	return (ssize_t)h.size;
}

void role_diag_terminate(struct diag *d)
{
	d->where[sizeof(d->where) - 1] = '\0';
	d->what[sizeof(d->what) - 1] = '\0';
}
