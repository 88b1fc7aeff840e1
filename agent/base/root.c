/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A tree that stands for "/". The kernel resolves the path with openat2(); without it (before 5.6,
 * or behind a seccomp filter that does not know the call) a stack of directory descriptors does:
 * a name pushes, ".." pops down to the root, a link puts its words in front of what is left.
 */
#include "batten/base/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"

#define MAX_DEPTH 64 /* directories below the root, in the fallback */
#define MAX_LINKS 40 /* as the kernel counts */

int root_init(struct root *r, const char *dir, struct diag *d)
{
	_cleanup_(freep) char *name = NULL;
	size_t n;
	int fd;

	*r = (struct root)ROOT_NONE;
	if (!dir)
		dir = "/";
	name = strdup(dir);
	if (!name)
		return -ENOMEM;
	for (n = strlen(name); n > 0 && name[n - 1] == '/'; n--)
		name[n - 1] = '\0';
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return diag_errno(d, -errno, dir, "cannot open the root directory");
	r->live = dir[0] == '/' && n == 0;
	r->fd = fd;
	r->name = take_ptr(name);
	return 0;
}

void root_done(struct root *r)
{
	free(r->name);
	fd_close(r->fd);
	*r = (struct root)ROOT_NONE;
}

struct walk {
	int fds[MAX_DEPTH + 1]; /* [0] is the root's own and not ours to close */
	size_t n;
	unsigned int n_links;
	char *rest; /* owned: what is still to be walked */
};

static void walk_done(struct walk *w)
{
	while (w->n > 1)
		fd_close(w->fds[--w->n]);
	free(w->rest);
}

/* Puts the words of the link @fd in front of the rest. */
static int walk_link(struct walk *w, int fd, const char *rest)
{
	char target[PATH_MAX], *joined;
	ssize_t n;

	if (++w->n_links > MAX_LINKS)
		return -ELOOP;
	n = readlinkat(fd, "", target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (n == 0)
		return -ENOENT;
	if ((size_t)n + strlen(rest) + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	if (asprintf(&joined, "%s%s%s", target, *rest ? "/" : "", rest) < 0)
		return -ENOMEM;
	if (target[0] == '/')
		while (w->n > 1)
			fd_close(w->fds[--w->n]);
	free(w->rest);
	w->rest = joined;
	return 0;
}

/* Walks @w->rest. Return: an O_PATH descriptor, or a negative errno. */
static int walk(struct walk *w, bool nofollow)
{
	for (;;) {
		char *name = w->rest + strspn(w->rest, "/");
		size_t n = strcspn(name, "/");
		bool last = name[n + strspn(name + n, "/")] == '\0', slash = name[n] == '/';
		_cleanup_(fd_closep) int fd = -1;
		struct stat st;
		int r;

		if (n == 0) {
			fd = fcntl(w->fds[w->n - 1], F_DUPFD_CLOEXEC, 0);
			return fd < 0 ? -errno : fd_take(&fd);
		}
		name[n] = '\0';
		if (strcmp(name, "..") == 0) {
			if (w->n > 1)
				fd_close(w->fds[--w->n]);
		} else if (strcmp(name, ".") != 0) {
			fd = openat(w->fds[w->n - 1], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
			if (fd < 0)
				return -errno;
			if (fstat(fd, &st) < 0)
				return -errno;
			if (S_ISLNK(st.st_mode) && !(last && nofollow && !slash)) {
				r = walk_link(w, fd, last ? (slash ? "." : "") : name + n + 1);
				if (r < 0)
					return r;
				continue;
			}
			if (!S_ISDIR(st.st_mode))
				return last && !slash ? fd_take(&fd) : -ENOTDIR;
			if (w->n > MAX_DEPTH)
				return -ENAMETOOLONG;
			w->fds[w->n++] = fd_take(&fd);
		}
		memmove(w->rest, name + n + (last ? 0 : 1), last ? 1 : strlen(name + n + 1) + 1);
	}
}

static int open_by_walking(const struct root *r, const char *path, bool nofollow)
{
	struct walk w = { .fds = { r->fd }, .n = 1 };
	int fd;

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	w.rest = strdup(path);
	fd = w.rest ? walk(&w, nofollow) : -ENOMEM;
	walk_done(&w);
	return fd;
}

static int open_path(const struct root *r, const char *path, bool nofollow)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | (nofollow ? (unsigned int)O_NOFOLLOW : 0),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	if (*path == '\0')
		return -ENOENT;
	/* -EAGAIN: something was renamed meanwhile and the kernel could not be sure. */
	for (int tries = 0; tries < 16; tries++) {
		long fd = syscall(SYS_openat2, r->fd, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno == ENOSYS || errno == EPERM)
			return open_by_walking(r, path, nofollow);
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}

int root_open(const struct root *r, const char *path, int flags)
{
	_cleanup_(fd_closep) int fd = -1;
	char link[sizeof("/proc/self/fd/") + 11];
	struct stat st;
	int real;

	fd = open_path(r, path, flags & O_NOFOLLOW);
	if (fd < 0 || (flags & O_PATH))
		return fd_take(&fd);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (flags & O_DIRECTORY ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return flags & O_DIRECTORY ? -ENOTDIR : S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	real = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (flags & O_DIRECTORY));
	return real < 0 ? -errno : real;
}

int root_stat(const struct root *r, const char *path, bool follow, struct stat *ret)
{
	_cleanup_(fd_closep) int fd = open_path(r, path, !follow);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st;
	return 0;
}

int root_read(const struct root *r, const char *path, size_t max_bytes, char **ret, size_t *ret_n,
	      struct diag *d)
{
	_cleanup_(fd_closep) int fd = -1;

	fd = root_open(r, path, O_RDONLY);
	if (fd == -EISDIR)
		return diag_fail(d, fd, path, "is a directory; a file is needed");
	if (fd == -EINVAL)
		return diag_fail(d, fd, path, "is not a regular file");
	if (fd < 0)
		return diag_errno(d, fd, path, "cannot open");
	return file_read_fd(fd, path, max_bytes, ret, ret_n, d);
}
