/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Netlink over libmnl. Every message passes mnl_nlmsg_ok() before anybody looks inside, and only
 * the kernel's own messages are believed: any local process may write to our port.
 */
#include "batten/kernel/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "batten/base/fd.h"

/* A dump's datagrams are at most this long: libmnl's own 8 KiB cut long set dumps. */
#define RECEIVE_BYTES (64 * 1024)

/* Room for a burst of other people's changes before the kernel says ENOBUFS. */
#define EVENT_BUFFER_BYTES (1024 * 1024)

struct nl_socket {
	struct mnl_socket *mnl;
	uint32_t seq;
	uint32_t portid;
};

static int set_options(struct nl_socket *nl, bool events)
{
	int on = 1, size = EVENT_BUFFER_BYTES;

	/* Words beside the errno are welcome, not needed. */
	(void)mnl_socket_setsockopt(nl->mnl, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(nl->mnl, NETLINK_CAP_ACK, &on, sizeof(on));
	if (events && setsockopt(nl_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 &&
	    setsockopt(nl_fd(nl), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0)
		return -errno;
	/* A batch with many set elements is longer than the default of about 200 KiB. */
	if (!events && setsockopt(nl_fd(nl), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(nl_fd(nl), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

int nl_open(struct nl_socket **ret, int bus, const unsigned int *groups, size_t n_groups, struct diag *d)
{
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	int r;

	nl = calloc(1, sizeof(*nl));
	if (!nl)
		return -ENOMEM;
	nl->mnl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->mnl)
		return diag_errno(d, -errno, "netlink", "cannot open a socket");
	if (mnl_socket_bind(nl->mnl, 0, MNL_SOCKET_AUTOPID) < 0)
		return diag_errno(d, -errno, "netlink", "cannot bind");
	nl->portid = mnl_socket_get_portid(nl->mnl);
	r = set_options(nl, n_groups > 0);
	if (r < 0)
		return diag_errno(d, r, "netlink", "cannot set the receive buffer");
	for (size_t i = 0; i < n_groups; i++) {
		int group = (int)groups[i];

		if (mnl_socket_setsockopt(nl->mnl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return diag_errno(d, -errno, "netlink", "cannot listen to changes");
	}
	*ret = take_ptr(nl);
	return 0;
}

int nl_adopt(struct nl_socket **ret, int fd, int bus)
{
	int domain = 0, protocol = 0;
	struct nl_socket *nl;
	socklen_t n = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) < 0)
		return -errno;
	if (domain != AF_NETLINK || protocol != bus)
		return -EPROTOTYPE;
	nl = calloc(1, sizeof(*nl));
	if (!nl)
		return -ENOMEM;
	nl->mnl = mnl_socket_fdopen(fd);
	if (!nl->mnl) {
		free(nl);
		return -EBADF;
	}
	nl->portid = mnl_socket_get_portid(nl->mnl);
	(void)set_options(nl, false);
	*ret = nl;
	return 0;
}

struct nl_socket *nl_close(struct nl_socket *nl)
{
	if (!nl)
		return NULL;
	if (nl->mnl)
		(void)mnl_socket_close(nl->mnl);
	free(nl);
	return NULL;
}

int nl_fd(const struct nl_socket *nl)
{
	return mnl_socket_get_fd(nl->mnl);
}

uint32_t nl_portid(const struct nl_socket *nl)
{
	return nl->portid;
}

uint32_t nl_next_seq(struct nl_socket *nl)
{
	if (++nl->seq == 0)
		nl->seq = 1;
	return nl->seq;
}

/* The errno of an NLMSG_ERROR; the kernel's sentence goes into @d. */
static int parse_error(const struct nlmsghdr *nlh, struct diag *d)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	size_t n = mnl_nlmsg_get_payload_len(nlh), offset = sizeof(*e);
	const struct nlattr *a;

	if (n < sizeof(*e))
		return -EBADMSG;
	if (e->error == 0)
		return 0;
	/* Without NETLINK_CAP_ACK the whole refused message stands before the attributes. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len >= sizeof(e->msg))
		offset += e->msg.nlmsg_len - sizeof(e->msg);
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || offset > n)
		return e->error;
	mnl_attr_for_each(a, nlh, offset)
	{
		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			(void)diag_fail(d, e->error, "kernel", "%s", mnl_attr_get_str(a));
	}
	return e->error;
}

/* One datagram. Return: its length, 0 for one that does not count, or a negative errno. */
static int receive(struct nl_socket *nl, void *buf, int flags)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = buf, .iov_len = RECEIVE_BYTES };
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	do
		n = recvmsg(nl_fd(nl), &m, flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (m.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	return from.nl_pid == 0 ? (int)n : 0;
}

int nl_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_message_fn fn, void *data, struct diag *d)
{
	_cleanup_(freep) uint8_t *buf = NULL;
	bool interrupted = false;
	int stopped = 0;

	buf = malloc(RECEIVE_BYTES);
	if (!buf)
		return -ENOMEM;
	nlh->nlmsg_seq = nl_next_seq(nl);
	if (mnl_socket_sendto(nl->mnl, nlh, nlh->nlmsg_len) < 0)
		return diag_errno(d, -errno, "netlink", "cannot send");
	for (;;) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)buf;
		int left = receive(nl, buf, 0);

		if (left < 0)
			return diag_errno(d, left, "netlink", "cannot receive");
		for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
			if (m->nlmsg_seq != nlh->nlmsg_seq)
				continue;
			interrupted = interrupted || (m->nlmsg_flags & NLM_F_DUMP_INTR);
			if (m->nlmsg_type == NLMSG_ERROR) {
				int r = parse_error(m, d);

				return stopped < 0 ? stopped : r;
			}
			if (m->nlmsg_type == NLMSG_DONE)
				return stopped < 0 ? stopped : interrupted ? -EINTR : 0;
			if (fn && stopped == 0 && m->nlmsg_type >= NLMSG_MIN_TYPE)
				stopped = fn(m, data);
		}
	}
}

int nl_batch(struct nl_socket *nl, const void *batch, size_t n_batch, uint32_t first_seq,
	     nl_refusal_fn refused, void *data, struct diag *d)
{
	_cleanup_(freep) uint8_t *buf = NULL;
	struct diag why = { 0 };
	int first_error = 0;

	buf = malloc(RECEIVE_BYTES);
	if (!buf)
		return -ENOMEM;
	if (mnl_socket_sendto(nl->mnl, batch, n_batch) < 0)
		return diag_errno(d, -errno, "netlink", "cannot send");
	for (;;) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)buf;
		int left = receive(nl, buf, MSG_DONTWAIT);

		if (left == -EAGAIN)
			break;
		if (left < 0)
			return diag_errno(d, left, "netlink", "cannot receive");
		for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
			int r;

			/* What an earlier user of an adopted socket left unread is not ours. */
			if (m->nlmsg_type != NLMSG_ERROR || (int32_t)(m->nlmsg_seq - first_seq) < 0)
				continue;
			r = parse_error(m, first_error == 0 ? &why : NULL);
			if (r == 0)
				continue;
			first_error = first_error < 0 ? first_error : r;
			refused(m->nlmsg_seq - first_seq, r, data);
		}
	}
	if (first_error < 0 && why.what[0])
		return diag_fail(d, first_error, why.where, "%s", why.what);
	return first_error;
}

int nl_events(struct nl_socket *nl, unsigned int budget, nl_message_fn fn, void *data)
{
	_cleanup_(freep) uint8_t *buf = NULL;

	buf = malloc(RECEIVE_BYTES);
	if (!buf)
		return -ENOMEM;
	for (; budget > 0; budget--) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)buf;
		int left = receive(nl, buf, MSG_DONTWAIT);

		if (left == -EAGAIN)
			return 0;
		if (left < 0)
			return left;
		for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
			int r = m->nlmsg_type < NLMSG_MIN_TYPE ? 0 : fn(m, data);

			if (r < 0)
				return r;
		}
	}
	return 1;
}
