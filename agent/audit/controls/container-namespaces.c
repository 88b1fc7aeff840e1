/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What of the host a container shares or sees: its namespaces beside those of pid 1, and its mount
 * table traced back to the host's paths, so that a directory above a socket counts as the socket.
 */
#include <errno.h>
#include <string.h>

#include "audit/controls/containers.h"
#include "audit/daemon-settings.h"
#include "audit/mounts.h"

#define MAX_TOLD 32 /* mounts of a container; what came with one more is told for itself */

/* Return: 1 the host's, 0 its own, or a negative errno. */
static int shares(struct audit *a, const struct subject *s, const char *kind)
{
	const char *host, *ours;
	const char *own = facts_process_link(a->facts, s->container->processes[0]->pid,
					     arena_printf(&a->arena, "ns/%s", kind));

	facts_host_namespaces(a->facts, kind, &host, &ours);
	/* Pid 1 may be out of our sight when it has a capability that we lack. */
	if ((!host && !ours) || !own)
		return -EACCES;
	return (host && strcmp(host, own) == 0) || (ours && strcmp(ours, own) == 0);
}

static void report_sharing(struct audit *a, const struct subject *s, const char *kind, const char *means)
{
	int r;

	if (!container_has_process(a, s))
		return;
	r = shares(a, s, kind);
	if (r < 0)
		audit_unknown(a, s, "cannot compare its %s namespace with the host's", kind);
	else if (r > 0)
		audit_fail(a, s, "its %s namespace is the host's: %s", kind, means);
	else
		audit_pass(a, s, "it has a %s namespace of its own", kind);
}

int check_network_namespace(struct audit *a, const struct control *c, const struct subject *s)
{
	report_sharing(a, s, "net", "loopback services and the metadata service are in reach");
	return 0;
}

int check_pid_namespace(struct audit *a, const struct control *c, const struct subject *s)
{
	report_sharing(a, s, "pid", "it sees every process of the host");
	return 0;
}

/* Docker remaps users only when the daemon was told to; then a container outside it is a choice. */
static bool remap_is_on(struct audit *a)
{
	return facts_json_find(facts_docker(a->facts, "info"), "SecurityOptions", "name=userns") != NULL;
}

int check_other_namespaces(struct audit *a, const struct control *c, const struct subject *s)
{
	static const char *const kinds[] = { "ipc", "uts", "cgroup", "user" };
	const char *text = facts_line(a->facts, "/sys/fs/cgroup/cgroup.controllers");
	enum severity severity = SEV_LOW;
	struct evidence e = { 0 };

	if (!container_has_process(a, s))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int r;

		/* On cgroup v1 Docker shares the cgroup namespace by default. */
		if ((strcmp(kinds[i], "user") == 0 && !remap_is_on(a)) || (strcmp(kinds[i], "cgroup") == 0 && !text))
			continue;
		r = shares(a, s, kinds[i]);
		if (r < 0) {
			audit_unknown(a, s, "cannot compare its %s namespace with the host's", kinds[i]);
			return 0;
		}
		if (r > 0) {
			evidence_add(&e, "its %s namespace is the host's", kinds[i]);
			if (i == 0)
				severity = SEV_MEDIUM;
		}
	}
	if (e.n_parts > 0)
		audit_fail_as(a, s, severity, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "ipc%s and uts namespaces of its own", text ? ", cgroup" : "");
	return 0;
}

/* Its mounts with their host paths; reports when they cannot be read. Return: how many, or < 0. */
static int read_mounts(struct audit *a, const struct subject *s, const struct mount **ret)
{
	int n;

	if (!container_has_process(a, s))
		return -ESRCH;
	n = mounts_of(a->facts, s->container, ret);
	if (n < 0)
		audit_unknown(a, s, "cannot read its mount table: %s", strerror(-n));
	return n;
}

/* Did a task definition or a command line want something mounted there? */
static bool is_asked_for(const struct container_facts *c, const char *point)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(c->inspect, "Mounts"), i, v) {
		const char *destination = facts_json_string(v, "Destination", "");
		size_t n = strlen(point);

		if (strncmp(destination, point, n) == 0 && destination[n + strspn(destination + n, "/")] == '\0')
			return true;
	}
	return false;
}

/* What the runtime mounts for every container although the host has the same file system. */
static bool is_furniture(const struct container_facts *c, const struct mount *m)
{
	static const struct {
		const char *type, *below;
	} furniture[] = {
		{ "proc", "/proc" },	   { "sysfs", "/sys" },	     { "cgroup", "/sys/fs/cgroup" },
		{ "cgroup2", "/sys/fs/cgroup" }, { "mqueue", "/dev/mqueue" }, { "devpts", "/dev/pts" },
	};

	/* Its own root, wherever the storage driver put it: a directory of Docker's (vfs), a subvolume (btrfs). */
	if (strcmp(m->point, "/") == 0)
		return true;
	if (is_asked_for(c, m->point))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(furniture); i++)
		if (strcmp(m->type, furniture[i].type) == 0 &&
		    (strcmp(m->point, furniture[i].below) == 0 ||
		     (i < 4 && i > 1 && path_within(m->point, furniture[i].below)) ||
		     (i == 0 && path_within(m->point, "/proc") && path_within(m->root, m->point + strlen("/proc")) &&
		      m->point[strlen("/proc")])))
			return true;
	return false;
}

static bool socket_exists(struct audit *a, const char *path)
{
	struct stat st;

	return facts_stat(a->facts, path, true, &st) == 0 && S_ISSOCK(st.st_mode);
}

static const char *const runtime_sockets[] = {
	"/run/docker.sock",	       "/run/containerd/containerd.sock", "/run/crio/crio.sock",
	"/run/podman/podman.sock",     "/run/dockershim.sock",		  "/run/docker/containerd/containerd.sock",
	"/run/cri-dockerd.sock",       "/run/buildkit/buildkitd.sock",
};

/* Of @path, mounted at @point: is it a socket that starts containers, or a directory above one? */
static void judge_socket(struct audit *a, struct evidence *e, const char *socket, const char *path, const char *point)
{
	if (strcmp(socket, path) == 0)
		evidence_add(e, "%s is mounted at %s", socket, point);
	else if (path_within(socket, path) && socket_exists(a, socket))
		evidence_add(e, "%s stands in %s, mounted at %s", socket, path, point);
}

/* @path is what the host calls the mount. */
static void judge_sockets(struct audit *a, struct evidence *e, const char *const *sockets, const char *path,
			  const char *point)
{
	const char *base = strrchr(path, '/');

	if (base && (strcmp(base, "/docker.sock") == 0 || strcmp(base, "/containerd.sock") == 0)) {
		evidence_add(e, "%s is mounted at %s", path, point);
		return;
	}
	for (size_t k = 0; k < ARRAY_SIZE(runtime_sockets); k++)
		judge_socket(a, e, runtime_sockets[k], path, point);
	for (const char *const *p = sockets; *p; p++)
		judge_socket(a, e, *p, path, point);
}

int check_runtime_socket(struct audit *a, const struct control *c, const struct subject *s)
{
	struct evidence e = { 0 };
	const char *const *sockets;
	const struct mount *list;
	int n = read_mounts(a, s, &list), r;

	if (n < 0)
		return 0;
	r = daemon_sockets(a->facts, &sockets);
	if (r < 0)
		return r;
	for (int i = 0; i < n; i++) {
		const struct mount *m = &list[i];

		if (!m->host_path || is_furniture(s->container, m))
			continue;
		judge_sockets(a, &e, sockets, m->host_path, m->point);
		if (m->plain_path != m->host_path)
			judge_sockets(a, &e, sockets, m->plain_path, m->point);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s: whoever asks it is root on the host", evidence_text(&e));
	else
		audit_pass(a, s, "none of its %d mounts leads to one", n);
	return 0;
}

enum sensitive_scope {
	ITSELF,
	BELOW,		/* what is below it counts too */
	BELOW_WRITABLE, /* so it does where it can be changed: root runs or obeys it */
};

static const struct sensitive_path {
	const char *path;
	enum sensitive_scope scope;
} sensitive_paths[] = {
	{ "/", ITSELF },
	{ "/etc", BELOW_WRITABLE },
	{ "/proc", BELOW },
	{ "/sys", BELOW_WRITABLE },
	{ "/dev", ITSELF },
	{ "/boot", BELOW },
	{ "/lib", BELOW_WRITABLE },
	{ "/lib64", BELOW_WRITABLE },
	{ "/usr", BELOW_WRITABLE },
	{ "/bin", BELOW_WRITABLE },
	{ "/sbin", BELOW_WRITABLE },
	{ "/root", BELOW },
	{ "/home", ITSELF },
	{ "/run", ITSELF },
	{ "/var", ITSELF },
	{ "/var/lib", ITSELF },
	{ "/var/lib/docker", BELOW },
	{ "/var/lib/containerd", BELOW },
	{ "/var/lib/ecs", BELOW },
	{ "/var/lib/cloud", BELOW },
	{ "/var/lib/batten", BELOW },
	{ "/var/spool/cron", BELOW },
	{ "/var/log", ITSELF },
	{ "/etc/batten", BELOW },
	{ "/etc/ecs", BELOW },
	{ "/etc/docker", BELOW },
	{ "/etc/shadow", BELOW },
	{ "/etc/passwd", BELOW },
	{ "/etc/ssh", BELOW },
	{ "/etc/sudoers", BELOW },
	{ "/etc/cron.d", BELOW },
	{ "/etc/systemd", BELOW },
	{ "/sys/kernel", BELOW },
	{ "/sys/fs/bpf", BELOW },
	{ "/sys/fs/cgroup", BELOW },
	{ "/run/dbus", BELOW },
	{ "/run/systemd", BELOW },
	{ "/run/batten", BELOW },
	{ "/run/containerd", BELOW },
	{ "/run/docker", BELOW },
};

/* Where users keep their keys, below whatever home they have. */
static bool holds_keys(const char *path)
{
	static const char *const names[] = { "/.ssh", "/.aws", "/.docker", "/.kube", "/.gnupg" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *found = strstr(path, names[i]);

		if (found && (found[strlen(names[i])] == '\0' || found[strlen(names[i])] == '/'))
			return true;
	}
	return false;
}

static const char *docker_root(struct audit *a)
{
	return facts_json_string(facts_docker(a->facts, "info"), "DockerRootDir", "/var/lib/docker");
}

/* "DIRECTORY/ID/NAME" of a container: what Docker makes for it, and for those that join its network or its IPC. */
static bool is_made_by_docker(const char *rest)
{
	static const char *const names[] = { "hostname", "hosts", "resolv.conf", "mounts/shm" };
	const char *name = strchr(rest, '/');

	for (size_t i = 0; name && i < ARRAY_SIZE(names); i++)
		if (strcmp(name + 1, names[i]) == 0)
			return true;
	return false;
}

/* Where the ECS agent puts what a task is to see: ECS Exec, metadata, FireLens, volumes of EFS. */
static bool is_made_by_agent(const char *path)
{
	static const char *const tops[] = { "/var/lib/ecs/deps/", "/var/lib/ecs/data/metadata/", "/var/lib/ecs/data/firelens/",
					    "/var/lib/ecs/volumes/" };

	for (size_t i = 0; i < ARRAY_SIZE(tops); i++)
		if (strncmp(path, tops[i], strlen(tops[i])) == 0)
			return true;
	return false;
}

/* One volume, the container's own files, and what the ECS agent put there. */
static bool is_ordinary(struct audit *a, const struct subject *s, const char *path)
{
	const char *top = docker_root(a), *rest;
	size_t n = strlen(s->container->id);

	if (is_made_by_agent(path))
		return true;
	if (!path_within(path, top))
		return false;
	rest = path + strlen(top);
	if (strncmp(rest, "/containers/", 12) == 0)
		return is_made_by_docker(rest + 12) || (strncmp(rest + 12, s->container->id, n) == 0 && rest[12 + n] == '/');
	/* All volumes together are the data of every other container. */
	return (strncmp(rest, "/volumes/", 9) == 0 && strchr(rest + 9, '/')) ||
	       (strncmp(rest, "/plugins/", 9) == 0 && strstr(rest, "/propagated-mount/"));
}

static bool is_sensitive(struct audit *a, const char *path, bool writable)
{
	/* Above Docker's root as well: the path of a container's files goes through it. */
	if (holds_keys(path) || path_within(path, docker_root(a)) || path_within(docker_root(a), path))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(sensitive_paths); i++) {
		const struct sensitive_path *p = &sensitive_paths[i];
		bool below = p->scope == BELOW || (p->scope == BELOW_WRITABLE && writable);

		if (strcmp(path, p->path) == 0 || (below && path_within(path, p->path)))
			return true;
	}
	return false;
}

/* The sensitive path of the host's that the mount is, by either of its names; NULL when it is none. */
static const char *shows(struct audit *a, const struct subject *s, const struct mount *m, bool writable)
{
	const char *const paths[] = { m->host_path, m->plain_path };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!is_ordinary(a, s, paths[i]) && is_sensitive(a, paths[i], writable))
			return paths[i];
	return NULL;
}

/*
 * The socket in @path through which root in a container starts units on the host: a socket is connected to on a
 * read-only mount as well. "/" alone has none: /run is a mount of its own. NULL: there is none.
 */
static const char *socket_of_manager(const char *path)
{
	static const char *const sockets[] = { "/run/dbus/system_bus_socket", "/run/systemd/private" };

	for (size_t i = 0; strcmp(path, "/") != 0 && i < ARRAY_SIZE(sockets); i++)
		if (path_within(sockets[i], path))
			return sockets[i];
	return NULL;
}

/* Beside "mounted": what a task definition or a command line gave it of /dev. */
static bool add_devices(struct evidence *e, const struct container_facts *c)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(c->host_config, "Devices"), i, v) {
		evidence_add(e, "device %s", facts_json_string(v, "PathOnHost", "?"));
	}
	json_array_foreach(json_object_get(c->host_config, "DeviceCgroupRules"), i, v) {
		evidence_add(e, "device rule \"%s\"", json_string_value(v) ? json_string_value(v) : "?");
	}
	return e->n_parts > 0;
}

/* Came in with another mount that shows as much: "-v /sys:/sys" brings a dozen along. */
static bool came_with(const struct mount *m, const struct mount *const *told, size_t n, bool writable)
{
	for (size_t i = 0; i < n; i++)
		if (path_within(m->point, told[i]->point) && path_within(m->plain_path, told[i]->plain_path) &&
		    (!writable || !mount_option(told[i]->options, "ro")))
			return true;
	return false;
}

int check_host_paths(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct mount *list, *told[MAX_TOLD];
	enum severity severity = SEV_MEDIUM;
	struct evidence e = { 0 };
	size_t n_told = 0;
	int n = read_mounts(a, s, &list);

	if (n < 0)
		return 0;
	(void)add_devices(&e, s->container);
	for (int i = 0; i < n; i++) {
		const struct mount *m = &list[i];
		bool writable = !mount_option(m->options, "ro");
		const char *shown, *socket;

		if (!m->host_path || is_furniture(s->container, m))
			continue;
		shown = shows(a, s, m, writable);
		if (!shown && is_ordinary(a, s, m->host_path))
			continue;
		socket = shown ? socket_of_manager(shown) : NULL;
		if (shown && !came_with(m, told, n_told, writable || socket)) {
			evidence_add(&e, "%s is mounted at %s, %s%s%s%s", shown, m->point, writable ? "writable" : "read-only",
				     socket ? ": whoever connects to " : "",
				     !socket			   ? "" :
				     strcmp(socket, shown) == 0 ? "it" : socket,
				     socket ? " gives orders to systemd" : "");
			if (writable || socket)
				severity = SEV_HIGH;
			if (n_told < MAX_TOLD)
				told[n_told++] = m;
		}
		if (m->shared)
			evidence_add(&e, "%s at %s is shared: mounts made in it appear on the host", m->host_path,
				     m->point);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail_as(a, s, severity, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "none of its %d mounts shows a sensitive part of the host", n);
	return 0;
}

int check_root_read_only(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct mount *root;
	const struct mount *list;
	int n = read_mounts(a, s, &list);

	if (n < 0)
		return 0;
	root = mounts_at(list, (size_t)n, "/");
	if (!root)
		audit_unknown(a, s, "its mount table has no /");
	else if (mount_option(root->options, "ro") || mount_option(root->super_options, "ro"))
		audit_pass(a, s, "/ is mounted read-only");
	else
		audit_fail(a, s, "/ is mounted writable");
	return 0;
}

int check_masked_paths(struct audit *a, const struct control *c, const struct subject *s)
{
	static const char *const masked[] = { "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware" };
	static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
						 "/proc/sysrq-trigger" };
	struct evidence e = { 0 };
	const struct mount *list;
	int n;

	if (s->container->privileged) {
		audit_not_applicable(a, s, "privileged, which masks nothing; see CTR-01");
		return 0;
	}
	n = read_mounts(a, s, &list);
	if (n < 0)
		return 0;
	/* What this host does not have needs no mask. */
	for (size_t i = 0; i < ARRAY_SIZE(masked); i++)
		if (!mounts_at(list, (size_t)n, masked[i]) && facts_exists(a->facts, masked[i]))
			evidence_add(&e, "%s is not masked", masked[i]);
	for (size_t i = 0; i < ARRAY_SIZE(read_only); i++) {
		const struct mount *m = mounts_at(list, (size_t)n, read_only[i]);

		if (facts_exists(a->facts, read_only[i]) &&
		    (!m || !mount_option(m->options, "ro")))
			evidence_add(&e, "%s is writable", read_only[i]);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "masked and read-only paths of /proc and /sys are in place");
	return 0;
}
