/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * libbpf talks to standard error and explains failures over many lines; an agent wants one line
 * that travels with the error. The last complaint of each attempt is kept and quoted.
 */
#include "batten/kernel/bpf.h"

#include <bpf/libbpf.h>
#include <bpf/libbpf_legacy.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "batten/base/arena.h"
#include "batten/base/unpack.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"
#define MAX_OBJECT (256 * 1024)

static char last_words[256];

static int _printf_(2, 0) keep_words(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[sizeof(last_words)];

	if (level != LIBBPF_WARN)
		return 0;
	(void)vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	/* The verifier's log comes as one message of many lines; its frame says nothing. */
	if (line[0] && !strstr(line, "-- BEGIN") && !strstr(line, "-- END"))
		(void)snprintf(last_words, sizeof(last_words), "%s", line);
	return 0;
}

int bpf_prepare(struct diag *d)
{
	static bool prepared;
	struct rlimit infinite = { RLIM_INFINITY, RLIM_INFINITY };
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = 8,
		.max_entries = 1,
	};
	int fd;

	last_words[0] = '\0';
	if (prepared)
		return 0;
	(void)libbpf_set_print(keep_words);
	/* Before 1.0 errors come as pointers otherwise. */
	(void)libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	/* Since 5.11 the memory is charged to the cgroup and the limit does not matter. */
	(void)setrlimit(RLIMIT_MEMLOCK, &infinite);
	fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	if (fd < 0 && (errno == EPERM || errno == EACCES))
		return diag_fail(d, -EPERM, "bpf", "not permitted; run as root (CAP_BPF and CAP_PERFMON)");
	if (fd < 0 && (errno == ENOMEM || errno == EMFILE || errno == ENFILE))
		return diag_errno(d, -errno, "bpf", "cannot ask the kernel");
	if (fd < 0)
		return diag_errno(d, -EOPNOTSUPP, "bpf", "this kernel loads no BPF programs");
	(void)close(fd);
	if (access(KERNEL_BTF, R_OK) < 0)
		return diag_fail(d, -EOPNOTSUPP, KERNEL_BTF,
				 "missing: the kernel was built without CONFIG_DEBUG_INFO_BTF");
	prepared = true;
	return 0;
}

int bpf_open(struct bpf_object_skeleton *s, const char *packed, size_t n)
{
	struct arena arena = { 0 };
	const char *object;
	int r = unpack_text(&arena, packed, n, MAX_OBJECT, &object, &s->data_sz);

	if (r >= 0) {
		s->data = (void *)(uintptr_t)object;
		r = bpf_object__open_skeleton(s, NULL);
		/* libbpf has copied what it keeps. */
		s->data = NULL;
		s->data_sz = 0;
	}
	arena_done(&arena);
	return r;
}

int bpf_fail(struct diag *d, int error, const char *what)
{
	if (last_words[0])
		return diag_fail(d, error, "bpf", "cannot %s: %s: %s", what, strerror(-error), last_words);
	return diag_errno(d, error, "bpf", "cannot %s", what);
}
