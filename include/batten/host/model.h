/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The containers of this host: one list, filled once (command line) or kept current (watch.h).
 */
#include "batten/host/container.h"
#include "batten/host/docker.h"

#define MAX_CONTAINERS 4096

struct host_model {
	struct list containers; /* struct container by .node; owned */
	size_t n_containers;
	/* From the agent's introspection port; "" when it does not answer. */
	char agent_cluster[256], agent_version[64];
};

void host_model_init(struct host_model *m);
void host_model_done(struct host_model *m);

#define host_model_each(pos, m) list_for_each(pos, &(m)->containers)
#define host_container(pos) container_of(pos, struct container, node)

/* Puts @c in, in the place of one with its id; the model owns it. -E2BIG beyond MAX_CONTAINERS. */
int host_model_put(struct host_model *m, struct container *c) _must_check_;
void host_model_remove(struct host_model *m, struct container *c);

struct container *host_model_find(const struct host_model *m, const char *id);
/* The running container that has the address (AF_INET or AF_INET6, network order), or NULL. */
struct container *host_model_find_address(const struct host_model *m, int family, const void *address);
struct container *host_model_find_cgroup(const struct host_model *m, uint64_t cgroup_id);

/*
 * host_model_snapshot - list, inspect and complete every container
 * @all:   stopped ones too
 * @flags: CONTAINER_KEEP_INSPECT
 * A container that ends meanwhile is left out. Return: 0 or an error of docker.h.
 */
int host_model_snapshot(struct host_model *m, struct docker *k, bool all, unsigned int flags,
			struct diag *d) _must_check_;

/*
 * host_model_introspect - ask the ECS agent on 127.0.0.1:51678
 * @timeout_ms: for everything
 * Fills what the labels left empty, and cluster and version of the agent. An agent that is absent,
 * hangs or answers nonsense changes nothing.
 * Return: 0, or why it did not answer: -ECONNREFUSED, -ETIMEDOUT, -EPROTO…
 */
int host_model_introspect(struct host_model *m, uint64_t timeout_ms, struct diag *d);
