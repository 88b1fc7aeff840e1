/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Files read whole under a limit, and files replaced so that a reader, a crash or a full disk
 * finds the old one or the new one and never a third.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

/*
 * file_read - read a regular file
 * @dirfd: directory that a relative @path starts from, or AT_FDCWD
 * @max_bytes: a larger file is -EFBIG
 * @ret: freed by the caller; a NUL follows the last byte, not counted in @ret_n (may be NULL)
 * Return: 0 or a negative errno: -ENOENT, -EACCES…; -EISDIR, -EINVAL for what is no regular file
 *         (a FIFO or a device is never waited for); -EFBIG; -ENOMEM.
 */
int file_read(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_n,
	      struct diag *d) _must_check_;

/*
 * file_read_or_stdin - the same for a path that a user gave: "-" is standard input
 * @ret_name: what to call it in a diag: the path, or a constant
 */
int file_read_or_stdin(const char *path, size_t max_bytes, char **ret, size_t *ret_n, const char **ret_name,
		       struct diag *d) _must_check_;

/*
 * file_read_fd - the same for a file that is open already
 * @name: what to call it in the diag
 */
int file_read_fd(int fd, const char *name, size_t max_bytes, char **ret, size_t *ret_n,
		 struct diag *d) _must_check_;

/*
 * file_read_proc - the same for procfs and sysfs, whose files have no size and no type to check
 */
int file_read_proc(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_n) _must_check_;

/*
 * file_replace - put new contents in the place of @path, atomically and durably
 * @mode: permissions of a file that did not exist; an existing file keeps mode and owner
 * Return: 0 or a negative errno; on failure @path is what it was and no temporary file stays.
 */
int file_replace(int dirfd, const char *path, const void *data, size_t n_data, mode_t mode,
		 struct diag *d) _must_check_;

/*
 * file_output - where a user wants a result
 * A file becomes the whole new one or stays the old one; what is no file (a pipe, /dev/stdout) is written to.
 * @path: NULL or "-" for standard output
 * @mode: of a new file
 * Return: 0 or a negative errno with words in @d
 */
int file_output(const char *path, const void *data, size_t n_data, mode_t mode, struct diag *d) _must_check_;
