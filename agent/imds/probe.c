/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process for each target: it enters the namespace, and a group of its own below the container's,
 * so that both the container's network and the verdict for its cgroup hold, while the container's
 * own group stays as it is. Results come back in shared memory; a child that died left its first
 * verdict there, which is "failed".
 */
#include "batten/imds/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/host/container.h"
#include "batten/imds/config.h"
#include "batten/kernel/confine.h"
#include "batten/kernel/host-view.h"
#include "imds/probe-internal.h"

#define GROUP_NAME "batten-probe"
#define MAX_DMI_BYTES 4096
#define MAX_DATA_BYTES (64UL * 1024 * 1024)
#define GRACE_MS 1000 /* for a busy host, beyond the time-out */

static const char *const outcome_names[_PROBE_OUTCOME_MAX] = {
	[PROBE_TIMEOUT] = "timeout",	 [PROBE_BLOCKED] = "blocked", [PROBE_NO_ROUTE] = "no-route",
	[PROBE_REACHABLE] = "reachable", [PROBE_FAILED] = "failed",
};

const char *probe_outcome_name(enum probe_outcome o)
{
	return outcome_names[o];
}

/* Xen instances show a UUID that begins with "ec2"; Nitro ones name the vendor. */
bool imds_on_ec2(const char *sys)
{
	static const struct {
		const char *file, *prefix;
	} signs[] = {
		{ "class/dmi/id/sys_vendor", "Amazon EC2" },
		{ "class/dmi/id/bios_vendor", "Amazon EC2" },
		{ "hypervisor/uuid", "ec2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		_cleanup_(freep) char *text = NULL;
		char path[PATH_MAX];

		(void)snprintf(path, sizeof(path), "%s/%s", sys ? sys : "/sys", signs[i].file);
		if (file_read_proc(AT_FDCWD, path, MAX_DMI_BYTES, &text, NULL) == 0 &&
		    strncmp(text, signs[i].prefix, strlen(signs[i].prefix)) == 0)
			return true;
	}
	return false;
}

static bool listed(const struct imds_address_list *l, int family, const void *bytes)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->addresses[i].family == family && memcmp(l->addresses[i].bytes, bytes, ip_length(family)) == 0)
			return true;
	return false;
}

bool imds_may_reach(const struct imds_config *config, const struct exceptions *stored, const struct container *c)
{
	if (!config->enabled || c->role == ROLE_ECS_AGENT || exceptions_match(&config->allow, c) ||
	    exceptions_match(stored, c))
		return true;
	for (size_t i = 0; i < c->n_networks; i++)
		if (listed(&config->allow_address, AF_INET, &c->networks[i].ip4) ||
		    listed(&config->allow_address, AF_INET6, &c->networks[i].ip6))
			return true;
	return false;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool group_path(const struct probe_target *t, pid_t pid, char ret[static PATH_MAX])
{
	char above[PATH_MAX];

	if (!t->cgroup)
		return false;
	host_view(t->cgroup, above);
	return snprintf(ret, PATH_MAX, "%s/" GROUP_NAME "-%d", above, (int)pid) < PATH_MAX;
}

static int join_group(const struct probe_target *t)
{
	_cleanup_(fd_closep) int fd = -1;
	char group[PATH_MAX], procs[PATH_MAX + 16];

	if (!t->cgroup)
		return 0;
	if (!group_path(t, getpid(), group))
		return -ENAMETOOLONG;
	if (mkdir(group, 0755) < 0)
		return -errno;
	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_write_all(fd, "0", 1);
}

/* In one piece: others write there too. */
static int tell_pid(int fd)
{
	char line[32];

	return fd_write_all(fd, line, (size_t)snprintf(line, sizeof(line), "pid %d\n", (int)getpid()));
}

/* Whoever answers at the service's address in a container's network may be the container. */
static int confine_to_sockets(void)
{
	static const int calls[] = {
		SCMP_SYS(connect), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(sendto),
		SCMP_SYS(recvfrom), SCMP_SYS(getsockopt), SCMP_SYS(close), SCMP_SYS(mmap),
	};
	static const struct confinement_when when[] = {
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_INET, false },
		{ SCMP_SYS(socket), 0, UINT32_MAX, AF_INET6, false },
	};
	const struct confinement c = {
		.max_data_bytes = MAX_DATA_BYTES,
		.calls = calls,
		.n_calls = ARRAY_SIZE(calls),
		.when = when,
		.n_when = ARRAY_SIZE(when),
	};

	return confine(&c, NULL);
}

static void child(const struct probe_target *t, struct probe_try *tries, uint64_t timeout_ms, int tell, pid_t parent)
{
	int r = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (tell >= 0)
		r = tell_pid(tell);
	if (r >= 0)
		r = join_group(t);
	if (r >= 0 && t->netns >= 0 && setns(t->netns, CLONE_NEWNET) < 0)
		r = -errno;
	if (r >= 0)
		r = confine_to_sockets();
	if (r < 0)
		probe_all(tries, PROBE_FAILED, -r);
	else
		probe_here(tries, timeout_ms);
	_exit(0);
}

/* A child in a frozen group never ends by itself, and no errno says so. */
static void reap(const struct probe_target *t, pid_t pid, uint64_t deadline_ms)
{
	char group[PATH_MAX];

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (now_ms() >= deadline_ms)
			(void)kill(pid, SIGKILL);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	if (group_path(t, pid, group))
		(void)rmdir(group);
}

int imds_probe(struct probe_target *targets, size_t n, uint64_t timeout_ms, int tell, struct diag *d)
{
	struct probe_try(*shared)[PROBE_TRIES];
	_cleanup_(freep) pid_t *pids = NULL;
	size_t size = n * sizeof(*shared);
	uint64_t deadline_ms;
	pid_t self = getpid();

	if (n == 0)
		return 0;
	if (n > PROBE_MAX_TARGETS)
		return diag_fail(d, -E2BIG, "probe", "more than %d namespaces", PROBE_MAX_TARGETS);
	pids = calloc(n, sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	/* cppcheck-suppress invalidFunctionArg ; an anonymous mapping has no descriptor */
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return diag_errno(d, -errno, "probe", "cannot share memory");
	for (size_t i = 0; i < n; i++) {
		probe_all(shared[i], PROBE_FAILED, ECHILD);
		pids[i] = fork();
		if (pids[i] == 0)
			child(&targets[i], shared[i], timeout_ms, tell, self);
		if (pids[i] < 0)
			probe_all(shared[i], PROBE_FAILED, errno);
	}
	deadline_ms = now_ms() + timeout_ms + GRACE_MS;
	for (size_t i = 0; i < n; i++) {
		if (pids[i] > 0)
			reap(&targets[i], pids[i], deadline_ms);
		memcpy(targets[i].tries, shared[i], sizeof(*shared));
	}
	(void)munmap(shared, size);
	return 0;
}
