/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One row for each container of an awsvpc task. The worker's end is an event like any other; a row
 * that is removed meanwhile leaves the worker to be reaped by the same event.
 */
#include "daemon/awsvpc-service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/base/list.h"
#include "batten/base/log.h"
#include "batten/imds/awsvpc.h"

static const struct log_message msg_open = { "9475e2836bd4f3f715a602d3e4f50629",
					      "routes of an awsvpc task lead to IMDS" };
static const struct log_message msg_added = { "a586f3947ce50408260713e4f506172a",
					       "blackhole routes added to an awsvpc task" };
static const struct log_message msg_failed = { "b69704a58df61519370824f50617283b",
						"an awsvpc task cannot be looked at" };

struct task {
	struct list node;
	struct awsvpc_service *service;
	char id[CONTAINER_ID_SIZE], name[128];
	bool gone; /* the container ended while the worker ran */
	pid_t pid; /* of the worker, or 0 */
	int pidfd;
	sd_event_source *end;
	struct awsvpc_result result;
};

struct awsvpc_service {
	sd_event *event; /* referenced */
	struct event_log *log;
	struct list tasks;
};

struct awsvpc_service *awsvpc_service_new(sd_event *event, struct event_log *log)
{
	struct awsvpc_service *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->event = sd_event_ref(event);
	s->log = log;
	list_init(&s->tasks);
	return s;
}

static void task_free(struct task *t)
{
	list_remove(&t->node);
	(void)sd_event_source_disable_unref(t->end);
	(void)fd_close(t->pidfd);
	free(t);
}

struct awsvpc_service *awsvpc_service_free(struct awsvpc_service *s)
{
	if (!s)
		return NULL;
	/* A worker that still runs dies with us. */
	list_for_each(pos, &s->tasks)
		task_free(container_of(pos, struct task, node));
	(void)sd_event_unref(s->event);
	free(s);
	return NULL;
}

static void tell(const struct task *t)
{
	bool open = t->result.road[0] == AWSVPC_OPEN || t->result.road[1] == AWSVPC_OPEN;
	char message[256];

	if (t->result.added)
		log_event(LOG_NOTICE, &msg_added, "container", t->name);
	if (!open)
		return;
	log_event(LOG_WARNING, &msg_open, "container", t->name);
	(void)snprintf(message, sizeof(message), "the routes of %s lead to IMDS; ECS_AWSVPC_BLOCK_IMDS was off", t->name);
	event_log_add(t->service->log, json_pack("{s:s, s:s, s:o, s:i, s:s, s:o}", "kind", "imds.road-open", "layer",
						 "awsvpc", "container", json_text(t->name), "count", 1, "certainty",
						 "certain", "message", json_text(message)));
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct task *t = data;

	awsvpc_finish(t->pid, &t->result);
	t->pid = 0;
	t->end = sd_event_source_disable_unref(t->end);
	t->pidfd = fd_close(t->pidfd);
	if (t->gone)
		task_free(t);
	else
		tell(t);
	return 0;
}

static int start(struct task *t, const struct container *c, bool enforce)
{
	_cleanup_(fd_closep) int netns = -1;
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)c->pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return -errno;
	t->pidfd = awsvpc_start(netns, enforce, &t->pid, NULL);
	if (t->pidfd < 0)
		return t->pidfd;
	r = sd_event_add_io(t->service->event, &t->end, t->pidfd, EPOLLIN, on_end, t);
	if (r < 0)
		awsvpc_finish(t->pid, &t->result);
	return r;
}

static bool known(const struct awsvpc_service *s, const struct container *c)
{
	list_for_each(pos, &s->tasks)
		if (strcmp(container_of(pos, struct task, node)->id, c->id) == 0)
			return true;
	return false;
}

void awsvpc_service_runs(struct awsvpc_service *s, const struct container *c, enum imds_awsvpc mode)
{
	struct task *t;
	int r;

	if (mode == AWSVPC_NO || c->network_mode != NETWORK_CONTAINER || c->role == ROLE_PLAIN || known(s, c))
		return;
	t = calloc(1, sizeof(*t));
	if (!t)
		return;
	t->service = s;
	t->pidfd = -1;
	t->result = (struct awsvpc_result){ .road = { AWSVPC_UNKNOWN, AWSVPC_UNKNOWN } };
	memcpy(t->id, c->id, sizeof(t->id));
	(void)snprintf(t->name, sizeof(t->name), "%s", c->name);
	list_append(&s->tasks, &t->node);
	r = start(t, c, mode == AWSVPC_ENFORCE);
	if (r < 0)
		log_event(LOG_ERR, &msg_failed, "container", c->name, "reason", strerror(-r));
}

void awsvpc_service_ended(struct awsvpc_service *s, const struct container *c)
{
	list_for_each(pos, &s->tasks) {
		struct task *t = container_of(pos, struct task, node);

		if (strcmp(t->id, c->id) != 0)
			continue;
		t->gone = true;
		t->id[0] = '\0';
		if (!t->end)
			task_free(t);
	}
}

void awsvpc_service_status(const struct awsvpc_service *s, enum imds_awsvpc mode, json_t *layers)
{
	for (int family = 0; family < 2; family++) {
		unsigned int n = 0, n_bad = 0;
		const char *state = "active";
		char reason[256] = "";
		json_t *j;

		list_for_each(pos, &s->tasks) {
			const struct task *t = container_of(pos, struct task, node);

			if (t->gone)
				continue;
			n++;
			if (t->result.road[family] != AWSVPC_OPEN && t->result.road[family] != AWSVPC_UNKNOWN)
				continue;
			if (n_bad++ == 0)
				(void)snprintf(reason, sizeof(reason), "%s: %s", t->name,
					       t->result.road[family] == AWSVPC_OPEN ? "its routes lead to IMDS" :
										       "cannot be looked at");
		}
		if (mode == AWSVPC_NO || n == 0) {
			state = "off";
			(void)snprintf(reason, sizeof(reason), "%s", n == 0 ? "no awsvpc task runs" : "awsvpc = no");
		} else if (n_bad > 0) {
			state = "degraded";
		}
		j = json_pack("{s:s, s:s, s:s}", "layer", "awsvpc", "family", family == 0 ? "ipv4" : "ipv6", "state", state);
		if (j && reason[0])
			json_object_set_new(j, "reason", json_text(reason));
		json_array_append_new(layers, j);
	}
}
