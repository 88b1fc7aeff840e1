/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Up to 256 bytes come whole, but while the kernel gathers its first ones at boot a signal interrupts.
 */
#include "batten/base/random.h"

#include <errno.h>
#include <sys/random.h>

int random_fill(void *to, size_t n)
{
	ssize_t r;

	do
		r = getrandom(to, n, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -EIO;
}
