/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * File descriptors. None is -1, and 0 is a descriptor like any other.
 */
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

#include "batten/base/macros.h"

/* Closes once, whatever close() says: on Linux the descriptor is gone even after EINTR. */
static inline int fd_close(int fd)
{
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

static inline void fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

/* Moves a descriptor out of an owned variable, which is -1 afterwards. */
static inline int fd_take(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

/*
 * fd_write_all - write every byte, through short writes and EINTR
 * @fd: a blocking descriptor
 * Return: 0 or a negative errno; on failure an unknown part has been written.
 */
int fd_write_all(int fd, const void *data, size_t n_data) _must_check_;

/* read() and pread(), again after EINTR, which a network or user-space file system may answer, too. */
ssize_t fd_read(int fd, void *to, size_t n);
ssize_t fd_pread(int fd, void *to, size_t n, off_t at);

/*
 * fd_keep_one - close every descriptor above the standard three but one, in a process that was forked
 * Return: its number then, which is 3; execve() closes it
 */
#define FD_KEPT 3
int fd_keep_one(int fd);

/*
 * fd_read_all - read until end of file
 * @max_bytes: more than this is -EFBIG
 * @ret:       memory that the caller frees; a NUL follows the last byte, not counted in @ret_n
 * Return: 0 or a negative errno; -ENOMEM, -EFBIG, else from read().
 */
int fd_read_all(int fd, size_t max_bytes, char **ret, size_t *ret_n) _must_check_;
