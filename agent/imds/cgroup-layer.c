/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An installation in use: rows, counters, events.
 */
#include "batten/imds/cgroup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/fd.h"
#include "batten/kernel/bpf.h"

struct cgroup_layer {
	int groups, counters, totals, events;
	struct ring_buffer *ring;
	void (*fn)(void *user, const struct cgroup_event *e);
	void (*on_birth)(void *user, const struct cgroup_birth *b);
	void *user;
};

static const char *const hook_names[_CGROUP_HOOK_MAX] = {
	[CGROUP_CONNECT4] = "connect4", [CGROUP_CONNECT6] = "connect6", [CGROUP_SENDMSG4] = "sendmsg4",
	[CGROUP_SENDMSG6] = "sendmsg6", [CGROUP_EGRESS4] = "egress4",	[CGROUP_EGRESS6] = "egress6",
};

const char *cgroup_hook_name(enum cgroup_hook hook)
{
	return hook_names[hook];
}

static int open_map(const struct cgroup_options *o, const char *name, int *ret, struct diag *d)
{
	const char *pins = o->pins ? o->pins : CGROUP_PINS;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", pins, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	*ret = bpf_obj_get(path);
	if (*ret < 0)
		return diag_errno(d, -errno, path, "the cgroup layer is not installed");
	return 0;
}

int cgroup_layer_open(struct cgroup_layer **ret, const struct cgroup_options *o, struct diag *d)
{
	_cleanup_(cgroup_layer_freep) struct cgroup_layer *l = malloc(sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	*l = (struct cgroup_layer){ .groups = -1, .counters = -1, .totals = -1, .events = -1 };
	r = bpf_prepare(d);
	if (r >= 0)
		r = open_map(o, "groups", &l->groups, d);
	if (r >= 0)
		r = open_map(o, "counters", &l->counters, d);
	if (r >= 0)
		r = open_map(o, "totals", &l->totals, d);
	if (r >= 0)
		r = open_map(o, "events", &l->events, d);
	if (r < 0)
		return r;
	*ret = take_ptr(l);
	return 0;
}

struct cgroup_layer *cgroup_layer_free(struct cgroup_layer *l)
{
	if (!l)
		return NULL;
	ring_buffer__free(l->ring);
	fd_close(l->groups);
	fd_close(l->counters);
	fd_close(l->totals);
	fd_close(l->events);
	free(l);
	return NULL;
}

int cgroup_layer_put(struct cgroup_layer *l, uint64_t id, enum cgroup_verdict v)
{
	__u32 value = v;

	return bpf_map_update_elem(l->groups, &id, &value, BPF_ANY) < 0 ? -errno : 0;
}

int cgroup_layer_drop(struct cgroup_layer *l, uint64_t id)
{
	if (bpf_map_delete_elem(l->groups, &id) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int cgroup_layer_close(struct cgroup_layer *l, uint64_t id)
{
	__u32 value = CGROUP_GUARD;

	return bpf_map_update_elem(l->groups, &id, &value, BPF_EXIST) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_layer_totals(struct cgroup_layer *l, struct cgroup_totals *ret)
{
	_cleanup_(freep) struct cgroup_totals *each = NULL;
	int n = libbpf_num_possible_cpus();
	struct cgroup_totals sum = { 0 };
	__u32 zero = 0;

	if (n < 0)
		return n;
	each = calloc((size_t)n, sizeof(*each));
	if (!each)
		return -ENOMEM;
	if (bpf_map_lookup_elem(l->totals, &zero, each) < 0)
		return -errno;
	for (int cpu = 0; cpu < n; cpu++) {
		for (int hook = 0; hook < _CGROUP_HOOK_MAX; hook++) {
			sum.refused[hook] += each[cpu].refused[hook];
			sum.allowed[hook] += each[cpu].allowed[hook];
		}
	}
	*ret = sum;
	return 0;
}

/* The next key, or the first when @started is false. Keys that vanish meanwhile end nothing. */
static bool next_key(int map, bool started, uint64_t *key)
{
	uint64_t next;

	if (bpf_map_get_next_key(map, started ? key : NULL, &next) < 0)
		return false;
	*key = next;
	return true;
}

int cgroup_layer_rows(struct cgroup_layer *l, int (*fn)(void *user, uint64_t id, enum cgroup_verdict v),
		      void *user)
{
	uint64_t id = 0;

	for (unsigned int n = 0; n < CGROUP_MAX_ROWS && next_key(l->groups, n > 0, &id); n++) {
		__u32 v;
		int r;

		if (bpf_map_lookup_elem(l->groups, &id, &v) < 0)
			continue;
		r = fn(user, id, (enum cgroup_verdict)v);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_layer_counters(struct cgroup_layer *l,
			  int (*fn)(void *user, uint64_t id, const struct cgroup_counter *c), void *user)
{
	uint64_t id = 0;

	for (unsigned int n = 0; n < CGROUP_MAX_COUNTERS && next_key(l->counters, n > 0, &id); n++) {
		struct cgroup_counter c;
		int r;

		if (bpf_map_lookup_elem(l->counters, &id, &c) < 0)
			continue;
		r = fn(user, id, &c);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_sample(void *user, void *data, size_t n)
{
	struct cgroup_layer *l = user;

	/* A newer installation may write longer events; what we know comes first. */
	if (n >= sizeof(struct cgroup_event))
		l->fn(l->user, data);
	else if (n == sizeof(struct cgroup_birth) && l->on_birth)
		l->on_birth(l->user, data);
	return 0;
}

void cgroup_layer_on_birth(struct cgroup_layer *l, void (*fn)(void *user, const struct cgroup_birth *b))
{
	l->on_birth = fn;
}

int cgroup_layer_listen(struct cgroup_layer *l, void (*fn)(void *user, const struct cgroup_event *e),
			void *user, struct diag *d)
{
	l->fn = fn;
	l->user = user;
	l->ring = ring_buffer__new(l->events, on_sample, l, NULL);
	if (!l->ring)
		return bpf_fail(d, -errno, "listen to the guard's cgroup programs");
	return 0;
}

int cgroup_layer_fd(const struct cgroup_layer *l)
{
	return ring_buffer__epoll_fd(l->ring);
}

int cgroup_layer_read(struct cgroup_layer *l)
{
	int r = ring_buffer__consume(l->ring);

	return r < 0 ? r : 0;
}
