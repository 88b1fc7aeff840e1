/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the kernel knows of a container's first process. Process ids are used again: everything is
 * read through one descriptor of /proc/PID, which goes stale with the process, and only after the
 * process's cgroup has named the container.
 */
#include "host/container-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/base/parse.h"
#include "batten/kernel/cgroup.h"

#define MAX_PROC_BYTES (64 * 1024)

/* The text behind "Name:\t" up to the end of the line. */
static bool status_field(const char *status, const char *name, struct slice *ret)
{
	const char *p = status;
	size_t n = strlen(name);

	for (; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, name, n) == 0 && p[n] == ':') {
			*ret = slice_trim((struct slice){ p + n + 1, strcspn(p + n + 1, "\n") });
			return true;
		}
	}
	return false;
}

static bool parse_hex(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, s.p[i]);

		if (!at || !*at)
			return false;
		v = v << 4 | (uint64_t)(at - digits);
	}
	*ret = v;
	return true;
}

static bool status_number(const char *status, const char *name, uint64_t *ret)
{
	struct slice s;

	if (!status_field(status, name, &s))
		return false;
	s.n = MIN(s.n, strcspn(s.p, " \t\n")); /* Uid has four */
	return parse_u64(s, 0, UINT32_MAX, ret) == 0;
}

static void read_status(struct container_kernel *k, const char *status)
{
	uint64_t seccomp = 0, nnp = 0, uid = 0;
	struct slice eff, bnd;

	if (!status_field(status, "CapEff", &eff) || !status_field(status, "CapBnd", &bnd) ||
	    !parse_hex(eff, &k->cap_effective) || !parse_hex(bnd, &k->cap_bounding) ||
	    !status_number(status, "Uid", &uid))
		return;
	/* Absent where the kernel was built without seccomp. */
	(void)status_number(status, "Seccomp", &seccomp);
	(void)status_number(status, "NoNewPrivs", &nnp);
	k->seccomp_mode = (int)seccomp;
	k->no_new_privs = nnp == 1;
	k->uid = (uid_t)uid;
	k->known = true;
}

static uint64_t id_of_whole(const struct container *c, char *path)
{
	char *below = strchr(strstr(path, c->id), '/');
	uint64_t id;

	if (!below)
		return c->cgroup_id;
	*below = '\0';
	return cgroup_id(path, &id, NULL) < 0 ? c->cgroup_id : id;
}

static int set_cgroup(struct container *c)
{
	char path[PATH_MAX];
	char *copy;

	if (cgroup_of(c->pid, path, NULL) < 0)
		return 0;
	/* A hybrid host may keep its containers in version 1 groups only. */
	if (!strstr(path, c->id) || cgroup_id(path, &c->cgroup_id, NULL) < 0)
		return 0;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	free(c->cgroup);
	c->cgroup = copy;
	c->whole_id = id_of_whole(c, path);
	return 0;
}

int container_complete(struct container *c)
{
	_cleanup_(freep) char *groups = NULL, *status = NULL;
	_cleanup_(fd_closep) int dir = -1;
	struct stat st;
	char path[32];
	int r;

	c->kernel = (struct container_kernel){ 0 };
	c->netns = 0;
	if (c->pid <= 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)c->pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 0;
	r = file_read_proc(dir, "cgroup", MAX_PROC_BYTES, &groups, NULL);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !strstr(groups, c->id))
		return 0;
	if (fstatat(dir, "ns/net", &st, 0) == 0)
		c->netns = st.st_ino;
	r = file_read_proc(dir, "status", MAX_PROC_BYTES, &status, NULL);
	if (r == 0)
		read_status(&c->kernel, status);
	if (r != -ENOMEM)
		r = set_cgroup(c);
	c->role = container_recognise(c);
	return r;
}
