/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp measure-runtime`: run the installed runtime once with and once without
 * no-new-privileges, with a filter that permits everything, and note what it calls between loading
 * that filter and executing the workload.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/kernel/cgroup.h"
#include "batten/seccomp/observer.h"
#include "batten/seccomp/runtime-base.h"
#include "cli/commands.h"

#define MAX_VERSION 64
#define WORKLOAD "/bin/true"
#define CGROUP_VIEW "/sys/fs/cgroup"
#define OUTPUT_MODE 0700

struct measurement {
	const char *runtime;
	char version[MAX_VERSION];
	char directory[64]; /* bundle, root and state, removed at the end */
	char cgroup[PATH_MAX]; /* of the container: at the root, where runtimes can set it up */
	struct observer *observer;
};

/* Runs a program to its end with its output on @output (-1: nowhere). Return: exit status or negative errno. */
static int run(const char *const *argv, int output)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(null, STDIN_FILENO);
		(void)dup2(output >= 0 ? output : null, STDOUT_FILENO);
		(void)execvp(argv[0], (char *const *)argv);
		_exit(errno == ENOENT ? 127 : 126);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

/* "runc version 1.1.5+ds1\n…" → "1.1.5+ds1" */
static int ask_version(struct measurement *m, struct diag *d)
{
	const char *const argv[] = { m->runtime, "--version", NULL };
	_cleanup_(freep) char *text = NULL;
	const char *at;
	int pipes[2], r;
	size_t n;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	r = run(argv, pipes[1]);
	(void)close(pipes[1]);
	if (r == 0)
		r = fd_read_all(pipes[0], 65536, &text, &n);
	(void)close(pipes[0]);
	if (r != 0 || !text)
		return diag_fail(d, -ENOENT, m->runtime, "is not installed, or does not tell its version");
	at = strstr(text, "version ");
	at = at ? at + 8 : "unknown";
	(void)snprintf(m->version, sizeof(m->version), "%.*s",
		       (int)strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789.+-~"), at);
	return 0;
}

static int write_config(const struct measurement *m, bool nnp, struct diag *d)
{
	static const char *const caps[] = { "CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP" };
	_cleanup_(json_freep) json_t *j = NULL, *held = json_array(), *spaces = json_array();
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX], root[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		json_array_append_new(held, json_string(caps[i]));
	for (size_t i = 0; i < 4; i++)
		json_array_append_new(spaces, json_pack("{s:s}", "type",
			(const char *const[]){ "pid", "mount", "ipc", "uts" }[i]));
	(void)snprintf(root, sizeof(root), "%s/root", m->directory);
	/* One call is denied, so that the runtime has a filter to load at all. */
	j = json_pack("{s:s, s:{s:b, s:{s:i, s:i}, s:[s], s:s, s:[s], s:b, s:{s:O, s:O, s:O}}, s:{s:s, s:b},"
		      " s:[{s:s, s:s, s:s}, {s:s, s:s, s:s}], s:{s:O, s:s, s:{s:s, s:[{s:[s], s:s}]}}}",
		      "ociVersion", "1.0.2", "process", "terminal", 0, "user", "uid", 0, "gid", 0, "args", WORKLOAD, "cwd",
		      "/", "env", "PATH=/usr/bin:/bin", "noNewPrivileges", nnp, "capabilities", "bounding", held,
		      "effective", held, "permitted", held, "root", "path", root, "readonly", 1, "mounts", "destination",
		      "/proc", "type", "proc", "source", "proc", "destination", "/dev", "type", "tmpfs", "source", "tmpfs",
		      "linux", "namespaces", spaces, "cgroupsPath", strrchr(m->cgroup, '/'), "seccomp", "defaultAction", "SCMP_ACT_ALLOW",
		      "syscalls", "names", "acct", "action", "SCMP_ACT_ERRNO");
	text = json_line(j, NULL);
	if (!text)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "%s/config.json", m->directory);
	return file_replace(AT_FDCWD, path, text, strlen(text), 0600, d);
}

static int run_once(struct measurement *m, bool nnp, struct observation *into, struct diag *d)
{
	char state[PATH_MAX], id[SOURCE_ID_SIZE], name[64];
	const char *const argv[] = { m->runtime, "--root", state, "run", "--bundle", m->directory, name, NULL };
	const char *const clean[] = { m->runtime, "--root", state, "delete", "--force", name, NULL };
	uint64_t group;
	int r;

	(void)snprintf(state, sizeof(state), "%s/state", m->directory);
	(void)snprintf(name, sizeof(name), "batten-%d-%d", (int)getpid(), nnp);
	(void)snprintf(m->cgroup, sizeof(m->cgroup), CGROUP_VIEW "/%s", name);
	r = write_config(m, nnp, d);
	if (r == 0 && mkdir(m->cgroup, 0755) < 0)
		r = diag_errno(d, -errno, m->cgroup, "cannot make a cgroup");
	if (r < 0)
		return r;
	r = observer_watch_cgroup(m->observer, m->cgroup, false, &group, d);
	if (r == 0) {
		r = run(argv, -1);
		if (r != 0)
			r = diag_fail(d, r < 0 ? r : -EIO, m->runtime, "cannot run %s in a container (status %d)", WORKLOAD, r);
		else
			r = observer_dispatch(m->observer);
	}
	if (r == 0) {
		observer_source_id(id);
		r = observer_collect(m->observer, group, id, into, d);
		observer_forget(m->observer, group);
	}
	if (r < 0)
		(void)run(clean, -1);
	(void)cgroup_remove(m->cgroup);
	return r;
}

/* The exec ends the runtime and begins the workload: needed, and counted to the latter. */
static void count_exec(struct observation *o)
{
	struct observed_call *c = observation_find(o, abi_native(), "execve");

	if (c)
		c->phases |= PHASE_RUNTIME;
}

/* A directory with the machine's own root, read-only, below it; visible to nobody else. */
static int prepare(struct measurement *m, struct diag *d)
{
	char path[PATH_MAX];

	(void)snprintf(m->directory, sizeof(m->directory), "/tmp/batten-measure-XXXXXX");
	if (!mkdtemp(m->directory))
		return diag_errno(d, -errno, "/tmp", "cannot make a directory");
	(void)snprintf(path, sizeof(path), "%s/root", m->directory);
	if (mkdir(path, OUTPUT_MODE) < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/", path, NULL, MS_BIND, NULL) < 0)
		return diag_errno(d, -errno, path, "cannot mount the root there");
	/* The runtime sees cgroup2 alone, also on a host that has the older hierarchies beside it. */
	if (mount("cgroup2", CGROUP_VIEW, "cgroup2", 0, NULL) < 0)
		return diag_errno(d, -errno, CGROUP_VIEW, "cannot mount cgroup2 for the measurement");
	return 0;
}

static void clean_up(struct measurement *m)
{
	char path[PATH_MAX];

	if (!m->directory[0])
		return;
	(void)snprintf(path, sizeof(path), "%s/root", m->directory);
	(void)umount2(path, MNT_DETACH);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/state", m->directory);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/config.json", m->directory);
	(void)unlink(path);
	(void)rmdir(m->directory);
}

static int keep(const struct measurement *m, const json_t *base, const char *output, struct diag *d)
{
	char path[PATH_MAX];

	if (!output) {
		(void)mkdir("/var/lib/batten", 0755);
		(void)mkdir("/var/lib/batten/seccomp", OUTPUT_MODE);
		(void)mkdir(RUNTIME_BASE_DIRECTORY, OUTPUT_MODE);
		(void)snprintf(path, sizeof(path), "%s/%s-%s.json", RUNTIME_BASE_DIRECTORY, m->runtime, m->version);
		output = path;
	}
	return json_write(output, base, 0644, d);
}

static size_t n_needed(const struct observation *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->abis[abi_native()].n; i++)
		n += (o->abis[abi_native()].v[i].phases & PHASE_RUNTIME) != 0;
	return n;
}

static int measure(const struct invocation *inv, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *without = observation_new(), *with = observation_new();
	_cleanup_(observer_freep) struct observer *observer = NULL;
	_cleanup_(json_freep) json_t *base = NULL;
	struct measurement m = { .runtime = inv->n_args > 0 ? inv->args[0] : "runc" };
	struct observation *const both[] = { without, with };
	struct utsname host = { 0 };
	char where[256];
	int r;

	if (!without || !with)
		return -ENOMEM;
	if (strchr(m.runtime, '/') || m.runtime[0] == '-' || m.runtime[0] == '.')
		return diag_fail(d, -EINVAL, m.runtime, "is no runtime's name; it is runc or crun");
	r = ask_version(&m, d);
	if (r == 0)
		r = observer_new(&observer, &(struct observer_options){ .denials_from_start = true }, NULL, NULL, d);
	if (r < 0)
		return r;
	m.observer = observer;
	r = prepare(&m, d);
	for (int nnp = 0; nnp < 2 && r == 0; nnp++) {
		r = run_once(&m, nnp, both[nnp], d);
		count_exec(both[nnp]);
	}
	clean_up(&m);
	if (r < 0)
		return r;
	(void)uname(&host);
	(void)snprintf(where, sizeof(where), "%s %.100s %.60s", host.sysname, host.release, host.machine);
	base = runtime_base_json(m.runtime, m.version, where, (const struct observation *const[]){ without, with });
	r = base ? keep(&m, base, invocation_value(inv, "output"), d) : -ENOMEM;
	if (r == 0 && !inv->quiet)
		(void)fprintf(stderr, "batten: between filter and exec %s %s needs %zu calls, %zu with no-new-privileges\n",
			      m.runtime, m.version, n_needed(without), n_needed(with));
	return r;
}

static enum exit_status measure_run(struct invocation *inv)
{
	struct diag d = { 0 };
	int r = measure(inv, &d);

	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row options[] = {
	{ "output", 'o', "FILE", "file to write instead of keeping it for seccomp generate", false },
	{ 0 },
};

const struct command cmd_seccomp_measure_runtime = {
	.name = "seccomp measure-runtime",
	.args = "[runc|crun]",
	.help = "measure what the installed container runtime needs under a filter",
	.details = "Runs " WORKLOAD " in a container twice, without and with no-new-privileges. What is measured is\n"
		   "kept in " RUNTIME_BASE_DIRECTORY ", by runtime and version as what ships,\n"
		   "and allowed in the profiles made on this host.",
	.options = options,
	.max_args = 1,
	.exits = {
		[EXIT_DONE] = "measured",
		[EXIT_USAGE] = "no such runtime",
		[EXIT_UNABLE] = "BPF programs cannot be loaded, or the runtime runs no container here",
	},
	.run = measure_run,
};
