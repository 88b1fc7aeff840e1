/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every case twice: with openat2(), and in a child whose seccomp filter does not know the call.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "batten/base/fd.h"
#include "batten/base/root.h"

static char top[] = "/tmp/batten-root-XXXXXX";

static void put(int dir, const char *name, const char *text)
{
	_cleanup_(fd_closep) int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* OUTSIDE/secret must never be read; OUTSIDE/tree is the root. */
static int make(void **state)
{
	_cleanup_(fd_closep) int dir = -1, tree = -1;

	assert_non_null(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(dir, "secret", "outside");
	assert_int_equal(mkdirat(dir, "tree", 0755), 0);
	tree = openat(dir, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(tree, "etc", 0755), 0);
	assert_int_equal(mkdirat(tree, "etc/ecs", 0755), 0);
	put(tree, "etc/ecs/ecs.config", "inside");
	put(tree, "secret", "inside");
	assert_int_equal(symlinkat("../../secret", tree, "etc/out"), 0);
	assert_int_equal(symlinkat("/../../secret", tree, "etc/out-absolute"), 0);
	assert_int_equal(symlinkat("/etc/ecs/", tree, "short"), 0);
	assert_int_equal(symlinkat("loop", tree, "loop"), 0);
	assert_int_equal(symlinkat("/nowhere", tree, "dangling"), 0);
	assert_int_equal(symlinkat("/proc/self/root/etc/passwd", tree, "magic"), 0);
	assert_int_equal(mkfifoat(tree, "fifo", 0644), 0);
	put(tree, "long", "");
	_cleanup_(fd_closep) int large = openat(tree, "long", O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(large, 1L << 30), 0);
	return 0;
}

static int unmake(void **state)
{
	static const char *const names[] = {
		"tree/etc/ecs/ecs.config", "tree/etc/ecs", "tree/etc/out", "tree/etc/out-absolute",
		"tree/etc", "tree/short", "tree/loop", "tree/dangling", "tree/magic", "tree/fifo",
		"tree/long", "tree/secret", "tree", "secret", "",
	};
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", top, names[i]);
		assert_int_equal(remove(path), 0);
	}
	return 0;
}

static int read_text(const struct root *r, const char *path, const char *expected)
{
	_cleanup_(freep) char *text = NULL;
	struct diag d = { 0 };
	int e = root_read(r, path, 4096, &text, NULL, &d);

	if (e < 0)
		return e;
	return strcmp(text, expected) == 0 ? 0 : -EILSEQ;
}

static int failures(void)
{
	static const struct {
		const char *path;
		int r;
	} rows[] = {
		{ "/etc/ecs/ecs.config", 0 },
		{ "etc//ecs/./ecs.config", 0 },
		{ "/etc/ecs/../ecs/ecs.config", 0 },
		{ "../../../etc/ecs/ecs.config", 0 },
		{ "/../secret", 0 },
		{ "/etc/out", 0 },
		{ "/etc/out-absolute", 0 },
		{ "/short/ecs.config", 0 },
		{ "/short/../ecs/ecs.config", 0 },
		{ "/etc/ecs/ecs.config/", -ENOTDIR },
		{ "/etc/ecs/ecs.config/x", -ENOTDIR },
		{ "/short", -EISDIR },
		{ "/", -EISDIR },
		{ "", -ENOENT },
		{ "/loop", -ELOOP },
		{ "/loop/x", -ELOOP },
		{ "/dangling", -ENOENT },
		{ "/magic", -ENOENT },
		{ "/fifo", -EINVAL },
		{ "/long", -EFBIG },
		{ "/nothing/here", -ENOENT },
	};
	struct root r = ROOT_NONE;
	char path[256];
	int bad = 0, fd;
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/tree/", top);
	if (root_init(&r, path, NULL) < 0 || r.live)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int e = read_text(&r, rows[i].path, "inside");

		if (e != rows[i].r)
			(void)fprintf(stderr, "%s: %d, not %d\n", rows[i].path, e, rows[i].r);
		bad += e != rows[i].r;
	}
	bad += root_stat(&r, "/dangling", false, &st) != 0 || !S_ISLNK(st.st_mode);
	bad += root_stat(&r, "/dangling", true, &st) != -ENOENT;
	bad += root_stat(&r, "/short", true, &st) != 0 || !S_ISDIR(st.st_mode);
	fd = root_open(&r, "/short", O_RDONLY | O_DIRECTORY);
	bad += fd < 0;
	fd_close(fd);
	bad += root_open(&r, "/secret", O_RDONLY | O_DIRECTORY) != -ENOTDIR;
	bad += root_open(&r, "/dangling", O_RDONLY | O_NOFOLLOW) != -ELOOP;
	root_done(&r);
	root_done(&r);
	return bad;
}

static void by_kernel(void **state)
{
	assert_int_equal(failures(), 0);
}

static void without_openat2(void **state)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };
	int status = 0;
	pid_t child;

	child = fork();
	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
			_exit(99);
		_exit(failures());
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 99)
		skip_because("no filters of system calls here, as under an emulator of user space");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void live(void **state)
{
	struct root r = ROOT_NONE;
	struct diag d = { 0 };

	assert_int_equal(root_init(&r, NULL, NULL), 0);
	assert_true(r.live);
	assert_string_equal(r.name, "");
	root_done(&r);
	assert_int_equal(root_init(&r, "/", NULL), 0);
	assert_true(r.live);
	root_done(&r);
	assert_int_equal(root_init(&r, "/no/such/root", &d), -ENOENT);
	assert_non_null(strstr(d.what, "root directory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_kernel),
		cmocka_unit_test(without_openat2),
		cmocka_unit_test(live),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
