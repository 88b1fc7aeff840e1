/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The list of containers, and the snapshot that the command line works on.
 */
#include "batten/host/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/json.h"

#define MAX_INSPECT (2 * 1024 * 1024)

void host_model_init(struct host_model *m)
{
	*m = (struct host_model){ 0 };
	list_init(&m->containers);
}

void host_model_done(struct host_model *m)
{
	host_model_each(pos, m)
		host_model_remove(m, host_container(pos));
}

void host_model_remove(struct host_model *m, struct container *c)
{
	list_remove(&c->node);
	m->n_containers--;
	container_free(c);
}

int host_model_put(struct host_model *m, struct container *c)
{
	struct container *old = host_model_find(m, c->id);

	if (old)
		host_model_remove(m, old);
	else if (m->n_containers >= MAX_CONTAINERS)
		return -E2BIG;
	list_append(&m->containers, &c->node);
	m->n_containers++;
	return 0;
}

struct container *host_model_find(const struct host_model *m, const char *id)
{
	host_model_each(pos, m)
		if (strcmp(host_container(pos)->id, id) == 0)
			return host_container(pos);
	return NULL;
}

struct container *host_model_find_address(const struct host_model *m, int family, const void *address)
{
	host_model_each(pos, m) {
		struct container *c = host_container(pos);

		for (size_t i = 0; c->running && i < c->n_networks; i++)
			if (family == AF_INET ? memcmp(&c->networks[i].ip4, address, 4) == 0 :
						memcmp(&c->networks[i].ip6, address, 16) == 0)
				return c;
	}
	return NULL;
}

struct container *host_model_find_cgroup(const struct host_model *m, uint64_t cgroup_id)
{
	host_model_each(pos, m)
		if (cgroup_id != 0 && container_has_group(host_container(pos), cgroup_id))
			return host_container(pos);
	return NULL;
}

/* Return: 0; also when the container is gone. */
static int add_one(struct host_model *m, struct docker *k, const char *id, unsigned int flags,
		   struct diag *d)
{
	_cleanup_(container_freep) struct container *c = NULL;
	_cleanup_(json_freep) json_t *j = NULL;
	char path[128];
	int r;

	(void)snprintf(path, sizeof(path), "/containers/%s/json", id);
	r = docker_get(k, path, MAX_INSPECT, &j, d);
	if (r == -ENOENT) {
		if (d)
			*d = (struct diag){ 0 };
		return 0;
	}
	if (r >= 0)
		r = container_parse(&c, j, flags, d);
	if (r >= 0)
		r = container_complete(c);
	if (r >= 0)
		r = host_model_put(m, c);
	if (r < 0)
		return r;
	(void)take_ptr(c);
	return 0;
}

int host_model_snapshot(struct host_model *m, struct docker *k, bool all, unsigned int flags,
			struct diag *d)
{
	_cleanup_(json_freep) json_t *list = NULL;
	json_t *row;
	size_t i;
	int r;

	r = docker_get(k, all ? "/containers/json?all=true" : "/containers/json", DOCKER_MAX_ANSWER, &list, d);
	if (r < 0)
		return r;
	if (!json_is_array(list))
		return diag_fail(d, -EPROTO, docker_socket(k), "Docker's list of containers is no list");
	json_array_foreach(list, i, row) {
		const char *id = json_string_value(json_object_get(row, "Id"));

		if (!id || !container_id_ok(id))
			return diag_fail(d, -EPROTO, docker_socket(k), "Docker lists a container without an id");
		r = add_one(m, k, id, flags, d);
		if (r < 0)
			return r;
	}
	return 0;
}
