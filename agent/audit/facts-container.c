/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Containers and images as checks want them: Docker's answers joined with the process table. A
 * process belongs to the container whose id stands in its cgroup path, so that what `docker exec`
 * started and what outlived its parent are seen too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit/facts-internal.h"
#include "batten/host/container.h"

#define ID_LENGTH 64

const char *container_id_in_cgroup(const char *path)
{
	const char *found = NULL;
	size_t run = 0;

	for (const char *p = path; *p; p++) {
		bool hex = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f');

		run = hex ? run + 1 : 0;
		if (run == ID_LENGTH)
			found = p + 1 - ID_LENGTH;
	}
	return found;
}

static const char *label(const json_t *config, const char *name)
{
	return json_string_value(json_object_get(json_object_get(config, "Labels"), name));
}

/* What a container is for says the host model; an answer that it cannot read is a plain container. */
static void set_role(struct container_facts *c)
{
	_cleanup_(container_freep) struct container *parsed = NULL;

	if (!container_may_be_of_ecs(c->inspect) || container_parse(&parsed, (json_t *)c->inspect, 0, NULL) < 0)
		return;
	c->is_agent = parsed->role == ROLE_ECS_AGENT;
	c->is_pause = parsed->role == ROLE_ECS_PAUSE;
	/*
	 * ECS makes none that is privileged to hold a network: whoever calls his so is judged like all others, and
	 * so is one of which nobody knows.
	 */
	c->is_platform = !c->unreadable && (parsed->role == ROLE_ECS_INTERNAL || (c->is_pause && !c->privileged));
}

static void build_container(struct facts *f, struct container_facts *c, const json_t *inspect)
{
	const char *name = facts_json_string(inspect, "Name", "");
	const json_t *config = json_object_get(inspect, "Config");
	const json_t *host_config = json_object_get(inspect, "HostConfig");

	c->inspect = inspect;
	c->config = json_is_object(config) ? config : f->empty;
	c->host_config = json_is_object(host_config) ? host_config : f->empty;
	c->id = facts_json_string(inspect, "Id", "");
	(void)facts_subject(f, c->id);
	c->name = name + (name[0] == '/');
	c->image = facts_json_string(c->config, "Image", "");
	c->image_id = facts_json_string(inspect, "Image", "");
	c->task_arn = label(c->config, LABEL_TASK_ARN);
	c->family = label(c->config, LABEL_FAMILY);
	c->revision = label(c->config, LABEL_REVISION);
	c->ecs_name = label(c->config, LABEL_CONTAINER_NAME);
	c->pid = (pid_t)facts_json_int(inspect, "State.Pid", 0);
	c->privileged = facts_json_true(c->host_config, "Privileged");
	c->unreadable = json_string_value(json_object_get(inspect, CONTAINER_UNREADABLE));
	set_role(c);
}

/* The first process leads, whatever its number. */
static void lead_with_first(const struct process_facts **list, size_t n, pid_t first)
{
	for (size_t i = 1; i < n; i++) {
		if (list[i]->pid == first) {
			const struct process_facts *p = list[i];

			memmove(list + 1, list, i * sizeof(*list));
			list[0] = p;
			return;
		}
	}
}

static int by_id(const void *a, const void *b)
{
	const struct container_facts *const *x = a, *const *y = b;

	return strncmp((*x)->id, (*y)->id, ID_LENGTH);
}

static int by_pid(const void *a, const void *b)
{
	const struct container_facts *const *x = a, *const *y = b;

	return ((*x)->pid > (*y)->pid) - ((*x)->pid < (*y)->pid);
}

static struct container_facts *find(struct container_facts **sorted, size_t n, const struct container_facts *key,
				    int (*compare)(const void *, const void *))
{
	struct container_facts **found = bsearch(&key, sorted, n, sizeof(struct container_facts *), compare);

	return found ? *found : NULL;
}

/* Whose process each is: by the id in its cgroup, else because Docker calls it the first one. */
static void find_owners(struct facts *f, const struct process_facts *all, size_t n, struct container_facts **owner,
			struct container_facts **ids, struct container_facts **pids)
{
	size_t n_containers = f->n_containers;

	for (size_t i = 0; i < n_containers; i++)
		ids[i] = pids[i] = &f->containers[i];
	qsort(ids, n_containers, sizeof(struct container_facts *), by_id);
	qsort(pids, n_containers, sizeof(struct container_facts *), by_pid);
	for (size_t i = 0; i < n; i++) {
		struct container_facts key = { .id = container_id_in_cgroup(all[i].cgroup), .pid = all[i].pid };

		if (key.id)
			owner[i] = find(ids, n_containers, &key, by_id);
		if (!owner[i])
			owner[i] = find(pids, n_containers, &key, by_pid);
		if (owner[i])
			owner[i]->n_processes++;
	}
}

static void join_processes(struct facts *f)
{
	struct container_facts **owner, **ids, **pids;
	const struct process_facts *all, **lists;
	size_t n = facts_processes(f, &all), used = 0;

	owner = arena_alloc(&f->arena, (n + 1) * sizeof(struct container_facts *));
	lists = arena_alloc(&f->arena, (n + 1) * sizeof(*lists));
	ids = arena_alloc(&f->arena, (f->n_containers + 1) * sizeof(struct container_facts *));
	pids = arena_alloc(&f->arena, (f->n_containers + 1) * sizeof(struct container_facts *));
	if (!owner || !lists || !ids || !pids)
		return;
	find_owners(f, all, n, owner, ids, pids);
	for (size_t k = 0; k < f->n_containers; k++) {
		struct container_facts *c = &f->containers[k];

		c->processes = lists + used;
		used += c->n_processes;
		c->n_processes = 0;
	}
	for (size_t i = 0; i < n; i++)
		if (owner[i])
			((const struct process_facts **)owner[i]->processes)[owner[i]->n_processes++] = &all[i];
	for (size_t k = 0; k < f->n_containers; k++)
		lead_with_first((const struct process_facts **)f->containers[k].processes, f->containers[k].n_processes,
				f->containers[k].pid);
}

static void build_containers(struct facts *f, const json_t *docker)
{
	const json_t *list = json_object_get(docker, "containers"), *inspect;
	const char *before = f->subject;
	size_t i;

	f->containers = arena_alloc(&f->arena, (json_array_size(list) + 1) * sizeof(*f->containers));
	if (!f->containers)
		return;
	json_array_foreach(list, i, inspect) {
		if (json_is_object(inspect))
			build_container(f, &f->containers[f->n_containers++], inspect);
	}
	(void)facts_subject(f, before);
	join_processes(f);
}

static void build_image(struct facts *f, struct image_facts *m, const json_t *summary, const json_t *docker)
{
	const json_t *details;

	m->summary = summary;
	m->id = facts_json_string(summary, "Id", "");
	m->name = facts_json_find(summary, "RepoTags", "");
	if (!m->name || strcmp(m->name, "<none>:<none>") == 0)
		m->name = facts_json_find(summary, "RepoDigests", "");
	if (!m->name || strncmp(m->name, "<none>", 6) == 0)
		m->name = arena_strndup(&f->arena, m->id, MIN(strlen(m->id), (size_t)19));
	details = json_object_get(json_object_get(docker, "image_details"), m->id);
	m->inspect = json_object_get(details, "inspect");
	m->history = json_object_get(details, "history");
	for (size_t i = 0; i < f->n_containers && !m->in_use; i++)
		m->in_use = strcmp(f->containers[i].image_id, m->id) == 0;
}

static void build_images(struct facts *f, const json_t *docker)
{
	const json_t *list = json_object_get(docker, "images"), *summary;
	size_t i;

	f->images = arena_alloc(&f->arena, (json_array_size(list) + 1) * sizeof(*f->images));
	if (!f->images)
		return;
	json_array_foreach(list, i, summary) {
		if (json_is_object(summary))
			build_image(f, &f->images[f->n_images++], summary, docker);
	}
}

void facts_build_models(struct facts *f)
{
	const json_t *docker = facts_document(f, SOURCE_DOCKER);
	unsigned int touched = f->touched;

	if (!docker || f->models_built)
		return;
	f->models_built = true;
	build_containers(f, docker);
	build_images(f, docker);
	f->touched = touched; /* who uses a container's processes names /proc itself */
}

size_t facts_containers(struct facts *f, const struct container_facts **ret)
{
	facts_build_models(f);
	*ret = f->containers;
	return f->n_containers;
}

size_t facts_images(struct facts *f, const struct image_facts **ret)
{
	facts_build_models(f);
	*ret = f->images;
	return f->n_images;
}

const struct container_facts *facts_agent(struct facts *f)
{
	facts_build_models(f);
	for (size_t i = 0; i < f->n_containers; i++)
		if (f->containers[i].is_agent)
			return &f->containers[i];
	return NULL;
}

/* Each container is looked up by several checks, among as many. */
const json_t *facts_agent_container(struct facts *f, const char *id)
{
	const json_t *tasks = facts_json(facts_introspection(f, "tasks"), "Tasks"), *task;
	json_t *v;
	size_t i, k;

	if (!f->agent_containers) {
		f->agent_containers = json_object();
		json_array_foreach(tasks, i, task) {
			json_array_foreach(json_object_get(task, "Containers"), k, v) {
				const char *docker_id = json_string_value(json_object_get(v, "DockerId"));

				if (docker_id && json_object_set(f->agent_containers, docker_id, v) < 0)
					f->arena.error = -ENOMEM;
			}
		}
	}
	return json_object_get(f->agent_containers, id);
}
