/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From rows to an observation. The one question here is what of the time before the exec was
 * needed: under a filter everything was, without one it was the runtime setting up.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "seccomp/observer-internal.h"

/*
 * The phase that a row of bits stands for, or 0 when it was not needed.
 * @row: class * 2 + filter
 */
static unsigned int phase_of(const struct obs_row *r, unsigned int row)
{
	bool filtered = row & 1;
	/* Our own group: what runs before the exec is ourselves. */
	bool own = r->head.maker_mntns == 0;

	switch (row / 2) {
	case OBS_PRE:
		if (own)
			return 0;
		/* Nothing was ever executed: tasks that moved in and went on. All of it counts. */
		if (!r->head.exec_same_ns && !r->head.exec_other_ns)
			return PHASE_START;
		return filtered ? PHASE_RUNTIME : 0;
	case OBS_SAME:
		if (!r->head.exec_other_ns)
			return PHASE_START;
		return filtered ? PHASE_RUNTIME : 0;
	case OBS_START:
		return PHASE_START;
	case OBS_SERVE:
		return PHASE_SERVE;
	case OBS_XPRE:
		if (own) /* no container: a process that moved in and went on */
			return PHASE_EXEC;
		return filtered ? PHASE_RUNTIME : 0;
	case OBS_EXEC:
		return PHASE_EXEC;
	default:
		return 0;
	}
}

/* The first sight in a row that counts, or failing that (a denial) in any. */
static const struct first_sight *first_of(const struct observed_group *g, const struct obs_row *row,
					  unsigned int abi, unsigned int nr)
{
	const struct first_sight *best = NULL;
	bool counts, best_counts = false;

	for (size_t i = 0; i < g->n_firsts; i++) {
		const struct first_sight *f = &g->firsts[i];

		if (f->abi != abi || f->nr != nr || f->row >= OBS_ROWS)
			continue;
		counts = phase_of(row, f->row) != 0;
		if (!best || counts > best_counts || (counts == best_counts && f->boot_ns < best->boot_ns)) {
			best = f;
			best_counts = counts;
		}
	}
	return best;
}

/* The call of a bit, with its time and its witness. */
static int take(const struct observed_group *g, const struct obs_row *row, unsigned int abi, unsigned int bit,
		const char *source, struct observation *into, struct observed_call **ret)
{
	const struct first_sight *f = first_of(g, row, abi, bit);
	char name[ABI_NAME_SIZE];
	struct observed_call *c;
	int64_t ms;
	int r;

	r = observation_add(into, observer_abi(abi), observer_bit_name(abi, bit, name), &c);
	if (r < 0)
		return r;
	ms = f ? observer_wall_ms(f->boot_ns) : into->finished_ms;
	if (c->first_ms == 0 || ms < c->first_ms) {
		c->first_ms = ms;
		(void)snprintf(c->by, sizeof(c->by), "%s", f ? f->by : "");
	}
	observed_call_witness(c, source, 1);
	*ret = c;
	return 0;
}

static bool bit_set(const struct obs_bits *b, unsigned int bit)
{
	return b->w[bit / 64] >> (bit % 64) & 1;
}

static int take_bits(const struct observed_group *g, const struct obs_row *row, const char *source,
		     struct observation *into)
{
	struct observed_call *c;
	int r;

	for (unsigned int abi = 0; abi < OBS_ABIS; abi++) {
		for (unsigned int bit = 0; bit < OBS_NUMBERS; bit++) {
			unsigned int phases = 0, denied = 0;

			for (unsigned int i = 0; i < OBS_ROWS; i++)
				if (bit_set(&row->seen[i][abi], bit))
					phases |= phase_of(row, i);
			if (bit_set(&row->eperm[abi], bit))
				denied |= DENIED_EPERM;
			if (bit_set(&row->enosys[abi], bit))
				denied |= DENIED_ENOSYS;
			if (!phases && !denied)
				continue;
			r = take(g, row, abi, bit, source, into, &c);
			if (r < 0)
				return r;
			c->phases |= phases;
			c->denied |= denied;
			if (phases && arg_rule_find(observer_abi(abi), c->name))
				c->args_known = true;
		}
	}
	return 0;
}

static struct observed_call *call_of_key(struct observation *into, const struct obs_row *row,
					 const struct obs_arg_key *key)
{
	char name[ABI_NAME_SIZE];

	if (key->abi >= OBS_ABIS || key->row >= OBS_ROWS || !phase_of(row, key->row))
		return NULL;
	return observation_find(into, observer_abi(key->abi), observer_bit_name(key->abi, key->nr, name));
}

static int take_values(struct observer *o, uint64_t group, const struct obs_row *row, struct observation *into)
{
	int values = bpf_map__fd(o->skel->maps.values), counts = bpf_map__fd(o->skel->maps.n_values);
	struct obs_arg_key key, next;
	struct observed_call *c;
	void *previous = NULL;
	int r = 0;

	while (r == 0 && bpf_map_get_next_key(values, previous, &next) == 0) {
		key = next;
		previous = &key;
		c = key.owner == group ? call_of_key(into, row, &key) : NULL;
		if (c)
			r = observed_call_add_value(c, (struct arg_value){ { key.v[0], key.v[1] } });
	}
	previous = NULL;
	while (r == 0 && bpf_map_get_next_key(counts, previous, &next) == 0) {
		uint32_t n;

		key = next;
		previous = &key;
		c = key.owner == group ? call_of_key(into, row, &key) : NULL;
		if (c && bpf_map_lookup_elem(counts, &key, &n) == 0 && n > OBS_MAX_ARG_VALUES)
			observed_call_forget_values(c);
	}
	/* A call that has no values although it was made: they found no room. */
	for (enum abi a = 0; a < _ABI_MAX && r == 0; a++)
		for (size_t i = 0; i < into->abis[a].n; i++) {
			c = &into->abis[a].v[i];
			if (c->args_known && (row->head.lost_args > 0 || c->n_values == 0))
				observed_call_forget_values(c);
		}
	return r;
}

int observer_collect(struct observer *o, uint64_t group, const char *source, struct observation *into,
		     struct diag *d)
{
	_cleanup_(observation_freep) struct observation *own = NULL;
	const struct observed_group *g;
	static struct obs_row row;
	struct observed_source s = { .runs = 1 };
	int r;

	(void)ring_buffer__consume(o->ring);
	g = observer_group(o, group);
	r = g ? observer_row(o, group, &row) : -ENOENT;
	if (r < 0)
		return diag_fail(d, -ENOENT, NULL, "this group is not watched");
	own = observation_new();
	if (!own)
		return -ENOMEM;
	own->machine = abi_native();
	own->started_ms = g->started_ms;
	own->finished_ms = time_now_ms();
	r = take_bits(g, &row, source, own);
	if (r == 0)
		r = take_values(o, group, &row, own);
	if (r < 0)
		return r;
	(void)snprintf(s.id, sizeof(s.id), "%s", source);
	s.calls = row.head.calls;
	s.started_ms = own->started_ms;
	s.finished_ms = own->finished_ms;
	s.seconds = (uint64_t)(own->finished_ms - own->started_ms) / 1000;
	r = observation_add_source(own, &s);
	if (r < 0)
		return r;
	return observation_merge(into, own, d);
}
