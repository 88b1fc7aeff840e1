/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Each container that runs gets its row in the cgroup layer: allowed, where an exception matches;
 * guarded, where it stands outside of the tasks' slices, which until then newborns.c saw to; none inside
 * them, where the slice's holds, and none for the ECS agent. The addresses of allowed containers go to the guard as one list,
 * which is made anew whenever a container comes or goes, so that no address outlives its container.
 */
#include "daemon/host-service.h"
#include "daemon/docker-service.h"
#include "daemon/observe-service.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "batten/daemon/priorities.h"
#include "batten/host/watch.h"
#include "batten/imds/cgroup.h"
#include "batten/imds/probe.h"
#include "batten/kernel/cgroup.h"
#include "batten/kernel/links.h"
#include "batten/kernel/nflog.h"
#include "daemon/awsvpc-service.h"
#include "daemon/blocked-event.h"
#include "daemon/newborns.h"
#include "daemon/reopened.h"
#include "daemon/seccomp-event.h"
#include "daemon/self-test.h"
#include "daemon/tried.h"
#include "daemon/untold.h"

#define DRAIN_TRIES 1024 /* of 64 datagrams: more than the socket's buffer holds */

static const struct log_message msg_docker = { "1c9d6a0be3c74b7f9d8e2a5b6c7d8e21", "following Docker" };
static const struct log_message msg_no_docker = { "2d0e7b1cf4d85c80ae9f3b6c7d8e9f22",
						   "Docker cannot be followed, trying again" };
static const struct log_message msg_opened = { "3e1f8c2d05e96d91bfa04c7d8e9fa023", "IMDS opened for a container" };
static const struct log_message msg_closed = { "4f209d3e16fa7ea2c0b15d8e9fa0b124",
						"IMDS closed again: the container ended or its exception was removed" };
static const struct log_message msg_row = { "5031ae4f270b8fb3d1c26e9fa0b1c225", "a container's cgroup cannot be set" };
static const struct log_message msg_apply = { "6142bf50381ca0c4e2d37fa0b1c2d326", "exceptions cannot be applied" };

static const struct log_message msg_ports = { "a71b5c6d7e8f4a90b1c2d3e4f5061727",
					       "the ports of bridges cannot be read: addresses are not bound to them" };
static const struct log_message msg_nflog = { "8364d1725ac3e2e604f591c2d3e4f528",
					       "blocked packets cannot be listened to" };
static const struct log_message msg_observe = { "9475e2182bd4f3f715a602d3e4f50629",
						 "system calls cannot be observed" };
static const struct log_message msg_shadow = { "e5fb07192d3d4fa0c1627d8e1f2a3b35",
						"the profile of [seccomp] shadow cannot be tried" };

static const struct log_message msg_stored = { "c1d2e3f4a5b64758a9c0d1e2f3a4b51c",
						"exceptions added at run time cannot be read: none of them holds" };

struct host_service {
	sd_event *event; /* referenced */
	struct guard_service *guard;
	struct event_log *log;
	struct audit_service *audit;
	struct awsvpc_service *awsvpc;
	struct observe_service *observe; /* NULL: not observing */
	bool observe_tried;		 /* and the kernel or the store refused */
	char observe_reason[256];
	bool followed; /* Docker's events */
	char docker_reason[256];
	struct host_watch *watch;
	struct nl_socket *route; /* to find the ports of containers */
	struct docker_service *docker; /* tells the watch */
	struct cgroup_layer *layer; /* NULL where there is none */
	sd_event_source *ring;
	struct newborns *newborns;
	struct nflog *nflog; /* NULL where nothing is logged, or somebody else listens */
	sd_event_source *packets;
	struct log_limit limit;
	struct imds_config imds;
	struct exceptions stored;
	struct reopened *reopened; /* until Docker tells of them */
	json_t *open; /* a row for each container that is open, as reopened_save() keeps them; owned */
	struct self_test *self_test;
	struct untold *untold;
	char path[512], directory[256], open_path[512];
};

static const struct exception *exception_of(const struct host_service *s, const struct container *c)
{
	const struct exception *e = exceptions_match(&s->imds.allow, c);

	return e ? e : exceptions_match(&s->stored, c);
}

static bool rule_stands(const struct host_service *s, const char *rule)
{
	return exceptions_has(&s->imds.allow, rule) || exceptions_has(&s->stored, rule);
}

/* ---- rows of the cgroup layer ---------------------------------------------------------------- */

static bool in_slice(const struct host_service *s, const struct container *c)
{
	for (size_t i = 0; i < s->imds.slices.n; i++)
		if (cgroup_leads_through(c->cgroup, s->imds.cgroup_root, s->imds.slices.names[i]))
			return true;
	return false;
}

/* Its first process may stand in a group that it made itself, beside others: they are of one mind. */
static int put_rows(struct host_service *s, const struct container *c, enum cgroup_verdict v)
{
	int r = cgroup_layer_put(s->layer, c->cgroup_id, v);

	return r < 0 || c->whole_id == c->cgroup_id ? r : cgroup_layer_put(s->layer, c->whole_id, v);
}

static int drop_rows(struct host_service *s, const struct container *c)
{
	int r = cgroup_layer_drop(s->layer, c->cgroup_id);

	return r < 0 || c->whole_id == c->cgroup_id ? r : cgroup_layer_drop(s->layer, c->whole_id);
}

/* It ended: whoever is left of it is nobody's exception, and outside of the slices no other row guards him. */
static int close_rows(struct host_service *s, const struct container *c)
{
	int r;

	if (c->role == ROLE_ECS_AGENT)
		return drop_rows(s, c);
	r = cgroup_layer_close(s->layer, c->cgroup_id);
	return r < 0 || c->whole_id == c->cgroup_id ? r : cgroup_layer_close(s->layer, c->whole_id);
}

static void set_row(struct host_service *s, const struct container *c)
{
	int r;

	if (!s->layer || c->cgroup_id == 0)
		return;
	if (exception_of(s, c))
		r = put_rows(s, c, CGROUP_ALLOW);
	else if (c->role == ROLE_ECS_AGENT || in_slice(s, c))
		r = drop_rows(s, c);
	else
		r = put_rows(s, c, CGROUP_GUARD);
	if (r < 0)
		log_event(LOG_ERR, &msg_row, "container", c->name, "reason", strerror(-r));
	else
		newborns_judged(s->newborns, c);
}

static void on_attempt(void *user, const struct cgroup_event *e)
{
	struct host_service *s = user;

	untold_told(s->untold, UNTOLD_ATTEMPTS, e->count);
	if ((!e->sender_known || !self_test_is_ours(s->self_test, (pid_t)e->tgid)) && !newborns_keep(s->newborns, e))
		blocked_event_cgroup(s->log, host_watch_model(s->watch), e);
}

static void on_kept_attempt(void *user, const struct cgroup_event *e)
{
	struct host_service *s = user;

	blocked_event_cgroup(s->log, host_watch_model(s->watch), e);
}

static void on_birth(void *user, const struct cgroup_birth *b)
{
	struct host_service *s = user;

	newborns_born(s->newborns);
}

static int on_ring(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct host_service *s = data;

	return cgroup_layer_read(s->layer);
}

/* The maps may have been made anew by whoever installed last. */
static void open_layer(struct host_service *s)
{
	struct diag d = { 0 };
	int r;

	s->ring = sd_event_source_disable_unref(s->ring);
	s->layer = cgroup_layer_free(s->layer);
	r = guard_service_open_cgroups(s->guard, &s->layer, &d);
	if (r >= 0)
		r = cgroup_layer_listen(s->layer, on_attempt, s, &d);
	if (r >= 0)
		r = sd_event_add_io(s->event, &s->ring, cgroup_layer_fd(s->layer), EPOLLIN, on_ring, s);
	if (r >= 0)
		r = sd_event_source_set_priority(s->ring, PRIORITY_BACKGROUND);
	if (r >= 0)
		cgroup_layer_on_birth(s->layer, on_birth);
	newborns_configure(s->newborns, s->guard, &s->imds);
	(void)r; /* a layer that is not there is told by the status */
}

/* ---- packets that the table refused ------------------------------------------------------------ */

static void on_packet(void *user, const struct nflog_packet *p)
{
	struct host_service *s = user;
	uint64_t held_back = 0;
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	if (!log_limit_allow(&s->limit, (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000, &held_back))
		return;
	untold_told(s->untold, UNTOLD_PACKETS, 1 + held_back);
	blocked_event_packet(s->log, host_watch_model(s->watch), p, held_back);
}

static int on_packets(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct host_service *s = data;
	uint64_t lost = 0;
	int r;

	r = nflog_read(s->nflog, on_packet, s, &lost);
	s->limit.held_back += lost;
	return r;
}

static void open_nflog(struct host_service *s)
{
	struct diag d = { 0 };
	int r;

	s->packets = sd_event_source_disable_unref(s->packets);
	s->nflog = nflog_free(s->nflog);
	if (!s->imds.enabled || !s->imds.log)
		return;
	r = nflog_open(&s->nflog, (uint16_t)s->imds.log_group, &d);
	if (r >= 0)
		r = sd_event_add_io(s->event, &s->packets, nflog_fd(s->nflog), EPOLLIN, on_packets, s);
	if (r >= 0)
		r = sd_event_source_set_priority(s->packets, PRIORITY_BACKGROUND);
	if (r < 0)
		log_event(LOG_WARNING, &msg_nflog, "where", d.where, "reason", d.what[0] ? d.what : strerror(-r));
}

/* ---- openings ------------------------------------------------------------------------------- */

/* An address of a container, bound to all of the container's ports: which is which does not matter. */
static int open_address(struct imds_openings *o, int family, const void *bytes, const struct bridge_port *ports,
			size_t n_ports, int netns)
{
	static const uint8_t none[16];
	struct ip_address a;
	int r;

	if (memcmp(bytes, none, ip_length(family)) == 0)
		return 0;
	memset(&a, 0, sizeof(a));
	a.family = family;
	memcpy(a.bytes, bytes, ip_length(family));
	r = imds_openings_address(o, &a);
	for (size_t i = 0; r >= 0 && i < n_ports; i++)
		if (ports[i].netns_id == netns)
			r = imds_openings_port(o, &a, ports[i].name);
	return r;
}

/* How deep the group lies that was made for the container. */
static unsigned int depth_of(const struct container *c)
{
	unsigned int depth = cgroup_depth(c->cgroup);

	for (const char *p = strstr(c->cgroup, c->id); p && (p = strchr(p, '/')); p++)
		depth -= MIN(depth, 1U);
	return depth;
}

static int open_container(struct host_service *s, struct imds_openings *o, const struct container *c,
			  const struct bridge_port *ports, size_t n_ports)
{
	int netns = n_ports > 0 ? netns_id(s->route, c->pid, c->netns) : -ENOENT, r = 0;

	for (size_t i = 0; r >= 0 && i < c->n_networks; i++) {
		r = open_address(o, AF_INET, &c->networks[i].ip4, ports, netns < 0 ? 0 : n_ports, netns);
		if (r >= 0)
			r = open_address(o, AF_INET6, &c->networks[i].ip6, ports, netns < 0 ? 0 : n_ports, netns);
	}
	if (r >= 0 && c->cgroup_id != 0)
		r = imds_openings_group(o, c->whole_id, depth_of(c));
	return r;
}

/* All that is being opened. */
struct opening {
	struct host_service *service;
	struct imds_openings openings;
	struct bridge_port *ports;
	size_t n_ports;
	json_t *rows; /* for the next daemon */
};

static void open_one(struct opening *o, const char *rule, const struct container *c)
{
	struct diag d = { 0 };
	int r;

	if (json_array_size(o->rows) == 0 && bridge_ports_read(o->service->route, &o->ports, &o->n_ports, &d) < 0)
		log_event(LOG_WARNING, &msg_ports, "reason", d.what);
	reopened_add_row(o->rows, rule, c);
	r = open_container(o->service, &o->openings, c, o->ports, o->n_ports);
	if (r < 0) /* it stays closed; the others are not its fault */
		log_event(LOG_ERR, &msg_apply, "container", c->name, "reason",
			  r == -E2BIG ? "more addresses are allowed than fit" : strerror(-r));
}

/* Opens what is to be open for allowed containers but @without, and nothing else. */
static void set_openings(struct host_service *s, const struct container *without)
{
	struct opening o = { .service = s, .rows = json_array() };
	struct diag d = { 0 };
	int r;

	host_model_each(pos, host_watch_model(s->watch)) {
		const struct container *c = host_container(pos);
		const struct exception *e = c == without ? NULL : exception_of(s, c);

		if (e)
			open_one(&o, e->rule, c);
	}
	list_for_each(pos, reopened_list(s->reopened)) {
		const struct reopened_container *c = container_of(pos, struct reopened_container, node);

		if (rule_stands(s, c->rule))
			open_one(&o, c->rule, c->container);
	}
	host_service_changed(s);
	r = guard_service_allow(s->guard, &o.openings, &d);
	if (r < 0)
		log_event(LOG_ERR, &msg_apply, "where", d.where, "reason", d.what[0] ? d.what : strerror(-r));
	reopened_save(s->open_path, o.rows);
	imds_openings_done(&o.openings);
	json_decref(s->open);
	s->open = o.rows;
	free(o.ports);
}

static void on_reopened_ended(void *user)
{
	set_openings(user, NULL);
}

/* ---- containers come and go ------------------------------------------------------------------ */

static void on_runs(void *user, struct container *c)
{
	const struct exception *e;
	struct host_service *s = user;
	bool known, was_open;

	set_row(s, c);
	host_service_changed(s);
	known = reopened_forget(s->reopened, c->id);
	audit_service_runs(s->audit, c);
	observe_service_runs(s->observe, c);
	e = exception_of(s, c);
	/* One that was renamed may be no exception any more. */
	was_open = reopened_has_row(s->open, c->id);
	if (e || known || was_open)
		set_openings(s, NULL);
	awsvpc_service_runs(s->awsvpc, c, e);
	if (!e && was_open && !known)
		log_event(LOG_NOTICE, &msg_closed, "container", c->name);
	if (!e)
		return;
	log_event(LOG_NOTICE, &msg_opened, "container", c->name, "task_arn", c->task_arn[0] ? c->task_arn : NULL,
		  "exception", e->rule, "by", e->by);
}

static void on_made(void *user, const struct container *c)
{
	struct host_service *s = user;

	newborns_made(s->newborns, c);
}

static void on_ended(void *user, struct container *c)
{
	struct host_service *s = user;

	awsvpc_service_ended(s->awsvpc, c);
	self_test_ended(s->self_test, c);
	audit_service_ended(s->audit, c);
	observe_service_ended(s->observe, c->id);
	if (!exception_of(s, c))
		return;
	/* The kernel removes the row with the group; a group that lives on must not keep it. */
	if (s->layer && c->cgroup_id != 0 && close_rows(s, c) < 0)
		log_event(LOG_ERR, &msg_row, "container", c->name);
	set_openings(s, c);
	log_event(LOG_NOTICE, &msg_closed, "container", c->name);
}

static void on_over(void *user, struct container *c)
{
	struct host_service *s = user;

	observe_service_over(s->observe, c);
}

static void on_docker(void *user, bool followed, const struct diag *d)
{
	struct host_service *s = user;

	audit_service_docker(s->audit);
	s->followed = followed;
	newborns_docker(s->newborns, followed);
	(void)snprintf(s->docker_reason, sizeof(s->docker_reason), "%.120s%s%.120s", d ? d->where : "",
		       d && d->where[0] ? ": " : "", d ? d->what : "");
	if (followed)
		log_event(LOG_INFO, &msg_docker);
	else
		log_event(LOG_NOTICE, &msg_no_docker, "where", d ? d->where : NULL, "reason", d ? d->what : NULL);
}

static bool may_have_row(const struct host_service *s, uint64_t id)
{
	const struct container *c = host_model_find_cgroup(host_watch_model(s->watch), id);

	if (c)
		return exception_of(s, c);
	list_for_each(pos, reopened_list(s->reopened)) {
		const struct reopened_container *r = container_of(pos, struct reopened_container, node);

		if (container_has_group(r->container, id) && rule_stands(s, r->rule))
			return true;
	}
	return false;
}

/* Rows outlive the daemon; an exception may have been removed while nobody looked. */
static int close_stale_row(void *user, uint64_t id, enum cgroup_verdict v)
{
	struct host_service *s = user;

	return v != CGROUP_ALLOW || may_have_row(s, id) ? 0 : cgroup_layer_put(s->layer, id, CGROUP_GUARD);
}

/* After a change of what is allowed. */
static void set_everything(struct host_service *s)
{
	int r = s->layer ? cgroup_layer_rows(s->layer, close_stale_row, s) : 0;

	self_test_allowed(s->self_test);
	if (r < 0)
		log_event(LOG_ERR, &msg_row, "reason", strerror(-r));
	host_model_each(pos, host_watch_model(s->watch)) {
		set_row(s, host_container(pos));
		awsvpc_service_runs(s->awsvpc, host_container(pos), exception_of(s, host_container(pos)));
	}
	set_openings(s, NULL);
}

/* ---- exceptions at run time ------------------------------------------------------------------- */

static int save(struct host_service *s, const struct exceptions *l, struct diag *d)
{
	if (mkdir(s->directory, 0700) < 0 && errno != EEXIST)
		return diag_errno(d, -errno, s->directory, "cannot make the state directory");
	return exceptions_save(l, s->path, d);
}

int host_service_allow(struct host_service *s, const char *rule, const char *by, struct diag *d)
{
	struct exceptions l = s->stored;
	int r;

	r = exceptions_add(&l, rule, by, (int64_t)time(NULL), d);
	if (r >= 0)
		r = save(s, &l, d);
	if (r < 0)
		return r;
	s->stored = l;
	set_everything(s);
	return 0;
}

int host_service_disallow(struct host_service *s, const char *rule, struct diag *d)
{
	struct exceptions l = s->stored;
	int r;

	r = exceptions_remove(&l, rule, d);
	if (r >= 0)
		r = save(s, &l, d);
	if (r < 0)
		return r;
	s->stored = l;
	set_everything(s);
	return 0;
}

/* What is no list of exceptions is put aside for whoever wants to mend it: the guard is not kept from its work. */
static int load(struct host_service *s, struct diag *d)
{
	char aside[sizeof(s->path) + 8];
	struct diag why = { 0 };
	int r = exceptions_load(&s->stored, s->path, &why);

	if (r != -EBADMSG && r != -EINVAL && r != -EEXIST && r != -E2BIG && r != -EFBIG)
		return r < 0 ? diag_fail(d, r, why.where, "%s", why.what) : 0;
	(void)snprintf(aside, sizeof(aside), "%s.bad", s->path);
	if (rename(s->path, aside) < 0)
		return diag_errno(d, -errno, s->path, "cannot be put aside");
	log_event(LOG_ERR, &msg_stored, "path", s->path, "reason", why.what, "kept_as", aside);
	return 0;
}

static void add_rows(const struct host_service *s, const struct exceptions *l, json_t *rows)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct exception *e = &l->items[i];
		json_t *names = json_array(), *row;

		host_model_each(pos, host_watch_model(s->watch))
			if (exception_matches(e, host_container(pos)))
				json_array_append_new(names, json_text(host_container(pos)->name));
		row = json_pack("{s:o, s:o, s:o}", "rule", json_text(e->rule), "by", json_text(e->by), "containers", names);
		if (row && e->since > 0)
			json_object_set_new(row, "since", json_integer((json_int_t)e->since));
		json_array_append_new(rows, row);
	}
}

json_t *host_service_exceptions(const struct host_service *s)
{
	json_t *rows = json_array();

	add_rows(s, &s->imds.allow, rows);
	add_rows(s, &s->stored, rows);
	return json_pack("{s:s, s:o}", "schema", "batten.imds-allow/1", "allow", rows);
}

/* ---- what no event tells -------------------------------------------------------------------- */

static bool packets_wait(const struct host_service *s)
{
	struct pollfd p = { .fd = s->nflog ? nflog_fd(s->nflog) : -1, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static int64_t count_blocked(void *user, enum untold_source source)
{
	struct host_service *s = user;
	struct cgroup_totals t;
	uint64_t n = 0;
	int r;

	if (source == UNTOLD_PACKETS) {
		r = guard_service_packets(s->guard, &n, NULL);
		/* What was logged before that has its events first; what is held back then is in the sum. */
		for (int i = 0; i < DRAIN_TRIES && packets_wait(s); i++)
			(void)on_packets(NULL, 0, 0, s);
		s->limit.held_back = 0;
		return r < 0 ? r : (int64_t)n;
	}
	r = s->layer ? cgroup_layer_totals(s->layer, &t) : -ENOENT;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(t.refused); i++)
		n += t.refused[i];
	return r < 0 ? r : (int64_t)n;
}

/* ---- self-test ------------------------------------------------------------------------------- */

static const struct host_model *model_of(void *user)
{
	struct host_service *s = user;

	return host_watch_model(s->watch);
}

static bool may_reach(void *user, const struct container *c)
{
	struct host_service *s = user;

	return imds_may_reach(&s->imds, &s->stored, c);
}

void host_service_changed(struct host_service *s)
{
	if (s->imds.enabled && guard_service_stands(s->guard))
		self_test_soon(s->self_test, s->imds.self_test);
	else
		self_test_stop(s->self_test);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_seccomp(void *user, const char *container_id, const struct observer_event *e, uint64_t held_back)
{
	struct host_service *s = user;
	const struct container *c = container_id ? host_model_find(host_watch_model(s->watch), container_id) : NULL;

	seccomp_event(s->log, c, e, held_back);
}

static void try_profile(struct host_service *s, const char *path)
{
	struct diag d = { 0 };
	int r = observe_service_shadow(s->observe, path, &d);

	if (r < 0)
		log_event(LOG_ERR, &msg_shadow, "where", d.where, "reason", d.what[0] ? d.what : strerror(-r));
}

/* Observing is an extra: a host where it cannot be done keeps everything else. */
static void open_observer(struct host_service *s, const struct seccomp_config *config)
{
	struct diag d = { 0 };
	int r;

	if (!config->observe) {
		s->observe = observe_service_free(s->observe);
		s->observe_tried = false;
		return;
	}
	if (!s->observe && s->observe_tried)
		return;
	if (s->observe) {
		try_profile(s, config->shadow);
		return;
	}
	r = observe_service_new(&s->observe, s->event, s->directory, on_seccomp, s, &d);
	s->observe_tried = r < 0;
	if (r < 0) {
		(void)snprintf(s->observe_reason, sizeof(s->observe_reason), "%.120s%s%.120s", d.where,
			       d.where[0] ? ": " : "", d.what[0] ? d.what : strerror(-r));
		log_event(LOG_ERR, &msg_observe, "where", d.where, "reason", d.what[0] ? d.what : strerror(-r));
		return;
	}
	try_profile(s, config->shadow);
	host_model_each(pos, host_watch_model(s->watch))
		observe_service_runs(s->observe, host_container(pos));
}

int host_service_shadow(struct host_service *s, json_t **ret, struct diag *d)
{
	if (!s->observe)
		return diag_fail(d, -EOPNOTSUPP, NULL, "nothing is observed; set observe = yes and shadow = PROFILE in [seccomp]");
	*ret = observe_service_shadow_json(s->observe);
	return *ret ? 0 : -ENOMEM;
}

static void set_routes(struct host_service *s)
{
	const char *open = !s->imds.enabled ? "enabled = no" :
			   !guard_service_stands(s->guard) ? "unblocked by an operator" : NULL;
	enum imds_awsvpc mode = (enum imds_awsvpc)s->imds.awsvpc;

	/* What was added to tasks that run is taken away; else nobody looks at them. */
	if (!s->imds.enabled && mode != AWSVPC_ENFORCE)
		mode = AWSVPC_NO;
	awsvpc_service_configure(s->awsvpc, mode, s->layer, open);
}

void host_service_unblocked(struct host_service *s)
{
	set_routes(s);
	host_service_changed(s);
}

void host_service_configure(struct host_service *s, const struct settings *settings)
{
	s->imds = settings->imds;
	open_layer(s);
	set_routes(s);
	open_nflog(s);
	open_observer(s, &settings->seccomp);
	untold_start(s->untold);
	set_everything(s);
}

int host_service_new(struct host_service **ret, sd_event *event, const struct settings *settings,
		     struct guard_service *guard, struct event_log *log, struct audit_service *audit,
		     const char *runtime_dir, struct diag *d)
{
	static const struct host_watch_calls calls = { .runs = on_runs, .made = on_made, .ended = on_ended, .over = on_over,
						       .docker = on_docker };
	static const struct self_test_calls tests = { .model = model_of, .may = may_reach };
	_cleanup_(host_service_freep) struct host_service *s = calloc(1, sizeof(*s));
	const char *docker = settings->daemon.docker;
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->guard = guard;
	s->log = log;
	s->audit = audit;
	s->imds = settings->imds;
	(void)snprintf(s->open_path, sizeof(s->open_path), "%s/imds-open.json", runtime_dir);
	s->limit = (struct log_limit){ .interval_ms = 1000, .burst = 10 };
	(void)snprintf(s->directory, sizeof(s->directory), "%s", settings->daemon.state_dir);
	(void)snprintf(s->path, sizeof(s->path), "%s/" EXCEPTIONS_FILE, s->directory);
	r = load(s, d);
	if (r >= 0)
		r = nl_open(&s->route, NETLINK_ROUTE, NULL, 0, d);
	s->awsvpc = awsvpc_service_new(event, log);
	s->self_test = self_test_new(event, log, &tests, s);
	s->untold = untold_new(event, log, count_blocked, s);
	s->newborns = newborns_new(event, on_kept_attempt, s);
	if (r >= 0 && (!s->awsvpc || !s->self_test || !s->untold || !s->newborns))
		r = -ENOMEM;
	if (r >= 0)
		r = host_watch_new(&s->watch, event, &calls, s);
	if (r >= 0)
		r = reopened_new(&s->reopened, event, s->open_path, on_reopened_ended, s);
	if (r >= 0)
		r = docker_service_new(&s->docker, event, docker[0] ? docker : NULL, s->watch, d);
	if (r < 0)
		return r;
	set_openings(s, NULL);
	*ret = take_ptr(s);
	return 0;
}

struct host_service *host_service_free(struct host_service *s)
{
	if (!s)
		return NULL;
	/* First: what they have still to tell is told of containers. */
	if (s->newborns && s->watch)
		newborns_tell_all(s->newborns);
	s->observe = observe_service_free(s->observe);
	s->docker = docker_service_free(s->docker);
	s->watch = host_watch_free(s->watch);
	s->reopened = reopened_free(s->reopened);
	s->self_test = self_test_free(s->self_test);
	s->untold = untold_free(s->untold);
	s->awsvpc = awsvpc_service_free(s->awsvpc);
	(void)sd_event_source_disable_unref(s->packets);
	s->nflog = nflog_free(s->nflog);
	(void)sd_event_source_disable_unref(s->ring);
	s->newborns = newborns_free(s->newborns);
	s->layer = cgroup_layer_free(s->layer);
	s->route = nl_close(s->route);
	json_decref(s->open);
	(void)sd_event_unref(s->event);
	free(s);
	return NULL;
}

void host_service_status(const struct host_service *s, json_t *status)
{
	json_t *tried;

	awsvpc_service_status(s->awsvpc, json_object_get(status, "layers"));
	newborns_status(s->newborns, json_object_get(status, "layers"));
	tried = tried_json(s->layer, host_watch_model(s->watch));
	if (tried)
		json_object_set_new(status, "tried", tried);
	self_test_status(s->self_test, s->imds.self_test, status);
}

json_t *host_service_docker(const struct host_service *s)
{
	json_int_t n_exceptions = (json_int_t)s->imds.allow.n + (json_int_t)s->stored.n;
	json_t *j = json_pack("{s:b, s:I, s:I}", "followed", s->followed, "containers",
			      (json_int_t)host_watch_model(s->watch)->n_containers, "exceptions", n_exceptions);

	if (j && !s->followed)
		json_object_set_new(j, "reason", json_text(s->docker_reason[0] ? s->docker_reason : "not reached yet"));
	return j;
}

json_t *host_service_seccomp(const struct host_service *s)
{
	if (s->observe)
		return json_pack("{s:s}", "state", "active");
	if (s->observe_tried)
		return json_pack("{s:s, s:o}", "state", "degraded", "reason", json_text(s->observe_reason));
	return json_pack("{s:s, s:s}", "state", "off", "reason", "[seccomp] observe = no");
}

int host_service_store_observed(struct host_service *s, struct diag *d)
{
	return observe_service_store(s->observe, d);
}
