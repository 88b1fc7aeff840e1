/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp record`: observe one command in a cgroup of its own, or what runs already in a
 * cgroup or a container, and print what was seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/parse.h"
#include "batten/host/model.h"
#include "batten/kernel/cgroup.h"
#include "batten/seccomp/observer.h"
#include "cli/commands.h"

#define TICK_MS 1000 /* how often the observer is asked to move on */
#define MAX_DURATION_MS (366ull * 24 * 3600 * 1000)
#define EXEC_FAILED 126

struct recording {
	struct invocation *inv;
	struct observer *observer;
	uint64_t group;
	char cgroup[PATH_MAX]; /* "": a mount namespace is observed */
	bool own;	       /* we made the cgroup */
	char id[CONTAINER_ID_SIZE], image[256], image_id[128]; /* of --container */
	pid_t pid;
	bool shadow_denies;
	uint64_t duration_ms;  /* 0: until it ends by itself or by a signal */
	pid_t child;
	int child_status;
	int signals; /* signalfd: SIGINT, SIGTERM, SIGCHLD */
	sigset_t old_mask;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int catch_signals(struct recording *rec)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &mask, &rec->old_mask) < 0)
		return -errno;
	rec->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return rec->signals < 0 ? -errno : 0;
}

/*
 * The command starts in the group: it moves itself there and executes, so that its first own
 * instruction is observed. What exec said comes back through the pipe.
 */
static int start_command(struct recording *rec, bool output_is_ours, struct diag *d)
{
	int pipes[2], failure = 0;
	ssize_t n;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	rec->child = fork();
	if (rec->child < 0) {
		(void)close(pipes[0]);
		(void)close(pipes[1]);
		return -errno;
	}
	if (rec->child == 0) {
		char *const *argv = (char *const *)rec->inv->args;

		failure = -cgroup_join(rec->cgroup, 0);
		if (failure == 0 && output_is_ours && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
			failure = errno;
		(void)sigprocmask(SIG_SETMASK, &rec->old_mask, NULL);
		if (failure == 0) {
			(void)execvp(argv[0], argv);
			failure = errno;
		}
		_exit(fd_write_all(pipes[1], &failure, sizeof(failure)) < 0 ? EXEC_FAILED + 1 : EXEC_FAILED);
	}
	(void)close(pipes[1]);
	do {
		n = read(pipes[0], &failure, sizeof(failure));
	} while (n < 0 && errno == EINTR);
	(void)close(pipes[0]);
	if (n == sizeof(failure))
		return diag_errno(d, failure == ENOENT ? -ENOENT : -EACCES, rec->inv->args[0], "cannot run");
	return 0;
}

/* Takes what came through the signalfd. Return: true when the recording is to stop. */
static bool take_signals(struct recording *rec)
{
	struct signalfd_siginfo info;
	bool stop = false;

	while (read(rec->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			stop = true;
		else if (rec->child > 0 && waitpid(rec->child, &rec->child_status, WNOHANG) == rec->child)
			rec->child = 0;
	}
	return stop;
}

/* Has what we watch come to its end by itself? */
static bool ended(const struct recording *rec)
{
	int populated;

	if (rec->cgroup[0] == '\0')
		return kill(rec->pid, 0) < 0 && errno == ESRCH;
	populated = cgroup_populated(rec->cgroup);
	if (rec->own)
		return rec->child <= 0 && populated <= 0;
	/* A group that may come again is waited for as long as the user said. */
	return rec->duration_ms == 0 && access(rec->cgroup, F_OK) < 0;
}

static int watch_until_end(struct recording *rec)
{
	uint64_t end = rec->duration_ms ? now_ms() + rec->duration_ms : UINT64_MAX;
	_cleanup_(fd_closep) int group_events = -1;
	char path[PATH_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/cgroup.events", rec->cgroup);
	if (rec->cgroup[0])
		group_events = open(path, O_RDONLY | O_CLOEXEC);
	while (!ended(rec)) {
		uint64_t now = now_ms(), left = now < end ? end - now : 0;
		struct pollfd fds[] = {
			{ rec->signals, POLLIN, 0 },
			{ observer_fd(rec->observer), POLLIN, 0 },
			{ group_events, POLLPRI, 0 },
		};
		int r;

		if (left == 0)
			return 0;
		if (poll(fds, ARRAY_SIZE(fds), (int)MIN(left, (uint64_t)TICK_MS)) < 0 && errno != EINTR)
			return -errno;
		if (take_signals(rec))
			return 0;
		if (fds[2].revents & POLLPRI) {
			char text[128];

			/* Reading re-arms it. A group that is gone would poll as ready for ever. */
			if (pread(group_events, text, sizeof(text), 0) < 0)
				group_events = fd_close(group_events);
		}
		r = observer_dispatch(rec->observer);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Harmless a second time. */
static void end_command(struct recording *rec)
{
	if (rec->own)
		(void)cgroup_remove(rec->cgroup);
	if (rec->child > 0) {
		(void)kill(rec->child, SIGKILL);
		(void)waitpid(rec->child, &rec->child_status, 0);
		rec->child = 0;
	}
	rec->signals = fd_close(rec->signals);
}

static void tell_what_was_seen(const struct recording *rec, const struct observation *o)
{
	struct confidence c;
	size_t denied = 0;

	if (rec->inv->quiet)
		return;
	observation_confidence(o, &c);
	for (enum abi a = 0; a < _ABI_MAX; a++)
		for (size_t i = 0; i < o->abis[a].n; i++)
			denied += o->abis[a].v[i].denied != 0;
	(void)fprintf(stderr, "batten: %zu system calls seen, %zu denied by a filter in force", c.n_names, denied);
	if (rec->own && WIFEXITED(rec->child_status))
		(void)fprintf(stderr, "; the command ended with %d", WEXITSTATUS(rec->child_status));
	else if (rec->own && WIFSIGNALED(rec->child_status))
		(void)fprintf(stderr, "; the command was ended by signal %d", WTERMSIG(rec->child_status));
	(void)fputc('\n', stderr);
	if (rec->id[0])
		(void)fputs("batten: the container was running: what it needed to start is not in the observation\n", stderr);
	if (observer_lost_tasks(rec->observer) > 0)
		(void)fprintf(stderr, "batten: %llu threads found no room and were not observed\n",
			      (unsigned long long)observer_lost_tasks(rec->observer));
}

static int tell_denied(void *userdata, enum abi a, const char *call, uint64_t count)
{
	struct recording *rec = userdata;

	rec->shadow_denies = true;
	(void)fprintf(stderr, "batten: the profile would have denied %s (%s), made %llu times\n", call, abi_name(a),
		      (unsigned long long)count);
	return 0;
}

/* Puts the profile of --shadow on trial. */
static int shadow(struct recording *rec, struct diag *d)
{
	const char *path = invocation_value(rec->inv, "shadow");
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_context context;
	int r;

	if (!path)
		return 0;
	profile_context_docker(&context);
	r = profile_read(path, &context, &p, d);
	if (r == 0)
		r = observer_shadow(rec->observer, rec->group, p, d);
	if (r > 0)
		(void)fprintf(stderr, "batten: calls with more rules on arguments than can be tried: %d; they count as let through\n",
			      r);
	return MIN(r, 0);
}

static int record(struct recording *rec, const char *output, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = observation_new();
	char id[SOURCE_ID_SIZE], host[256] = "";
	int r;

	if (!o)
		return -ENOMEM;
	if (rec->cgroup[0])
		r = observer_watch_cgroup(rec->observer, rec->cgroup, rec->own, &rec->group, d);
	else
		r = observer_watch_mntns(rec->observer, rec->pid, &rec->group, d);
	if (r == 0)
		r = shadow(rec, d);
	if (r == 0)
		r = catch_signals(rec);
	if (r == 0 && rec->own)
		r = start_command(rec, !output || strcmp(output, "-") == 0, d);
	if (r == 0)
		r = watch_until_end(rec);
	end_command(rec);
	if (r < 0)
		return r;
	observer_source_id(id);
	(void)gethostname(host, sizeof(host) - 1);
	r = observer_collect(rec->observer, rec->group, id, o, d);
	if (r == 0 && host[0])
		r = labels_add(&o->hosts, host);
	if (r == 0 && rec->image[0])
		r = labels_add(&o->images, rec->image);
	if (r == 0 && rec->image_id[0])
		r = labels_add(&o->digests, rec->image_id);
	if (r == 0)
		r = observation_write(o, output, d);
	if (r < 0)
		return r;
	tell_what_was_seen(rec, o);
	return observer_shadow_each(rec->observer, rec->group, tell_denied, rec);
}

/* Is it the one that the user named: by name, by id or by the beginning of the id? */
static bool is_named(const struct container *c, const char *name)
{
	return strcmp(c->name, name) == 0 || (strlen(name) >= 4 && strncmp(c->id, name, strlen(name)) == 0);
}

/*
 * The container's cgroup; on a host whose containers have none in cgroup2, its mount namespace.
 */
static int choose_container(struct recording *rec, const char *name, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *docker = NULL;
	struct host_model model;
	int r;

	r = docker_new(&docker, invocation_value(rec->inv, "docker"), d);
	if (r < 0)
		return r;
	host_model_init(&model);
	r = host_model_snapshot(&model, docker, false, 0, d);
	host_model_each(pos, &model) {
		const struct container *c = host_container(pos);

		if (r < 0 || !is_named(c, name))
			continue;
		(void)snprintf(rec->id, sizeof(rec->id), "%s", c->id);
		(void)snprintf(rec->image, sizeof(rec->image), "%s", c->image);
		(void)snprintf(rec->image_id, sizeof(rec->image_id), "%s", c->image_id);
		rec->pid = c->pid;
		/* The root of a hybrid hierarchy is no container's. */
		if (strstr(c->cgroup, c->id))
			(void)snprintf(rec->cgroup, sizeof(rec->cgroup), "%s", c->cgroup);
	}
	host_model_done(&model);
	if (r == 0 && !rec->id[0])
		r = diag_fail(d, -ENOENT, name, "no such running container");
	return r;
}

/* Which cgroup: the user's, or one of our own. */
static int choose_group(struct recording *rec, struct diag *d)
{
	const char *path = invocation_value(rec->inv, "cgroup");
	char mount[PATH_MAX];
	int r;

	if (rec->id[0])
		return 0;
	if (!path) {
		rec->own = true;
		return cgroup_make("batten-record", rec->cgroup, d);
	}
	if (access(path, F_OK) == 0) {
		(void)snprintf(rec->cgroup, sizeof(rec->cgroup), "%s", path);
		return 0;
	}
	/* As /proc/PID/cgroup has it: from the root of the hierarchy. */
	r = cgroup_mount(mount, d);
	if (r < 0)
		return r;
	if (snprintf(rec->cgroup, sizeof(rec->cgroup), "%s%s%s", mount, path[0] == '/' ? "" : "/", path) >=
		    (int)sizeof(rec->cgroup) ||
	    access(rec->cgroup, F_OK) < 0)
		return diag_fail(d, -ENOENT, path, "no such cgroup, nor one below %s", mount);
	return 0;
}

static enum exit_status record_run(struct invocation *inv)
{
	struct recording rec = { .inv = inv, .signals = -1 };
	const char *duration = invocation_value(inv, "duration"), *container = invocation_value(inv, "container");
	const char *assume = invocation_value(inv, "assume-feature");
	_cleanup_(observer_freep) struct observer *observer = NULL;
	struct observer_options observing = { .max_groups = 4 };
	struct diag d = { 0 };
	int r = 0;

	if (!!invocation_value(inv, "cgroup") + !!container + (inv->n_args > 0) != 1)
		r = diag_fail(&d, -EINVAL, "seccomp record", "give one of --container NAME, --cgroup PATH, -- COMMAND");
	else if (duration && parse_duration_ms(slice_of(duration), 1, MAX_DURATION_MS, &rec.duration_ms) < 0)
		r = diag_fail(&d, -EINVAL, "--duration", "\"%s\" is no duration; write 500ms, 30s, 10m or 2h", duration);
	else if (assume && strcmp(assume, "-task-storage") != 0)
		r = diag_fail(&d, -EINVAL, "--assume-feature", "\"%.40s\" is not -task-storage", assume);
	else if (container)
		r = choose_container(&rec, container, &d);
	if (r < 0)
		return invocation_fail(&d, r);
	observing.denials_from_start = inv->n_args == 0;
	observing.no_task_storage = assume != NULL;
	observing.by_mntns = container && !rec.cgroup[0];
	r = observer_new(&observer, &observing, NULL, NULL, &d);
	rec.observer = observer;
	if (r == 0)
		r = choose_group(&rec, &d);
	if (r == 0) {
		r = record(&rec, invocation_value(inv, "output"), &d);
		end_command(&rec);
	}
	if (r < 0)
		return invocation_fail(&d, r);
	return rec.shadow_denies ? EXIT_NO : EXIT_DONE;
}

static const struct option_row options[] = {
	{ "assume-feature", 0, "-task-storage", "act as on a kernel before Linux 5.13, for tests", false },
	{ "cgroup", 0, "PATH", "observe a cgroup2 group and all below it, also an empty one", false },
	{ "container", 0, "NAME", "observe a running container, by name or id", false },
	{ "docker", 0, "URL", "Docker's socket, for --container", false },
	{ "duration", 0, "T", "stop after 500ms, 30s, 10m, 2h", false },
	{ "output", 'o', "OBSERVATION", "file to write instead of standard output", false },
	{ "shadow", 0, "PROFILE", "tell what this profile would have denied, and deny nothing", false },
	{ 0 },
};

const struct command cmd_seccomp_record = {
	.name = "seccomp record",
	.args = "[-- COMMAND...]",
	.help = "observe the system calls of a command, a container or a cgroup",
	.details = "A command runs in a cgroup of its own until all its processes have ended. While the\n"
		   "observation goes to standard output, the command's output goes to standard error.\n"
		   "A cgroup may be empty, and may be removed and made anew; without --duration the\n"
		   "recording ends with it, or with SIGINT.",
	.options = options,
	.max_args = 1024,
	.exits = {
		[EXIT_DONE] = "recorded, whatever the command's own exit status was",
		[EXIT_NO] = "recorded, and the profile of --shadow would have denied something",
		[EXIT_USAGE] = "wrong usage; no such command or cgroup",
		[EXIT_UNABLE] = "BPF programs cannot be loaded here, or the cgroup cannot be watched",
	},
	.run = record_run,
};
