/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The pool. A worker is a fork, not another program: what it needs it inherits, and what it says
 * goes through files that were opened for it and one message at its end. A worker that dies without
 * one has failed, whatever it wrote.
 */
#include "image/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/fd.h"

#define MAX_WORKERS 8
#define POLL_MS 100

struct message {
	int status;
	struct diag diag;
	struct layer_result result;
};

/* What workers and their parent see of each other. */
struct shared {
	volatile bool stop;	 /* nobody wants the rest: the parent may signal nobody */
	volatile uint64_t done[]; /* per task */
};

struct worker {
	pid_t pid; /* 0: free */
	int pipe;
	size_t task;
};

/* ---- inside a worker ------------------------------------------------------------------------ */

struct reporter {
	struct worker_task *task;
	FILE *findings, *names;
	struct worker_set found; /* what the tar has, by name */
	uint64_t ordinal;
	size_t spared;
	struct shared *shared;
	volatile uint64_t *done;
};

static void put_name(struct reporter *w, const char *name, size_t n, enum worker_name_kind kind)
{
	struct worker_name record = { worker_hash(name, n), (uint64_t)kind };

	(void)fwrite(&record, sizeof(record), 1, w->names);
}

static void report_name(struct reporter *w, const struct tar_member *m)
{
	const char *slash = strrchr(m->path, '/');
	size_t n_dir = (size_t)(slash - m->path), n = strlen(m->path);
	static const char prefix[] = ".wh.";

	if (m->kind == TAR_GLOBAL)
		return;
	if (strcmp(slash + 1, ".wh..wh..opq") == 0) {
		put_name(w, m->path, n_dir, NAME_OPAQUE);
	} else if (strncmp(slash + 1, prefix, strlen(prefix)) == 0) {
		_cleanup_(freep) char *hidden = NULL;

		if (asprintf(&hidden, "%.*s/%s", (int)n_dir, m->path, slash + 1 + strlen(prefix)) >=
		    0)
			put_name(w, hidden, strlen(hidden), NAME_WHITEOUT);
		else
			hidden = NULL;
	} else {
		put_name(w, m->path, n,
			 m->kind == TAR_DIR       ? NAME_DIR
			 : m->kind == TAR_SYMLINK ? NAME_SYMLINK
						  : NAME_OTHER);
	}
	if (m->kind == TAR_LINK)
		put_name(w, m->link, strlen(m->link), NAME_LINKED);
}

static void report_finding(struct reporter *w, const struct tar_member *m, uint64_t ordinal, int has,
			   int verdict, bool tool)
{
	struct worker_finding f = {
		.ordinal = ordinal,
		.uid = m->uid,
		.gid = m->gid,
		.kind = (uint32_t)m->kind,
		.mode = m->mode,
		.has = (uint32_t)has,
		.verdict = (uint32_t)verdict,
		.tool = tool,
		.copy = m->copy,
		.n_path = (uint32_t)strlen(m->path),
		.n_link = (uint32_t)strlen(m->link),
		.n_caps = (uint32_t)m->n_caps,
	};

	(void)fwrite(&f, sizeof(f), 1, w->findings);
	(void)fwrite(m->path, f.n_path, 1, w->findings);
	(void)fwrite(m->link, f.n_link, 1, w->findings);
	if (f.n_caps > 0) /* NULL otherwise, which fwrite() may not be given */
		(void)fwrite(m->caps, f.n_caps, 1, w->findings);
}

/* A table of contents may repeat the tar; what it says besides is a finding of its own. */
static uint64_t finding_hash(const struct tar_member *m, int has)
{
	return worker_hash(m->path, strlen(m->path)) ^ (uint64_t)has;
}

static int on_member(void *arg, const struct tar_member *m, struct diag *d)
{
	struct reporter *w = arg;
	const struct worker_task *t = w->task;
	int has = image_policy_has(m), verdict = image_policy_judge(t->policy, m), r = 0;
	bool tool = image_policy_is_tool(m);
	uint64_t ordinal = w->ordinal++;

	while (w->spared < t->n_spared && t->spared[w->spared] < ordinal)
		w->spared++;
	if (w->spared < t->n_spared && t->spared[w->spared] == ordinal)
		verdict = 0;
	if (m->copy && worker_set_has(&w->found, finding_hash(m, has)))
		return 0;
	/* What leaves its layer hides nothing. */
	if (w->names && !m->copy && verdict != TAR_REMOVE)
		report_name(w, m);
	if (has && !m->copy)
		r = worker_set_add(&w->found, finding_hash(m, has));
	if (r < 0)
		return r;
	if (has || verdict || tool)
		report_finding(w, m, ordinal, has, verdict, tool);
	return verdict;
}

static void on_again(void *arg)
{
	struct reporter *w = arg;

	w->found.n = 0;
	if (w->found.size > 0)
		memset(w->found.slots, 0, w->found.size * sizeof(*w->found.slots));
	w->ordinal = 0;
	w->spared = 0;
	rewind(w->findings);
	if (w->names)
		rewind(w->names);
}

static void on_tick(void *arg, uint64_t done)
{
	struct reporter *w = arg;

	*w->done = done;
	if (w->shared->stop)
		_exit(1);
}

/* A worker holds what it needs, and no other descriptor of its parent. */
static void close_others(const struct worker_task *t, int pipe)
{
	const int kept[] = { STDERR_FILENO,  t->source.fd, t->out_fd,
			     t->findings_fd, t->names_fd,  pipe };
	int from = 0;

	for (;;) {
		int next = INT_MAX;

		for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
			if (kept[i] >= from)
				next = MIN(next, kept[i]);
		if (next > from)
			(void)close_range((unsigned int)from,
					  (unsigned int)(next == INT_MAX ? next : next - 1), 0);
		if (next == INT_MAX)
			return;
		from = next + 1;
	}
}

static void work(struct worker_task *t, struct shared *shared, volatile uint64_t *done, struct message *ret)
{
	struct reporter w = { .task = t, .shared = shared, .done = done };
	struct layer_watch watch = {
		.member = on_member, .again = on_again, .tick = on_tick, .arg = &w
	};

	w.findings = fdopen(t->findings_fd, "w");
	w.names = t->names_fd >= 0 ? fdopen(t->names_fd, "w") : NULL;
	if (!w.findings || (t->names_fd >= 0 && !w.names)) {
		ret->status = -ENOMEM;
		return;
	}
	ret->status = worker_confine(&ret->diag);
	if (ret->status >= 0)
		ret->status = layer_run(&t->source, t->out_fd, &watch, &ret->result, &ret->diag);
	if (ret->status >= 0 && (fflush(w.findings) != 0 || ferror(w.findings) ||
				 (w.names && (fflush(w.names) != 0 || ferror(w.names)))))
		ret->status = diag_fail(&ret->diag, -EIO, t->source.name,
					"cannot write down what was found: disk full?");
}

/* ---- the pool ------------------------------------------------------------------------------- */

static int start(struct worker *w, struct worker_task *tasks, size_t task, struct shared *shared,
		 struct diag *d)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return diag_errno(d, -errno, NULL, "cannot make a pipe");
	w->pid = fork();
	if (w->pid < 0) {
		int r = -errno;

		w->pid = 0;
		(void)fd_close(ends[0]);
		(void)fd_close(ends[1]);
		return diag_errno(d, r, NULL, "cannot start a worker");
	}
	if (w->pid == 0) {
		struct message m = { 0 };

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (getppid() != parent)
			_exit(1);
		close_others(&tasks[task], ends[1]);
		work(&tasks[task], shared, &shared->done[task], &m);
		_exit(fd_write_all(ends[1], &m, sizeof(m)) < 0 ? 1 : 0);
	}
	(void)fd_close(ends[1]);
	w->pipe = ends[0];
	w->task = task;
	return 0;
}

/* The message of a worker that has ended. */
static int collect(struct worker *w, struct worker_task *tasks, struct diag *d)
{
	struct worker_task *t = &tasks[w->task];
	struct message m = { 0 };
	size_t n = 0;
	int status;

	while (n < sizeof(m)) {
		ssize_t k = fd_read(w->pipe, (char *)&m + n, sizeof(m) - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	w->pipe = fd_close(w->pipe);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	if (n < sizeof(m))
		return diag_fail(d, -EIO, t->source.name, "the worker that read it died (%s %d)",
				 WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (m.status < 0) {
		if (m.diag.what[0])
			return diag_fail(d, m.status, m.diag.where, "%s", m.diag.what);
		return diag_errno(d, m.status, t->source.name, "cannot work on the layer");
	}
	t->result = m.result;
	return 0;
}

static void stop_all(struct worker *workers, size_t n, struct shared *shared)
{
	shared->stop = true;
	for (size_t i = 0; i < n; i++) {
		if (workers[i].pid == 0)
			continue;
		workers[i].pipe = fd_close(workers[i].pipe);
		while (waitpid(workers[i].pid, NULL, 0) < 0 && errno == EINTR)
			;
		workers[i].pid = 0;
	}
}

static size_t n_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return MIN((size_t)CPU_COUNT(&set), (size_t)MAX_WORKERS);
}

static void tell(worker_progress_fn *progress, void *arg, const struct worker_task *tasks, size_t n,
		 const volatile uint64_t *done)
{
	uint64_t sum = 0, total = 0;

	if (!progress)
		return;
	for (size_t i = 0; i < n; i++) {
		sum += done[i];
		total += tasks[i].source.size;
	}
	progress(arg, sum, total);
}

static int pool(struct worker_task *tasks, size_t n, struct shared *shared,
		worker_progress_fn *progress, void *arg, struct diag *d)
{
	struct worker workers[MAX_WORKERS] = { 0 };
	size_t n_workers = MIN(n_processors(), n), next = 0, running = 0;
	int r = 0;

	while (r >= 0 && (next < n || running > 0)) {
		struct pollfd fds[MAX_WORKERS];

		for (size_t i = 0; i < n_workers && next < n && r >= 0; i++) {
			if (workers[i].pid != 0)
				continue;
			r = start(&workers[i], tasks, next, shared, d);
			next += r >= 0;
			running += r >= 0;
		}
		for (size_t i = 0; i < n_workers; i++)
			fds[i] = (struct pollfd){ .fd = workers[i].pid ? workers[i].pipe : -1,
						  .events = POLLIN };
		if (r < 0 || (poll(fds, n_workers, progress ? POLL_MS : -1) < 0 && errno != EINTR))
			break;
		for (size_t i = 0; i < n_workers && r >= 0; i++) {
			if (workers[i].pid == 0 || fds[i].revents == 0)
				continue;
			r = collect(&workers[i], tasks, d);
			running--;
		}
		tell(progress, arg, tasks, n, shared->done);
	}
	stop_all(workers, n_workers, shared);
	return r;
}

int worker_run(struct worker_task *tasks, size_t n, worker_progress_fn *progress, void *arg,
	       struct diag *d)
{
	size_t size = sizeof(struct shared) + n * sizeof(uint64_t);
	struct shared *shared;
	int r;

	/* cppcheck-suppress invalidFunctionArg ; an anonymous mapping has no descriptor */
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -ENOMEM;
	r = pool(tasks, n, shared, progress, arg, d);
	(void)munmap(shared, size);
	return r;
}
