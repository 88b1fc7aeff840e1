/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The worker. It answers by its exit status: two bits for each family, one for "added". A datagram
 * socket that is connected asks the routing table and sends nothing.
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

static enum awsvpc_road look(const struct ip_address *imds)
{
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(80) };
	_cleanup_(fd_closep) int fd = socket(imds->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return errno == EAFNOSUPPORT ? AWSVPC_NO_ROUTE : AWSVPC_UNKNOWN;
	memcpy(&to4.sin_addr, imds->bytes, sizeof(to4.sin_addr));
	memcpy(&to6.sin6_addr, imds->bytes, sizeof(to6.sin6_addr));
	if (imds->family == AF_INET)
		r = connect(fd, (struct sockaddr *)&to4, sizeof(to4));
	else
		r = connect(fd, (struct sockaddr *)&to6, sizeof(to6));
	if (r == 0)
		return AWSVPC_OPEN;
	switch (errno) {
	case ENETUNREACH:
	case EADDRNOTAVAIL:
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
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *m;
	int r;

	nlh->nlmsg_type = RTM_NEWROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtm_family = (unsigned char)imds->family;
	m->rtm_dst_len = (unsigned char)(ip_length(imds->family) * 8);
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_type = RTN_BLACKHOLE;
	mnl_attr_put(nlh, RTA_DST, ip_length(imds->family), imds->bytes);
	r = nl_open(&nl, NETLINK_ROUTE, NULL, 0, NULL);
	return r < 0 ? r : nl_request(nl, nlh, NULL, NULL, NULL);
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
