/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A profile on trial. Its filter is run here, once for each number; what it denies becomes bits that
 * the program looks at on the slow path only, so a call that it allows costs nothing once it was seen.
 */
#include <bpf/bpf.h>
#include <errno.h>

#include "batten/seccomp/filter.h"
#include "seccomp/observer-internal.h"

#define X32_BIT 0x40000000

/* Let through with some arguments at least? A rule on arguments may refuse the zeros that are tried here. */
static bool passes(const struct filter *f, const struct profile *p, enum abi a, unsigned int bit, const char *name)
{
	int number = observer_bit_number(bit);
	struct seccomp_data data = {
		.nr = a == ABI_X32 ? number | X32_BIT : number,
		.arch = abi_audit_arch(a),
	};
	uint32_t answer;

	if (filter_run(f->code, f->n_code, &data, &answer) == 0 && filter_answer_passes(answer))
		return true;
	return p->abis[a] && profile_allows(p, name, true);
}

int observer_shadow(struct observer *o, uint64_t group, const struct profile *p, struct diag *d)
{
	struct obs_shadow_row row = { 0 };
	struct filter f = { 0 };
	int r = filter_compile(p, &f, NULL, d);

	if (r < 0)
		return r;
	for (unsigned int abi = 0; abi < OBS_ABIS; abi++) {
		for (unsigned int bit = 0; bit < OBS_NUMBERS; bit++) {
			char name[ABI_NAME_SIZE];

			if (!passes(&f, p, observer_abi(abi), bit, observer_bit_name(abi, bit, name)))
				row.denied[abi].w[bit / 64] |= 1ull << (bit % 64);
		}
	}
	filter_done(&f);
	observer_unshadow(o, group);
	if (bpf_map_update_elem(bpf_map__fd(o->skel->maps.shadow_rows), &group, &row, BPF_ANY) < 0)
		return diag_errno(d, errno == E2BIG ? -E2BIG : -errno, NULL, "no room to try this profile");
	o->skel->bss->n_shadows++;
	/* What tasks remember was not tried yet. */
	__atomic_add_fetch(&o->skel->bss->epoch, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int observer_shadow_each(struct observer *o, uint64_t group,
			 int (*fn)(void *userdata, enum abi a, const char *call, uint64_t count), void *userdata)
{
	struct obs_shadow_key key, next;
	void *previous = NULL;
	int r = 0;

	while (r == 0 && bpf_map_get_next_key(bpf_map__fd(o->skel->maps.shadow_counts), previous, &next) == 0) {
		char name[ABI_NAME_SIZE];
		uint64_t count;

		key = next;
		previous = &key;
		if (key.owner == group && bpf_map_lookup_elem(bpf_map__fd(o->skel->maps.shadow_counts), &key, &count) == 0 && count > 0)
			r = fn(userdata, observer_abi(key.abi), observer_bit_name(key.abi, key.nr, name), count);
	}
	return r;
}

void observer_unshadow(struct observer *o, uint64_t group)
{
	int fd = bpf_map__fd(o->skel->maps.shadow_counts);
	struct obs_shadow_key key, next;
	void *previous = NULL;

	if (o->skel->bss->n_shadows == 0)
		return;
	if (bpf_map_delete_elem(bpf_map__fd(o->skel->maps.shadow_rows), &group) == 0)
		o->skel->bss->n_shadows--;
	while (bpf_map_get_next_key(fd, previous, &next) == 0) {
		if (next.owner == group) {
			(void)bpf_map_delete_elem(fd, &next);
			continue; /* from the same previous key: its successor has changed */
		}
		key = next;
		previous = &key;
	}
}
