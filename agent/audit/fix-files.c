/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Menders of modes and owners. What is too wide is narrowed; a mode that is narrower than wanted stays.
 */
#include <errno.h>
#include <string.h>

#include "audit/accounts.h"
#include "audit/controls/docker.h"
#include "audit/controls/ecs-config.h"
#include "audit/fix-internal.h"

#define EVERYBODY 07

static int narrow(struct fix_plan *p, const char *path, mode_t most)
{
	struct snapshot *s;
	int r = plan_node(p, path, &s);

	if (r < 0)
		return r;
	s->mode &= most;
	s->uid = 0;
	s->gid = 0;
	return 1;
}

static int mend_ecs_file(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	mode_t most = ecs_file_mode(p->audit, f->subject.name);

	if (most == 0)
		return plan_refuse(p, "somebody wrote this drop-in for a reason: look, and take it away, or list it as "
				   "\"ecs-drop-ins\" in the profile");
	return narrow(p, f->subject.name, most);
}

/* "userns-remap" keeps what it stores in a directory "UID.GID" of Docker's own: is @gid such a GID? */
static bool is_remapped(struct facts *f, const char *top, gid_t gid)
{
	const char *const *names;
	int n = gid != 0 ? facts_list(f, top, &names) : 0;

	for (int i = 0; i < n; i++) {
		unsigned int uid, of;
		int end = 0;

		if (sscanf(names[i], "%u.%u%n", &uid, &of, &end) == 2 && names[i][end] == '\0' && of == gid)
			return true;
	}
	return false;
}

/* As dockerd makes it: root in the containers passes by its group, and without it they would not run any more. */
static int mend_docker_root(struct fix_plan *p, const char *path, mode_t most)
{
	struct snapshot *s;
	int r = plan_node(p, path, &s);

	if (r < 0)
		return r;
	if (!is_remapped(p->audit->facts, path, s->gid))
		return narrow(p, path, most);
	s->mode = (s->mode & 0710) | 0010;
	s->uid = 0;
	return 1;
}

static int mend_docker_file(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	mode_t most = docker_file_mode(p->audit, f->subject.name);

	if (strcmp(f->subject.name, "/var/lib/docker") == 0)
		return mend_docker_root(p, f->subject.name, most);
	return most ? narrow(p, f->subject.name, most) : -ENOENT;
}

/* A socket that systemd makes gets its mode from the unit each time. */
static int mend_socket_unit(struct fix_plan *p)
{
	static const char *const units[] = { "/etc/systemd/system/docker.socket", "/usr/lib/systemd/system/docker.socket" };
	static const char text[] = "# Written by batten fix, DKF-01.\n[Socket]\nSocketMode=0660\nSocketUser=root\n";
	struct snapshot *s;
	const char *unit;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		unsigned int mode;
		const char *line;

		if (facts_read(p->audit->facts, units[i], &unit, NULL) < 0)
			continue;
		line = strstr(unit, "\nSocketMode=");
		if (!line || sscanf(line, "\nSocketMode=%o", &mode) != 1 || !(mode & EVERYBODY))
			return 0;
		r = plan_file(p, "/etc/systemd/system/docker.socket.d/zz-batten.conf", 0644, &s);
		return r < 0 ? r : snapshot_set_data(s, text, sizeof(text) - 1);
	}
	return 0;
}

static int mend_socket(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	bool usual = strcmp(f->subject.name, "/run/docker.sock") == 0, docker = socket_is_docker(f->subject.name);
	const char *group;
	struct snapshot *s;
	int r = plan_node(p, f->subject.name, &s);

	if (r < 0)
		return r;
	if (s->kind != SNAPSHOT_OTHER)
		return plan_refuse(p, "it is no socket: find out who put it there");
	group = account_group(p->audit->facts, s->gid);
	s->uid = 0;
	if (s->gid != 0 && !(docker && group && strcmp(group, "docker") == 0))
		s->gid = 0;
	s->mode &= ~(mode_t)EVERYBODY;
	snapshot_drop_attribute(s, "system.posix_acl_access");
	r = usual ? mend_socket_unit(p) : 0;
	return r < 0 ? r : 1;
}

static const struct mender menders[] = {
	{ "CFG-14", .plan = mend_ecs_file },
	{ "DKF-01", .plan = mend_socket },
	{ "DKF-02", .plan = mend_docker_file },
};

MENDER_SET(file_menders);
