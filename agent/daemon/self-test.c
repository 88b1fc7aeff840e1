/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The worker is a fork, so that it reads the model as it was at that moment. It probes some containers
 * at a time, for the unit bounds the number of tasks. Its lines:
 *
 *	pid NUMBER         a process is about to try: written before it does, so that the event of its
 *	                   attempt, which the kernel makes later, is known for what it is
 *	open ID TARGETS    the container reached these and is not meant to
 *	shut ID            it did not
 */
#include "daemon/self-test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "batten/daemon/priorities.h"
#include "batten/imds/probe.h"
#include "batten/kernel/confine.h"
#include "daemon/worker.h"

#define SOON_US 500000ull
#define AT_ONCE 16
#define TIMEOUT_US 120000000ull
#define MAX_PIDS (2 * MAX_CONTAINERS) /* of two runs */

static const struct log_message msg_open = { "e9f0a1b2c3d44e5fa06b7c8d9e0f1a18",
					      "a container that is not allowed reached IMDS" };
static const struct log_message msg_failed = { "f0a1b2c3d4e54f60b17c8d9e0f1a2b19", "the self-test did not come to its end" };
static const struct log_message msg_not_ec2 = { "a1b2c3d4e5f64071c28d9e0f1a2b3c1a",
						 "no self-test: this is no EC2 instance, and others would be contacted" };

/* Told of a container that is open, once. */
struct open {
	struct list node;
	char id[CONTAINER_ID_SIZE];
};

struct self_test {
	sd_event *event; /* referenced */
	struct event_log *log;
	const struct self_test_calls *calls;
	void *user;
	sd_event_source *soon; /* armed: a run is due */
	struct worker *worker;
	bool again, warned;
	bool allowed; /* what is allowed changed since the run began */
	struct list opens;
	pid_t *pids; /* of the last run */
	size_t n_pids, n_before; /* n_before of them were of the run before: what they tried may be told late */
	uint64_t runs;
};

/* ---- in the worker ---------------------------------------------------------------------------- */

struct batch {
	const struct container *containers[AT_ONCE];
	struct probe_target targets[AT_ONCE];
	size_t n;
};

static int tell(int out, const struct container *c, const struct probe_target *t, bool may)
{
	static const char *const names[] = { "IMDSv1 over IPv4", "IMDSv2 over IPv4", "IMDSv1 over IPv6",
					     "IMDSv2 over IPv6" };
	char line[256];
	size_t n, bare;

	if (t->tries[0].outcome == PROBE_FAILED) /* nobody could enter: nothing was learnt */
		return 0;
	n = bare = (size_t)snprintf(line, sizeof(line), "open %s", c->id);
	for (size_t i = 0; i < PROBE_TRIES; i++)
		if (t->tries[i].outcome == PROBE_REACHABLE && !may)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s", n == bare ? " " : ", ", names[i]);
	if (n == bare)
		n = (size_t)snprintf(line, sizeof(line), "shut %s", c->id);
	line[n++] = '\n';
	return fd_write_all(out, line, n);
}

static int run_batch(struct self_test *s, struct batch *b, int out)
{
	int r = imds_probe(b->targets, b->n, PROBE_TIMEOUT_MS, out, NULL);

	for (size_t i = 0; i < b->n; i++) {
		if (r >= 0)
			r = tell(out, b->containers[i], &b->targets[i], s->calls->may(s->user, b->containers[i]));
		(void)fd_close(b->targets[i].netns);
	}
	b->n = 0;
	return r;
}

/* The namespace of that very process, or -1. */
static int open_netns(const struct container *c)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)c->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == c->netns ? fd_take(&fd) : -1;
}

static int run(void *user, int out)
{
	struct self_test *s = user;
	struct batch b = { .n = 0 };
	int r = 0;

	host_model_each(pos, s->calls->model(s->user)) {
		const struct container *c = host_container(pos);
		int netns;

		/* Without its group a host-network container is the host itself; a frozen one keeps who enters. */
		if (r < 0 || c->role == ROLE_ECS_PAUSE || c->paused || !c->cgroup[0])
			continue;
		netns = open_netns(c);
		if (netns < 0)
			continue;
		b.containers[b.n] = c;
		b.targets[b.n++] = (struct probe_target){ .netns = netns, .cgroup = c->cgroup };
		if (b.n == AT_ONCE)
			r = run_batch(s, &b, out);
	}
	return r < 0 ? r : run_batch(s, &b, out);
}

/* ---- in the daemon ----------------------------------------------------------------------------- */

static struct open *find_open(const struct self_test *s, const char *id, size_t n)
{
	list_for_each(pos, &s->opens) {
		struct open *o = container_of(pos, struct open, node);

		if (strlen(o->id) == n && memcmp(o->id, id, n) == 0)
			return o;
	}
	return NULL;
}

static void forget(struct open *o)
{
	if (!o)
		return;
	list_remove(&o->node);
	free(o);
}

static void add_text(json_t *event, const char *key, const char *value)
{
	if (event && value && value[0])
		json_object_set_new(event, key, json_text(value));
}

static void raise_open(struct self_test *s, const char *id, size_t n_id, struct slice targets)
{
	const struct container *c;
	struct open *o;
	char message[320];
	json_t *event;

	if (s->allowed || find_open(s, id, n_id) || n_id >= sizeof(o->id))
		return;
	o = calloc(1, sizeof(*o));
	if (!o)
		return;
	list_init(&o->node);
	memcpy(o->id, id, n_id);
	list_append(&s->opens, &o->node);
	c = host_model_find(s->calls->model(s->user), o->id);
	(void)snprintf(message, sizeof(message), "%.64s reached %.*s, and no exception allows it", c ? c->name : o->id,
		       (int)targets.n, targets.p);
	log_event(LOG_ERR, &msg_open, "container", c ? c->name : o->id, "task_arn", c && c->task_arn[0] ? c->task_arn : NULL,
		  "message", message);
	event = json_pack("{s:s, s:s, s:s, s:i, s:s, s:o}", "kind", "imds.road-open", "layer", "self-test", "container_id",
			  o->id, "count", 1, "certainty", "certain", "message", json_text(message));
	if (c) {
		add_text(event, "container", c->name);
		add_text(event, "task_arn", c->task_arn);
		add_text(event, "family", c->family);
		add_text(event, "image", c->image);
	}
	event_log_add(s->log, event);
}

static void on_line(void *user, const char *text, size_t n)
{
	struct self_test *s = user;
	const char *rest = n > 5 ? memchr(text + 5, ' ', n - 5) : NULL;
	uint64_t pid;

	if (n > 4 && memcmp(text, "pid ", 4) == 0) {
		if (s->n_pids - s->n_before < MAX_CONTAINERS && parse_u64((struct slice){ text + 4, n - 4 }, 1, INT_MAX, &pid) == 0)
			s->pids[s->n_pids++] = (pid_t)pid;
	} else if (n > 5 && memcmp(text, "open ", 5) == 0 && rest) {
		raise_open(s, text + 5, (size_t)(rest - text) - 5,
			   (struct slice){ rest + 1, n - (size_t)(rest + 1 - text) });
	} else if (n > 5 && memcmp(text, "shut ", 5) == 0) {
		forget(find_open(s, text + 5, n - 5));
	}
}

static void begin(struct self_test *s);

static void on_end(void *user, bool whole)
{
	struct self_test *s = user;

	s->worker = worker_free(s->worker);
	s->runs++;
	if (!whole)
		log_event(LOG_WARNING, &msg_failed);
	if (s->again)
		begin(s);
}

/* All but those of the last run. */
static void forget_pids(struct self_test *s)
{
	s->n_pids -= s->n_before;
	memmove(s->pids, s->pids + s->n_before, s->n_pids * sizeof(*s->pids));
	s->n_before = s->n_pids;
}

static int on_soon(sd_event_source *source, uint64_t usec, void *data)
{
	struct self_test *s = data;
	const struct worker_job job = {
		.run = run,
		.line = on_line,
		.end = on_end,
		.user = s,
		.timeout_us = TIMEOUT_US,
		/* To enter a network, and to see whose it is and the host's own view of its groups. */
		.keep = CONFINE_CAP(CAP_SYS_ADMIN) | CONFINE_CAP(CAP_SYS_PTRACE),
		.priority = PRIORITY_HOST, /* before the events of its attempts */
	};
	int r;

	s->soon = sd_event_source_disable_unref(s->soon);
	forget_pids(s);
	s->allowed = false;
	r = worker_start(&s->worker, s->event, &job);
	if (r < 0)
		log_event(LOG_WARNING, &msg_failed, "reason", strerror(-r));
	return 0;
}

static void begin(struct self_test *s)
{
	s->again = s->worker;
	if (s->worker || s->soon)
		return;
	if (sd_event_add_time_relative(s->event, &s->soon, CLOCK_MONOTONIC, SOON_US, 0, on_soon, s) < 0)
		log_event(LOG_WARNING, &msg_failed);
}

void self_test_soon(struct self_test *s, enum imds_self_test mode)
{
	if (mode == SELF_TEST_NO)
		return;
	if (mode == SELF_TEST_YES && !imds_on_ec2(NULL)) {
		if (!s->warned)
			log_event(LOG_WARNING, &msg_not_ec2);
		s->warned = true;
		return;
	}
	begin(s);
}

void self_test_allowed(struct self_test *s)
{
	s->allowed = true;
}

void self_test_stop(struct self_test *s)
{
	s->soon = sd_event_source_disable_unref(s->soon);
	s->again = false;
	s->allowed = true;
}

bool self_test_is_ours(const struct self_test *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_pids; i++)
		if (s->pids[i] == pid)
			return true;
	return false;
}

void self_test_ended(struct self_test *s, const struct container *c)
{
	forget(find_open(s, c->id, strlen(c->id)));
}

void self_test_status(const struct self_test *s, enum imds_self_test mode, json_t *status)
{
	json_int_t n = 0;

	if (mode == SELF_TEST_NO)
		return;
	list_for_each(pos, &s->opens)
		n++;
	json_object_set_new(status, "self_test", json_pack("{s:I, s:I}", "runs", (json_int_t)s->runs, "open", n));
}

struct self_test *self_test_new(sd_event *event, struct event_log *log, const struct self_test_calls *calls,
				void *user)
{
	_cleanup_(self_test_freep) struct self_test *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	list_init(&s->opens);
	s->event = sd_event_ref(event);
	s->log = log;
	s->calls = calls;
	s->user = user;
	s->pids = calloc(MAX_PIDS, sizeof(*s->pids));
	return s->pids ? take_ptr(s) : NULL;
}

struct self_test *self_test_free(struct self_test *s)
{
	if (!s)
		return NULL;
	s->worker = worker_free(s->worker);
	(void)sd_event_source_disable_unref(s->soon);
	list_for_each(pos, &s->opens)
		forget(container_of(pos, struct open, node));
	(void)sd_event_unref(s->event);
	free(s->pids);
	free(s);
	return NULL;
}
