/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An entry of the journal is replaced as a whole whenever its state changes. It holds the files as they
 * were, so a worker reads it and hands on nothing but who, what and why.
 */
#include "daemon/fix-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/daemon/priorities.h"
#include "daemon/worker.h"

static const struct log_message msg_fix = { "6d738f90b45b46c849e40586a7d8d9dd", "host mended" };

#define MAX_ENTRY_BYTES (64 * 1024 * 1024)
#define MAX_WAITING 64
#define TIMEOUT_US 10000000ull

struct fix_watch {
	sd_event *event; /* referenced */
	struct event_log *log;
	sd_event_source *source;
	struct worker *worker; /* NULL: none */
	char directory[300];
	json_t *waiting; /* names of entries to be read, the oldest first */
	json_t *last;	 /* that was told: an entry may be read once for two changes of it */
};

static const char *text_of(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "";
}

/* ---- in the worker ---------------------------------------------------------------------------- */

static int run(void *user, int out)
{
	_cleanup_(json_freep) json_t *entry = NULL, *told = NULL;
	const struct fix_watch *w = user;
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];
	size_t n;
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", w->directory, json_string_value(json_array_get(w->waiting, 0)));
	r = file_read(AT_FDCWD, path, MAX_ENTRY_BYTES, &text, &n, NULL);
	if (r >= 0)
		r = json_parse(text, n, path, &entry, NULL);
	if (r < 0)
		return r;
	told = json_pack("{s:o, s:o, s:o, s:o}", "id", json_text(text_of(entry, "id")), "control",
			 json_text(text_of(entry, "control")), "state", json_text(text_of(entry, "state")), "reason",
			 json_text(text_of(json_object_get(entry, "proof"), "reason")));
	return told ? json_print_line(out, told) : -ENOMEM;
}

/* ---- in the daemon ----------------------------------------------------------------------------- */

/* What the journal says while a fix is under way is no news yet. */
static bool is_over(const char *state)
{
	static const char *const states[] = { "applied", "undone", "failed", "interrupted" };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strcmp(state, states[i]) == 0)
			return true;
	return false;
}

static void on_line(void *user, const char *text, size_t n)
{
	_cleanup_(json_freep) json_t *j = NULL;
	struct fix_watch *w = user;
	const char *control, *state, *reason, *id;
	char message[300];

	if (json_parse(text, n, "worker", &j, NULL) < 0 || !is_over(text_of(j, "state")) || json_equal(j, w->last))
		return;
	json_decref(w->last);
	w->last = json_incref(j);
	control = text_of(j, "control");
	state = text_of(j, "state");
	reason = text_of(j, "reason");
	id = text_of(j, "id");
	(void)snprintf(message, sizeof(message), "%.40s %s%s%.200s", control, state, reason[0] ? ": " : "", reason);
	event_log_add(w->log, json_pack("{s:s, s:o, s:s, s:o, s:i, s:s, s:o}", "kind", "fix", "control", json_text(control),
					"state", state, "id", json_text(id), "count", 1, "certainty", "certain", "message",
					json_text(message)));
	log_event(strcmp(state, "applied") == 0 ? LOG_NOTICE : LOG_WARNING, &msg_fix, "control", control, "state", state,
		  "id", id, "reason", reason[0] ? reason : NULL, "ocsf_class", "7002");
}

static void read_next(struct fix_watch *w);

static void on_end(void *user, bool whole)
{
	struct fix_watch *w = user;

	w->worker = worker_free(w->worker);
	(void)json_array_remove(w->waiting, 0);
	read_next(w);
}

static void read_next(struct fix_watch *w)
{
	const struct worker_job job = {
		.run = run,
		.line = on_line,
		.end = on_end,
		.user = w,
		.timeout_us = TIMEOUT_US,
		.priority = PRIORITY_BACKGROUND,
	};

	if (!w->worker && json_array_size(w->waiting) > 0 && worker_start(&w->worker, w->event, &job) < 0)
		(void)json_array_clear(w->waiting);
}

static int on_entry(sd_event_source *source, const struct inotify_event *e, void *data)
{
	const char *dot = e->len > 0 ? strrchr(e->name, '.') : NULL;
	struct fix_watch *w = data;

	if (!dot || e->name[0] == '.' || strcmp(dot, ".json") != 0 || json_array_size(w->waiting) >= MAX_WAITING)
		return 0;
	json_array_append_new(w->waiting, json_string(e->name));
	read_next(w);
	return 0;
}

int fix_watch_new(struct fix_watch **ret, sd_event *event, const char *state_dir, struct event_log *log, struct diag *d)
{
	_cleanup_(fix_watch_freep) struct fix_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->event = sd_event_ref(event);
	w->log = log;
	w->waiting = json_array();
	(void)snprintf(w->directory, sizeof(w->directory), "%.255s/fix", state_dir);
	if ((mkdir(state_dir, 0700) < 0 && errno != EEXIST) || (mkdir(w->directory, 0700) < 0 && errno != EEXIST))
		return diag_errno(d, -errno, w->directory, "cannot be made");
	r = sd_event_add_inotify(event, &w->source, w->directory, IN_MOVED_TO | IN_ONLYDIR, on_entry, w);
	if (r >= 0)
		r = sd_event_source_set_priority(w->source, PRIORITY_BACKGROUND);
	if (r < 0)
		return diag_errno(d, r, w->directory, "cannot be watched");
	*ret = take_ptr(w);
	return 0;
}

struct fix_watch *fix_watch_free(struct fix_watch *w)
{
	if (!w)
		return NULL;
	w->worker = worker_free(w->worker);
	(void)sd_event_source_disable_unref(w->source);
	json_decref(w->waiting);
	json_decref(w->last);
	(void)sd_event_unref(w->event);
	free(w);
	return NULL;
}
