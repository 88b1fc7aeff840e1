/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Objects of the file system as values. Everything is looked at through one O_PATH descriptor, so that
 * the parts of a snapshot belong to one object whatever happens to its name meanwhile.
 */
#include "batten/base/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"

#define MAX_ATTRIBUTES 65536 /* bytes of all names, and of one value, as the kernel has it */
#define MODE_BITS 07777

#define PROC_PATH_SIZE (sizeof("/proc/self/fd/") + 11)

static const char *proc_path(char buf[static PROC_PATH_SIZE], int fd)
{
	(void)snprintf(buf, PROC_PATH_SIZE, "/proc/self/fd/%d", fd);
	return buf;
}

void snapshot_done(struct snapshot *s)
{
	for (size_t i = 0; i < s->n_attributes; i++) {
		free(s->attributes[i].name);
		free(s->attributes[i].value);
	}
	free(s->attributes);
	free(s->data);
	*s = (struct snapshot){ 0 };
}

int snapshot_add_attribute(struct snapshot *s, const char *name, const void *value, size_t n)
{
	struct snapshot_attribute *grown = reallocarray(s->attributes, s->n_attributes + 1, sizeof(*grown));
	struct snapshot_attribute a = { .name = strdup(name), .value = malloc(n + 1), .n = n };
	size_t at;

	if (grown)
		s->attributes = grown;
	if (!grown || !a.name || !a.value) {
		free(a.name);
		free(a.value);
		return -ENOMEM;
	}
	memcpy(a.value, value, n);
	for (at = s->n_attributes++; at > 0 && strcmp(grown[at - 1].name, name) > 0; at--)
		grown[at] = grown[at - 1];
	grown[at] = a;
	return 0;
}

void snapshot_drop_attribute(struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->n_attributes; i++) {
		if (strcmp(s->attributes[i].name, name) != 0)
			continue;
		free(s->attributes[i].name);
		free(s->attributes[i].value);
		s->n_attributes--;
		memmove(&s->attributes[i], &s->attributes[i + 1], (s->n_attributes - i) * sizeof(*s->attributes));
		return;
	}
}

int snapshot_set_data(struct snapshot *s, const void *data, size_t n)
{
	char *copy = malloc(n + 1);

	if (!copy)
		return -ENOMEM;
	if (n > 0)
		memcpy(copy, data, n);
	copy[n] = '\0';
	free(s->data);
	s->data = copy;
	s->n = n;
	return 0;
}

int snapshot_copy(struct snapshot *ret, const struct snapshot *s)
{
	struct snapshot c = { .kind = s->kind, .mode = s->mode, .uid = s->uid, .gid = s->gid };
	int r = s->data ? snapshot_set_data(&c, s->data, s->n) : 0;

	for (size_t i = 0; i < s->n_attributes && r >= 0; i++)
		r = snapshot_add_attribute(&c, s->attributes[i].name, s->attributes[i].value, s->attributes[i].n);
	if (r < 0) {
		snapshot_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}

/* ---- comparing ---------------------------------------------------------------------------------*/

static bool same_attributes(const struct snapshot *a, const struct snapshot *b)
{
	if (a->n_attributes != b->n_attributes)
		return false;
	for (size_t i = 0; i < a->n_attributes; i++) {
		const struct snapshot_attribute *x = &a->attributes[i], *y = &b->attributes[i];

		if (strcmp(x->name, y->name) != 0 || x->n != y->n || memcmp(x->value, y->value, x->n) != 0)
			return false;
	}
	return true;
}

static bool same_data(const struct snapshot *a, const struct snapshot *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->data, b->data, a->n) == 0);
}

bool snapshot_equal(const struct snapshot *a, const struct snapshot *b)
{
	return a->kind == b->kind && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       same_data(a, b) && same_attributes(a, b);
}

/* The attributes that differ are set or taken away one by one: each is as in one of the two. */
static bool attributes_between(const struct snapshot *s, const struct snapshot *a, const struct snapshot *b)
{
	return same_attributes(s, a) || same_attributes(s, b) ||
	       (a->n_attributes + b->n_attributes > 0 && s->n_attributes <= a->n_attributes + b->n_attributes);
}

bool snapshot_between(const struct snapshot *s, const struct snapshot *a, const struct snapshot *b)
{
	if (snapshot_equal(s, a) || snapshot_equal(s, b))
		return true;
	/* mkdir() comes before the rest. */
	if (a->kind == SNAPSHOT_ABSENT && b->kind == SNAPSHOT_DIRECTORY)
		return s->kind == SNAPSHOT_DIRECTORY;
	if (s->kind != a->kind || s->kind != b->kind || (s->kind != SNAPSHOT_DIRECTORY && s->kind != SNAPSHOT_OTHER))
		return false;
	return (s->mode == a->mode || s->mode == b->mode) && (s->uid == a->uid || s->uid == b->uid) &&
	       (s->gid == a->gid || s->gid == b->gid) && attributes_between(s, a, b);
}

/* ---- taking ------------------------------------------------------------------------------------*/

static int take_attributes(struct snapshot *s, const char *path)
{
	_cleanup_(freep) char *names = malloc(MAX_ATTRIBUTES), *value = malloc(MAX_ATTRIBUTES);
	ssize_t n, k;
	int r = 0;

	if (!names || !value)
		return -ENOMEM;
	n = listxattr(path, names, MAX_ATTRIBUTES);
	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *p = names; p < names + n && r >= 0; p += strlen(p) + 1) {
		k = getxattr(path, p, value, MAX_ATTRIBUTES);
		if (k >= 0)
			r = snapshot_add_attribute(s, p, value, (size_t)k);
		else if (errno != ENODATA)
			r = -errno;
	}
	return r;
}

static int take_link(struct snapshot *s, int fd)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(fd, "", text, sizeof(text));

	return n < 0 ? -errno : snapshot_set_data(s, text, (size_t)n);
}

static int take_file(struct snapshot *s, const char *path, const char *name, size_t max_bytes, struct diag *d)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return diag_errno(d, -errno, name, "cannot open");
	return file_read_fd(fd, name, max_bytes, &s->data, &s->n, d);
}

int snapshot_take(struct snapshot *ret, int dirfd, const char *name, size_t max_bytes, struct diag *d)
{
	_cleanup_(snapshot_done) struct snapshot s = { 0 };
	_cleanup_(fd_closep) int fd = -1;
	char path[PROC_PATH_SIZE];
	struct stat st;
	int r = 0;

	fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		*ret = (struct snapshot){ .kind = SNAPSHOT_ABSENT };
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return diag_errno(d, -errno, name, "cannot open");
	s.kind = S_ISREG(st.st_mode)  ? SNAPSHOT_FILE :
		 S_ISLNK(st.st_mode)  ? SNAPSHOT_LINK :
		 S_ISDIR(st.st_mode)  ? SNAPSHOT_DIRECTORY :
					SNAPSHOT_OTHER;
	s.mode = s.kind == SNAPSHOT_LINK ? 0 : st.st_mode & MODE_BITS;
	s.uid = st.st_uid;
	s.gid = st.st_gid;
	(void)proc_path(path, fd);
	if (s.kind == SNAPSHOT_LINK)
		r = take_link(&s, fd);
	else if (s.kind == SNAPSHOT_FILE)
		r = take_file(&s, path, name, max_bytes, d);
	if (r >= 0 && s.kind != SNAPSHOT_LINK)
		r = take_attributes(&s, path);
	if (r < 0)
		return diag_errno(d, r, name, "cannot be read");
	*ret = s;
	s = (struct snapshot){ 0 };
	return 0;
}

/* ---- putting -----------------------------------------------------------------------------------*/

/* @path: of an object that is nobody's yet, or of a directory or socket in its place */
static int put_attributes(const struct snapshot *s, const char *path)
{
	_cleanup_(snapshot_done) struct snapshot now = { 0 };
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return -errno;
	/* chown() takes set-id bits and file capabilities away, so that it comes first. */
	if ((st.st_uid != s->uid || st.st_gid != s->gid) && chown(path, s->uid, s->gid) < 0)
		return -errno;
	r = take_attributes(&now, path);
	for (size_t i = 0; i < now.n_attributes && r >= 0; i++) {
		bool kept = false;

		for (size_t k = 0; k < s->n_attributes; k++)
			kept |= strcmp(s->attributes[k].name, now.attributes[i].name) == 0;
		/* A label that the system gives to every new file cannot be taken away. */
		if (!kept && removexattr(path, now.attributes[i].name) < 0 && strncmp(now.attributes[i].name, "system.", 7) == 0)
			r = -errno;
	}
	for (size_t i = 0; i < s->n_attributes && r >= 0; i++)
		if (setxattr(path, s->attributes[i].name, s->attributes[i].value, s->attributes[i].n, 0) < 0)
			r = -errno;
	if (r >= 0 && chmod(path, s->mode) < 0)
		r = -errno;
	return r;
}

static int put_file(const struct snapshot *s, int dirfd, const char *temporary)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[PROC_PATH_SIZE];
	int r;

	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = put_attributes(s, proc_path(path, fd));
	if (r >= 0)
		r = fd_write_all(fd, s->data ? s->data : "", s->n);
	if (r >= 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

static int put_link(const struct snapshot *s, int dirfd, const char *temporary)
{
	if (symlinkat(s->data, dirfd, temporary) < 0)
		return -errno;
	return fchownat(dirfd, temporary, s->uid, s->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int remove_object(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EISDIR && (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT))
		return 0;
	return -errno;
}

/* A directory or socket stays where it is; only what is written on it changes. */
static int put_in_place(const struct snapshot *s, int dirfd, const char *name)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[PROC_PATH_SIZE];
	struct stat st;

	if (s->kind == SNAPSHOT_DIRECTORY && mkdirat(dirfd, name, s->mode & 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? -ENXIO : -errno;
	if (s->kind == SNAPSHOT_DIRECTORY ? !S_ISDIR(st.st_mode) :
					    S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode))
		return -ENXIO;
	return put_attributes(s, proc_path(path, fd));
}

static int put_renamed(const struct snapshot *s, int dirfd, const char *name, const char *temporary)
{
	int r = remove_object(dirfd, temporary);

	if (r >= 0)
		r = s->kind == SNAPSHOT_FILE ? put_file(s, dirfd, temporary) : put_link(s, dirfd, temporary);
	if (r >= 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, temporary, 0);
	return r;
}

int snapshot_put(const struct snapshot *s, int dirfd, const char *name, const char *temporary, struct diag *d)
{
	int r;

	if (s->kind == SNAPSHOT_ABSENT)
		r = remove_object(dirfd, name);
	else if (s->kind == SNAPSHOT_FILE || s->kind == SNAPSHOT_LINK)
		r = put_renamed(s, dirfd, name, temporary);
	else
		r = put_in_place(s, dirfd, name);
	/* O_PATH descriptors cannot be synced; the directory is opened once more. */
	if (r >= 0) {
		_cleanup_(fd_closep) int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || fsync(fd) < 0)
			r = -errno;
	}
	return r < 0 ? diag_errno(d, r, name, "cannot be %s", s->kind == SNAPSHOT_ABSENT ? "removed" : "written") : 0;
}
