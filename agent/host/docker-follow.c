/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * First the version, then the events, then the list, so that nothing that starts in between is missed;
 * each name leads to one inspect, one at a time. Whoever starts now goes before those that the list named:
 * it is refused, or not, until it is known. It may be gone by then: its event has named its image, which is
 * asked for instead.
 */
#include "batten/host/docker-follow.h"

#include <errno.h>
#include <string.h>

#include "batten/base/json.h"
#include "batten/host/model.h"
#include "host/docker-async.h"

#define FIRST_PAUSE_US 200000ull
#define LONGEST_PAUSE_US 30000000ull
#define MAX_MADE 64 /* that wait to be asked about; the others are known when they run */

/* Who is to be asked for. */
struct wanted {
	char id[CONTAINER_ID_SIZE];
	char *image; /* owned; of one that has started; else NULL */
};

struct docker_follow {
	sd_event *event; /* referenced */
	struct docker *docker;
	struct docker_async *events, *question; /* the question: any other */
	sd_event_source *again;
	uint64_t pause_us;
	bool followed, told;
	const struct docker_follow_calls *calls;
	void *user;
	/* Ids to be inspected, in order, each once; first those of events. Last: pages that nobody touches are none. */
	size_t n_made, n_urgent, n_queue;
	char made[MAX_MADE][CONTAINER_ID_SIZE]; /* before all others */
	struct wanted asked; /* whose inspect is being answered */
	struct wanted queue[MAX_CONTAINERS];
};

static void next_question(struct docker_follow *f);
static int on_again(sd_event_source *source, uint64_t usec, void *data);

static void tell(struct docker_follow *f, bool followed, const struct diag *d)
{
	if (f->told && f->followed == followed)
		return;
	f->told = true;
	f->followed = followed;
	f->calls->followed(f->user, followed, d);
}

/* on_again() after a pause that doubles. */
static void arm_again(struct docker_follow *f)
{
	int r;

	if (f->again) {
		r = sd_event_source_set_time_relative(f->again, f->pause_us);
		if (r >= 0)
			r = sd_event_source_set_enabled(f->again, SD_EVENT_ONESHOT);
	} else {
		r = sd_event_add_time_relative(f->event, &f->again, CLOCK_MONOTONIC, f->pause_us, 0, on_again, f);
	}
	(void)r; /* no memory for a timer: Docker stays away, and what runs is still followed */
	f->pause_us = MIN(f->pause_us * 2, LONGEST_PAUSE_US);
}

void docker_follow_again(struct docker_follow *f)
{
	f->pause_us = FIRST_PAUSE_US;
	arm_again(f);
}

static void empty_queue(struct docker_follow *f)
{
	for (size_t i = 0; i < f->n_queue; i++)
		free(f->queue[i].image);
	f->n_queue = f->n_urgent = f->n_made = 0;
}

/* Everything from the start, later. */
static void start_over(struct docker_follow *f, const struct diag *d)
{
	f->events = docker_async_free(f->events);
	f->question = docker_async_free(f->question);
	empty_queue(f);
	tell(f, false, d);
	if (!f->calls->await(f->user))
		arm_again(f);
}

/* The same from within the stream, which may not be freed there: on_again() does. */
static void start_over_soon(struct docker_follow *f, const struct diag *d)
{
	empty_queue(f);
	tell(f, false, d);
	arm_again(f);
}

static int ask(struct docker_follow *f, struct docker_async **ret, enum follow_question q, const char *name,
	       docker_async_fn fn, struct diag *d)
{
	int fd = f->calls->ask(f->user, q, docker_api_minor(f->docker), name, d);

	return fd < 0 ? fd : docker_async_new(ret, f->event, f->docker, q, fd, fn, f, d);
}

/* Return: what stood there; its image is the caller's */
static struct wanted take_out(struct docker_follow *f, size_t i)
{
	struct wanted w = f->queue[i];

	f->n_queue--;
	memmove(f->queue + i, f->queue + i + 1, (f->n_queue - i) * sizeof(*f->queue));
	if (i < f->n_urgent)
		f->n_urgent--;
	return w;
}

/* @image: of one that has started, else NULL */
static void enqueue(struct docker_follow *f, const char *id, bool urgent, const char *image)
{
	struct wanted w = { 0 };
	size_t at;

	if (!id || !container_id_ok(id))
		return;
	for (size_t i = 0; i < f->n_queue; i++) {
		if (strcmp(f->queue[i].id, id) != 0)
			continue;
		if (image && !f->queue[i].image)
			f->queue[i].image = strdup(image);
		if (!urgent || i < f->n_urgent)
			return;
		w = take_out(f, i);
		break;
	}
	if (f->n_queue >= MAX_CONTAINERS)
		return;
	if (!w.id[0]) {
		memcpy(w.id, id, CONTAINER_ID_SIZE);
		w.image = image ? strdup(image) : NULL;
	}
	at = urgent ? f->n_urgent++ : f->n_queue;
	memmove(f->queue + at + 1, f->queue + at, (f->n_queue - at) * sizeof(*f->queue));
	f->queue[at] = w;
	f->n_queue++;
}

static bool is_lost(int error)
{
	return error == -ETIMEDOUT || error == -ECONNRESET || error == -EHOSTDOWN;
}

/* What is known of a container that Docker has removed: the image that its event named, and that image's digest. */
static void on_image(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct docker_follow *f = user;
	_cleanup_(docker_async_freep) struct docker_async *done = take_ptr(f->question); /* has @text */
	_cleanup_(json_freep) json_t *image = NULL, *inspect = NULL;
	struct container *c;

	(void)done;
	if (is_lost(error)) {
		start_over(f, d);
		return;
	}
	if (error == 0 && json_parse_answer(text, n, "image", &image, NULL) == 0)
		inspect = json_pack("{s:s, s:O, s:{s:s}}", "Id", f->asked.id, "Image", json_object_get(image, "Id"), "Config",
				    "Image", f->asked.image);
	if (inspect && container_parse(&c, inspect, 0, NULL) == 0)
		f->calls->over(f->user, c);
	next_question(f);
}

/* What it says of one container is its own affair: nonsense there does not stop the others. */
static void on_inspect(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct docker_follow *f = user;
	_cleanup_(docker_async_freep) struct docker_async *done = take_ptr(f->question); /* has @text */
	_cleanup_(json_freep) json_t *j = NULL;
	const char *image = f->asked.image;
	struct diag why = { 0 };
	struct container *c;

	(void)done;
	if (is_lost(error)) {
		start_over(f, d);
		return;
	}
	if (error == -ENOENT && image && image_name_ok(image)) {
		if (ask(f, &f->question, FOLLOW_IMAGE, image, on_image, &why) < 0)
			start_over(f, &why);
		return;
	}
	if (error == 0 && json_parse_answer(text, n, "container", &j, NULL) == 0 && container_parse(&c, j, 0, NULL) == 0) {
		c->inspect_text = strndup(text, n);
		/* It was started, if we were told so, and not for long. One that waits for its next start "runs" without a pid. */
		if (image && (!c->running || c->pid <= 0))
			f->calls->over(f->user, c);
		else
			f->calls->container(f->user, c);
	}
	next_question(f);
}

/* A row of Docker's list, in the shape of an inspect as far as it goes. NULL: it runs, or is no row. */
static json_t *as_inspect(json_t *row)
{
	const char *state = json_string_value(json_object_get(row, "State"));

	if (!state || strcmp(state, "created") != 0)
		return NULL;
	return json_pack("{s:O?, s:O?, s:O?, s:{s:O?, s:O?}, s:{s:b, s:i}, s:O?, s:O?}", "Id", json_object_get(row, "Id"),
			 "Name", json_array_get(json_object_get(row, "Names"), 0), "Image", json_object_get(row, "ImageID"),
			 "Config", "Image", json_object_get(row, "Image"), "Labels", json_object_get(row, "Labels"), "State",
			 "Running", 0, "Pid", 0, "HostConfig", json_object_get(row, "HostConfig"), "Mounts",
			 json_object_get(row, "Mounts"));
}

static void on_made(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct docker_follow *f = user;
	_cleanup_(docker_async_freep) struct docker_async *done = take_ptr(f->question); /* has @text */
	_cleanup_(json_freep) json_t *list = NULL, *row = NULL;
	struct container *c;

	(void)done;
	if (is_lost(error)) {
		start_over(f, d);
		return;
	}
	if (error == 0 && json_parse_answer(text, n, "container", &list, NULL) == 0)
		row = as_inspect(json_array_get(list, 0));
	if (row && container_parse(&c, row, 0, NULL) == 0)
		f->calls->container(f->user, c);
	next_question(f);
}

static void next_question(struct docker_follow *f)
{
	char id[CONTAINER_ID_SIZE];
	struct diag d = { 0 };
	bool made = f->n_made > 0;

	if (f->question || (!made && f->n_queue == 0))
		return;
	if (made) {
		memcpy(id, f->made[0], sizeof(id));
		memmove(f->made, f->made + 1, --f->n_made * sizeof(*f->made));
	} else {
		free(f->asked.image);
		f->asked = take_out(f, 0);
		memcpy(id, f->asked.id, sizeof(id));
	}
	if (ask(f, &f->question, made ? FOLLOW_MADE : FOLLOW_INSPECT, id, made ? on_made : on_inspect, &d) < 0)
		start_over_soon(f, &d);
}

/* The names in Docker's list, for the callee, and into the queue. */
static int take_list(struct docker_follow *f, const json_t *list)
{
	size_t n = MIN(json_array_size(list), (size_t)MAX_CONTAINERS), n_ids = 0;
	_cleanup_(freep) char (*ids)[CONTAINER_ID_SIZE] = calloc(n + 1, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *id = json_string_value(json_object_get(json_array_get(list, i), "Id"));

		if (!id || !container_id_ok(id))
			continue;
		memcpy(ids[n_ids++], id, CONTAINER_ID_SIZE);
		enqueue(f, id, false, NULL);
	}
	f->calls->listed(f->user, (const char(*)[CONTAINER_ID_SIZE])ids, n_ids);
	return 0;
}

static void on_list(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct docker_follow *f = user;
	_cleanup_(docker_async_freep) struct docker_async *done = take_ptr(f->question); /* has @text */
	_cleanup_(json_freep) json_t *list = NULL;
	struct diag why = { 0 };

	(void)done;
	if (error == 0 && json_parse_answer(text, n, "Docker's list of containers", &list, &why) < 0)
		error = -EPROTO;
	if (error == 0 && !json_is_array(list))
		error = diag_fail(&why, -EPROTO, docker_socket(f->docker), "Docker's list of containers is no list");
	if (error == 0)
		error = take_list(f, list);
	if (error < 0) {
		start_over(f, why.what[0] ? &why : d);
		return;
	}
	f->pause_us = FIRST_PAUSE_US;
	tell(f, true, NULL);
	next_question(f);
}

/* Of Docker's many actions, those after which something that we know is different. */
static void take_event(struct docker_follow *f, const json_t *event)
{
	static const char *const changes[] = { "start", "unpause", "pause", "rename", "update" };
	const char *type = json_string_value(json_object_get(event, "Type"));
	const char *action = json_string_value(json_object_get(event, "Action"));
	const json_t *actor = json_object_get(event, "Actor"), *attributes = json_object_get(actor, "Attributes");
	const char *id = json_string_value(json_object_get(actor, "ID"));

	if (!type || !action || !id)
		return;
	if (strcmp(type, "network") == 0) {
		if (strcmp(action, "connect") == 0 || strcmp(action, "disconnect") == 0)
			enqueue(f, json_string_value(json_object_get(attributes, "container")), true, NULL);
		return;
	}
	if (strcmp(type, "container") != 0)
		return;
	if ((strcmp(action, "die") == 0 || strcmp(action, "destroy") == 0) && container_id_ok(id))
		f->calls->ended(f->user, id);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		if (strcmp(action, changes[i]) == 0)
			enqueue(f, id, true, i == 0 ? json_string_value(json_object_get(attributes, "image")) : NULL);
	/* Made, and not by the ECS agent: perhaps it is the agent. */
	if (strcmp(action, "create") == 0 && f->n_made < MAX_MADE && container_id_ok(id) &&
	    !json_object_get(attributes, "com.amazonaws.ecs.task-arn"))
		memcpy(f->made[f->n_made++], id, CONTAINER_ID_SIZE);
}

static void on_event(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	_cleanup_(json_freep) json_t *event = NULL;
	struct docker_follow *f = user;
	struct diag why = { 0 };

	if (error < 0) {
		start_over(f, d);
		return;
	}
	if (!text) { /* accepted: now the list */
		if (ask(f, &f->question, FOLLOW_LIST, NULL, on_list, &why) < 0)
			start_over_soon(f, &why);
		return;
	}
	if (json_parse_answer(text, n, "event", &event, NULL) == 0) {
		take_event(f, event);
		if (f->followed)
			next_question(f);
	}
}

static void on_ping(void *user, int error, const char *text, size_t n, const struct diag *d)
{
	struct docker_follow *f = user;
	struct diag why = { 0 };

	f->question = docker_async_free(f->question);
	if (error < 0) {
		start_over(f, d);
		return;
	}
	if (ask(f, &f->events, FOLLOW_EVENTS, NULL, on_event, &why) < 0)
		start_over(f, &why);
}

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct docker_follow *f = data;
	struct diag d = { 0 };

	f->events = docker_async_free(f->events);
	f->question = docker_async_free(f->question);
	if (ask(f, &f->question, FOLLOW_PING, NULL, on_ping, &d) < 0)
		start_over(f, &d);
	return 0;
}

int docker_follow_new(struct docker_follow **ret, sd_event *event, const char *url,
		      const struct docker_follow_calls *calls, void *user, struct diag *d)
{
	_cleanup_(docker_follow_freep) struct docker_follow *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->event = sd_event_ref(event);
	f->calls = calls;
	f->user = user;
	f->pause_us = FIRST_PAUSE_US;
	r = docker_new(&f->docker, url, d);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &f->again, CLOCK_MONOTONIC, 0, 0, on_again, f);
	if (r < 0)
		return r;
	*ret = take_ptr(f);
	return 0;
}

struct docker_follow *docker_follow_free(struct docker_follow *f)
{
	if (!f)
		return NULL;
	docker_async_free(f->events);
	docker_async_free(f->question);
	(void)sd_event_source_disable_unref(f->again);
	empty_queue(f);
	free(f->asked.image);
	docker_free(f->docker);
	(void)sd_event_unref(f->event);
	free(f);
	return NULL;
}
