/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The worker. It answers by its exit status: two bits for each family, one for "added". The kernel is
 * asked which route a packet would take, and none is sent.
 */
#include "batten/imds/awsvpc.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/imds/plan.h"
#include "batten/kernel/netlink.h"

#define ADDED 0x10

static struct rtmsg *put_route(void *buf, uint16_t type, uint16_t flags, const struct ip_address *to)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *m;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtm_family = (unsigned char)to->family;
	m->rtm_dst_len = (unsigned char)(ip_length(to->family) * 8);
	mnl_attr_put(nlh, RTA_DST, ip_length(to->family), to->bytes);
	return m;
}

static int request(void *message)
{
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	int r = nl_open(&nl, NETLINK_ROUTE, NULL, 0, NULL);

	return r < 0 ? r : nl_request(nl, message, NULL, NULL, NULL);
}

static enum awsvpc_road look(const struct ip_address *imds)
{
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));

	(void)put_route(buf, RTM_GETROUTE, 0, imds);
	switch (-request(buf)) {
	case 0:
		return AWSVPC_OPEN;
	case ENETUNREACH:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
	case EOPNOTSUPP: /* a kernel without IPv6 */
		return AWSVPC_NO_ROUTE;
	case EINVAL: /* blackhole */
	case EACCES: /* prohibit */
	case EHOSTUNREACH:
		return AWSVPC_CLOSED;
	default:
		return AWSVPC_UNKNOWN;
	}
}

static int add_blackhole(const struct ip_address *imds)
{
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct rtmsg *m = put_route(buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, imds);

	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_type = RTN_BLACKHOLE;
	return request(buf);
}

static void worker(int netns, bool enforce, pid_t parent)
{
	unsigned int status = AWSVPC_UNKNOWN | AWSVPC_UNKNOWN << 2;
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (getppid() != parent || setns(netns, CLONE_NEWNET) < 0)
		_exit((int)status);
	status = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		enum awsvpc_road road = look(&imds_addresses[i]);

		if (road == AWSVPC_OPEN && enforce && add_blackhole(&imds_addresses[i]) == 0) {
			road = look(&imds_addresses[i]);
			status |= ADDED;
		}
		status |= (unsigned int)road << 2 * i;
	}
	_exit((int)status);
}

int awsvpc_start(int netns, bool enforce, pid_t *ret_pid, struct diag *d)
{
	pid_t self = getpid(), pid = fork();
	int fd;

	if (pid < 0)
		return diag_errno(d, -errno, "awsvpc", "cannot start a worker");
	if (pid == 0)
		worker(netns, enforce, self);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0) {
		fd = -errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return diag_errno(d, fd, "awsvpc", "cannot follow a worker");
	}
	*ret_pid = pid;
	return fd;
}

void awsvpc_finish(pid_t pid, struct awsvpc_result *ret)
{
	unsigned int code;
	int status = 0;

	*ret = (struct awsvpc_result){ .road = { AWSVPC_UNKNOWN, AWSVPC_UNKNOWN } };
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return;
	code = (unsigned int)WEXITSTATUS(status);
	ret->road[0] = (enum awsvpc_road)(code & 3);
	ret->road[1] = (enum awsvpc_road)(code >> 2 & 3);
	ret->added = code & ADDED;
}
