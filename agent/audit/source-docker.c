/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker's answers, read once: what the daemon is, every running container in full, every image in
 * short and those in use in full. Three rounds of questions, each asked at once, under one deadline.
 * A container that ends between the list and the question is left out, and one whose answer cannot
 * be read stands there as such; any other failure fails the source, for half a list would look like a
 * clean host.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "batten/host/docker.h"

#define MAX_CONTAINERS 2000
#define MAX_LIST_BYTES (64 * 1024 * 1024) /* it holds the labels of all containers */
#define MAX_EXECS 2000
#define MAX_IMAGES_IN_FULL 200

/* A round: questions, and where their answers belong. */
struct round {
	struct docker_question *questions;
	struct place {
		json_t *into;	 /* an object, or an array without key; borrowed */
		const char *key; /* borrowed */
		enum { REQUIRED, MAY_BE_GONE, OPTIONAL } need;
		const json_t *listed; /* a container as the list has it; borrowed; else NULL */
	} *places;
	char **paths; /* those that are ours */
	size_t n, size;
};

static void round_done(struct round *r)
{
	for (size_t i = 0; i < r->n; i++) {
		json_decref(r->questions[i].answer);
		free(r->paths[i]);
	}
	free(r->questions);
	free(r->places);
	free(r->paths);
	*r = (struct round){ 0 };
}

static int grow(struct round *r)
{
	size_t size = r->size ? r->size * 2 : 64;
	void *questions, *places, *paths;

	questions = reallocarray(r->questions, size, sizeof(*r->questions));
	if (questions)
		r->questions = questions;
	places = reallocarray(r->places, size, sizeof(*r->places));
	if (places)
		r->places = places;
	paths = reallocarray(r->paths, size, sizeof(*r->paths));
	if (paths)
		r->paths = paths;
	if (!questions || !places || !paths)
		return -ENOMEM;
	r->size = size;
	return 0;
}

/* Puts a question about the object @id on the list. */
static int add(struct round *r, const char *before, const char *id, const char *after, struct place place)
{
	struct bytes b = { 0 };
	int e;

	if (r->n == r->size) {
		e = grow(r);
		if (e < 0)
			return e;
	}
	bytes_append_str(&b, before);
	docker_escape(&b, id);
	bytes_append_str(&b, after);
	e = bytes_take(&b, &r->paths[r->n], NULL);
	if (e < 0)
		return e;
	r->questions[r->n] = (struct docker_question){ .path = r->paths[r->n] };
	r->places[r->n++] = place;
	return 0;
}

/* What the list tells of a container whose own answer is not looked at: enough to name it. */
static json_t *unreadable(const json_t *listed, const char *reason)
{
	return json_pack("{s:O?, s:O?, s:O?, s:{s:O?, s:O?}, s:s}", "Id", json_object_get(listed, "Id"), "Name",
			 json_array_get(json_object_get(listed, "Names"), 0), "Image", json_object_get(listed, "ImageID"), "Config",
			 "Image", json_object_get(listed, "Image"), "Labels", json_object_get(listed, "Labels"),
			 CONTAINER_UNREADABLE, reason);
}

/* Is it about the container that was asked for? */
static bool is_about(const json_t *answer, const json_t *listed)
{
	return json_is_object(answer) && json_equal(json_object_get(answer, "Id"), json_object_get(listed, "Id"));
}

/* Return: 0, or the first failure that counts. */
static int ask(struct round *r, struct docker *docker, size_t max_bytes, uint64_t end_ms, struct diag *d)
{
	uint64_t now = facts_now_ms();
	struct diag why = { 0 };
	int e;

	if (now >= end_ms)
		return diag_fail(d, -ETIMEDOUT, "Docker", "no answer in time");
	docker_set_timeout(docker, end_ms - now);
	e = docker_get_many(docker, r->questions, r->n, max_bytes, &why);
	for (size_t i = 0; i < r->n && e >= 0; i++) {
		const struct place *p = &r->places[i];
		json_t *answer = r->questions[i].answer;

		int error = r->questions[i].error;

		if (p->listed && error == 0 && !is_about(answer, p->listed))
			error = -EPROTO;
		/* Memory is short for this one; what was taken for it has been given back. */
		if (p->listed && (error == -EMSGSIZE || error == -EPROTO || error == -ENOMEM)) {
			const char *reason = error == -EPROTO ? "Docker's answer about it makes no sense" :
								"Docker's answer about it is too large";

			if (json_array_append_new(p->into, unreadable(p->listed, reason)) < 0)
				e = -ENOMEM;
			continue;
		}
		if (error < 0 && p->need != OPTIONAL && !(p->need == MAY_BE_GONE && error == -ENOENT))
			e = error;
		else if (answer && p->key ? json_object_set(p->into, p->key, answer) < 0 :
					    answer && json_array_append(p->into, answer) < 0)
			e = -ENOMEM;
	}
	round_done(r);
	if (e < 0 && d)
		*d = why;
	return e;
}

/* What the daemon says of itself, and the lists that the other rounds go through. */
static int add_daemon(struct round *r, json_t *document)
{
	static const struct {
		const char *key, *path;
		int need;
	} rows[] = {
		{ "info", "/info", REQUIRED },
		{ "version", "/version", REQUIRED },
		{ "list", "/containers/json", REQUIRED },
		{ "images", "/images/json", REQUIRED },
		{ "bridge", "/networks/bridge", OPTIONAL }, /* may have been switched off */
		{ "networks", "/networks", OPTIONAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int e = add(r, rows[i].path, "", "", (struct place){ .into = document, .key = rows[i].key, .need = rows[i].need });

		if (e < 0)
			return e;
	}
	return 0;
}

/* Those that are left out are not even asked for. */
static int add_containers(struct round *r, const json_t *list, const json_t *left_out, json_t *into, struct diag *d)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *id = json_string_value(json_object_get(v, "Id")), *reason;
		int e;

		if (!id || i >= MAX_CONTAINERS)
			return diag_fail(d, -EPROTO, "Docker", "a list of containers that cannot be");
		reason = json_string_value(json_object_get(left_out, id));
		if (reason)
			e = json_array_append_new(into, unreadable(v, reason)) < 0 ? -ENOMEM : 0;
		else
			e = add(r, "/containers/", id, "/json",
				(struct place){ .into = into, .need = MAY_BE_GONE, .listed = v });
		if (e < 0)
			return e;
	}
	return 0;
}

static int add_execs(struct round *r, const json_t *container, json_t *into)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(container, "ExecIDs"), i, v) {
		const char *id = json_string_value(v);
		int e;

		if (!id || r->n >= MAX_EXECS)
			continue;
		e = add(r, "/exec/", id, "/json", (struct place){ .into = into, .key = id, .need = OPTIONAL });
		if (e < 0)
			return e;
	}
	return 0;
}

/* Several containers share an image: each is asked for once. */
static int add_image(struct round *r, const char *id, json_t *into)
{
	json_t *both = json_object();
	int e;

	if (json_object_set_new(into, id, both) < 0)
		return -ENOMEM;
	e = add(r, "/images/", id, "/json", (struct place){ .into = both, .key = "inspect", .need = MAY_BE_GONE });
	return e < 0 ? e : add(r, "/images/", id, "/history", (struct place){ .into = both, .key = "history", .need = OPTIONAL });
}

static int add_details(struct round *r, const json_t *left_out, json_t *document)
{
	json_t *execs = json_object(), *images = json_object();
	const json_t *v;
	size_t i;
	int e = 0;

	if (json_object_set_new(document, "execs", execs) < 0 ||
	    json_object_set_new(document, "image_details", images) < 0)
		return -ENOMEM;
	json_array_foreach(json_object_get(document, "containers"), i, v) {
		const char *id = json_string_value(json_object_get(v, "Image"));

		if (e >= 0)
			e = add_execs(r, v, execs);
		if (e >= 0 && id && !json_object_get(left_out, id) && !json_object_get(images, id) &&
		    json_object_size(images) < MAX_IMAGES_IN_FULL)
			e = add_image(r, id, images);
	}
	return e;
}

/* Nobody listens: is there no Docker, or is it down? A socket's remains and a client tell. */
static int explain_absence(struct facts *f, int e, const char *socket_path, struct diag *d)
{
	static const char *const traces[] = {
		"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/etc/docker", "/var/lib/docker",
	};
	struct stat st;

	if (e != -EHOSTDOWN || f->docker_url || getenv("DOCKER_HOST") || access(socket_path, F_OK) == 0)
		return e;
	for (size_t i = 0; i < ARRAY_SIZE(traces); i++)
		if (root_stat(&f->root, traces[i], true, &st) == 0)
			return e;
	*d = (struct diag){ 0 };
	return diag_fail(d, -ENOENT, NULL, "no Docker on this host");
}

/* What answers there may be no Docker: a list that is none would look like a host without containers. */
static int check_daemon(const json_t *document, const char *socket_path, struct diag *d)
{
	if (json_is_array(json_object_get(document, "list")) && json_is_array(json_object_get(document, "images")) &&
	    json_is_object(json_object_get(document, "info")) && json_is_object(json_object_get(document, "version")))
		return 0;
	return diag_fail(d, -EPROTO, socket_path, "what answers there does not answer as Docker does");
}

int source_docker_load(struct facts *f, json_t **ret, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *docker = NULL;
	_cleanup_(json_freep) json_t *document = json_object();
	_cleanup_(round_done) struct round r = { 0 };
	uint64_t end_ms = facts_now_ms() + f->deadline_ms;
	json_t *containers = json_array();
	int e;

	if (json_object_set_new(document, "containers", containers) < 0)
		return -ENOMEM;
	e = docker_new(&docker, f->docker_url, d);
	if (e < 0)
		return e;
	if (f->askers)
		docker_set_asker(docker, f->askers->docker, f->askers->user);
	e = add_daemon(&r, document);
	if (e >= 0)
		e = ask(&r, docker, MAX_LIST_BYTES, end_ms, d);
	if (e == 0 || e == -ENOENT)
		e = check_daemon(document, docker_socket(docker), d);
	if (e < 0)
		return explain_absence(f, e, docker_socket(docker), d);
	e = add_containers(&r, json_object_get(document, "list"), f->left_out, containers, d);
	if (e >= 0)
		e = ask(&r, docker, DOCKER_MAX_ANSWER, end_ms, d);
	if (e >= 0)
		e = add_details(&r, f->left_out, document);
	if (e >= 0)
		e = ask(&r, docker, DOCKER_MAX_ANSWER, end_ms, d);
	if (e < 0)
		return e == -ENOENT ? -EPROTO : e;
	*ret = take_ptr(document);
	return 0;
}
