# SPDX-License-Identifier: GPL-3.0-or-later
"""Small programs that system tests build: C sources compiled once a session, for any interface."""
import shutil
import subprocess

import lab

THREADS = r"""
#include <pthread.h>
#include <stdio.h>
static void *run(void *p) { *(int *)p += 1; return p; }
int main(void)
{
	pthread_t t[4]; int v[4] = { 0 }, sum = 0;
	for (int i = 0; i < 4; i++) if (pthread_create(&t[i], 0, run, &v[i])) { puts("no thread"); return 1; }
	for (int i = 0; i < 4; i++) { pthread_join(t[i], 0); sum += v[i]; }
	printf("%d threads\n", sum);
	return sum != 4;
}
"""

HELLO = r"""
#include <stdio.h>
int main(void) { puts("hello"); return 0; }
"""

# Makes the calls that its arguments name by number, and prints what each answered.
CALLS = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *colon = strchr(argv[i], ':');
		long arg = colon ? strtol(colon + 1, 0, 0) : -1, r;
		errno = 0;
		r = syscall(strtol(argv[i], 0, 0), arg, arg, arg, 0, 0, 0);
		printf("%s %s\n", argv[i], r >= 0 ? "ok" : errno == EPERM ? "EPERM" : errno == ENOSYS ? "ENOSYS" : "error");
	}
	return 0;
}
"""

# Makes the calls that its input names, "NUMBER ARGUMENT..." a line, and prints which answered with errno 77.
ARGUMENTS = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char line[512], *at;
	unsigned long a[7];
	FILE *in = fopen(argv[1], "r");
	while (fgets(line, sizeof(line), in)) {
		at = line;
		for (int i = 0; i < 7; i++) a[i] = strtoull(at, &at, 0);
		errno = 0;
		printf("%lu %s\n", a[0], syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]) < 0 && errno == 77 ? "denied" : "ok");
	}
	return 0;
}
"""

# A child under a number that is 16384 away from the parent's: both look for the same place. Each makes many calls while
# the other lives, and one that the other does not: 140 is getpriority, 100 is times.
NEIGHBOURS = r"""
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	pid_t wanted = getpid() ^ 16384, child;
	struct clone_args a = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&wanted, .set_tid_size = 1 };
	for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
	child = syscall(SYS_clone3, &a, sizeof(a));
	if (child < 0) { perror("clone3"); return 1; }
	for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
	if (child == 0) { syscall(140, 0, 0); _exit(0); }
	syscall(100, 0);
	waitpid(child, 0, 0);
	for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
	syscall(SYS_sync);
	printf("%d\n", child ^ getpid());
	return 0;
}
"""


def build(directory, name, source, *flags):
    """Compile a program; returns its path. Skips where the compiler cannot."""
    lab.need(shutil.which("gcc"), "gcc is not installed")
    path = directory / name
    c = directory / f"{name}.c"
    c.write_text(source)
    p = subprocess.run(["gcc", "-O1", "-w", "-o", path, c, *flags], capture_output=True, text=True)
    lab.need(p.returncode == 0, f"cannot build {name}: {p.stderr.strip()[:200]}")
    return path
