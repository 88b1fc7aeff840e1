/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Arguments turned into one observation.
 */
#include "cli/seccomp-input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/host/docker.h"
#include "batten/seccomp/observation-store.h"

const char *seccomp_state(const struct invocation *inv)
{
	const char *dir = invocation_value(inv, "state");

	return dir ? dir : STORE_DIRECTORY;
}

/* A container's name: its image, as Docker knows it. */
static int load_container(const struct invocation *inv, const char *name, struct observation **ret, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *docker = NULL;
	_cleanup_(json_freep) json_t *j = NULL;
	_cleanup_(freep) char *path = NULL;
	struct bytes b = { 0 };
	const char *image;
	int r;

	bytes_append_str(&b, "/containers/");
	docker_escape(&b, name);
	bytes_append_str(&b, "/json");
	r = bytes_take(&b, &path, NULL);
	if (r == 0)
		r = docker_new(&docker, invocation_value(inv, "docker"), NULL);
	if (r == 0)
		r = docker_get(docker, path, DOCKER_MAX_ANSWER, &j, NULL);
	image = r == 0 ? json_string_value(json_object_get(j, "Image")) : NULL;
	return image ? observation_store_find(seccomp_state(inv), image, ret, d) : -ENOENT;
}

/* From the store, by image or by a container of it. The first reason stays when neither fits. */
static int load_stored(const struct invocation *inv, const char *name, struct observation **ret, struct diag *d)
{
	int r = observation_store_find(seccomp_state(inv), name, ret, d);

	if (r == -ENOENT && load_container(inv, name, ret, d) == 0)
		r = 0;
	return r;
}

int seccomp_input_add(const struct invocation *inv, const char *name, struct observation *into, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	int r;

	if (strcmp(name, "-") == 0 || access(name, F_OK) == 0 || strchr(name, '/') == name)
		r = observation_read(name, &o, d);
	else
		r = load_stored(inv, name, &o, d);
	return r == 0 ? observation_merge(into, o, d) : r;
}

int seccomp_input_load(const struct invocation *inv, unsigned int first, struct observation **ret, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *all = observation_new();

	if (!all)
		return -ENOMEM;
	for (unsigned int i = first; i < inv->n_args; i++) {
		int r = seccomp_input_add(inv, inv->args[i], all, d);

		if (r < 0)
			return r;
	}
	*ret = take_ptr(all);
	return 0;
}

struct union_of_all {
	struct observation *all;
	struct diag *d;
	size_t n;
};

static int add_one(void *userdata, const char *digest, const struct observation *o)
{
	struct union_of_all *u = userdata;

	u->n++;
	return observation_merge(u->all, o, u->d);
}

int seccomp_load_host(const struct invocation *inv, struct observation **ret, size_t *ret_n, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *all = observation_new();
	struct union_of_all u = { all, d, 0 };
	int r;

	if (!all)
		return -ENOMEM;
	r = observation_store_each(seccomp_state(inv), add_one, &u, d);
	if (r < 0)
		return r;
	if (u.n == 0)
		return diag_fail(d, -ENOENT, seccomp_state(inv), "no image was observed yet; set observe = yes in [seccomp]");
	*ret_n = u.n;
	*ret = take_ptr(all);
	return 0;
}
