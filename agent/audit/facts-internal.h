/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The inside of the facts, shared by the files that load each source.
 */
#include "batten/audit/facts.h"

struct daemon_settings;
struct ecs_settings;
struct layer_scan;
struct listener;
struct mount;

#define MAX_NAMESPACE_KINDS 8
#define MAX_KNOWN 32

/* Beside what the list tells of a container: why Docker's own answer about it could not be read. */
#define CONTAINER_UNREADABLE "batten.unreadable"

struct source_slot {
	enum source_state state;
	const char *reason;
	json_t *document;
};

struct facts {
	struct arena arena;
	struct root root;
	bool live;
	const char *docker_url;
	char *user_data; /* owned; NULL: none were given */
	size_t n_user_data;
	unsigned int deadline_ms;
	const json_t *stand_in; /* borrowed, as is the next */
	const json_t *known_docker;
	const struct facts_askers *askers;
	const json_t *left_out; /* borrowed, as are the next two */
	char *note;
	const char *subject;
	unsigned int touched;	/* NEEDS_… of what was asked for */
	/* What every container's check asks again; path is NULL behind the last one. */
	struct known_line {
		const char *path, *line;
	} known_lines[MAX_KNOWN + 1];
	struct known_path {
		const char *path;
		bool exists;
	} known_paths[MAX_KNOWN + 1];
	struct source_slot sources[_SOURCE_MAX];

	int proc_fd;
	struct process_facts *processes;
	size_t n_processes;
	struct host_namespace {
		const char *kind, *init, *own; /* kind: NULL behind the last one */
	} host_namespaces[MAX_NAMESPACE_KINDS + 1];

	struct container_facts *containers;
	size_t n_containers;
	struct image_facts *images;
	size_t n_images;
	const struct layer_scan *layer_scans; /* the last one first */
	unsigned int image_ms_used; /* of the budget for looking into layers */
	struct listener *listeners;
	size_t n_listeners;
	bool owners_hidden; /* descriptors of some process may not be looked at */
	struct daemon_settings *daemon;
	const char *const *daemon_sockets;
	const struct mount *host_mounts; /* by device */
	int n_host_mounts;
	bool host_mounts_read; /* or tried */
	struct cgroup_limits *cgroup_limits;
	json_t *daemon_json;
	json_t *agent_containers; /* of introspection, by Docker's id; NULL before the first look */
	struct ecs_settings *ecs;

	json_t *empty;	   /* an object without members */
	bool models_built; /* containers and images, out of the Docker document */
};

/*
 * A loader opens one source within @f->deadline_ms.
 * @ret: the document; may stay NULL for sources that have none
 * Return: 0; -ENOENT when there is no such thing on this host; any other negative errno when there
 *         is and it could not be examined. Both with the reason in @d.
 */
typedef int (*source_loader)(struct facts *f, json_t **ret, struct diag *d);
int source_proc_load(struct facts *f, json_t **ret, struct diag *d);
int source_docker_load(struct facts *f, json_t **ret, struct diag *d);
int source_introspection_load(struct facts *f, json_t **ret, struct diag *d);
int source_rules_load(struct facts *f, json_t **ret, struct diag *d);
int source_imds_load(struct facts *f, json_t **ret, struct diag *d);
int source_audit_load(struct facts *f, json_t **ret, struct diag *d);

/* CLOCK_MONOTONIC, for deadlines. */
uint64_t facts_now_ms(void);

/* Builds containers and images out of the Docker document; once. */
void facts_build_models(struct facts *f);
