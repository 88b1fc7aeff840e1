/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whole files. A replacement is written to a temporary name in the same directory, synced, renamed
 * over the old name, and the directory is synced: rename() is the only step that a reader can see.
 */
#include "batten/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/random.h"

#define TEMPORARY_TRIES 16

int file_read(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_n,
	      struct diag *d)
{
	_cleanup_(fd_closep) int fd = -1;

	/* O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. */
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return diag_errno(d, -errno, path, "cannot open");
	return file_read_fd(fd, path, max_bytes, ret, ret_n, d);
}

int file_read_or_stdin(const char *path, size_t max_bytes, char **ret, size_t *ret_n, const char **ret_name,
		       struct diag *d)
{
	int r;

	*ret_name = path;
	if (strcmp(path, "-") != 0)
		return file_read(AT_FDCWD, path, max_bytes, ret, ret_n, d);
	*ret_name = "standard input";
	r = fd_read_all(STDIN_FILENO, max_bytes, ret, ret_n);
	return r < 0 ? diag_errno(d, r, *ret_name, "cannot read") : 0;
}

int file_read_fd(int fd, const char *name, size_t max_bytes, char **ret, size_t *ret_n,
		 struct diag *d)
{
	struct stat st;
	size_t n;
	int r;

	if (fstat(fd, &st) < 0)
		return diag_errno(d, -errno, name, "cannot stat");
	if (S_ISDIR(st.st_mode))
		return diag_fail(d, -EISDIR, name, "is a directory; a file is needed");
	if (!S_ISREG(st.st_mode))
		return diag_fail(d, -EINVAL, name, "is not a regular file");
	if (st.st_size > 0 && (size_t)st.st_size > max_bytes)
		return diag_fail(d, -EFBIG, name, "is larger than the limit of %zu bytes", max_bytes);
	r = fd_read_all(fd, max_bytes, ret, &n);
	if (r == -EFBIG)
		return diag_fail(d, r, name, "is larger than the limit of %zu bytes", max_bytes);
	if (r < 0)
		return diag_errno(d, r, name, "cannot read");
	if (ret_n)
		*ret_n = n;
	return 0;
}

int file_read_proc(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_n)
{
	_cleanup_(fd_closep) int fd = -1;
	size_t n;
	int r;

	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	r = fd_read_all(fd, max_bytes, ret, &n);
	if (r < 0)
		return r;
	if (ret_n)
		*ret_n = n;
	return 0;
}

static int open_parent(int dirfd, const char *path, const char **ret_base)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(freep) char *dir = NULL;
	int fd;

	*ret_base = slash ? slash + 1 : path;
	if (!slash)
		dir = strdup(".");
	else if (slash == path)
		dir = strdup("/");
	else
		dir = strndup(path, (size_t)(slash - path));
	if (!dir)
		return -ENOMEM;
	fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_temporary(int parent, const char *base, char *name, size_t name_size)
{
	for (unsigned int i = 0; i < TEMPORARY_TRIES; i++) {
		unsigned int tag;
		int fd, n;

		n = random_fill(&tag, sizeof(tag));
		if (n < 0)
			return n;
		n = snprintf(name, name_size, ".%s.%08x", base, tag);
		if (n < 0 || (size_t)n >= name_size)
			return -ENAMETOOLONG;
		fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* The new file gets the old one's mode and owner before it gets its name. */
static int copy_ownership(int parent, const char *base, int fd, mode_t mode)
{
	struct stat st;

	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return -errno;
		return fchmod(fd, mode) < 0 ? -errno : 0;
	}
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (fchown(fd, st.st_uid, st.st_gid) < 0)
		return -errno;
	return fchmod(fd, st.st_mode & 07777) < 0 ? -errno : 0;
}

int file_replace(int dirfd, const char *path, const void *data, size_t n_data, mode_t mode,
		 struct diag *d)
{
	_cleanup_(fd_closep) int parent = -1, fd = -1;
	char name[256];
	const char *base;
	int r;

	parent = open_parent(dirfd, path, &base);
	if (parent < 0)
		return diag_errno(d, parent, path, "cannot open its directory");
	fd = open_temporary(parent, base, name, sizeof(name));
	if (fd < 0)
		return diag_errno(d, fd, path, "cannot make a temporary file beside it");
	r = copy_ownership(parent, base, fd, mode);
	if (r >= 0)
		r = fd_write_all(fd, data, n_data);
	if (r >= 0 && fsync(fd) < 0)
		r = -errno;
	if (r >= 0 && renameat(parent, name, parent, base) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(parent, name, 0);
		return diag_errno(d, r, path, "cannot write");
	}
	if (fsync(parent) < 0)
		return diag_errno(d, -errno, path, "cannot sync its directory");
	return 0;
}

int file_output(const char *path, const void *data, size_t n_data, mode_t mode, struct diag *d)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	int r;

	if (!path || strcmp(path, "-") == 0) {
		r = fd_write_all(STDOUT_FILENO, data, n_data);
		return r < 0 ? diag_errno(d, r, "standard output", "cannot write") : 0;
	}
	if (lstat(path, &st) < 0 || S_ISREG(st.st_mode))
		return file_replace(AT_FDCWD, path, data, n_data, mode, d);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
	r = fd < 0 ? -errno : fd_write_all(fd, data, n_data);
	return r < 0 ? diag_errno(d, r, path, "cannot write") : 0;
}
