/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Following Docker. Where its socket is not there, the directory is watched for it; where nobody
 * answers, a timer tries again with growing pauses. Then first the events, then the list, so that nothing that starts in between is
 * missed; each name leads to one inspect, one at a time. Who ends is told by a descriptor of its
 * first process, which does not depend on Docker; "die" and a list without it end it as well.
 */
#include "batten/host/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "host/docker-async.h"

#define MAX_LINE (256 * 1024)	     /* an event carries the container's labels */
#define MAX_INSPECT (2 * 1024 * 1024)
#define FIRST_PAUSE_US 200000ull
#define LONGEST_PAUSE_US 30000000ull

#define EVENTS_PATH "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D"

/* What the watch has beside the container itself. */
struct follow {
	struct list node;
	char id[CONTAINER_ID_SIZE];
	struct host_watch *watch;
	sd_event_source *end; /* NULL where the kernel has no pidfd_open() */
	int pidfd;
};

struct host_watch {
	sd_event *event; /* referenced */
	struct docker *docker;
	struct docker_async *events, *question; /* the question: ping, list or inspect */
	sd_event_source *again, *appears;
	uint64_t pause_us;
	bool followed, told;
	struct host_model model;
	struct list follows;
	/* Ids to be inspected, in order, each once. */
	char (*queue)[CONTAINER_ID_SIZE];
	size_t n_queue, size_queue;
	const struct host_watch_calls *calls;
	void *user;
};

static void next_inspect(struct host_watch *w);

/* ---- containers come and go ------------------------------------------------------------------ */

static struct follow *follow_free(struct follow *f)
{
	list_remove(&f->node);
	(void)sd_event_source_disable_unref(f->end);
	(void)fd_close(f->pidfd);
	free(f);
	return NULL;
}

static void end_container(struct host_watch *w, const char *id)
{
	struct container *c = host_model_find(&w->model, id);

	list_for_each(pos, &w->follows) {
		struct follow *f = container_of(pos, struct follow, node);

		if (strcmp(f->id, id) == 0)
			follow_free(f);
	}
	if (!c)
		return;
	w->calls->ended(w->user, c);
	host_model_remove(&w->model, c);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct follow *f = data;
	char id[CONTAINER_ID_SIZE];

	memcpy(id, f->id, sizeof(id));
	end_container(f->watch, id);
	return 0;
}

static int follow_process(struct host_watch *w, const struct container *c)
{
	struct follow *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	list_init(&f->node);
	f->watch = w;
	memcpy(f->id, c->id, sizeof(f->id));
	f->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (f->pidfd < 0 && errno == ESRCH) {
		follow_free(f);
		return -ESRCH;
	}
	if (f->pidfd >= 0) {
		r = sd_event_add_io(w->event, &f->end, f->pidfd, EPOLLIN, on_end, f);
		if (r < 0) {
			follow_free(f);
			return r;
		}
	}
	list_append(&w->follows, &f->node);
	return 0;
}

static bool is_followed(struct host_watch *w, const char *id)
{
	list_for_each(pos, &w->follows)
		if (strcmp(container_of(pos, struct follow, node)->id, id) == 0)
			return true;
	return false;
}

/* Takes over what Docker says of a container. */
static void take_container(struct host_watch *w, struct container *c)
{
	const struct container *old = host_model_find(&w->model, c->id);

	/* Restarted: another process, hence another cgroup and perhaps another address. */
	if (old && (!c->running || old->pid != c->pid))
		end_container(w, c->id);
	if (!c->running || c->pid <= 0 || container_complete(c) < 0 || c->netns == 0 ||
	    (!is_followed(w, c->id) && follow_process(w, c) < 0) || host_model_put(&w->model, c) < 0) {
		container_free(c);
		return;
	}
	w->calls->runs(w->user, c);
	/* Whole, it takes fifty times the room of what is kept. */
	json_decref(c->inspect);
	c->inspect = NULL;
}

/* ---- the connection -------------------------------------------------------------------------- */

static int on_again(sd_event_source *source, uint64_t usec, void *data);

static void tell(struct host_watch *w, bool followed, const struct diag *d)
{
	if (w->told && w->followed == followed)
		return;
	w->told = true;
	w->followed = followed;
	w->calls->docker(w->user, followed, d);
}

/* on_again() after a pause that doubles. */
static void arm_again(struct host_watch *w)
{
	int r;

	if (w->again) {
		r = sd_event_source_set_time_relative(w->again, w->pause_us);
		if (r >= 0)
			r = sd_event_source_set_enabled(w->again, SD_EVENT_ONESHOT);
	} else {
		r = sd_event_add_time_relative(w->event, &w->again, CLOCK_MONOTONIC, w->pause_us, 0, on_again, w);
	}
	(void)r; /* no memory for a timer: Docker stays away, and what runs is still followed */
	w->pause_us = MIN(w->pause_us * 2, LONGEST_PAUSE_US);
}

static int on_appears(sd_event_source *source, const struct inotify_event *e, void *data)
{
	struct host_watch *w = data;
	const char *slash = strrchr(docker_socket(w->docker), '/');

	if (e->len > 0 && strcmp(e->name, slash + 1) != 0)
		return 0;
	w->appears = sd_event_source_disable_unref(w->appears);
	w->pause_us = FIRST_PAUSE_US;
	arm_again(w);
	return 0;
}

/* Is there no socket, and will we be told when there is one? */
static bool await_socket(struct host_watch *w)
{
	const char *path = docker_socket(w->docker), *slash = strrchr(path, '/');
	char directory[128];

	(void)snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path);
	if (!w->appears && sd_event_add_inotify(w->event, &w->appears, directory, IN_CREATE | IN_MOVED_TO, on_appears,
						w) < 0)
		return false;
	/* Looked at after the watch stands: what was made in between is seen here. */
	if (access(path, F_OK) < 0)
		return true;
	w->appears = sd_event_source_disable_unref(w->appears);
	return false;
}

/* Everything from the start, later. What runs stays followed. */
static void start_over(struct host_watch *w, const struct diag *d)
{
	w->events = docker_async_free(w->events);
	w->question = docker_async_free(w->question);
	w->n_queue = 0;
	tell(w, false, d);
	if (!await_socket(w))
		arm_again(w);
}

static void enqueue(struct host_watch *w, const char *id)
{
	if (!id || !container_id_ok(id) || w->n_queue >= MAX_CONTAINERS)
		return;
	for (size_t i = 0; i < w->n_queue; i++)
		if (strcmp(w->queue[i], id) == 0)
			return;
	if (w->n_queue == w->size_queue) {
		size_t size = w->size_queue ? 2 * w->size_queue : 16;
		void *grown = reallocarray(w->queue, size, sizeof(*w->queue));

		if (!grown)
			return;
		w->queue = grown;
		w->size_queue = size;
	}
	memcpy(w->queue[w->n_queue++], id, CONTAINER_ID_SIZE);
}

static void on_inspect(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct host_watch *w = user;
	_cleanup_(docker_async_freep) struct docker_async *done = take_ptr(w->question); /* has @text */
	_cleanup_(json_freep) json_t *j = NULL;
	struct container *c;

	(void)done;
	if (error == -ETIMEDOUT || error == -ECONNRESET || error == -EHOSTDOWN) {
		start_over(w, d);
		return;
	}
	/* What it says of one container is its own affair: nonsense there does not stop the others. */
	if (error == 0 && json_parse_answer(text, n, "container", &j, NULL) == 0 && container_parse(&c, j, CONTAINER_KEEP_INSPECT, NULL) == 0)
		take_container(w, c);
	next_inspect(w);
}

static void next_inspect(struct host_watch *w)
{
	struct diag d = { 0 };
	char path[128];

	while (!w->question && w->n_queue > 0) {
		(void)snprintf(path, sizeof(path), "/containers/%s/json", w->queue[0]);
		w->n_queue--;
		memmove(w->queue, w->queue + 1, w->n_queue * sizeof(*w->queue));
		if (docker_async_get(&w->question, w->event, w->docker, path, MAX_INSPECT, on_inspect, w, &d) < 0) {
			start_over(w, &d);
			return;
		}
	}
}

/* Ends what Docker does not list any more. */
static void sweep(struct host_watch *w, const json_t *list)
{
	host_model_each(pos, &w->model) {
		const char *id = host_container(pos)->id;
		bool listed = false;
		json_t *row;
		size_t i;

		json_array_foreach(list, i, row) {
			const char *other = json_string_value(json_object_get(row, "Id"));

			listed = listed || (other && strcmp(other, id) == 0);
		}
		if (!listed) {
			char copy[CONTAINER_ID_SIZE];

			memcpy(copy, id, sizeof(copy));
			end_container(w, copy);
		}
	}
}

static void on_list(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct host_watch *w = user;
	_cleanup_(docker_async_freep) struct docker_async *done = take_ptr(w->question); /* has @text */
	_cleanup_(json_freep) json_t *list = NULL;
	struct diag why = { 0 };
	json_t *row;
	size_t i;

	(void)done;
	if (error == 0 && json_parse_answer(text, n, "Docker's list of containers", &list, &why) < 0)
		error = -EPROTO;
	if (error == 0 && !json_is_array(list))
		error = diag_fail(&why, -EPROTO, docker_socket(w->docker), "Docker's list of containers is no list");
	if (error < 0) {
		start_over(w, why.what[0] ? &why : d);
		return;
	}
	sweep(w, list);
	json_array_foreach(list, i, row) {
		enqueue(w, json_string_value(json_object_get(row, "Id")));
	}
	w->pause_us = FIRST_PAUSE_US;
	tell(w, true, NULL);
	next_inspect(w);
}

/* Of Docker's many actions, those after which something that we know is different. */
static void take_event(struct host_watch *w, const json_t *event)
{
	static const char *const changes[] = { "start", "unpause", "pause", "rename", "update" };
	const char *type = json_string_value(json_object_get(event, "Type"));
	const char *action = json_string_value(json_object_get(event, "Action"));
	const json_t *actor = json_object_get(event, "Actor");
	const char *id = json_string_value(json_object_get(actor, "ID"));

	if (!type || !action || !id)
		return;
	if (strcmp(type, "network") == 0) {
		if (strcmp(action, "connect") == 0 || strcmp(action, "disconnect") == 0)
			enqueue(w, json_string_value(json_object_get(json_object_get(actor, "Attributes"), "container")));
		return;
	}
	if (strcmp(type, "container") != 0)
		return;
	if (strcmp(action, "die") == 0 || strcmp(action, "destroy") == 0)
		end_container(w, id);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		if (strcmp(action, changes[i]) == 0)
			enqueue(w, id);
}

static void on_event(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	_cleanup_(json_freep) json_t *event = NULL;
	struct host_watch *w = user;
	struct diag why = { 0 };

	if (error < 0) {
		start_over(w, d);
		return;
	}
	if (!text) { /* accepted: now the list */
		if (docker_async_get(&w->question, w->event, w->docker, "/containers/json", DOCKER_MAX_ANSWER, on_list,
				     w, &why) < 0) {
			tell(w, false, &why);
			arm_again(w); /* the stream may not be freed from within */
		}
		return;
	}
	if (json_parse_answer(text, n, "event", &event, NULL) == 0) {
		take_event(w, event);
		if (w->followed)
			next_inspect(w);
	}
}

static void on_ping(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct host_watch *w = user;
	struct diag why = { 0 };

	w->question = docker_async_free(w->question);
	if (error < 0) {
		start_over(w, d);
		return;
	}
	if (docker_async_lines(&w->events, w->event, w->docker, EVENTS_PATH, MAX_LINE, on_event, w, &why) < 0)
		start_over(w, &why);
}

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct host_watch *w = data;
	struct diag d = { 0 };

	w->events = docker_async_free(w->events);
	w->question = docker_async_free(w->question);
	if (docker_async_get(&w->question, w->event, w->docker, "/_ping", 4096, on_ping, w, &d) < 0)
		start_over(w, &d);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int host_watch_new(struct host_watch **ret, sd_event *event, const char *url,
		   const struct host_watch_calls *calls, void *user, struct diag *d)
{
	_cleanup_(host_watch_freep) struct host_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	host_model_init(&w->model);
	list_init(&w->follows);
	w->event = sd_event_ref(event);
	w->calls = calls;
	w->user = user;
	w->pause_us = FIRST_PAUSE_US;
	r = docker_new(&w->docker, url, d);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &w->again, CLOCK_MONOTONIC, 0, 0, on_again, w);
	if (r < 0)
		return r;
	*ret = take_ptr(w);
	return 0;
}

struct host_watch *host_watch_free(struct host_watch *w)
{
	if (!w)
		return NULL;
	docker_async_free(w->events);
	docker_async_free(w->question);
	(void)sd_event_source_disable_unref(w->again);
	(void)sd_event_source_disable_unref(w->appears);
	list_for_each(pos, &w->follows)
		follow_free(container_of(pos, struct follow, node));
	host_model_done(&w->model);
	docker_free(w->docker);
	free(w->queue);
	(void)sd_event_unref(w->event);
	free(w);
	return NULL;
}

const struct host_model *host_watch_model(const struct host_watch *w)
{
	return &w->model;
}
