/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing waits for the disk, so a worker does it; changes that come meanwhile lead to the next.
 */
#include "daemon/findings-keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/daemon/priorities.h"
#include "daemon/worker.h"

static const struct log_message msg_state = { "071d293bef5f41c2e38eaf2041627377", "findings of an earlier life cannot be read" };
static const struct log_message msg_failed = { "182e3a4cf06042d3f49fb03152738488", "findings cannot be kept" };

#define GATHER_US 1000000ull
#define TIMEOUT_US 30000000ull

struct findings_keeper {
	sd_event *event; /* referenced */
	struct life *life;
	struct worker *worker; /* NULL: none */
	sd_event_source *timer;
	bool dirty; /* what is on disk is not what is here, as far as is known */
	char directory[256], path[300], trouble[700];
};

static int save(const struct findings_keeper *k, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = life_json(k->life);
	size_t n;
	_cleanup_(freep) char *text = json_line(j, &n);

	if (!text)
		return -ENOMEM;
	if (mkdir(k->directory, 0700) < 0 && errno != EEXIST)
		return diag_errno(d, -errno, k->directory, "cannot make the state directory");
	return file_replace(AT_FDCWD, k->path, text, n, 0600, d);
}

static int run(void *user, int out)
{
	struct diag d = { 0 };
	int r = save(user, &d), told;

	if (r >= 0)
		return 0;
	told = dprintf(out, "%s\n", d.what[0] ? d.what : strerror(-r));
	(void)told;
	return r;
}

static void on_line(void *user, const char *text, size_t n)
{
	struct findings_keeper *k = user;

	(void)snprintf(k->trouble, sizeof(k->trouble), "%s: %.*s", k->path, (int)MIN(n, (size_t)300), text);
}

static void arm(struct findings_keeper *k);

static void on_end(void *user, bool whole)
{
	struct findings_keeper *k = user;
	bool again = k->dirty;

	k->worker = worker_free(k->worker);
	if (whole) {
		k->trouble[0] = '\0';
	} else {
		if (!k->trouble[0])
			(void)snprintf(k->trouble, sizeof(k->trouble), "%s: the worker that writes it failed", k->path);
		log_event(LOG_ERR, &msg_failed, "reason", k->trouble);
		k->dirty = true; /* tried again with the next change, and at the end */
	}
	if (again)
		arm(k);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct findings_keeper *k = data;
	const struct worker_job job = {
		.run = run,
		.line = on_line,
		.end = on_end,
		.user = k,
		.timeout_us = TIMEOUT_US,
		.priority = PRIORITY_BACKGROUND,
	};

	if (!k->worker && worker_start(&k->worker, k->event, &job) >= 0)
		k->dirty = false;
	return 0;
}

static void arm(struct findings_keeper *k)
{
	int r, enabled = SD_EVENT_OFF;

	if (k->worker || (k->timer && sd_event_source_get_enabled(k->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF))
		return;
	if (!k->timer) {
		r = sd_event_add_time_relative(k->event, &k->timer, CLOCK_MONOTONIC, GATHER_US, 0, on_timer, k);
		if (r >= 0)
			r = sd_event_source_set_priority(k->timer, PRIORITY_BACKGROUND);
	} else {
		r = sd_event_source_set_time_relative(k->timer, GATHER_US);
		if (r >= 0)
			r = sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
	}
	(void)r; /* then they are kept at the end */
}

void findings_keeper_touch(struct findings_keeper *k)
{
	k->dirty = true;
	arm(k);
}

const char *findings_keeper_trouble(const struct findings_keeper *k)
{
	return k->trouble;
}

int findings_keeper_new(struct findings_keeper **ret, sd_event *event, struct life *life, const char *state_dir)
{
	struct findings_keeper *k = calloc(1, sizeof(*k));
	struct diag d = { 0 };
	int r;

	if (!k)
		return -ENOMEM;
	k->event = sd_event_ref(event);
	k->life = life;
	(void)snprintf(k->directory, sizeof(k->directory), "%s", state_dir);
	(void)snprintf(k->path, sizeof(k->path), "%s/findings.json", k->directory);
	r = life_load(life, k->path, &d);
	if (r < 0)
		log_event(LOG_ERR, &msg_state, "path", k->path, "reason", d.what[0] ? d.what : strerror(-r));
	*ret = k;
	return 0;
}

struct findings_keeper *findings_keeper_free(struct findings_keeper *k)
{
	struct diag d = { 0 };
	int r;

	if (!k)
		return NULL;
	/* One that is cut short leaves the old file, and perhaps a file with a name of its own. */
	if (k->worker || k->dirty) {
		k->worker = worker_free(k->worker);
		r = save(k, &d);
		if (r < 0)
			log_event(LOG_ERR, &msg_failed, "reason", d.what[0] ? d.what : strerror(-r));
	}
	(void)sd_event_source_disable_unref(k->timer);
	(void)sd_event_unref(k->event);
	free(k);
	return NULL;
}
