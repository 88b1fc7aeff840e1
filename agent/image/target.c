/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An archive is nameless as long as it is being written: nothing is left of it when we are killed. A
 * layout is a directory, which needs a name from the beginning; it goes with whoever made it.
 */
#include "image/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/random.h"

/* The directory that a path stands in, and its last part. */
static int open_parent(const char *path, const char **ret_base, struct diag *d)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(freep) char *dir = NULL;
	int fd;

	*ret_base = slash ? slash + 1 : path;
	dir = !slash          ? strdup(".")
	      : slash == path ? strdup("/")
			      : strndup(path, (size_t)(slash - path));
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? diag_errno(d, -errno, dir, "cannot open the destination's directory") : fd;
}

static int temporary_name(const char *base, char *name, size_t size)
{
	uint64_t tag;
	int n;

	n = random_fill(&tag, sizeof(tag));
	if (n < 0)
		return n;
	n = snprintf(name, size, ".%.200s.%016llx", base, (unsigned long long)tag);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static int open_archive(struct target *t, struct diag *d)
{
	const char *path = t->charge->to->path;

	t->fd = openat(t->parent, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (t->fd < 0) {
		t->fd = openat(t->parent, t->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		t->named = t->fd >= 0;
	}
	return t->fd < 0 ? diag_errno(d, -errno, path, "cannot make a temporary file beside it") : 0;
}

static bool is_empty_directory(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	unsigned int n = 0;

	if (!dir) {
		(void)fd_close(fd);
		return false;
	}
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n <= 2;
}

/* A new layout, or one in the place of the very one that it was made from. */
static int open_layout(struct target *t, struct diag *d)
{
	const struct place *from = t->charge->from, *to = t->charge->to;
	struct stat there, ours;
	bool exists;

	if (strcmp(t->base, ".") == 0 || strcmp(t->base, "..") == 0 || !*t->base)
		return diag_fail(d, -EINVAL, to->path, "cannot be replaced by this name; call the directory by its own");
	if (to->tag && (!from->tag || strcmp(to->tag, from->tag) != 0))
		return diag_fail(d, -EINVAL, to->path, "a tag cannot be given or changed here; leave it out");
	exists = fstatat(t->parent, t->base, &there, AT_SYMLINK_NOFOLLOW) == 0;
	t->exchange = exists && t->charge->source >= 0 && fstat(t->charge->source, &ours) == 0 &&
		      ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
	if (t->exchange && from->tag)
		return diag_fail(d, -EINVAL, to->path, "holds other images too; name another directory");
	if (exists && !t->exchange && !is_empty_directory(t->parent, t->base))
		return diag_fail(d, -EEXIST, to->path, "is there already; name a new directory, or the source itself");
	if (mkdirat(t->parent, t->name, 0755) < 0)
		return diag_errno(d, -errno, to->path, "cannot make a directory beside it");
	t->named = true;
	t->fd = openat(t->parent, t->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return t->fd < 0 ? diag_errno(d, -errno, to->path, "cannot open the new directory") : 0;
}

static int open_stream(struct target *t, struct diag *d)
{
	const char *path = t->charge->to->path;

	t->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (t->fd < 0)
		return diag_errno(d, -errno, path, "cannot open");
	return isatty(t->fd) ? diag_fail(d, -EINVAL, path, "an image is nothing for a terminal") : 0;
}

static enum target_kind kind_of(const struct place *to)
{
	struct stat st;

	if (to->kind == PLACE_OCI)
		return TARGET_DIRECTORY;
	if (to->kind == PLACE_DAEMON)
		return TARGET_DAEMON;
	return stat(to->path, &st) == 0 && !S_ISREG(st.st_mode) ? TARGET_STREAM : TARGET_ARCHIVE;
}

int target_open(struct target *t, const struct target_charge *c, struct diag *d)
{
	int r;

	if (t->charge || !c->to)
		return -EINVAL;
	t->charge = c;
	t->kind = kind_of(c->to);
	if (t->kind == TARGET_STREAM)
		return open_stream(t, d);
	if (t->kind == TARGET_DAEMON) {
		t->fd = place_spool(NULL, d);
		return t->fd < 0 ? t->fd : 0;
	}
	t->parent = open_parent(c->to->path, &t->base, d);
	if (t->parent < 0)
		return t->parent;
	r = temporary_name(t->base, t->name, sizeof(t->name));
	if (r < 0)
		return r;
	return t->kind == TARGET_DIRECTORY ? open_layout(t, d) : open_archive(t, d);
}

/* ---- placing ---------------------------------------------------------------------------------- */

static int place_archive(struct target *t, struct diag *d)
{
	const char *path = t->charge->to->path;
	mode_t mask = umask(0);
	char link[64];

	(void)umask(mask);
	if (fchmod(t->fd, 0666 & ~mask) < 0 || fsync(t->fd) < 0)
		return diag_errno(d, -errno, path, "cannot sync");
	if (!t->named) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", t->fd);
		if (linkat(AT_FDCWD, link, t->parent, t->name, AT_SYMLINK_FOLLOW) < 0)
			return diag_errno(d, -errno, path, "cannot name the temporary file");
		t->named = true;
	}
	if (renameat(t->parent, t->name, t->parent, t->base) < 0)
		return diag_errno(d, -errno, path, "cannot put the new image into its place");
	t->named = false;
	return fsync(t->parent) < 0 ? diag_errno(d, -errno, path, "cannot sync its directory") : 0;
}

static int sync_directory(int top, const char *path)
{
	_cleanup_(fd_closep) int fd = openat(top, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 && errno == ENOENT ? 0 : fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static const char *const directories[] = { "blobs/sha256", "blobs", "." };

static int place_layout(struct target *t, struct diag *d)
{
	const char *path = t->charge->to->path;

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (sync_directory(t->fd, directories[i]) < 0)
			return diag_errno(d, -errno, path, "cannot sync");
	/* An empty directory that was there is replaced, anything else is not. */
	if (renameat2(t->parent, t->name, t->parent, t->base, t->exchange ? RENAME_EXCHANGE : 0) < 0)
		return diag_errno(d, -errno, path, "cannot put the new image into its place");
	/* After an exchange it is the old layout that bears the temporary name. */
	t->named = t->exchange;
	return fsync(t->parent) < 0 ? diag_errno(d, -errno, path, "cannot sync its directory") : 0;
}

int target_place(struct target *t, uint64_t size, const struct digest *config, char **ret_old, struct diag *d)
{
	const struct target_charge *c = t->charge;

	if (t->fd < 0)
		return -EINVAL;
	switch (t->kind) {
	case TARGET_ARCHIVE:
		return place_archive(t, d);
	case TARGET_DIRECTORY:
		return place_layout(t, d);
	case TARGET_DAEMON:
		return place_load(c->to->path, c->from->kind == PLACE_DAEMON ? c->from->path : NULL, c->docker_url,
				  t->fd, size, config, ret_old, d);
	case TARGET_STREAM:
		return 0;
	}
	return -EINVAL;
}

/* The files of one directory of a layout, and the directory. */
static void remove_directory(int parent, const char *name, const char *below)
{
	char path[512];
	struct dirent *e;
	DIR *dir;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", name, below);
	fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		(void)fd_close(fd);
		return;
	}
	while ((e = readdir(dir)))
		(void)unlinkat(dirfd(dir), e->d_name, 0);
	(void)closedir(dir);
	(void)unlinkat(parent, strcmp(below, ".") == 0 ? name : path, AT_REMOVEDIR);
}

void target_done(struct target *t)
{
	if (t->named && t->kind == TARGET_DIRECTORY)
		for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
			remove_directory(t->parent, t->name, directories[i]);
	else if (t->named)
		(void)unlinkat(t->parent, t->name, 0);
	t->fd = fd_close(t->fd);
	t->parent = fd_close(t->parent);
}
