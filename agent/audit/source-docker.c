/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker's answers, read once: what the daemon is, every running container in full, every image in
 * short and those in use in full. One kept connection, a deadline over all of it. A container that
 * ends between the list and the question is left out; any other failure fails the source, for half
 * a list would look like a clean host.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "batten/host/docker.h"

#define MAX_CONTAINERS 2000
#define MAX_IMAGES_IN_FULL 200

struct reader {
	struct docker *docker;
	uint64_t end_ms; /* of the monotonic clock */
	json_t *document;
	struct diag *d;
};

static int ask(struct reader *r, const char *path, json_t **ret)
{
	uint64_t now = facts_now_ms();

	if (now >= r->end_ms)
		return diag_fail(r->d, -ETIMEDOUT, "Docker", "no answer in time");
	docker_set_timeout(r->docker, r->end_ms - now);
	return docker_get(r->docker, path, DOCKER_MAX_ANSWER, ret, r->d);
}

static int ask_into(struct reader *r, const char *name, const char *path)
{
	json_t *j = NULL;
	int e = ask(r, path, &j);

	if (e < 0)
		return e;
	return json_object_set_new(r->document, name, j) < 0 ? -ENOMEM : 0;
}

/* A question about an object that may be gone by now: -ENOENT then, with nothing in the diag. */
static int ask_object(struct reader *r, const char *before, const char *id, const char *after, json_t **ret)
{
	struct diag *d = r->d, quiet = { 0 };
	struct bytes b = { 0 };
	char *path;
	int e;

	bytes_append_str(&b, before);
	docker_escape(&b, id);
	bytes_append_str(&b, after);
	e = bytes_take(&b, &path, NULL);
	if (e < 0)
		return e;
	r->d = &quiet;
	e = ask(r, path, ret);
	r->d = d;
	free(path);
	if (e < 0 && e != -ENOENT && d && !d->what[0])
		*d = quiet;
	return e;
}

static int read_containers(struct reader *r)
{
	_cleanup_(json_freep) json_t *list = NULL;
	json_t *all = json_array(), *execs = json_object();
	const json_t *v;
	size_t i;
	int e;

	if (json_object_set_new(r->document, "containers", all) < 0 ||
	    json_object_set_new(r->document, "execs", execs) < 0)
		return -ENOMEM;
	e = ask(r, "/containers/json", &list);
	if (e < 0)
		return e;
	json_array_foreach(list, i, v) {
		const char *id = json_string_value(json_object_get(v, "Id"));
		const json_t *exec;
		json_t *inspect = NULL;
		size_t k;

		if (!id || i >= MAX_CONTAINERS)
			return diag_fail(r->d, -EPROTO, "Docker", "a list of containers that cannot be");
		e = ask_object(r, "/containers/", id, "/json", &inspect);
		if (e == -ENOENT)
			continue;
		if (e < 0)
			return e;
		json_array_append_new(all, inspect);
		json_array_foreach(json_object_get(inspect, "ExecIDs"), k, exec) {
			const char *exec_id = json_string_value(exec);
			json_t *j = NULL;

			if (exec_id && ask_object(r, "/exec/", exec_id, "/json", &j) == 0)
				json_object_set_new(execs, exec_id, j);
		}
	}
	return 0;
}

/* Several containers share an image: each is asked for once. */
static int read_images_in_use(struct reader *r)
{
	json_t *details = json_object();
	const json_t *v;
	size_t i;

	if (json_object_set_new(r->document, "image_details", details) < 0)
		return -ENOMEM;
	json_array_foreach(json_object_get(r->document, "containers"), i, v) {
		const char *id = json_string_value(json_object_get(v, "Image"));
		json_t *inspect = NULL, *history = NULL, *both;
		int e;

		if (!id || json_object_get(details, id) || json_object_size(details) >= MAX_IMAGES_IN_FULL)
			continue;
		e = ask_object(r, "/images/", id, "/json", &inspect);
		if (e == -ENOENT)
			continue;
		if (e < 0)
			return e;
		both = json_object();
		json_object_set_new(both, "inspect", inspect);
		e = ask_object(r, "/images/", id, "/history", &history);
		if (e == 0)
			json_object_set_new(both, "history", history);
		json_object_set_new(details, id, both);
	}
	return 0;
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

int source_docker_load(struct facts *f, json_t **ret, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *docker = NULL;
	_cleanup_(json_freep) json_t *document = json_object(), *bridge = NULL;
	struct reader r = { .end_ms = facts_now_ms() + f->deadline_ms, .document = document, .d = d };
	int e;

	if (!document)
		return -ENOMEM;
	e = docker_new(&docker, f->docker_url, d);
	if (e < 0)
		return e;
	r.docker = docker;
	e = ask_into(&r, "info", "/info");
	if (e < 0)
		return explain_absence(f, e, docker_socket(docker), d);
	e = ask_into(&r, "version", "/version");
	if (e >= 0)
		e = read_containers(&r);
	if (e >= 0)
		e = ask_into(&r, "images", "/images/json");
	if (e >= 0)
		e = read_images_in_use(&r);
	if (e < 0)
		return e == -ENOENT ? -EPROTO : e;
	/* The default bridge may have been switched off. */
	if (ask_object(&r, "/networks/", "bridge", "", &bridge) == 0)
		json_object_set(document, "bridge", bridge);
	*ret = take_ptr(document);
	return 0;
}
