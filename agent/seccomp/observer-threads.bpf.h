/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a thread knows about itself where the kernel keeps nothing by task; a part of observer.bpf.c. One
 * entry each in the others. A thread's place is the lower end of its number, and is its own once it stands
 * in `places`; who finds it taken goes into `threads`.
 */
struct slot {
	__u32 thread; /* 0: nobody */
	struct task_state state;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OBS_THREADS);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OBS_THREADS);
	__type(key, __u32);
	__type(value, __u32);
} places SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OBS_THREADS / 4);
	__type(key, __u32);
	__type(value, struct task_state);
} threads SEC(".maps");

/* What is kept by thread. */
static __always_inline struct task_state *thread_state(__u32 thread)
{
	__u32 place = thread & (OBS_THREADS - 1);
	struct slot *slot = bpf_map_lookup_elem(&slots, &place);

	if (slot && slot->thread == thread)
		return &slot->state;
	return bpf_map_lookup_elem(&threads, &thread);
}

static __always_inline struct task_state *make_thread_state(__u32 thread)
{
	__u32 place = thread & (OBS_THREADS - 1);
	struct slot *slot = bpf_map_lookup_elem(&slots, &place);

	if (slot && bpf_map_update_elem(&places, &place, &thread, BPF_NOEXIST) == 0) {
		slot->state = no_state;
		slot->thread = thread;
		return &slot->state;
	}
	(void)bpf_map_update_elem(&threads, &thread, &no_state, BPF_NOEXIST);
	return bpf_map_lookup_elem(&threads, &thread);
}

static __always_inline void drop_thread_state(__u32 thread)
{
	__u32 place = thread & (OBS_THREADS - 1);
	struct slot *slot = bpf_map_lookup_elem(&slots, &place);

	if (slot && slot->thread == thread) {
		slot->thread = 0;
		bpf_map_delete_elem(&places, &place);
	} else {
		bpf_map_delete_elem(&threads, &thread);
	}
}
