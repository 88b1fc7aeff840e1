/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the observer is measured against: a program that does nothing, and one that sends an event
 * for each call.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

#ifdef EMPTY
SEC("tp_btf/sys_enter")
int empty(void *ctx)
{
	return 0;
}
#else
SEC("tp_btf/sys_enter")
int event(__u64 *ctx)
{
	__u64 *e = bpf_ringbuf_reserve(&events, 32, 0);

	if (!e)
		return 0;
	e[0] = bpf_ktime_get_ns();
	e[1] = bpf_get_current_pid_tgid();
	e[2] = ctx[1];
	e[3] = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}
#endif

char LICENSE[] SEC("license") = "GPL";
