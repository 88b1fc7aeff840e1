/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One more program on the maps of an installation. Its link is not pinned and ends with the process,
 * for who is a container's is known to nobody else: the ECS agent, started while no daemon runs, would
 * be refused for good. For the same reason what it refuses has a lease.
 */
#include "batten/imds/cgroup.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batten/kernel/bpf.h"
#include "imds/cgroup-internal.h"

struct cgroup_births {
	struct cgroup_bpf *skel;
	struct bpf_link *link; /* NULL: nobody is refused at birth */
};

static int load(struct cgroup_bpf **ret, const char *pins)
{
	_cleanup_(skel_freep) struct cgroup_bpf *s = cgroup_skel_open();
	struct bpf_program *p;
	int r;

	if (!s)
		return -ENOMEM; /* the object is our own and well formed */
	bpf_object__for_each_program(p, s->obj)
		(void)bpf_program__set_autoload(p, p == s->progs.imds_container_made);
	r = cgroup_set_pins(s, pins);
	if (r >= 0)
		r = cgroup_bpf__load(s);
	if (r >= 0)
		*ret = take_ptr(s);
	return r;
}

static int set_runtimes(struct cgroup_bpf *s, const char *const *names, struct diag *d)
{
	struct cgroup_runtimes r;
	__u32 zero = 0;

	memset(&r, 0, sizeof(r));
	r.n = 1; /* an id and nothing else */
	for (; *names; names++) {
		size_t n = strlen(*names);

		if (r.n == CGROUP_MAX_RUNTIMES || n + 1 >= CGROUP_PREFIX_SIZE)
			return diag_fail(d, -EINVAL, *names, "is too long, or one runtime too many (at most %d)",
					 CGROUP_MAX_RUNTIMES - 1);
		memcpy(r.prefixes[r.n].text, *names, n);
		memcpy((char *)r.prefixes[r.n].text + n, "-", 1);
		memset(r.prefixes[r.n].mask, 0xff, n + 1);
		r.prefixes[r.n++].n = n + 1;
	}
	if (bpf_map_update_elem(bpf_map__fd(s->maps.runtimes), &zero, &r, BPF_ANY) < 0)
		return bpf_fail(d, -errno, "write the names of containers' groups");
	return 0;
}

int cgroup_births_new(struct cgroup_births **ret, const struct cgroup_options *o, const char *const *runtimes,
		      struct diag *d)
{
	_cleanup_(cgroup_births_freep) struct cgroup_births *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	if (o->no_tracing)
		return diag_fail(d, -EOPNOTSUPP, NULL, "turned off by --assume-feature");
	r = bpf_prepare(d);
	if (r < 0)
		return r;
	r = load(&b->skel, o->pins ? o->pins : CGROUP_PINS);
	if (r < 0)
		return bpf_fail(d, r, "load the program that sees containers being made");
	r = set_runtimes(b->skel, runtimes, d);
	if (r < 0)
		return r;
	*ret = take_ptr(b);
	return 0;
}

struct cgroup_births *cgroup_births_free(struct cgroup_births *b)
{
	if (!b)
		return NULL;
	link_freep(&b->link);
	skel_freep(&b->skel);
	free(b);
	return NULL;
}

int cgroup_births_watch(struct cgroup_births *b, bool on, struct diag *d)
{
	if (!on) {
		link_freep(&b->link);
		b->link = NULL;
	} else if (!b->link) {
		b->link = bpf_program__attach(b->skel->progs.imds_container_made);
		if (!b->link)
			return bpf_fail(d, -errno, "attach the program that sees containers being made");
	}
	return 0;
}

bool cgroup_births_watched(const struct cgroup_births *b)
{
	return b->link;
}

int cgroup_births_agent(struct cgroup_births *b, const char id[static CGROUP_ID_DIGITS])
{
	__u32 yes = 1;

	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.agents), id, &yes, BPF_ANY) < 0 ? -errno : 0;
}

static int newborns(const struct cgroup_births *b)
{
	return bpf_map__fd(b->skel->maps.newborns);
}

bool cgroup_births_newborn(const struct cgroup_births *b, uint64_t id)
{
	__u64 lease;

	return bpf_map_lookup_elem(newborns(b), &id, &lease) == 0;
}

void cgroup_births_judged(struct cgroup_births *b, uint64_t id)
{
	(void)bpf_map_delete_elem(newborns(b), &id);
}

unsigned int cgroup_births_renew(struct cgroup_births *b)
{
	struct timespec t;
	uint64_t id = 0, next;
	unsigned int n = 0;
	__u64 lease;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	lease = (__u64)t.tv_sec * 1000000000ull + (__u64)t.tv_nsec + CGROUP_LEASE_NS;
	for (; n < CGROUP_MAX_ROWS && bpf_map_get_next_key(newborns(b), n > 0 ? &id : NULL, &next) == 0; n++) {
		id = next;
		/* Not one that was judged, or went, meanwhile. */
		(void)bpf_map_update_elem(newborns(b), &id, &lease, BPF_EXIST);
	}
	return n;
}
