/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a worker may still do once it reads bytes from an image: compute, read and write what it
 * holds, and end.
 */
#include <seccomp.h>

#include "batten/kernel/confine.h"
#include "image/worker.h"

#define MAX_DATA_BYTES (64UL * 1024 * 1024)

int worker_confine(struct diag *d)
{
	static const int calls[] = {
		SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(lseek),
		SCMP_SYS(copy_file_range), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(close),
		SCMP_SYS(mmap), SCMP_SYS(tgkill),
	};
	const struct confinement c = {
		.max_data_bytes = MAX_DATA_BYTES,
		.calls = calls,
		.n_calls = ARRAY_SIZE(calls),
	};

	return confine(&c, d);
}
