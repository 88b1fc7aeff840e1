/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a worker may still do once it reads bytes from an image: compute, read and write what it
 * holds, and end. Every step must succeed.
 */
#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "image/worker.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1 /* its runtime maps terabytes and asks for more than a worker would */
#else
#define SANITIZED 0
#endif

#define MAX_DATA_BYTES (64UL * 1024 * 1024)

static int limit(int resource, rlim_t max)
{
	struct rlimit l = { max, max };

	return setrlimit((__rlimit_resource_t)resource, &l) < 0 ? -errno : 0;
}

static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_ALL);
	/* The bounding set can only be emptied by those who have something to lose. */
	if (prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 1 && capng_apply(CAPNG_SELECT_BOUNDS) < 0 &&
	    errno != EPERM)
		return -EPERM;
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

static int filter(void)
{
	static const int calls[] = {
		SCMP_SYS(read),           SCMP_SYS(pread64),         SCMP_SYS(write),
		SCMP_SYS(lseek),          SCMP_SYS(copy_file_range), SCMP_SYS(fstat),
		SCMP_SYS(newfstatat),     SCMP_SYS(close),           SCMP_SYS(brk),
		SCMP_SYS(mmap),           SCMP_SYS(munmap),          SCMP_SYS(mremap),
		SCMP_SYS(madvise),        SCMP_SYS(futex),           SCMP_SYS(rt_sigreturn),
		SCMP_SYS(rt_sigprocmask), SCMP_SYS(exit_group),      SCMP_SYS(exit),
		SCMP_SYS(getpid),         SCMP_SYS(gettid),          SCMP_SYS(tgkill),
		SCMP_SYS(getrandom),      SCMP_SYS(restart_syscall),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(calls) && r >= 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (r >= 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int worker_confine(struct diag *d)
{
	int r;

	r = limit(RLIMIT_CORE, 0);
	if (r >= 0 && !SANITIZED)
		r = limit(RLIMIT_DATA, MAX_DATA_BYTES);
	if (r >= 0)
		r = drop_capabilities();
	if (r >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r >= 0 && !SANITIZED)
		r = filter();
	return r < 0 ? diag_errno(d, r, NULL, "cannot confine the process that reads layers") : 0;
}
