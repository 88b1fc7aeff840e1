/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A veth tells the number of its other end's namespace (IFLA_LINK_NETNSID); the kernel gives such a
 * number out when it first tells it, so that links are read before namespaces are asked for.
 */
#include "batten/kernel/links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "batten/base/fd.h"

#define MAX_PORTS 65536
#define DUMP_TRIES 16 /* a dump is repeated when links change under it */

struct port_list {
	struct bridge_port *ports;
	size_t n, size;
};

static bool is_bridge_port(const struct nlattr *info)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_KIND && mnl_attr_validate(a, MNL_TYPE_STRING) >= 0)
			return mnl_attr_get_payload_len(a) >= 6 && memcmp(mnl_attr_get_payload(a), "bridge", 6) == 0;
	}
	return false;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	struct port_list *l = data;
	struct bridge_port p = { .netns_id = -1 };
	bool on_bridge = false;
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct ifinfomsg))
		return 0;
	mnl_attr_for_each(a, nlh, sizeof(struct ifinfomsg))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
				(void)snprintf(p.name, sizeof(p.name), "%s", mnl_attr_get_str(a));
			break;
		case IFLA_LINK_NETNSID:
			if (mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
				p.netns_id = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_LINKINFO:
			on_bridge = mnl_attr_validate(a, MNL_TYPE_NESTED) >= 0 && is_bridge_port(a);
			break;
		default:
			break;
		}
	}
	if (!on_bridge || p.netns_id < 0 || !p.name[0])
		return 0;
	if (l->n == l->size) {
		size_t size = l->size ? 2 * l->size : 16;
		struct bridge_port *grown;

		if (size > MAX_PORTS)
			return -E2BIG;
		grown = reallocarray(l->ports, size, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->ports = grown;
		l->size = size;
	}
	l->ports[l->n++] = p;
	return 0;
}

int bridge_ports_read(struct nl_socket *nl, struct bridge_port **ret, size_t *ret_n, struct diag *d)
{
	struct port_list l = { 0 };
	int r = -EINTR;

	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		char buf[64] __attribute__((aligned(NLMSG_ALIGNTO)));
		struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

		l.n = 0;
		nlh->nlmsg_type = RTM_GETLINK;
		nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		(void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
		r = nl_request(nl, nlh, on_link, &l, d);
	}
	if (r < 0) {
		free(l.ports);
		return r;
	}
	*ret = l.ports;
	*ret_n = l.n;
	return 0;
}

static int on_netns_id(const struct nlmsghdr *nlh, void *data)
{
	int *id = data;
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct rtgenmsg))
	{
		if (mnl_attr_get_type(a) == NETNSA_NSID && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			*id = (int)mnl_attr_get_u32(a);
	}
	return 0;
}

int netns_id(struct nl_socket *nl, pid_t pid, ino_t netns)
{
	char buf[64] __attribute__((aligned(NLMSG_ALIGNTO))), path[64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	int r, id = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino != netns)
		return -ESTALE;
	nlh->nlmsg_type = RTM_GETNSID;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	(void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(nlh, NETNSA_FD, (uint32_t)fd);
	r = nl_request(nl, nlh, on_netns_id, &id, NULL);
	return r < 0 ? r : id < 0 ? -ENOENT : id;
}
