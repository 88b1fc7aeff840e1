/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whole reads and whole writes on blocking descriptors, and what a forked process keeps of them.
 */
#include "batten/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

int fd_write_all(int fd, const void *data, size_t n_data)
{
	const char *p = data;

	while (n_data > 0) {
		ssize_t n = write(fd, p, n_data);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		n_data -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read(int fd, void *to, size_t n)
{
	ssize_t r;

	do
		r = read(fd, to, n);
	while (r < 0 && errno == EINTR);
	return r;
}

ssize_t fd_pread(int fd, void *to, size_t n, off_t at)
{
	ssize_t r;

	do
		r = pread(fd, to, n, at);
	while (r < 0 && errno == EINTR);
	return r;
}

int fd_keep_one(int fd)
{
	if (fd != FD_KEPT)
		(void)dup3(fd, FD_KEPT, O_CLOEXEC);
	if (syscall(SYS_close_range, FD_KEPT + 1, ~0u, 0) < 0) { /* before Linux 5.9 */
		for (int n = (int)sysconf(_SC_OPEN_MAX), other = FD_KEPT + 1; other < n; other++)
			(void)close(other);
	}
	return FD_KEPT;
}

int fd_read_all(int fd, size_t max_bytes, char **ret, size_t *ret_n)
{
	_cleanup_(freep) char *buf = NULL;
	size_t n = 0, size = 0;

	for (;;) {
		ssize_t got;

		if (size - n < 2) {
			size_t want = MIN(size ? size * 2 : (size_t)4096, max_bytes + 2);
			char *grown;

			if (want <= size)
				return -EFBIG;
			grown = realloc(buf, want);
			if (!grown)
				return -ENOMEM;
			buf = grown;
			size = want;
		}
		got = fd_read(fd, buf + n, size - n - 1);
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > max_bytes)
			return -EFBIG;
	}
	buf[n] = '\0';
	*ret = take_ptr(buf);
	*ret_n = n;
	return 0;
}
