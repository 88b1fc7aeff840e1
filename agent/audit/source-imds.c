/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who reaches the metadata service, tried from the host and from inside each network namespace
 * that containers have, all at once. Only on EC2: elsewhere the address belongs to somebody else.
 *
 *   {"host": [TRY…], "namespaces": [{"container": ID, "tries": [TRY…]}]}
 *   TRY: {"family": 4|6, "version": 1|2, "outcome": "blocked|reachable|no-route|timeout|failed", "status": N}
 *
 * A namespace that several containers share is tried once and told for each of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "audit/facts-internal.h"
#include "batten/base/fd.h"
#include "batten/imds/probe.h"

#define MAX_NAMESPACES 1000

struct probes {
	struct probe_target targets[MAX_NAMESPACES + 1]; /* [0] is the host */
	const char *names[MAX_NAMESPACES + 1];		 /* net:[inode] */
	size_t n;
};

static json_t *tries_json(const struct probe_target *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < PROBE_TRIES; i++)
		json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:i}", "family",
						      t->tries[i].family == AF_INET6 ? 6 : 4, "version",
						      (int)t->tries[i].version, "outcome",
						      probe_outcome_name(t->tries[i].outcome), "status",
						      t->tries[i].status));
	return list;
}

static const char *namespace_of(struct facts *f, const struct container_facts *c)
{
	return c->pid > 0 ? facts_process_link(f, c->pid, "ns/net") : NULL;
}

static void add_namespace(struct probes *p, const struct container_facts *c, const char *name)
{
	char path[32];
	int fd;

	for (size_t i = 0; i < p->n; i++)
		if (p->names[i] && strcmp(p->names[i], name) == 0)
			return;
	if (p->n > MAX_NAMESPACES)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", c->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* it ended */
	p->targets[p->n].netns = fd;
	p->names[p->n++] = name;
}

static json_t *results(struct facts *f, const struct probes *p)
{
	json_t *namespaces = json_array();
	const struct container_facts *list;

	for (size_t i = 0, n = facts_containers(f, &list); i < n; i++) {
		const char *name = namespace_of(f, &list[i]);

		for (size_t k = 0; name && k < p->n; k++)
			if (p->names[k] && strcmp(p->names[k], name) == 0 && k > 0)
				json_array_append_new(namespaces, json_pack("{s:s, s:o}", "container", list[i].id, "tries",
									    tries_json(&p->targets[k])));
	}
	return json_pack("{s:o, s:o}", "host", tries_json(&p->targets[0]), "namespaces", namespaces);
}

int source_imds_load(struct facts *f, json_t **ret, struct diag *d)
{
	_cleanup_(freep) struct probes *p = NULL;
	const struct container_facts *list;
	int r;

	if (!imds_on_ec2(NULL))
		return diag_fail(d, -ENOENT, NULL, "not an EC2 instance: the metadata service is not contacted");
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->targets[0].netns = -1;
	p->names[0] = facts_link(f, "/proc/self/ns/net");
	p->n = 1;
	for (size_t i = 0, n = facts_containers(f, &list); i < n; i++) {
		const char *name = namespace_of(f, &list[i]);

		if (name)
			add_namespace(p, &list[i], name);
	}
	r = imds_probe(p->targets, p->n, PROBE_TIMEOUT_MS, -1, d);
	if (r >= 0)
		*ret = results(f, p);
	for (size_t i = 1; i < p->n; i++)
		fd_close(p->targets[i].netns);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	return *ret ? 0 : -ENOMEM;
}
