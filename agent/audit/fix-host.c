/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host beside its files, for real: facts from the usual sources, services through systemd, dockerd by
 * the process behind its socket, the kernel's audit over netlink.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "audit/facts-internal.h"
#include "audit/fix-internal.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/host/introspect.h"
#include "batten/host/unit.h"
#include "batten/kernel/netlink.h"

#define UNIT_TIMEOUT_MS 120000	 /* systemd's own is 90 s */
#define RESTART_TIMEOUT_MS 90000 /* an agent that starts registers first */
#define HEALTH_MS 3000
#define CREDENTIALS_PORT 51679
#define CREDENTIALS_ADDRESS 0xa9feaa02 /* 169.254.170.2 */

struct fix_live {
	char *docker;
	char *root;
};

static int live_facts(void *data, struct facts **ret, struct diag *d)
{
	struct fix_live *l = data;

	return facts_open(ret, &(struct facts_options){ .docker = l->docker, .root = l->root }, d);
}

static int live_unit(void *data, const char *unit, const char *verb, struct diag *d)
{
	return unit_do(unit, verb, UNIT_TIMEOUT_MS, d);
}

static int live_unit_active(void *data, const char *unit, bool *ret, struct diag *d)
{
	return unit_is_active(unit, ret, d);
}

/* ---- Docker ------------------------------------------------------------------------------------*/

/* The process that listens on Docker's socket, when that is dockerd itself. */
static pid_t dockerd_behind(const char *socket_path)
{
	_cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_(freep) char *name = NULL;
	struct ucred peer = { 0 };
	socklen_t n = sizeof(peer);
	char path[64];

	if (fd < 0 || strlen(socket_path) >= sizeof(a.sun_path))
		return 0;
	memcpy(a.sun_path, socket_path, strlen(socket_path));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", peer.pid);
	if (file_read_proc(AT_FDCWD, path, 64, &name, NULL) < 0)
		return 0;
	return strcmp(name, "dockerd\n") == 0 ? peer.pid : 0;
}

static int live_docker_reads(void *data, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	struct fix_live *l = data;
	pid_t pid;
	int r = docker_new(&k, l->docker, d);

	if (r < 0)
		return r;
	pid = dockerd_behind(docker_socket(k));
	/* systemd made the socket: it knows whom to ask. */
	if (pid <= 0)
		return unit_do("docker.service", "reload", UNIT_TIMEOUT_MS, d);
	return kill(pid, SIGHUP) < 0 ? diag_errno(d, -errno, "dockerd", "cannot be told to read its file") : 0;
}

static int live_swarm(void *data, enum swarm_deed deed, const char *node, struct docker_swarm *ret, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	struct fix_live *l = data;
	int r = docker_new(&k, l->docker, d);

	return r < 0 ? r : docker_swarm(k, deed, node, ret, d);
}

static int live_package(void *data, enum package_deed deed, const char *name, const char *version, int keep,
			struct package *ret, struct diag *d)
{
	return package(deed, name, version, keep, ret, d);
}

static bool docker_answers(const struct fix_live *l)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	_cleanup_(json_freep) json_t *version = NULL;

	if (docker_new(&k, l->docker, NULL) < 0)
		return false;
	docker_set_timeout(k, HEALTH_MS);
	return docker_get(k, "/version", DOCKER_MAX_ANSWER, &version, NULL) == 0;
}

/* The tasks' way goes through a redirect to the agent's port: both have to work. */
static bool credentials_answer(uint64_t deadline)
{
	return introspect_port_answers(INADDR_LOOPBACK, CREDENTIALS_PORT, deadline) &&
	       introspect_port_answers(CREDENTIALS_ADDRESS, 80, deadline);
}

static json_t *live_health(void *data)
{
	_cleanup_(json_freep) json_t *metadata = NULL;
	bool docker, introspection, credentials;
	struct fix_live *l = data;

	/* A tree of files answers nobody. */
	if (l->root)
		return json_object();
	/* Each has its own time: who does not answer must not make the next one seem silent. */
	docker = docker_answers(l);
	introspection = introspect_get("/v1/metadata", facts_now_ms() + HEALTH_MS, &metadata, NULL) == 0;
	credentials = credentials_answer(facts_now_ms() + HEALTH_MS);
	return json_pack("{s:b, s:b, s:b}", "docker", docker, "introspection", introspection, "credentials", credentials);
}

/* ---- the kernel's audit ------------------------------------------------------------------------*/

/* -w PATH -p wa -k batten, as auditctl(8) has it. */
static int live_watch(void *data, const char *path, bool on, struct diag *d)
{
	static const char key[] = "batten";
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	size_t n_path = strlen(path), n_key = sizeof(key) - 1;
	_Alignas(8) char buf[8192] = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct audit_rule_data *rule;
	struct stat st;
	bool directory = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	int r;

	if (n_path > 4096)
		return -ENAMETOOLONG;
	nlh->nlmsg_type = on ? AUDIT_ADD_RULE : AUDIT_DEL_RULE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	rule = mnl_nlmsg_put_extra_header(nlh, sizeof(*rule) + n_path + n_key);
	rule->flags = AUDIT_FILTER_EXIT;
	rule->action = AUDIT_ALWAYS;
	memset(rule->mask, 0xff, sizeof(rule->mask));
	rule->field_count = 3;
	rule->fields[0] = directory ? AUDIT_DIR : AUDIT_WATCH;
	rule->values[0] = (uint32_t)n_path;
	rule->fieldflags[0] = rule->fieldflags[1] = rule->fieldflags[2] = AUDIT_EQUAL;
	rule->fields[1] = AUDIT_PERM;
	rule->values[1] = AUDIT_PERM_WRITE | AUDIT_PERM_ATTR;
	rule->fields[2] = AUDIT_FILTERKEY;
	rule->values[2] = (uint32_t)n_key;
	rule->buflen = (uint32_t)(n_path + n_key);
	memcpy(rule->buf, path, n_path);
	memcpy(rule->buf + n_path, key, n_key);
	r = nl_open(&nl, NETLINK_AUDIT, NULL, 0, d);
	if (r >= 0)
		r = nl_request(nl, nlh, NULL, NULL, d);
	if (r == (on ? -EEXIST : -ENOENT))
		return 0;
	return r < 0 ? diag_errno(d, r, path, "the kernel's audit does not take the watch") : 0;
}

/* ---- all of it ---------------------------------------------------------------------------------*/

static int no_guard(void *data, bool on, struct diag *d)
{
	return diag_fail(d, -EOPNOTSUPP, NULL, "the guard cannot be reached from here");
}

static int no_guard_is_on(void *data, bool *ret, struct diag *d)
{
	return no_guard(data, false, d);
}

int fix_host_live(struct fix_host *ret, const char *docker_url, const char *root)
{
	struct fix_live *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->docker = docker_url ? strdup(docker_url) : NULL;
	l->root = root && strcmp(root, "/") != 0 ? strdup(root) : NULL;
	*ret = (struct fix_host){
		.data = l,
		.facts = live_facts,
		.unit = live_unit,
		.unit_active = live_unit_active,
		.docker_reads = live_docker_reads,
		.swarm = live_swarm,
		.package = live_package,
		.guard = no_guard,
		.guard_is_on = no_guard_is_on,
		.watch = live_watch,
		.health = live_health,
		.restart_timeout_ms = RESTART_TIMEOUT_MS,
	};
	return 0;
}

void fix_host_done(struct fix_host *h)
{
	struct fix_live *l = h->data;

	if (!l)
		return;
	free(l->docker);
	free(l->root);
	free(l);
	h->data = NULL;
}
