/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The document is made in the loop, for it is the loop's own; the file, and the observations that it
 * counts, are a worker's, for they wait for the disk.
 */
#include "daemon/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/daemon/priorities.h"
#include "batten/daemon/status.h"
#include "daemon/worker.h"

#define FIRST_US 500000ull
#define EVERY_US 15000000ull
#define SLACK_US 1000000ull
#define TIMEOUT_US 10000000ull

static const struct log_message msg_failed = { "4b516d7f239344a627c2e3648506b7bb", "metrics cannot be written" };

struct textfile {
	sd_event *event; /* referenced */
	json_t *(*status)(void *user);
	void *user;
	char path[256], store[300], reason[256];
	bool failing;
	sd_event_source *timer;
	struct worker *worker;
	json_t *document; /* that the worker writes */
};

static int write_file(const struct textfile *t, struct diag *d)
{
	struct bytes b = { 0 };
	char *text;
	size_t n;
	int r;

	r = status_add_observed(t->document, t->store, d);
	if (r < 0)
		return r;
	status_metrics(t->document, &b);
	r = bytes_take(&b, &text, &n);
	if (r < 0)
		return r;
	r = file_replace(AT_FDCWD, t->path, text, n, 0644, d);
	free(text);
	return r;
}

static int run(void *user, int out)
{
	struct diag d = { 0 };
	int r = write_file(user, &d), told;

	if (r >= 0)
		return 0;
	told = dprintf(out, "%s: %s\n", d.where, d.what[0] ? d.what : strerror(-r));
	(void)told;
	return r;
}

static void on_line(void *user, const char *text, size_t n)
{
	struct textfile *t = user;

	(void)snprintf(t->reason, sizeof(t->reason), "%.*s", (int)MIN(n, sizeof(t->reason) - 1), text);
}

static void on_end(void *user, bool whole)
{
	struct textfile *t = user;

	t->worker = worker_free(t->worker);
	json_decref(t->document);
	t->document = NULL;
	if (whole)
		t->reason[0] = '\0';
	else if (!t->reason[0])
		(void)snprintf(t->reason, sizeof(t->reason), "%.200s: the worker that writes it failed", t->path);
	/* Once, not four times a minute; the status goes on saying it. */
	if (!whole && !t->failing)
		log_event(LOG_ERR, &msg_failed, "reason", t->reason);
	t->failing = !whole;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct textfile *t = data;
	const struct worker_job job = {
		.run = run,
		.line = on_line,
		.end = on_end,
		.user = t,
		.timeout_us = TIMEOUT_US,
		.priority = PRIORITY_BACKGROUND,
		.background = true,
	};

	if (!t->worker) {
		t->document = t->status(t->user);
		if (!t->document || worker_start(&t->worker, t->event, &job) < 0) {
			json_decref(t->document);
			t->document = NULL;
		}
	}
	return sd_event_source_set_time_relative(source, EVERY_US);
}

static void stop(struct textfile *t)
{
	t->timer = sd_event_source_disable_unref(t->timer);
	t->worker = worker_free(t->worker);
	json_decref(t->document);
	t->document = NULL;
	t->reason[0] = '\0';
	t->failing = false;
}

void textfile_configure(struct textfile *t, const struct settings *s)
{
	int r;

	stop(t);
	(void)snprintf(t->path, sizeof(t->path), "%s", s->metrics.textfile);
	(void)snprintf(t->store, sizeof(t->store), "%s/seccomp", s->daemon.state_dir);
	if (!t->path[0])
		return;
	r = sd_event_add_time_relative(t->event, &t->timer, CLOCK_MONOTONIC, FIRST_US, SLACK_US, on_timer, t);
	if (r >= 0)
		r = sd_event_source_set_priority(t->timer, PRIORITY_BACKGROUND);
	if (r >= 0)
		r = sd_event_source_set_enabled(t->timer, SD_EVENT_ON);
	if (r < 0)
		(void)snprintf(t->reason, sizeof(t->reason), "no timer: %s", strerror(-r));
}

int textfile_new(struct textfile **ret, sd_event *event, json_t *(*status)(void *user), void *user)
{
	struct textfile *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->event = sd_event_ref(event);
	t->status = status;
	t->user = user;
	*ret = t;
	return 0;
}

struct textfile *textfile_free(struct textfile *t)
{
	if (!t)
		return NULL;
	stop(t);
	(void)sd_event_unref(t->event);
	free(t);
	return NULL;
}

json_t *textfile_status(const struct textfile *t)
{
	json_t *j = t->path[0] ? json_pack("{s:o}", "textfile", json_text(t->path)) : NULL;

	if (j && t->reason[0])
		json_object_set_new(j, "reason", json_text(t->reason));
	return j;
}
