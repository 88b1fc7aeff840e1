/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The worker. It answers by its exit status: two bits for each family, one for "added", one for "removed".
 * The kernel is asked which route a packet would take, and none is sent. Our routes are known by a
 * protocol number of their own: those of ECS, or of the task, are never removed or replaced.
 */
#include "batten/imds/awsvpc.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/imds/plan.h"
#include "batten/kernel/confine.h"
#include "batten/kernel/netlink.h"

#define ADDED 0x10
#define REMOVED 0x20
#define PROTOCOL_OURS 180 /* of a route; nobody's in rt_protos */
#define METRIC6 1	  /* before the route of a task, which has 1024 unless it says otherwise */
#define MAX_DATA_BYTES (64UL * 1024 * 1024)

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

/* Before a route of the same length that the task has: with the same metric the newer one is in front. */
static int put_blackhole(uint16_t type, uint16_t flags, const struct ip_address *imds)
{
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct rtmsg *m = put_route(buf, type, flags, imds);

	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = PROTOCOL_OURS;
	m->rtm_type = RTN_BLACKHOLE;
	if (type == RTM_NEWROUTE)
		m->rtm_scope = RT_SCOPE_UNIVERSE;
	else
		m->rtm_scope = RT_SCOPE_NOWHERE; /* any */
	if (imds->family == AF_INET6)
		mnl_attr_put_u32((struct nlmsghdr *)buf, RTA_PRIORITY, METRIC6);
	return request(buf);
}

static unsigned int act(enum awsvpc_action action, const struct ip_address *imds)
{
	if (action == AWSVPC_CLOSE && look(imds) == AWSVPC_OPEN && put_blackhole(RTM_NEWROUTE, NLM_F_CREATE, imds) == 0)
		return ADDED;
	return action == AWSVPC_LEAVE && put_blackhole(RTM_DELROUTE, 0, imds) == 0 ? REMOVED : 0;
}

/*
 * A fork, not a role executed anew: it parses what the kernel says of routes, nobody's else, lives for
 * a millisecond and tells one byte. Once it is inside it has netlink, and the right to add a route.
 */
static int confine_to_netlink(uint64_t keep)
{
	static const int calls[] = {
		SCMP_SYS(bind), SCMP_SYS(getsockname), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
		SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom),
		SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(close), SCMP_SYS(mmap),
	};
	static const struct confinement_when when[] = { { SCMP_SYS(socket), 0, UINT32_MAX, AF_NETLINK, false } };
	const struct confinement c = {
		.keep = keep,
		.max_data_bytes = MAX_DATA_BYTES,
		.calls = calls,
		.n_calls = ARRAY_SIZE(calls),
		.when = when,
		.n_when = ARRAY_SIZE(when),
	};

	return confine(&c, NULL);
}

static void worker(int netns, enum awsvpc_action action, pid_t parent)
{
	static const uint64_t to_enter = CONFINE_CAP(CAP_SYS_ADMIN), to_add = CONFINE_CAP(CAP_NET_ADMIN);
	unsigned int status = AWSVPC_UNKNOWN | AWSVPC_UNKNOWN << 2;
	sigset_t none;

	/* Not the socket that owns the table, nor what else the daemon holds: it is about to enter a task. */
	netns = fd_keep_one(netns);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (getppid() != parent || confine_capabilities(to_enter | to_add, NULL) < 0 || setns(netns, CLONE_NEWNET) < 0 ||
	    confine_to_netlink(action == AWSVPC_CLOSE || action == AWSVPC_LEAVE ? to_add : 0) < 0)
		_exit((int)status);
	status = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(imds_addresses); i++) {
		status |= act(action, &imds_addresses[i]);
		status |= (unsigned int)look(&imds_addresses[i]) << 2 * i;
	}
	_exit((int)status);
}

int awsvpc_start(int netns, enum awsvpc_action action, pid_t *ret_pid, struct diag *d)
{
	pid_t self = getpid(), pid = fork();
	int fd;

	if (pid < 0)
		return diag_errno(d, -errno, "awsvpc", "cannot start a worker");
	if (pid == 0)
		worker(netns, action, self);
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
	ret->removed = code & REMOVED;
}
