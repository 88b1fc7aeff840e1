/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A limit of one byte: too little for a file, and with just this value the kernel starts no handler behind a pipe,
 * which a limit of 0 would not keep from running (core(5); fs/coredump.c). The filter alone, no kind of mapping,
 * leaves the notes in, and with them the vector registers: what was copied last.
 * PR_SET_DUMPABLE would do it too, and would hide /proc/self from whoever runs without root.
 */
#include "batten/base/core-dump.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "batten/base/fd.h"
#include "batten/base/macros.h"

void core_dump_forbid(void)
{
	_cleanup_(fd_closep) int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	struct rlimit least = { .rlim_cur = 1, .rlim_max = 1 };

	if (fd >= 0)
		(void)!fd_write_all(fd, "0", 1);
	(void)setrlimit(RLIMIT_CORE, &least);
}
