# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on purpose: system calls that fail or are interrupted, memory that runs out, reads and writes that come up
short, files that may not grow, and death at a step. A fault is named by what it hits and when, so that a failure can
be had again by hand."""
import collections
import os
import re
import subprocess

import lab

EXHAUSTIVE = os.environ.get("FAULTS") == "all"
PER_CALL = 3  # without it: of each call and errno the first, the last and one between

# What each call may answer. EINTR must change nothing.
ERRNOS = {
    "openat": ("EACCES", "EMFILE"), "read": ("EIO", "EINTR"), "pread64": ("EIO", "EINTR"),
    "write": ("ENOSPC", "EINTR"), "pwrite64": ("ENOSPC", "EINTR"), "writev": ("ENOSPC",),
    "newfstatat": ("EIO",), "fstat": ("EIO",), "lseek": ("EIO",), "getdents64": ("EIO",),
    "mmap": ("ENOMEM",), "memfd_create": ("EMFILE",), "pipe2": ("EMFILE",), "dup": ("EMFILE",),
    "socket": ("EMFILE",), "socketpair": ("EMFILE",), "bind": ("ENOMEM",), "setsockopt": ("ENOPROTOOPT",),
    "sendto": ("ENOBUFS", "EINTR"), "sendmsg": ("ENOBUFS", "EINTR"), "recvmsg": ("ENOBUFS", "EINTR"),
    "recvfrom": ("ENOBUFS", "EINTR"), "connect": ("EACCES",), "poll": ("EINTR",), "ppoll": ("EINTR",),
    "fsync": ("EIO",), "ftruncate": ("ENOSPC",), "fallocate": ("ENOSPC",), "renameat": ("EIO",), "rename": ("EIO",),
    "renameat2": ("EIO",), "linkat": ("EIO",), "unlinkat": ("EIO",), "fchmod": ("EPERM",), "fchown": ("EPERM",),
    "clone": ("EAGAIN",), "clone3": ("EAGAIN",), "wait4": ("EINTR",), "prctl": ("EINVAL",), "seccomp": ("EINVAL",),
    "getrandom": ("EINTR",), "bpf": ("EPERM",), "copy_file_range": ("EXDEV",), "flock": ("EINTR",),
    "clock_gettime": ("EINVAL",), "prlimit64": ("EPERM",), "capset": ("EPERM",), "setns": ("EPERM",), "close": ("EIO",),
}
# After these the disk or the name of a file has changed.
STEPS = ("openat", "write", "pwrite64", "fsync", "ftruncate", "renameat", "rename", "linkat", "unlinkat", "fchmod", "close")
# After these the kernel, or another process, has been told something.
TOLD = ("sendto", "sendmsg", "recvmsg", "bpf", "unlink", "unlinkat", "mkdir", "mkdirat", "bind", "listen", "close")


class Fault(collections.namedtuple("Fault", "call effect when")):
    def __str__(self):
        return f"{self.call}:{self.effect}:when={self.when}"

    def words(self, log="/dev/null"):
        # No -f: a call that is failed for it meets a worker's own filter as number -1, and kills it.
        return ["strace", "-qq", "-o", log, "-e", f"trace={self.call}", "-e", f"inject={self}"]


def calls(command, **options):
    """How often the first process makes each call: {name: (while it is loaded, in all)}."""
    run = options.pop("run", subprocess.run)
    log = options.pop("log")
    run(["strace", "-qq", "-o", log, *map(str, command)], **options)
    return counted(log)


def counted(log):
    lines = log.read_text(errors="replace").splitlines()
    loaded, total = collections.Counter(), collections.Counter()
    loading = True
    for line in lines:
        name = re.match(r"(\w+)\(", line)
        if not name:
            continue
        total[name[1]] += 1
        if loading:
            loaded[name[1]] += 1
            # The loader's last act is to forget its cache.
            loading = name[1] != "munmap"
    return {name: (loaded[name], n) for name, n in total.items()}


def chosen(first, last):
    """Which occurrences of first … last are hit."""
    n = last - first + 1
    if EXHAUSTIVE or n <= PER_CALL:
        return list(range(first, last + 1))
    return sorted({first, first + n // 2, last})


def failing(counts):
    """Every fault that the counted run can be given."""
    return [Fault(call, f"error={errno}", when)
            for call, (loaded, total) in sorted(counts.items()) for errno in ERRNOS.get(call, ())
            for when in chosen(loaded + 1, total) if total > loaded]


def deaths(counts, steps=STEPS):
    return [Fault(call, "signal=KILL", when) for call, (loaded, total) in sorted(counts.items()) if call in steps
            for when in chosen(loaded + 1, total) if total > loaded]


INTERPOSER = r"""
/*
 * Fails the allocation FAIL_AT (from 1); gives reads and writes SHORT bytes at most; has a disk that is full when FULL_AT
 * bytes were written to files; moves the wall clock by the seconds in the file CLOCK. Allocations by libcrypto and
 * libseccomp are let through: without memory the one follows a null pointer (3.0), the other never ends (2.5.4).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static atomic_long n, written;
static long fail_at = -1, most = -1, full_at = -1;
static volatile long *seconds;
static dev_t memory; /* of files that are in memory alone */
static int loud;
static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t), *(*real_realloc)(void *, size_t);
static char early[65536];
static size_t n_early;
static void __attribute__((constructor)) begin(void)
{
	real_malloc = dlsym(RTLD_NEXT, "malloc");
	real_calloc = dlsym(RTLD_NEXT, "calloc");
	real_realloc = dlsym(RTLD_NEXT, "realloc");
	fail_at = getenv("FAIL_AT") ? atol(getenv("FAIL_AT")) : -1;
	most = getenv("SHORT") ? atol(getenv("SHORT")) : -1;
	full_at = getenv("FULL_AT") ? atol(getenv("FULL_AT")) : -1;
	loud = getenv("COUNT") != NULL;
	if (!memory) { /* while every call may still be made */
		struct stat st;
		int fd = memfd_create("", MFD_CLOEXEC);
		memory = fstat(fd, &st) == 0 ? st.st_dev : 0;
		close(fd);
	}
	n = 0;
	if (getenv("CLOCK") && !seconds) {
		int fd = open(getenv("CLOCK"), O_RDONLY | O_CLOEXEC);
		void *p = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
		seconds = p == MAP_FAILED ? NULL : p;
	}
}
int clock_gettime(clockid_t which, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, which, t);
	if (r == 0 && seconds && which == CLOCK_REALTIME)
		t->tv_sec += *seconds;
	return r;
}
time_t time(time_t *ret)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return ret ? *ret = t.tv_sec : t.tv_sec;
}
static void __attribute__((destructor)) end(void)
{
	if (loud)
		dprintf(2, "\nallocations: %ld\nwritten: %ld\n", (long)n, (long)written);
}
static int fails(const void *caller)
{
	Dl_info i;

	if (dladdr(caller, &i) && i.dli_fname && (strstr(i.dli_fname, "libcrypto") || strstr(i.dli_fname, "libseccomp")))
		return 0;
	if (++n != fail_at)
		return 0;
	errno = ENOMEM;
	return 1;
}
void *malloc(size_t size)
{
	if (!real_malloc)
		begin();
	return fails(__builtin_return_address(0)) ? NULL : real_malloc(size);
}
void *calloc(size_t a, size_t b)
{
	if (!real_calloc) { /* dlsym() itself */
		n_early += (a * b + 15) & ~15UL;
		return early + n_early - ((a * b + 15) & ~15UL);
	}
	return fails(__builtin_return_address(0)) ? NULL : real_calloc(a, b);
}
void *realloc(void *p, size_t size)
{
	if (!real_realloc)
		begin();
	return fails(__builtin_return_address(0)) ? NULL : real_realloc(p, size);
}
static size_t cut(size_t size) { return most > 0 && size > (size_t)most ? (size_t)most : size; }
/* How much of it still has room; -1 when the disk is full. */
static ssize_t room(int fd, size_t size)
{
	struct stat st;
	long before;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_dev == memory)
		return size; /* not on a disk */
	before = atomic_fetch_add(&written, (long)size);
	if (full_at < 0 || before + (long)size <= full_at)
		return size;
	written = full_at;
	if (before < full_at)
		return full_at - before;
	errno = ENOSPC;
	return -1;
}
ssize_t read(int fd, void *b, size_t size)
{
	static ssize_t (*real)(int, void *, size_t);
	if (!real) real = dlsym(RTLD_NEXT, "read");
	return real(fd, b, cut(size));
}
ssize_t write(int fd, const void *b, size_t size)
{
	static ssize_t (*real)(int, const void *, size_t);
	if (!real) real = dlsym(RTLD_NEXT, "write");
	ssize_t fits = room(fd, cut(size));
	return fits < 0 ? fits : real(fd, b, fits);
}
ssize_t pread(int fd, void *b, size_t size, off_t at)
{
	static ssize_t (*real)(int, void *, size_t, off_t);
	if (!real) real = dlsym(RTLD_NEXT, "pread");
	return real(fd, b, cut(size), at);
}
ssize_t pwrite(int fd, const void *b, size_t size, off_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);
	if (!real) real = dlsym(RTLD_NEXT, "pwrite");
	ssize_t fits = room(fd, cut(size));
	return fits < 0 ? fits : real(fd, b, fits, at);
}
"""


def build_interposer(directory):
    source = directory / "interposer.c"
    source.write_text(INTERPOSER)
    library = directory / "interposer.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"], check=True)
    return library


def run(command, fault=None, timeout=60, **options):
    """Run batten with these words, under a fault when there is one."""
    words = (fault.words() if fault else []) + [lab.BATTEN, *map(str, command)]
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, errors="replace", timeout=timeout,
                          **options)
