/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker's files, sockets and users: who else than root may change or use Docker.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "audit/accounts.h"
#include "audit/controls/controls.h"
#include "audit/controls/docker.h"
#include "audit/daemon-settings.h"
#include "batten/base/fd.h"
#include "batten/base/parse.h"

enum presence {
	PRESENT,
	MISSING,
	UNSEEN, /* reported as unknown */
};

/* What the subject's name leads to, behind links. */
static enum presence look_at(struct audit *a, const struct subject *s, struct stat *ret)
{
	int r = facts_stat(a->facts, s->name, true, ret);

	if (r == -ENOENT || r == -ENOTDIR)
		return MISSING;
	if (r < 0)
		audit_unknown(a, s, "%s", strerror(-r));
	return r < 0 ? UNSEEN : PRESENT;
}

/* ---- sockets -----------------------------------------------------------------------------------*/

static bool has_acl(struct audit *a, const char *path)
{
	_cleanup_(fd_closep) int fd = facts_file(a->facts, path, O_PATH);
	char link[32];

	if (fd < 0)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return getxattr(link, "system.posix_acl_access", NULL, 0) > 0;
}

bool socket_is_docker(const char *path)
{
	return strstr(path, "containerd.sock") == NULL;
}

static bool check_socket(struct audit *a, const char *path, bool docker_group)
{
	struct subject s = audit_subject(a, SUBJECT_FILE, path);
	const char *group;
	struct evidence e = { 0 };
	struct stat st;
	enum presence there = look_at(a, &s, &st);

	if (there != PRESENT)
		return there == UNSEEN;
	if (!S_ISSOCK(st.st_mode)) {
		audit_fail(a, &s, "is no socket");
		return true;
	}
	group = account_group(a->facts, st.st_gid);
	if (st.st_uid != 0)
		evidence_add(&e, "belongs to user %u", st.st_uid);
	if (st.st_gid != 0 && !(docker_group && group && strcmp(group, "docker") == 0))
		evidence_add(&e, "belongs to group %u (%s)", st.st_gid, group ? group : "unknown");
	if (st.st_mode & 07)
		evidence_add(&e, "mode %04o lets everybody in", st.st_mode & 07777);
	if (has_acl(a, path))
		evidence_add(&e, "an access control list lets further users in");
	if (e.n_parts > 0)
		audit_fail(a, &s, "%s", evidence_text(&e));
	else
		audit_pass(a, &s, "mode %04o, owner root, group %s", st.st_mode & 07777, group ? group : "0");
	return true;
}

static int check_sockets(struct audit *a, const struct control *c, const struct subject *s)
{
	bool any = check_socket(a, "/run/docker.sock", true);
	const char *const *others;
	int r;

	any |= check_socket(a, "/run/containerd/containerd.sock", false);
	any |= check_socket(a, "/run/docker/containerd/containerd.sock", false);
	r = daemon_sockets(a->facts, &others);
	if (r < 0)
		return r;
	for (const char *const *p = others; *p; p++)
		any |= check_socket(a, *p, socket_is_docker(*p));
	if (!any)
		audit_not_applicable(a, s, "no runtime socket at the usual places");
	return 0;
}

/* ---- files -------------------------------------------------------------------------------------*/

static const struct {
	const char *path;
	mode_t most;
} protected_files[] = {
	{ "/etc/docker", 0755 },
	{ "/etc/docker/daemon.json", 0644 },
	{ "/etc/docker/certs.d", 0755 },
	{ "/etc/default/docker", 0644 },
	{ "/etc/sysconfig/docker", 0644 },
	{ "/etc/containerd", 0755 },
	{ "/etc/containerd/config.toml", 0644 },
	{ "/usr/lib/systemd/system/docker.service", 0644 },
	{ "/usr/lib/systemd/system/docker.socket", 0644 },
	{ "/usr/lib/systemd/system/containerd.service", 0644 },
	{ "/etc/systemd/system/docker.service", 0644 },
	{ "/etc/systemd/system/docker.socket", 0644 },
	{ "/etc/systemd/system/docker.service.d", 0755 },
	{ "/var/lib/docker", 0711 },
};

/*
 * Docker's own directory as "userns-remap" needs it: the group of the remapped root may pass through, which else
 * everybody may.
 */
static bool is_for_remap(const char *path, const struct stat *st)
{
	return strcmp(path, "/var/lib/docker") == 0 && st->st_uid == 0 && !(st->st_mode & 07777 & ~(mode_t)0710);
}

static bool check_file(struct audit *a, const char *path, mode_t most)
{
	struct subject s = audit_subject(a, SUBJECT_FILE, path);
	struct evidence e = { 0 };
	struct stat st;
	enum presence there = look_at(a, &s, &st);

	if (there != PRESENT)
		return there == UNSEEN;
	if (st.st_uid != 0 || (st.st_gid != 0 && !is_for_remap(path, &st)))
		evidence_add(&e, "belongs to %u:%u, wanted root:root", st.st_uid, st.st_gid);
	if ((st.st_mode & 07777) & ~most)
		evidence_add(&e, "mode %04o, wanted %04o or less", st.st_mode & 07777, most);
	if (e.n_parts > 0)
		audit_fail(a, &s, "%s", evidence_text(&e));
	else
		audit_pass(a, &s, "mode %04o, root:%s", st.st_mode & 07777, st.st_gid == 0 ? "root" : U64S(st.st_gid));
	return true;
}

/* Certificates may be read by all, the key by root alone. */
static const struct {
	const char *key;
	mode_t most;
} tls_files[] = { { "tlscacert", 0444 }, { "tlscert", 0444 }, { "tlskey", 0400 } };

/* NULL when dockerd was told none. */
static const char *tls_path(struct audit *a, size_t i)
{
	const struct daemon_settings *d;
	const char *path;

	if (daemon_settings(a->facts, &d) < 0)
		return NULL;
	path = daemon_argument(d, tls_files[i].key, 0);
	return path ? path : json_string_value(json_object_get(d->json, tls_files[i].key));
}

static bool check_tls(struct audit *a)
{
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(tls_files); i++) {
		const char *path = tls_path(a, i);

		if (path)
			any |= check_file(a, path, tls_files[i].most);
	}
	return any;
}

mode_t docker_file_mode(struct audit *a, const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(protected_files); i++)
		if (strcmp(protected_files[i].path, path) == 0)
			return protected_files[i].most;
	for (size_t i = 0; i < ARRAY_SIZE(tls_files); i++) {
		const char *tls = tls_path(a, i);

		if (tls && strcmp(tls, path) == 0)
			return tls_files[i].most;
	}
	return 0;
}

static int check_files(struct audit *a, const struct control *c, const struct subject *s)
{
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(protected_files); i++)
		any |= check_file(a, protected_files[i].path, protected_files[i].most);
	any |= check_tls(a);
	if (!any)
		audit_not_applicable(a, s, "none of Docker's files is there");
	return 0;
}

/* ---- users -------------------------------------------------------------------------------------*/

/*
 * Processes that hold the group without being root: they may use the socket at any time. In a container the
 * number is some group of its image's, and CTR-06 tells whether the socket is in reach.
 */
static void add_processes(struct audit *a, gid_t gid, struct evidence *e)
{
	const struct process_facts *list;

	for (size_t i = 0, n = facts_processes(a->facts, &list); i < n; i++) {
		bool holds = list[i].gid == gid;

		for (size_t k = 0; k < list[i].n_gids; k++)
			holds |= list[i].gids[k] == gid;
		if (holds && list[i].uid[1] != 0 && !container_id_in_cgroup(list[i].cgroup) &&
		    !audit_listed(a, "docker-programs", list[i].name))
			evidence_add(e, "process %d (%s, user %u) may use Docker", list[i].pid, list[i].name, list[i].uid[1]);
	}
}

static int check_users(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *const *members;
	struct evidence e = { 0 };
	gid_t gid;
	int n = account_members(a->facts, "docker", &gid, &members);

	if (n == -ENOENT) {
		audit_not_applicable(a, s, "there is no group docker");
		return 0;
	}
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		if (!audit_listed(a, "docker-users", members[i]))
			evidence_add(&e, "user %s is in group docker", members[i]);
	if (facts_live(a->facts))
		add_processes(a, gid, &e);
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s: root by another name", evidence_text(&e));
	else
		audit_pass(a, s, "group docker has no unexpected members");
	return 0;
}

static const struct control controls[] = {
	{
		.id = "DKF-01",
		.title = "Runtime sockets are closed to ordinary users",
		.means = "Whoever may write to the socket is root on the host.",
		.remedy = "chown root:docker and chmod 0660 for docker.sock, root:root for containerd's",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC,
		.mendable = true,
		.cis_docker = "3.15, 3.16, 3.23, 3.24",
		.pci_dss = "7.2.2",
		.nist = "4.5.4",
		.check = check_sockets,
	},
	{
		.id = "DKF-02",
		.title = "Docker's configuration, units and keys belong to root alone",
		.means = "Whoever may write one of them decides what root runs next.",
		.remedy = "chown root:root and chmod to the mode that is wanted",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC,
		.mendable = true,
		.cis_docker = "3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7, 3.8, 3.9, 3.10, 3.11, 3.12, 3.13, 3.14, 3.17, 3.18, 3.19, "
			      "3.20, 3.21, 3.22",
		.pci_dss = "7.2.2",
		.nist = "4.5.5",
		.check = check_files,
	},
	{
		.id = "DKF-03",
		.title = "Only known users and programs use Docker",
		.means = "A member of group docker is root whenever he likes, and no log of sudo shows it.",
		.remedy = "gpasswd -d USER docker, or list them as \"docker-users\" in the profile",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC,
		.cis_docker = "1.1.2",
		.pci_dss = "7.2.2",
		.nist = "4.5.4",
		.check = check_users,
	},
};

CONTROL_SET(docker_files_controls, AREA_DOCKER_FILES);
