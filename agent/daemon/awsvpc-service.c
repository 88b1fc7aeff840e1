/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Routes belong to a namespace, which the containers of a task share: one worker at a time in each. Its
 * end is an event like any other; what changed meanwhile makes it run again.
 */
#include "daemon/awsvpc-service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/base/list.h"
#include "batten/base/log.h"
#include "batten/imds/awsvpc.h"

static const struct log_message msg_open = { "9475e2836bd4f3f715a602d3e4f50629",
					      "routes of an awsvpc task lead to IMDS" };
static const struct log_message msg_added = { "a586f3947ce50408260713e4f506172a",
					       "blackhole routes added to an awsvpc task" };
static const struct log_message msg_removed = { "c9d5f2a13e7b4c80ad2e4f6b8c0e1a30",
						 "blackhole routes removed again from an awsvpc task" };
static const struct log_message msg_failed = { "b69704a58df61519370824f50617283b",
						"an awsvpc task cannot be looked at" };

struct place {
	struct list node;
	struct awsvpc_service *service;
	uint64_t netns;
	struct list members;
	pid_t pid; /* of the worker, or 0 */
	int pidfd;
	bool again; /* something changed while it ran */
	sd_event_source *end;
	struct awsvpc_result result;
};

struct member {
	struct list node;
	struct place *place;
	char id[CONTAINER_ID_SIZE], name[128];
	pid_t pid;
	bool allowed;
};

struct awsvpc_service {
	sd_event *event; /* referenced */
	struct event_log *log;
	struct list places;
	enum imds_awsvpc mode;
	bool cgroups;
	const char *open; /* why nothing is closed; NULL: it is */
};

struct awsvpc_service *awsvpc_service_new(sd_event *event, struct event_log *log)
{
	struct awsvpc_service *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->event = sd_event_ref(event);
	s->log = log;
	list_init(&s->places);
	s->mode = AWSVPC_NO;
	return s;
}

static struct member *member_of(struct list *node)
{
	return container_of(node, struct member, node);
}

static void member_free(struct member *m)
{
	list_remove(&m->node);
	free(m);
}

static void place_free(struct place *p)
{
	list_for_each(pos, &p->members)
		member_free(member_of(pos));
	list_remove(&p->node);
	(void)sd_event_source_disable_unref(p->end);
	(void)fd_close(p->pidfd);
	free(p);
}

struct awsvpc_service *awsvpc_service_free(struct awsvpc_service *s)
{
	if (!s)
		return NULL;
	/* A worker that still runs dies with us. */
	list_for_each(pos, &s->places)
		place_free(container_of(pos, struct place, node));
	(void)sd_event_unref(s->event);
	free(s);
	return NULL;
}

/* ---- one namespace --------------------------------------------------------------------------- */

/* An allowed container there, or NULL; is everybody allowed? */
static const struct member *allowed_member(const struct place *p, bool *ret_all)
{
	const struct member *found = NULL;

	*ret_all = true;
	list_for_each(pos, &p->members) {
		if (member_of(pos)->allowed)
			found = member_of(pos);
		else
			*ret_all = false;
	}
	return found;
}

/* Routes do not tell one container from another: without the programs the others would get through, too. */
static bool is_left_open(const struct place *p)
{
	bool all;

	return p->service->open || (allowed_member(p, &all) && (all || p->service->cgroups));
}

static void tell(const struct place *p)
{
	bool open = p->result.road[0] == AWSVPC_OPEN || p->result.road[1] == AWSVPC_OPEN;
	const char *name = member_of(p->members.prev)->name; /* who came last */
	char message[256];

	if (p->result.added)
		log_event(LOG_NOTICE, &msg_added, "container", name);
	if (p->result.removed)
		log_event(LOG_NOTICE, &msg_removed, "container", name, "reason",
			  p->service->open ? p->service->open : "a container there is allowed");
	if (!open || is_left_open(p))
		return;
	log_event(LOG_WARNING, &msg_open, "container", name);
	(void)snprintf(message, sizeof(message), "the routes of %s lead to IMDS; ECS_AWSVPC_BLOCK_IMDS was off", name);
	event_log_add(p->service->log, json_pack("{s:s, s:s, s:o, s:i, s:s, s:o}", "kind", "imds.road-open", "layer",
						 "awsvpc", "container", json_text(name), "count", 1, "certainty",
						 "certain", "message", json_text(message)));
}

static void look(struct place *p);

static int on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct place *p = data;

	awsvpc_finish(p->pid, &p->result);
	p->pid = 0;
	p->end = sd_event_source_disable_unref(p->end);
	p->pidfd = fd_close(p->pidfd);
	if (list_empty(&p->members))
		place_free(p);
	else if (p->again)
		look(p);
	else
		tell(p);
	return 0;
}

/* The namespace itself, through whoever of it still runs. */
static int open_netns(const struct place *p)
{
	list_for_each(pos, &p->members) {
		_cleanup_(fd_closep) int fd = -1;
		struct stat st;
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)member_of(pos)->pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == p->netns)
			return fd_take(&fd);
	}
	return -ESRCH;
}

static int start(struct place *p)
{
	enum awsvpc_action action = p->service->mode != AWSVPC_ENFORCE ? AWSVPC_LOOK :
				    is_left_open(p)			? AWSVPC_LEAVE :
									  AWSVPC_CLOSE;
	_cleanup_(fd_closep) int netns = open_netns(p);
	int r;

	if (netns < 0)
		return netns;
	p->pidfd = awsvpc_start(netns, action, &p->pid, NULL);
	if (p->pidfd < 0)
		return p->pidfd;
	r = sd_event_add_io(p->service->event, &p->end, p->pidfd, EPOLLIN, on_end, p);
	if (r < 0) {
		awsvpc_finish(p->pid, &p->result);
		p->pid = 0;
		p->pidfd = fd_close(p->pidfd);
	}
	return r;
}

static void look(struct place *p)
{
	int r;

	p->again = p->pid > 0;
	if (p->pid > 0 || p->service->mode == AWSVPC_NO)
		return;
	r = start(p);
	if (r < 0)
		log_event(LOG_ERR, &msg_failed, "container", member_of(p->members.prev)->name, "reason", strerror(-r));
}

/* ---- containers come and go ------------------------------------------------------------------ */

static struct place *find_place(struct awsvpc_service *s, uint64_t netns)
{
	struct place *p;

	list_for_each(pos, &s->places)
		if (container_of(pos, struct place, node)->netns == netns)
			return container_of(pos, struct place, node);
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->service = s;
	p->netns = netns;
	p->pidfd = -1;
	p->result = (struct awsvpc_result){ .road = { AWSVPC_UNKNOWN, AWSVPC_UNKNOWN } };
	list_init(&p->members);
	list_append(&s->places, &p->node);
	return p;
}

static struct member *find_member(const struct awsvpc_service *s, const char *id)
{
	list_for_each(pos, &s->places) {
		list_for_each(m, &container_of(pos, struct place, node)->members)
			if (strcmp(member_of(m)->id, id) == 0)
				return member_of(m);
	}
	return NULL;
}

void awsvpc_service_runs(struct awsvpc_service *s, const struct container *c, bool allowed)
{
	struct member *m;

	if (c->network_mode != NETWORK_CONTAINER || c->role == ROLE_PLAIN)
		return;
	m = find_member(s, c->id);
	if (m && m->allowed == allowed)
		return;
	if (!m) {
		struct place *p = find_place(s, c->netns);

		m = p ? calloc(1, sizeof(*m)) : NULL;
		if (!m) {
			log_event(LOG_ERR, &msg_failed, "container", c->name, "reason", strerror(ENOMEM));
			return;
		}
		m->place = p;
		m->pid = c->pid;
		memcpy(m->id, c->id, sizeof(m->id));
		(void)snprintf(m->name, sizeof(m->name), "%s", c->name);
		list_append(&p->members, &m->node);
	}
	m->allowed = allowed;
	look(m->place);
}

void awsvpc_service_ended(struct awsvpc_service *s, const struct container *c)
{
	struct member *m = find_member(s, c->id);
	struct place *p = m ? m->place : NULL;
	bool was_open;

	if (!m)
		return;
	was_open = is_left_open(p);
	member_free(m);
	if (!list_empty(&p->members)) {
		if (is_left_open(p) != was_open)
			look(p);
	} else if (!p->end) {
		place_free(p);
	}
}

void awsvpc_service_configure(struct awsvpc_service *s, enum imds_awsvpc mode, bool cgroups, const char *open)
{
	bool changed = s->mode != mode || s->cgroups != cgroups || s->open != open;

	s->mode = mode;
	s->cgroups = cgroups;
	s->open = open;
	list_for_each(pos, &s->places)
		if (changed && !list_empty(&container_of(pos, struct place, node)->members))
			look(container_of(pos, struct place, node));
}

/* ---- status ---------------------------------------------------------------------------------- */

/* What is to be said of one namespace, or "". Return: is its road as it should be? */
static bool describe(const struct place *p, int family, char *ret, size_t n)
{
	enum awsvpc_road road = p->result.road[family];
	const char *name = member_of(p->members.prev)->name;
	const struct member *allowed;
	bool all;

	ret[0] = '\0';
	allowed = allowed_member(p, &all);
	if (road == AWSVPC_UNKNOWN)
		(void)snprintf(ret, n, "%s: cannot be looked at", name);
	else if (road == AWSVPC_OPEN && !is_left_open(p))
		(void)snprintf(ret, n, "%s: its routes lead to IMDS", name);
	else if (road == AWSVPC_OPEN && !all)
		(void)snprintf(ret, n, "left open for %s, which is allowed; cgroup-ebpf refuses the others there", allowed->name);
	else if (road == AWSVPC_CLOSED && allowed && is_left_open(p))
		(void)snprintf(ret, n, "closed to %s, which is allowed, by routes that are not batten's", allowed->name);
	else if (road == AWSVPC_CLOSED && allowed)
		(void)snprintf(ret, n, "closed to %s, which is allowed: without cgroup-ebpf the others there would pass",
			       allowed->name);
	return road != AWSVPC_UNKNOWN && (road != AWSVPC_OPEN || is_left_open(p));
}

void awsvpc_service_status(const struct awsvpc_service *s, json_t *layers)
{
	for (int family = 0; family < 2; family++) {
		unsigned int n = 0, n_bad = 0;
		const char *state = "active";
		char reason[256] = "";
		json_t *j;

		list_for_each(pos, &s->places) {
			const struct place *p = container_of(pos, struct place, node);
			char text[256];

			if (list_empty(&p->members))
				continue;
			n++;
			if (s->open)
				continue;
			if (describe(p, family, text, sizeof(text)) ? reason[0] != '\0' : n_bad++ > 0)
				continue;
			memcpy(reason, text, sizeof(reason));
		}
		if (s->mode == AWSVPC_NO || n == 0 || s->open) {
			state = "off";
			(void)snprintf(reason, sizeof(reason), "%s",
				       n == 0		       ? "no awsvpc task runs" :
				       s->mode == AWSVPC_NO ? "awsvpc = no" :
							      s->open);
		} else if (n_bad > 0) {
			state = "degraded";
		}
		j = json_pack("{s:s, s:s, s:s, s:s}", "layer", "awsvpc", "family", family == 0 ? "ipv4" : "ipv6", "state",
			      state, "covers", "awsvpc tasks' routes");
		if (j && reason[0])
			json_object_set_new(j, "reason", json_text(reason));
		json_array_append_new(layers, j);
	}
}
