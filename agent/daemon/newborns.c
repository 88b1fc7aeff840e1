/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A newborn's lease is renewed as long as Docker may still tell of it. The timer runs only while there
 * are newborns, or attempts that wait for a name.
 */
#include "daemon/newborns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batten/base/json.h"
#include "batten/base/log.h"

#define RENEW_US 10000000ull /* a third of CGROUP_LEASE_NS */
#define WAIT_US 2000000ull   /* an attempt, for its container's name */
#define GRACE_US 60000000ull /* Docker, which may be starting with the host */
#define MAX_WAITING 64

static const struct log_message msg_births = { "b8c4f1e02d6a4b7f9e1d3c5a7b9d0e2f",
						"containers in no slice are open until Docker tells of them" };

struct newborns {
	sd_event *event; /* referenced */
	struct cgroup_births *births; /* NULL: nobody is refused at birth */
	sd_event_source *timer, *grace;
	bool followed;
	char reason[200]; /* why nobody is; "" */
	bool chosen;	  /* by the configuration */
	struct {
		struct cgroup_event event;
		uint64_t since_us;
	} waiting[MAX_WAITING];
	size_t n_waiting;
	void (*fn)(void *user, const struct cgroup_event *e);
	void *user;
};

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- attempts that wait ---------------------------------------------------------------------- */

static bool is_of(const struct cgroup_event *e, uint64_t group)
{
	for (size_t i = 0; i < ARRAY_SIZE(e->groups) && e->groups[i] != 0; i++)
		if (e->groups[i] == group)
			return true;
	return false;
}

/* Tells those of one group, or with 0 those that have waited long enough. */
static void tell(struct newborns *n, uint64_t group)
{
	uint64_t now = now_us();
	size_t left = 0;

	for (size_t i = 0; i < n->n_waiting; i++) {
		if (group ? is_of(&n->waiting[i].event, group) : now - n->waiting[i].since_us >= WAIT_US)
			n->fn(n->user, &n->waiting[i].event);
		else
			n->waiting[left++] = n->waiting[i];
	}
	n->n_waiting = left;
}

void newborns_tell_all(struct newborns *n)
{
	for (size_t i = 0; i < n->n_waiting; i++)
		n->fn(n->user, &n->waiting[i].event);
	n->n_waiting = 0;
}

/* ---- leases ---------------------------------------------------------------------------------- */

static int on_timer(sd_event_source *source, uint64_t usec, void *data);

/* Never later than it is armed: who comes last must not put off what is due before. */
static void arm(struct newborns *n)
{
	uint64_t at = now_us() + (n->n_waiting > 0 ? WAIT_US : RENEW_US), due;
	int enabled, r;

	if (n->timer && sd_event_source_get_enabled(n->timer, &enabled) > 0 &&
	    sd_event_source_get_time(n->timer, &due) >= 0 && due <= at)
		return;
	if (n->timer) {
		r = sd_event_source_set_time(n->timer, at);
		if (r >= 0)
			r = sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT);
	} else {
		r = sd_event_add_time(n->event, &n->timer, CLOCK_MONOTONIC, at, 0, on_timer, n);
	}
	(void)r; /* no memory for a timer: a lease ends */
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct newborns *n = data;
	unsigned int left = 0;

	tell(n, 0);
	if (n->births && cgroup_births_watched(n->births))
		left = cgroup_births_renew(n->births);
	if (left > 0 || n->n_waiting > 0)
		arm(n);
	return 0;
}

static int on_grace(sd_event_source *source, uint64_t usec, void *data)
{
	struct newborns *n = data;

	if (!n->births || n->followed)
		return 0;
	(void)snprintf(n->reason, sizeof(n->reason), "Docker is not followed");
	log_event(LOG_WARNING, &msg_births, "reason", n->reason);
	return cgroup_births_watch(n->births, false, NULL);
}

static void start_grace(struct newborns *n)
{
	n->grace = sd_event_source_disable_unref(n->grace);
	if (sd_event_add_time_relative(n->event, &n->grace, CLOCK_MONOTONIC, GRACE_US, 0, on_grace, n) < 0)
		(void)on_grace(NULL, 0, n);
}

static void watch(struct newborns *n)
{
	struct diag d = { 0 };

	n->reason[0] = '\0';
	if (cgroup_births_watch(n->births, true, &d) < 0) {
		(void)snprintf(n->reason, sizeof(n->reason), "%.190s", d.what);
		log_event(LOG_WARNING, &msg_births, "reason", n->reason);
		return;
	}
	if (!n->followed)
		start_grace(n);
	arm(n); /* there may be some of the last daemon's */
}

void newborns_configure(struct newborns *n, struct guard_service *guard, const struct imds_config *c)
{
	struct cgroup_births *old = take_ptr(n->births);
	struct diag d = { 0 };
	int r;

	n->reason[0] = '\0';
	n->chosen = c->runtimes.n == 0;
	r = n->chosen ? -ENOENT : guard_service_open_births(guard, &n->births, &d);
	if (r >= 0) {
		watch(n);
	} else if (r != -ENOENT) {
		(void)snprintf(n->reason, sizeof(n->reason), "%.190s", d.what[0] ? d.what : strerror(-r));
		log_event(LOG_WARNING, &msg_births, "reason", n->reason);
	}
	(void)cgroup_births_free(old);
}

void newborns_docker(struct newborns *n, bool followed)
{
	n->followed = followed;
	if (!n->births)
		return;
	if (!followed) {
		start_grace(n);
		return;
	}
	n->grace = sd_event_source_disable_unref(n->grace);
	if (!cgroup_births_watched(n->births))
		watch(n);
}

/* ---- births ---------------------------------------------------------------------------------- */

void newborns_born(struct newborns *n)
{
	arm(n);
}

void newborns_made(struct newborns *n, const struct container *c)
{
	if (n->births && c->role == ROLE_ECS_AGENT && strlen(c->id) == CGROUP_ID_DIGITS)
		(void)!cgroup_births_agent(n->births, c->id); /* it tries again after some ms */
}

void newborns_judged(struct newborns *n, const struct container *c)
{
	newborns_made(n, c);
	if (!n->births)
		return;
	cgroup_births_judged(n->births, c->whole_id);
	tell(n, c->whole_id);
}

bool newborns_keep(struct newborns *n, const struct cgroup_event *e)
{
	bool newborn = false;

	for (size_t i = 0; n->births && !newborn && i < ARRAY_SIZE(e->groups) && e->groups[i] != 0; i++)
		newborn = cgroup_births_newborn(n->births, e->groups[i]);
	if (!newborn || n->n_waiting == MAX_WAITING)
		return false;
	n->waiting[n->n_waiting].event = *e;
	n->waiting[n->n_waiting++].since_us = now_us();
	if (n->n_waiting == 1)
		arm(n);
	return true;
}

/* ---- status and life ------------------------------------------------------------------------- */

void newborns_status(const struct newborns *n, json_t *layers)
{
	bool degraded = n->reason[0] != '\0';
	json_t *l;
	size_t i;

	if (!degraded && !n->chosen)
		return;
	json_array_foreach(layers, i, l) {
		const char *layer = json_string_value(json_object_get(l, "layer"));
		const char *state = json_string_value(json_object_get(l, "state"));
		const char *other = json_string_value(json_object_get(l, "reason"));
		char reason[512];

		if (!layer || !state || strcmp(layer, "cgroup-ebpf") != 0 ||
		    (strcmp(state, "active") != 0 && strcmp(state, "degraded") != 0))
			continue;
		(void)snprintf(reason, sizeof(reason), "%.200s%scontainers in no slice are open until Docker tells of them: %s",
			       other ? other : "", other ? "; " : "", degraded ? n->reason : "runtimes is empty");
		json_object_set_new(l, "reason", json_text(reason));
		if (degraded)
			json_object_set_new(l, "state", json_string("degraded"));
	}
}

struct newborns *newborns_new(sd_event *event, void (*fn)(void *user, const struct cgroup_event *e), void *user)
{
	struct newborns *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->event = sd_event_ref(event);
	n->fn = fn;
	n->user = user;
	return n;
}

struct newborns *newborns_free(struct newborns *n)
{
	if (!n)
		return NULL;
	(void)sd_event_source_disable_unref(n->timer);
	(void)sd_event_source_disable_unref(n->grace);
	(void)cgroup_births_free(n->births);
	(void)sd_event_unref(n->event);
	free(n);
	return NULL;
}
