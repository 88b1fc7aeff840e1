/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the process that reads an image's descriptions may still do: work with what it holds, fork
 * workers that give up more, and ask its keeper. It opens nothing, connects to nothing, starts no
 * program and signals nobody.
 */
#include <linux/sched.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "batten/base/json.h"
#include "batten/kernel/confine.h"
#include "image/run.h"

#define MAX_FILES (4 * MODEL_MAX_LAYERS + 64)
#define MAX_DATA_BYTES (64UL * 1024 * 1024)

/* As the C library forks. */
#define FORK_FLAGS (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

int run_confine(int keeper_fd, struct diag *d)
{
	static const int calls[] = {
		SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
		SCMP_SYS(lseek), SCMP_SYS(copy_file_range), SCMP_SYS(fsync), SCMP_SYS(ftruncate),
		SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(getdents64), SCMP_SYS(fcntl),
		SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(pipe2), SCMP_SYS(poll),
		SCMP_SYS(ppoll), SCMP_SYS(recvmsg), SCMP_SYS(mmap), SCMP_SYS(rt_sigaction),
		SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
		SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(sysinfo),
		SCMP_SYS(sched_getaffinity),
		/* for the workers, which confine themselves again */
		SCMP_SYS(prctl), SCMP_SYS(seccomp), SCMP_SYS(capget), SCMP_SYS(capset),
		SCMP_SYS(getrlimit), SCMP_SYS(setrlimit),
	};
	/* What libraries ask for and can do without: a seed, the number of the last capability. */
	static const int refused[] = { SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(clone3) };
	const struct confinement_when when[] = {
		{ SCMP_SYS(sendmsg), 0, UINT32_MAX, (unsigned int)keeper_fd, false },
		{ SCMP_SYS(clone), 0, UINT32_MAX, FORK_FLAGS, false },
		{ SCMP_SYS(prlimit64), 0, UINT32_MAX, 0, false },
		{ SCMP_SYS(ioctl), 1, UINT32_MAX, TCGETS, false },
		{ SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCGWINSZ, false },
	};
	const struct confinement c = {
		.max_data_bytes = MAX_DATA_BYTES,
		.calls = calls,
		.n_calls = ARRAY_SIZE(calls),
		.refused = refused,
		.n_refused = ARRAY_SIZE(refused),
		.when = when,
		.n_when = ARRAY_SIZE(when),
	};
	struct rlimit files;

	/* An image of many platforms has some hundred layers, each with a few files of its own. Where that
	 * many are not allowed the first that is missing is told of. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = MIN(files.rlim_max, MAX(files.rlim_cur, (rlim_t)MAX_FILES));
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	json_object_seed(0); /* while there is a /dev/urandom */
	return confine(&c, d);
}
