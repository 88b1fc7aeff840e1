/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A tree that stands for "/": the live host, an unpacked image, a mounted disk. Paths are resolved
 * inside it as if it were the root: an absolute link starts at the tree's top and ".." stops there,
 * so that nothing in the tree can make us look outside of it. The kernel does this (openat2,
 * RESOLVE_IN_ROOT); where it cannot, we walk component by component. Nothing is opened for reading
 * before its type is known: a FIFO is never waited for and a device never touched.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct root {
	int fd;	    /* of the directory; -1 when not open */
	bool live;  /* it is the running host's own "/" */
	char *name; /* what the user called it, without a slash at the end; "" for "/" */
};

#define ROOT_NONE { .fd = -1 }

/*
 * root_init - open a tree
 * @dir: a directory; NULL or "/" is the live host
 * Return: 0 or a negative errno: -ENOENT, -ENOTDIR, -EACCES, -ENOMEM
 */
int root_init(struct root *r, const char *dir, struct diag *d) _must_check_;

/* Closes it; harmless when it was never opened or twice. */
void root_done(struct root *r);

/*
 * root_open - resolve a path inside the tree
 * @path:  as a process inside would write it, with or without a leading slash
 * @flags: O_PATH, or O_RDONLY for a regular file, or O_RDONLY | O_DIRECTORY; O_NOFOLLOW leaves a
 *         link at the end unfollowed (with O_PATH it is the link that is opened, else -ELOOP).
 *         Nothing that writes or creates.
 * Return: a descriptor that the caller closes, or a negative errno: -ENOENT, -ENOTDIR, -EACCES,
 *         -ELOOP; -EISDIR and -EINVAL for O_RDONLY on what is no regular file; -ENAMETOOLONG
 */
int root_open(const struct root *r, const char *path, int flags) _must_check_;

/* root_stat - lstat() inside the tree; @follow makes it stat(). Return: 0 or a negative errno. */
int root_stat(const struct root *r, const char *path, bool follow, struct stat *ret) _must_check_;

/*
 * root_read - read a regular file whole; limits, ownership and errors as in file_read()
 */
int root_read(const struct root *r, const char *path, size_t max_bytes, char **ret, size_t *ret_n,
	      struct diag *d) _must_check_;
