/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A profile on trial. Its filter is run here, once for each number; what it denies becomes keys of a
 * map that the program looks into, so the live calls pay nothing for those that it allows.
 */
#include <bpf/bpf.h>
#include <errno.h>

#include "batten/seccomp/filter.h"
#include "seccomp/observer-internal.h"

#define X32_BIT 0x40000000

static int shadow_fd(const struct observer *o)
{
	return bpf_map__fd(o->skel->maps.shadow);
}

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
	struct filter f = { 0 };
	int r = filter_compile(p, &f, NULL, d);

	for (unsigned int abi = 0; abi < OBS_ABIS && r == 0; abi++) {
		/* arm64 has one 32-bit interface, not two. */
		if (abi > 0 && observer_abi(abi) == observer_abi(abi - 1))
			break;
		for (unsigned int bit = 0; bit < OBS_NUMBERS && r == 0; bit++) {
			struct obs_shadow_key key = { .owner = group, .nr = bit, .abi = abi };
			char name[ABI_NAME_SIZE];
			uint64_t none = 0;

			if (passes(&f, p, observer_abi(abi), bit, observer_bit_name(abi, bit, name)))
				continue;
			if (bpf_map_update_elem(shadow_fd(o), &key, &none, BPF_ANY) < 0)
				r = diag_errno(d, errno == E2BIG ? -E2BIG : -errno, NULL, "no room to try this profile");
		}
	}
	filter_done(&f);
	if (r < 0) {
		observer_shadow_forget(o, group);
		return r;
	}
	o->skel->bss->n_shadows++;
	__atomic_add_fetch(&o->skel->bss->epoch, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int observer_shadow_each(struct observer *o, uint64_t group,
			 int (*fn)(void *userdata, enum abi a, const char *call, uint64_t count), void *userdata)
{
	struct obs_shadow_key key, next;
	void *previous = NULL;
	int r = 0;

	while (r == 0 && bpf_map_get_next_key(shadow_fd(o), previous, &next) == 0) {
		char name[ABI_NAME_SIZE];
		uint64_t count;

		key = next;
		previous = &key;
		if (key.owner == group && bpf_map_lookup_elem(shadow_fd(o), &key, &count) == 0 && count > 0)
			r = fn(userdata, observer_abi(key.abi), observer_bit_name(key.abi, key.nr, name), count);
	}
	return r;
}

void observer_shadow_forget(struct observer *o, uint64_t group)
{
	struct obs_shadow_key key, next;
	void *previous = NULL;

	if (o->skel->bss->n_shadows == 0)
		return;
	while (bpf_map_get_next_key(shadow_fd(o), previous, &next) == 0) {
		if (next.owner == group) {
			(void)bpf_map_delete_elem(shadow_fd(o), &next);
			continue; /* from the same previous key: its successor has changed */
		}
		key = next;
		previous = &key;
	}
}
