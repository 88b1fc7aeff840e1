/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Leaving a swarm. Docker stops and removes what the swarm runs on this host, and with the last manager all
 * that the swarm has is gone: so each kind of thing that would be lost is counted first, right before.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/json.h"
#include "batten/host/docker.h"

/* A worker knows of the first two alone. */
static const struct {
	const char *path, *name;
} kinds[] = {
	{ "/containers/json?filters=%7B%22label%22%3A%5B%22com.docker.swarm.node.id%22%5D%7D", "containers of services" },
	{ "/networks?filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D", "networks" },
	{ "/services", "services" },
	{ "/secrets", "secrets" },
	{ "/configs", "configs" },
	{ "/nodes", "other nodes" },
};
#define N_KINDS_OF_WORKER 2
#define NODES (ARRAY_SIZE(kinds) - 1)

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static int fail_nonsense(const struct docker *k, const char *what, struct diag *d)
{
	return diag_fail(d, -EPROTO, docker_socket(k), "Docker does not tell %s", what);
}

static int look(struct docker *k, struct docker_swarm *ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *info = NULL;
	int r = docker_get(k, "/info", DOCKER_MAX_ANSWER, &info, d);
	const json_t *swarm = json_object_get(info, "Swarm");
	const char *state = text_of(swarm, "LocalNodeState"), *node = text_of(swarm, "NodeID");

	if (r < 0)
		return r;
	if (!state[0] || (!node[0] && strcmp(state, "active") == 0))
		return fail_nonsense(k, "what it is in a swarm", d);
	ret->member = strcmp(state, "inactive") != 0;
	ret->manager = json_is_true(json_object_get(swarm, "ControlAvailable"));
	(void)snprintf(ret->state, sizeof(ret->state), "%s", state);
	(void)snprintf(ret->node, sizeof(ret->node), "%s", node);
	return 0;
}

/* Of the answers to all kinds: what there is, in words. Return: 0 or a negative errno. */
static int count(struct docker *k, const struct docker_swarm *s, const struct docker_question *q, size_t n,
		 struct bytes *ret, struct diag *d)
{
	for (size_t i = 0; i < n; i++) {
		size_t at, all, others = 0;
		const json_t *v;

		if (q[i].error < 0 && q[i].error != -ENOENT)
			return q[i].error; /* @d has the words */
		if (!json_is_array(q[i].answer))
			return fail_nonsense(k, kinds[i].name, d);
		/* Each swarm has one ingress network, from the beginning. */
		json_array_foreach(q[i].answer, at, v)
			others += strcmp(text_of(v, "ID"), s->node) != 0 && !json_is_true(json_object_get(v, "Ingress"));
		all = json_array_size(q[i].answer);
		if (i == NODES && others + 1 != all)
			return fail_nonsense(k, kinds[i].name, d);
		if (others > 0)
			bytes_printf(ret, "%s%s: %zu", ret->n > 0 ? ", " : "", kinds[i].name, others);
	}
	return ret->error;
}

static int look_what_is_lost(struct docker *k, const struct docker_swarm *s, struct diag *d)
{
	struct docker_question q[ARRAY_SIZE(kinds)] = { 0 };
	size_t n = s->manager ? ARRAY_SIZE(kinds) : N_KINDS_OF_WORKER;
	struct bytes lost = { 0 };
	int r;

	for (size_t i = 0; i < n; i++)
		q[i].path = kinds[i].path;
	r = docker_get_many(k, q, n, DOCKER_MAX_ANSWER, d);
	if (r >= 0)
		r = count(k, s, q, n, &lost, d);
	if (r >= 0 && lost.n > 0)
		r = diag_fail(d, -EBUSY, NULL, "in the way: %.*s; nothing was changed; by hand: %s", (int)lost.n, lost.data,
			      s->manager ? "remove what may go, or drain and demote this node where there are others (docker node), "
					   "then again; docker swarm leave --force loses all of it" :
					   "drain this node on a manager (docker node update --availability drain), then again");
	for (size_t i = 0; i < n; i++)
		json_decref(q[i].answer);
	bytes_done(&lost);
	return r;
}

int docker_swarm(struct docker *k, enum swarm_deed deed, const char *node, struct docker_swarm *ret, struct diag *d)
{
	_cleanup_(docker_stream_freep) struct docker_stream *post = NULL;
	int r = look(k, ret, d);

	if (r < 0 || deed == SWARM_LOOK)
		return r;
	if (!ret->member || (deed == SWARM_LEAVE && strcmp(ret->node, node) != 0))
		return diag_fail(d, -ESTALE, docker_socket(k), "is in that swarm no more");
	if (strcmp(ret->state, "active") != 0)
		return diag_fail(d, -EBUSY, NULL, "in the way: the node is not active but %s; nothing was changed; by hand: "
				 "docker swarm leave", ret->state);
	r = look_what_is_lost(k, ret, d);
	if (r < 0 || deed == SWARM_ASK)
		return r;
	/* Without force Docker refuses a manager, whatever else it is. */
	r = docker_upload(&post, k, ret->manager ? "/swarm/leave?force=true" : "/swarm/leave", "application/json", d);
	return r < 0 ? r : docker_upload_finish(post, NULL, d);
}
