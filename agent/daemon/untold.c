/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One timer, armed by the first event and for as long as more is counted than is told. An event of
 * the cgroup programs tells what it left out before (struct cgroup_event), so that their sum is only
 * logged; of packets nobody else ever tells.
 */
#include "daemon/untold.h"

#include <stdio.h>

#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "batten/daemon/priorities.h"

#define WAIT_US 1000000ull

static const struct log_message msg_untold = { "b2c3d4e5f6074182d39e0f1a2b3c4d1b",
						"IMDS was refused more often than events tell" };

struct untold {
	sd_event *event; /* referenced */
	struct event_log *log;
	int64_t (*count)(void *user, enum untold_source source);
	void *user;
	int64_t counted[_UNTOLD_MAX], told[_UNTOLD_MAX]; /* since the start; told: by events and by sums */
	int64_t start[_UNTOLD_MAX];
	sd_event_source *timer;
};

static const char *const source_names[_UNTOLD_MAX] = { "packets", "attempts" };

static void tell_sum(struct untold *u, enum untold_source source, int64_t n)
{
	char message[128];

	log_event(LOG_WARNING, &msg_untold, "what", source_names[source], "suppressed", U64S((uint64_t)n));
	if (source != UNTOLD_PACKETS)
		return;
	u->told[source] += n;
	(void)snprintf(message, sizeof(message), "%lld more packets were blocked than were told one by one", (long long)n);
	event_log_add(u->log, json_pack("{s:s, s:s, s:I, s:I, s:s, s:s}", "kind", "imds.blocked", "layer", "table",
					"count", (json_int_t)n, "suppressed", (json_int_t)n, "certainty", "certain",
					"message", message));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct untold *u = data;
	bool more = false;

	u->timer = sd_event_source_disable_unref(u->timer);
	for (enum untold_source i = 0; i < _UNTOLD_MAX; i++) {
		int64_t now = u->count(u->user, i), before = u->counted[i];

		if (now < 0)
			continue;
		u->counted[i] = now - u->start[i];
		/* Only what is new since the last look: an old rest was said. */
		if (u->counted[i] == before || u->counted[i] <= u->told[i])
			continue;
		more = true;
		tell_sum(u, i, u->counted[i] - u->told[i]);
	}
	if (more)
		untold_told(u, UNTOLD_PACKETS, 0);
	return 0;
}

void untold_told(struct untold *u, enum untold_source source, uint64_t n)
{
	u->told[source] += (int64_t)n;
	if (u->timer)
		return;
	if (sd_event_add_time_relative(u->event, &u->timer, CLOCK_MONOTONIC, WAIT_US, 0, on_timer, u) >= 0)
		(void)sd_event_source_set_priority(u->timer, PRIORITY_BACKGROUND);
}

void untold_start(struct untold *u)
{
	for (enum untold_source i = 0; i < _UNTOLD_MAX; i++) {
		int64_t now = u->count(u->user, i);

		u->start[i] = now < 0 ? 0 : now;
		u->counted[i] = u->told[i] = 0;
	}
}

struct untold *untold_new(sd_event *event, struct event_log *log,
			  int64_t (*count)(void *user, enum untold_source source), void *user)
{
	struct untold *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->event = sd_event_ref(event);
	u->log = log;
	u->count = count;
	u->user = user;
	return u;
}

struct untold *untold_free(struct untold *u)
{
	if (!u)
		return NULL;
	(void)sd_event_source_disable_unref(u->timer);
	(void)sd_event_unref(u->event);
	free(u);
	return NULL;
}
