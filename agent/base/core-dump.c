/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The filter of core(5): no kind of mapping. PR_SET_DUMPABLE would do it too, and would hide /proc/self
 * from whoever runs without root.
 */
#include "batten/base/core-dump.h"

#include <fcntl.h>

#include "batten/base/fd.h"
#include "batten/base/macros.h"

void core_dump_without_memory(void)
{
	_cleanup_(fd_closep) int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!fd_write_all(fd, "0", 1);
}
