/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Profiles on trial, a part of observer.bpf.c: what they would deny is counted. What a filter says of a call as
 * such is a bit; where the arguments decide, the questions of decision.h are asked.
 */
/* Profiles on trial, and how often what they would deny was done. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct obs_shadow_row);
} shadow_rows SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct obs_shadow_key);
	__type(value, __u64);
} shadow_counts SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct obs_question_key);
	__type(value, struct obs_question);
} shadow_questions SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct obs_case_key);
	__type(value, __u32);
} shadow_cases SEC(".maps");
__u64 n_shadows;

/* The arguments in halves, for the one call that a processor looks at. */
struct words {
	__u32 w[16];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct words);
} words SEC(".maps");

/*
 * What a profile's filter says to the arguments in `words`: 1 no, 0 yes. A function of its own, so that the
 * verifier looks at it once and not once for each way here.
 */
__noinline int denies(__u32 trial, __u32 nr, __u32 abi)
{
	struct obs_case_key key = { .question = { .trial = trial, .nr = nr, .abi = abi } };
	__u32 zero = 0;
	const struct words *now = bpf_map_lookup_elem(&words, &zero);

	if (!now)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < OBS_MAX_QUESTIONS; i++) {
		const struct obs_question *q = bpf_map_lookup_elem(&shadow_questions, &key.question);
		__u32 *then;

		if (!q)
			return 0; /* the trial is over */
		key.value = now->w[q->word & 15] & q->mask;
		if (q->kind == 0) {
			then = bpf_map_lookup_elem(&shadow_cases, &key);
			key.question.n = then ? *then : q->no;
		} else if (q->kind == 1) {
			key.question.n = key.value > q->value ? q->yes : q->no;
		} else if (q->kind == 2) {
			key.question.n = key.value >= q->value ? q->yes : q->no;
		} else {
			key.question.n = key.value & q->value ? q->yes : q->no;
		}
		if (key.question.n >= OBS_DENY)
			return key.question.n == OBS_DENY;
	}
	return 0;
}

static __always_inline bool arguments_deny(struct pt_regs *regs, __u32 trial, __u32 nr, __u32 abi)
{
	__u32 zero = 0;
	struct words *now = bpf_map_lookup_elem(&words, &zero);

	if (!now)
		return false;
#pragma clang loop unroll(full)
	for (int i = 0; i < 6; i++) {
		__u64 whole = argument(regs, abi, i);

		now->w[2 * i] = (__u32)whole;
		now->w[2 * i + 1] = (__u32)(whole >> 32);
	}
	return denies(trial, nr, abi);
}

/*
 * Counts a call that a profile on trial would deny. Return: whether the next call may have another answer
 * or has to be counted, so that its task must not remember it.
 */
static __always_inline int shadowed(struct task_struct *t, struct pt_regs *regs, __u64 owner, __u64 nr, __u64 abi,
				    __u32 r)
{
	struct obs_shadow_key key = { .owner = owner, .nr = nr, .abi = abi };
	struct obs_shadow_row *row;
	__u64 all = 0, one = 1, *count, mask = 1ull << (nr & 63), word = (nr >> 6) & (OBS_WORDS - 1);

	if (!n_shadows)
		return 0;
	row = bpf_map_lookup_elem(&shadow_rows, &owner);
	if (!row)
		row = bpf_map_lookup_elem(&shadow_rows, &all);
	if (!row)
		return 0;
	if (!(row->denied[abi].w[word] & mask)) {
		if (!(row->asks[abi].w[word] & mask))
			return 0;
		if (!arguments_deny(regs, row->trial, nr, abi))
			return 1;
	}
	count = bpf_map_lookup_elem(&shadow_counts, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else if (bpf_map_update_elem(&shadow_counts, &key, &one, BPF_NOEXIST) == 0)
		tell(t, OBS_EVENT_SHADOW, owner, nr, abi, r, 0);
	else if ((count = bpf_map_lookup_elem(&shadow_counts, &key))) /* another thread was first */
		__sync_fetch_and_add(count, 1);
	return 1;
}
