/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The observer in the loop. What cannot be stored is tried again with the next timer, and said at a
 * bounded rate: a full disk must not fill the journal too.
 */
#include "daemon/observe-service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "batten/daemon/priorities.h"
#include "batten/seccomp/watch.h"

#define STORE_US 10000000ULL
#define SLACK_US 5000000ULL

static const struct log_message msg_observing = { "a1b7c3d5e9f04b6c8d2e4f6a8b0c1d31",
						   "observing the system calls of containers" };
static const struct log_message msg_trouble = { "b2c8d4e6fa0a4c7d9e3f5a7b9c1d2e32",
						 "an observation could not be kept, trying again" };

static const struct log_message msg_by_call = { "c4f0a1827d3e4b5a96c7d8e9f0a1b243",
						 "calls have more rules on arguments than can be tried: they count as let through" };

struct observe_service {
	struct seccomp_watch *watch;
	sd_event_source *sights, *timer;
	struct log_limit limit, news_limit;
	observe_callback callback;
	void *user;
	char shadow[256];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void said(struct observe_service *s, int r, const struct diag *d)
{
	uint64_t held_back = 0;

	if (r >= 0)
		return;
	if (log_limit_allow(&s->limit, now_ms(), &held_back))
		log_event(LOG_WARNING, &msg_trouble, "where", d->where, "reason",
			  d->what[0] ? d->what : strerror(-r));
}

static void on_event(void *user, const char *container_id, const struct observer_event *e)
{
	struct observe_service *s = user;
	uint64_t held_back = 0;

	if ((e->news || e->kind == OBSERVER_SHADOW) && log_limit_allow(&s->news_limit, now_ms(), &held_back))
		s->callback(s->user, container_id, e, held_back);
}

static void dispatch(struct observe_service *s)
{
	struct diag d = { 0 };
	int r = seccomp_watch_dispatch(s->watch, &d);

	said(s, r, &d);
}

static int on_sights(sd_event_source *source, int fd, uint32_t events, void *data)
{
	dispatch(data);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	dispatch(data);
	return sd_event_source_set_time_relative(source, STORE_US);
}

static int add_sources(struct observe_service *s, sd_event *event)
{
	int r;

	r = sd_event_add_io(event, &s->sights, seccomp_watch_fd(s->watch), EPOLLIN, on_sights, s);
	if (r >= 0)
		r = sd_event_source_set_priority(s->sights, PRIORITY_BACKGROUND);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, STORE_US, SLACK_US, on_timer, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->timer, SD_EVENT_ON);
	if (r >= 0)
		r = sd_event_source_set_priority(s->timer, PRIORITY_BACKGROUND);
	return r;
}

int observe_service_new(struct observe_service **ret, sd_event *event, const char *state_dir,
			observe_callback callback, void *user, struct diag *d)
{
	_cleanup_(observe_service_freep) struct observe_service *s = calloc(1, sizeof(*s));
	char dir[512];
	int r;

	if (!s)
		return -ENOMEM;
	s->limit = (struct log_limit){ .interval_ms = 60000, .burst = 3 };
	s->news_limit = (struct log_limit){ .interval_ms = 60000, .burst = 60 };
	s->callback = callback;
	s->user = user;
	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		return diag_errno(d, -errno, state_dir, "cannot make the state directory");
	(void)snprintf(dir, sizeof(dir), "%s/seccomp", state_dir);
	r = seccomp_watch_new(&s->watch, dir, on_event, s, d);
	if (r < 0)
		return r;
	r = add_sources(s, event);
	if (r < 0)
		return diag_errno(d, r, "observer", "cannot be put into the loop");
	log_event(LOG_INFO, &msg_observing, "store", dir, "means", seccomp_watch_means(s->watch));
	*ret = take_ptr(s);
	return 0;
}

struct observe_service *observe_service_free(struct observe_service *s)
{
	if (!s)
		return NULL;
	(void)sd_event_source_disable_unref(s->sights);
	(void)sd_event_source_disable_unref(s->timer);
	s->watch = seccomp_watch_free(s->watch);
	free(s);
	return NULL;
}

int observe_service_store(struct observe_service *s, struct diag *d)
{
	return s ? seccomp_watch_store(s->watch, d) : 0;
}

void observe_service_runs(struct observe_service *s, const struct container *c)
{
	struct diag d = { 0 };

	if (s)
		said(s, seccomp_watch_runs(s->watch, c, &d), &d);
}

void observe_service_over(struct observe_service *s, const struct container *c)
{
	struct diag d = { 0 };

	if (s)
		said(s, seccomp_watch_over(s->watch, c, &d), &d);
}

void observe_service_ended(struct observe_service *s, const char *container_id)
{
	struct diag d = { 0 };

	if (s)
		said(s, seccomp_watch_ended(s->watch, container_id, &d), &d);
}

int observe_service_shadow(struct observe_service *s, const char *path, struct diag *d)
{
	int r;

	if (!s || strcmp(s->shadow, path) == 0)
		return 0;
	r = seccomp_watch_shadow(s->watch, path[0] ? path : NULL, d);
	if (r > 0)
		log_event(LOG_WARNING, &msg_by_call, "profile", path, "calls", U64S((uint64_t)r));
	if (r >= 0)
		(void)snprintf(s->shadow, sizeof(s->shadow), "%s", path);
	return MIN(r, 0);
}

json_t *observe_service_shadow_json(struct observe_service *s)
{
	return s ? seccomp_watch_shadow_json(s->watch) : NULL;
}
