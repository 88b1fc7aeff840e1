/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cgroup2 through its files. The id comes from the file handle, which is what the kernel itself
 * calls the cgroup's id, not from an inode number that only happens to agree.
 */
#include "batten/kernel/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/base/parse.h"

#define MAX_MOUNTINFO_BYTES (4u << 20)
#define MAX_PROCS_BYTES (1u << 20)
#define REMOVE_TRIES 200 /* of 10 ms: a killed process leaves its group when it is reaped */

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

int cgroup_mount(char ret[static PATH_MAX], struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	char *save = NULL, *line;
	int r;

	r = file_read_proc(AT_FDCWD, "/proc/self/mountinfo", MAX_MOUNTINFO_BYTES, &text, NULL);
	if (r < 0)
		return diag_errno(d, r, "/proc/self/mountinfo", "cannot read");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *type = strstr(line, " - cgroup2 "), *where = line;

		/* ID PARENT MAJ:MIN ROOT MOUNTPOINT ... */
		for (int i = 0; where && i < 4; i++) {
			where = strchr(where, ' ');
			where += where ? 1 : 0;
		}
		if (!type || !where)
			continue;
		where[strcspn(where, " ")] = '\0';
		unescape(where);
		(void)snprintf(ret, PATH_MAX, "%s", where);
		return 0;
	}
	return diag_fail(d, -ENOENT, "cgroup2", "not mounted here; mount it (mount -t cgroup2 cgroup2 DIR)");
}

int cgroup_of(pid_t pid, char ret[static PATH_MAX], struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	char file[64], mount[PATH_MAX];
	const char *line;
	size_t n;
	int r;

	r = cgroup_mount(mount, d);
	if (r < 0)
		return r;
	if (pid > 0)
		(void)snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	else
		(void)snprintf(file, sizeof(file), "/proc/self/cgroup");
	r = file_read_proc(AT_FDCWD, file, MAX_PROCS_BYTES, &text, NULL);
	if (r < 0)
		return diag_errno(d, r, file, "cannot read");
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	line = line ? strstr(line, "0::") + 3 : NULL;
	n = line ? strcspn(line, "\n") : 0;
	if (!line || line[0] != '/' || strlen(mount) + n >= PATH_MAX)
		return diag_fail(d, -ENOENT, file, "names no cgroup2 group");
	memcpy(ret, mount, strlen(mount));
	memcpy(ret + strlen(mount), line, n);
	n += strlen(mount);
	ret[n - (n > 1 && ret[n - 1] == '/')] = '\0';
	return 0;
}

int cgroup_id(const char *path, uint64_t *ret, struct diag *d)
{
	struct {
		struct file_handle h;
		unsigned char bytes[MAX_HANDLE_SZ];
	} handle = { .h = { .handle_bytes = sizeof(*ret) } };
	struct statfs fs;
	int mount_id;

	if (statfs(path, &fs) < 0)
		return diag_errno(d, -errno, path, "cannot open the cgroup");
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return diag_fail(d, -EINVAL, path, "is no cgroup2 directory");
	if (name_to_handle_at(AT_FDCWD, path, &handle.h, &mount_id, 0) < 0)
		return diag_errno(d, -errno, path, "cannot get the cgroup's id");
	memcpy(ret, handle.bytes, sizeof(*ret));
	return 0;
}

unsigned int cgroup_depth(const char *path)
{
	_cleanup_(fd_closep) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat here, above;
	unsigned int n = 0;

	while (fd >= 0 && fstat(fd, &here) == 0 && fstatat(fd, "..", &above, 0) == 0 && above.st_dev == here.st_dev &&
	       above.st_ino != here.st_ino) {
		int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		fd_close(fd);
		fd = up;
		n++;
	}
	return n;
}

/* Not by reading the mounts: a host with many containers has thousands. */
static bool is_root(const char *path, const char *root)
{
	_cleanup_(fd_closep) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat here, above;
	uint64_t a = 0, b = 0;

	if (root[0])
		return cgroup_id(path, &a, NULL) >= 0 && cgroup_id(root, &b, NULL) >= 0 && a == b;
	return fd >= 0 && fstat(fd, &here) == 0 && fstatat(fd, "..", &above, 0) == 0 && above.st_dev != here.st_dev;
}

bool cgroup_leads_through(const char *path, const char *root, const char *child)
{
	char part[NAME_MAX + 3], above[PATH_MAX];

	(void)snprintf(part, sizeof(part), "/%s/", child);
	for (const char *p = strstr(path, part); p; p = strstr(p + 1, part)) {
		(void)snprintf(above, sizeof(above), "%.*s/", (int)(p - path), path);
		if (is_root(above, root))
			return true;
	}
	return false;
}

int cgroup_populated(const char *path)
{
	_cleanup_(freep) char *text = NULL;
	char file[PATH_MAX];
	int r;

	if ((size_t)snprintf(file, sizeof(file), "%s/cgroup.events", path) >= sizeof(file))
		return -ENAMETOOLONG;
	r = file_read_proc(AT_FDCWD, file, MAX_PROCS_BYTES, &text, NULL);
	if (r == -ENOENT) /* the root group has no such file and is never empty */
		return 1;
	if (r < 0)
		return r;
	return strstr(text, "populated 1") != NULL;
}

int cgroup_make(const char *name, char ret[static PATH_MAX], struct diag *d)
{
	char own[PATH_MAX];
	int r;

	r = cgroup_of(0, own, d);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < 1000; i++) {
		if (snprintf(ret, PATH_MAX, "%s/%s-%d-%u", own, name, (int)getpid(), i) >= PATH_MAX)
			return -ENAMETOOLONG;
		if (mkdir(ret, 0755) == 0)
			return 0;
		if (errno != EEXIST)
			return diag_errno(d, -errno, ret, "cannot make a cgroup");
	}
	return diag_fail(d, -EEXIST, own, "a thousand leftover groups of ours; remove them");
}

int cgroup_join(const char *path, pid_t pid)
{
	_cleanup_(fd_closep) int fd = -1;
	char file[PATH_MAX], text[16];

	if ((size_t)snprintf(file, sizeof(file), "%s/cgroup.procs", path) >= sizeof(file))
		return -ENAMETOOLONG;
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd_write_all(fd, text, (size_t)snprintf(text, sizeof(text), "%d\n", (int)pid));
}

/* For kernels before 5.14, which have no cgroup.kill. */
static void kill_each(const char *path)
{
	_cleanup_(freep) char *text = NULL;
	char file[PATH_MAX], *save = NULL;

	(void)snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	if (file_read_proc(AT_FDCWD, file, MAX_PROCS_BYTES, &text, NULL) < 0)
		return;
	for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		uint64_t pid;

		if (parse_u64(slice_of(p), 2, INT_MAX, &pid) == 0)
			(void)kill((pid_t)pid, SIGKILL);
	}
}

static void kill_all(const char *path)
{
	_cleanup_(fd_closep) int fd = -1;
	char file[PATH_MAX];

	(void)snprintf(file, sizeof(file), "%s/cgroup.kill", path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fd_write_all(fd, "1", 1) < 0)
		kill_each(path);
}

static void remove_below(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char child[PATH_MAX];

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (snprintf(child, sizeof(child), "%s/%s", path, e->d_name) >= (int)sizeof(child))
			continue;
		kill_each(child);
		remove_below(child);
		(void)rmdir(child);
	}
	if (dir)
		(void)closedir(dir);
}

int cgroup_remove(const char *path)
{
	for (int i = 0; i < REMOVE_TRIES; i++) {
		if (rmdir(path) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY && errno != ENOTEMPTY)
			return -errno;
		kill_all(path);
		remove_below(path);
		(void)usleep(10000);
	}
	return -EBUSY;
}
