/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What of the host a container shares or sees: its namespaces beside those of pid 1, and its mount
 * table traced back to the host's paths, so that a directory above a socket counts as the socket.
 */
#include <errno.h>
#include <string.h>

#include "audit/controls/containers.h"
#include "audit/mounts.h"

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

/* What the runtime mounts for every container although the host has the same file system. */
static bool is_furniture(const struct mount *m)
{
	static const struct {
		const char *type, *below;
	} furniture[] = {
		{ "proc", "/proc" },	   { "sysfs", "/sys" },	     { "cgroup", "/sys/fs/cgroup" },
		{ "cgroup2", "/sys/fs/cgroup" }, { "mqueue", "/dev/mqueue" }, { "devpts", "/dev/pts" },
		{ "overlay", "/" },
	};

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

int check_runtime_socket(struct audit *a, const struct control *c, const struct subject *s)
{
	struct evidence e = { 0 };
	const struct mount *list;
	int n = read_mounts(a, s, &list);

	if (n < 0)
		return 0;
	for (int i = 0; i < n; i++) {
		const char *path = list[i].host_path, *base = path ? strrchr(path, '/') : NULL;
		bool named = base && (strcmp(base, "/docker.sock") == 0 || strcmp(base, "/containerd.sock") == 0);

		if (!path || is_furniture(&list[i]))
			continue;
		if (named) {
			evidence_add(&e, "%s is mounted at %s", path, list[i].point);
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(runtime_sockets); k++)
			if (path_within(runtime_sockets[k], path) && socket_exists(a, runtime_sockets[k]))
				evidence_add(&e, "%s stands in %s, mounted at %s", runtime_sockets[k], path,
					     list[i].point);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s: whoever asks it is root on the host", evidence_text(&e));
	else
		audit_pass(a, s, "none of its %d mounts leads to one", n);
	return 0;
}

struct sensitive_path {
	const char *path;
	bool below; /* what is below it counts too */
};

static const struct sensitive_path sensitive_paths[] = {
	{ "/", false },		     { "/etc", false },	       { "/proc", true },	  { "/sys", false },
	{ "/dev", false },	     { "/boot", true },	       { "/lib", false },	  { "/lib64", false },
	{ "/usr", false },	     { "/usr/bin", false },    { "/usr/sbin", false },	  { "/usr/lib", false },
	{ "/bin", false },	     { "/sbin", false },       { "/root", true },	  { "/home", false },
	{ "/run", false },	     { "/var", false },	       { "/var/lib", false },	  { "/var/lib/docker", true },
	{ "/var/lib/containerd", true }, { "/var/lib/ecs", true }, { "/var/lib/cloud", true }, { "/var/log", false },
	{ "/etc/ecs", true },	     { "/etc/docker", true },  { "/etc/shadow", true },	  { "/etc/passwd", true },
	{ "/etc/ssh", true },	     { "/etc/cron.d", true },  { "/etc/systemd", true },  { "/sys/kernel", true },
	{ "/sys/fs/bpf", true },     { "/sys/fs/cgroup", true }, { "/run/systemd", true },
};

/* Named volumes, the container's own files, and what ECS Exec and ECS metadata put there. */
static bool is_ordinary(struct audit *a, const struct subject *s, const struct mount *m)
{
	const char *top = facts_json_string(facts_docker(a->facts, "info"), "DockerRootDir", "/var/lib/docker");
	const char *path = m->host_path;

	return path_within(path, arena_printf(&a->arena, "%s/volumes", top)) ||
	       path_within(path, arena_printf(&a->arena, "%s/containers/%s", top, s->container->id)) ||
	       path_within(path, "/var/lib/ecs/deps") || path_within(path, "/var/lib/ecs/data/metadata");
}

static const struct sensitive_path *sensitive(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(sensitive_paths); i++) {
		const struct sensitive_path *p = &sensitive_paths[i];

		if (strcmp(path, p->path) == 0 || (p->below && path_within(path, p->path)))
			return p;
	}
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

int check_host_paths(struct audit *a, const struct control *c, const struct subject *s)
{
	enum severity severity = SEV_MEDIUM;
	struct evidence e = { 0 };
	const struct mount *list;
	int n = read_mounts(a, s, &list);

	if (n < 0)
		return 0;
	(void)add_devices(&e, s->container);
	for (int i = 0; i < n; i++) {
		const struct mount *m = &list[i];
		bool writable = !mount_option(m->options, "ro");

		if (!m->host_path || is_furniture(m) || is_ordinary(a, s, m))
			continue;
		if (sensitive(m->host_path)) {
			evidence_add(&e, "%s is mounted at %s, %s", m->host_path, m->point,
				     writable ? "writable" : "read-only");
			if (writable)
				severity = SEV_HIGH;
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
