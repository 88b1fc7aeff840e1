/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Four dumps of sock_diag: TCP and UDP, over IPv4 and IPv6, each for one state.
 */
#include "batten/kernel/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "batten/kernel/netlink.h"

struct dump {
	bool udp;
	waiting_socket_fn fn;
	void *data;
};

static int on_socket(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	const struct dump *dump = data;
	struct waiting_socket s = { .udp = dump->udp };

	if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return 0;
	s.family = m->idiag_family;
	s.port = ntohs(m->id.idiag_sport);
	s.inode = m->idiag_inode;
	memcpy(s.address, m->id.idiag_src, sizeof(s.address));
	return s.port > 0 ? dump->fn(&s, dump->data) : 0;
}

static int ask(struct nl_socket *nl, uint8_t family, struct dump *dump, struct diag *d)
{
	int r = -EINTR;

	/* A dump that a change has interrupted may lack what did not change; what it has comes twice. */
	for (int tries = 0; r == -EINTR && tries < 3; tries++) {
		char buf[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req_v2))]
			__attribute__((aligned(NLMSG_ALIGNTO))) = { 0 };
		struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
		struct inet_diag_req_v2 *q;

		nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
		nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		q = mnl_nlmsg_put_extra_header(nlh, sizeof(*q));
		q->sdiag_family = family;
		q->sdiag_protocol = dump->udp ? IPPROTO_UDP : IPPROTO_TCP;
		q->idiag_states = 1u << (dump->udp ? TCP_CLOSE : TCP_LISTEN);
		r = nl_request(nl, nlh, on_socket, dump, d);
	}
	return r;
}

int sockets_waiting(waiting_socket_fn fn, void *data, struct diag *d)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	int r = nl_open(&nl, NETLINK_SOCK_DIAG, NULL, 0, d);

	for (int udp = 0; udp < 2; udp++) {
		struct dump dump = { udp, fn, data };

		for (size_t i = 0; i < ARRAY_SIZE(families) && r == 0; i++) {
			r = ask(nl, families[i], &dump, d);
			/* A kernel without IPv6 has none of its sockets. */
			if (families[i] == AF_INET6 && (r == -ENOENT || r == -EAFNOSUPPORT))
				r = 0;
		}
	}
	return r;
}
