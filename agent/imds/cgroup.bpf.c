/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The metadata service, closed to cgroups. The programs hang at the root of the hierarchy and
 * decide by the rows of "groups" that they find on the way up from the sender, the deepest first:
 * nothing a container does to its own network, routes or firewall changes that. A guarded slice
 * that is removed and made again gets its row inside mkdir(), before anybody can enter it. So does a
 * container that stands in no slice: "newborns" holds it until the daemon has judged it, or its lease
 * ends because there is no daemon any more.
 *
 * All other traffic pays one comparison of the destination.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "imds/cgroup-bpf.h"

#define REFUSE 0
#define PASS 1
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

/* 169.254.169.254 and fd00:ec2::254, as 32-bit words of network order */
#define IMDS4 bpf_htonl(0xa9fea9fe)
#define IMDS6_0 bpf_htonl(0xfd000ec2)
#define IMDS6_3 bpf_htonl(0x00000254)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	const char *name;
	__u64 id;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup_root {
	int hierarchy_id;
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};
#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUP_MAX_ROWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32); /* enum cgroup_verdict */
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUP_MAX_ROWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64); /* bpf_ktime_get_ns() at the end of its lease */
} newborns SEC(".maps");

/* The next two are of the process that watches births alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_runtimes);
} runtimes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CGROUP_MAX_AGENTS);
	__type(key, char[CGROUP_ID_DIGITS]); /* container ids of the ECS agent, which nobody refuses */
	__type(value, __u32);
} agents SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CGROUP_MAX_COUNTERS);
	__type(key, __u64);
	__type(value, struct cgroup_counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_totals);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CGROUP_RING_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_settings);
} settings SEC(".maps");

static __always_inline int is_imds6(const __u32 a[4])
{
	/* The last: ::ffff:169.254.169.254, which an IPv6 socket may write for the IPv4 address. */
	return (a[0] == IMDS6_0 && a[1] == 0 && a[2] == 0 && a[3] == IMDS6_3) ||
	       (a[0] == 0 && a[1] == 0 && a[2] == bpf_htonl(0xffff) && a[3] == IMDS4);
}

/*
 * @in_sender: a constant. Kernels before 6.2 let no packet hook ask for the current task, and there it
 * would be somebody else as often as not.
 */
static __always_inline void report(struct cgroup_counter *c, const struct cgroup_event *facts, __u64 group,
				   const int in_sender)
{
	struct cgroup_settings *s;
	struct cgroup_event *e;
	__u64 now = bpf_ktime_get_ns(), last = c->last_event;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s || (last && now - last < s->event_interval_ns))
		return;
	/* One of those that come at once reports; the others count. */
	if (__sync_val_compare_and_swap(&c->last_event, last, now) != last)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return;
	*e = *facts;
	e->cgroup = group;
	e->count = c->refused - c->reported;
	c->reported += e->count;
	e->sender_known = in_sender;
	if (in_sender) {
		e->tgid = bpf_get_current_pid_tgid() >> 32;
		e->uid = (__u32)bpf_get_current_uid_gid();
		bpf_get_current_comm(e->comm, sizeof(e->comm));
	}
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int decide(__u32 verdict, const struct cgroup_event *facts, __u64 group,
				  const int in_sender)
{
	struct cgroup_counter fresh = { 0 }, *c;
	struct cgroup_totals *t;
	__u32 zero = 0, hook = facts->hook;

	t = bpf_map_lookup_elem(&totals, &zero);
	if (!t || hook >= _CGROUP_HOOK_MAX)
		return verdict == CGROUP_GUARD ? REFUSE : PASS;
	if (verdict != CGROUP_GUARD) {
		t->allowed[hook]++;
		return PASS;
	}
	t->refused[hook]++;
	c = bpf_map_lookup_elem(&counters, &group);
	if (!c) {
		bpf_map_update_elem(&counters, &group, &fresh, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&counters, &group);
	}
	if (c) {
		__sync_fetch_and_add(&c->refused, 1);
		report(c, facts, group, in_sender);
	}
	return REFUSE;
}

/* What one group on the way says; @above: what the groups above it did. */
static __always_inline __u32 verdict_of(__u64 id, __u32 above)
{
	__u32 *row = bpf_map_lookup_elem(&groups, &id);
	__u64 *lease;

	if (row)
		return *row;
	lease = bpf_map_lookup_elem(&newborns, &id);
	return lease && bpf_ktime_get_ns() < *lease ? CGROUP_GUARD : above;
}

/* For the hooks that run in the sender: its group is the current one. */
static __always_inline int decide_current(struct cgroup_event *facts)
{
	__u64 group = bpf_get_current_cgroup_id();
	__u32 verdict = 0;

	for (int level = 0; level < CGROUP_MAX_LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (id == 0)
			break;
		facts->groups[level] = id;
		verdict = verdict_of(id, verdict);
	}
	return decide(verdict, facts, group, 1);
}

static __always_inline int decide_address4(struct bpf_sock_addr *ctx, enum cgroup_hook hook)
{
	struct cgroup_event facts = { .family = 4, .hook = hook };
	__u32 address = ctx->user_ip4;

	if (address != IMDS4)
		return PASS;
	__builtin_memcpy(facts.address, &address, sizeof(address));
	facts.port = bpf_ntohs((__u16)ctx->user_port);
	facts.protocol = ctx->protocol;
	return decide_current(&facts);
}

static __always_inline int decide_address6(struct bpf_sock_addr *ctx, enum cgroup_hook hook)
{
	struct cgroup_event facts = { .family = 6, .hook = hook };
	__u32 address[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };

	if (!is_imds6(address))
		return PASS;
	__builtin_memcpy(facts.address, address, sizeof(address));
	facts.port = bpf_ntohs((__u16)ctx->user_port);
	facts.protocol = ctx->protocol;
	return decide_current(&facts);
}

SEC("cgroup/connect4")
int imds_connect4(struct bpf_sock_addr *ctx)
{
	return decide_address4(ctx, CGROUP_CONNECT4);
}

SEC("cgroup/connect6")
int imds_connect6(struct bpf_sock_addr *ctx)
{
	return decide_address6(ctx, CGROUP_CONNECT6);
}

SEC("cgroup/sendmsg4")
int imds_sendmsg4(struct bpf_sock_addr *ctx)
{
	return decide_address4(ctx, CGROUP_SENDMSG4);
}

SEC("cgroup/sendmsg6")
int imds_sendmsg6(struct bpf_sock_addr *ctx)
{
	return decide_address6(ctx, CGROUP_SENDMSG6);
}

/* Does the packet go to the service? Fills in what it says of itself. */
static __always_inline int packet_to_imds(struct __sk_buff *skb, struct cgroup_event *facts)
{
	__u32 address[4] = { 0 };

	/* The packet starts with its IP header. */
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 16, address, 4) < 0 || address[0] != IMDS4)
			return 0;
		facts->family = 4;
		facts->hook = CGROUP_EGRESS4;
		(void)bpf_skb_load_bytes(skb, 9, &facts->protocol, 1);
		__builtin_memcpy(facts->address, address, 4);
		return 1;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, 24, address, 16) < 0 || !is_imds6(address))
			return 0;
		facts->family = 6;
		facts->hook = CGROUP_EGRESS6;
		(void)bpf_skb_load_bytes(skb, 6, &facts->protocol, 1);
		__builtin_memcpy(facts->address, address, 16);
		return 1;
	}
	return 0;
}

SEC("cgroup_skb/egress")
int imds_egress(struct __sk_buff *skb)
{
	struct cgroup_event facts = { 0 };
	__u32 verdict = 0;

	if (!packet_to_imds(skb, &facts))
		return PASS;
	for (int level = 0; level < CGROUP_MAX_LEVELS; level++) {
		__u64 id = bpf_skb_ancestor_cgroup_id(skb, level);

		if (id == 0)
			break;
		facts.groups[level] = id;
		verdict = verdict_of(id, verdict);
	}
	return decide(verdict, &facts, bpf_skb_cgroup_id(skb), 0);
}

/* Ids of version 1 hierarchies are numbers of their own. */
static __always_inline int in_version2(struct cgroup *group)
{
	return BPF_CORE_READ(group, root, hierarchy_id) == 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(imds_group_made, struct cgroup *group)
{
	char name[CGROUP_NAME_SIZE] = { 0 };
	__u64 parent = BPF_CORE_READ(group, self.parent, cgroup, kn, id), id;
	struct cgroup_settings *s;
	__u32 zero = 0, guard = CGROUP_GUARD;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s || parent != s->root || !in_version2(group))
		return 0;
	if (bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(group, kn, name)) < 0)
		return 0;
	for (int i = 0; i < CGROUP_MAX_SLICES; i++) {
		int same = s->slices[i][0] != '\0';

		for (int k = 0; same && k < CGROUP_NAME_SIZE; k++) {
			same = name[k] == s->slices[i][k];
			if (name[k] == '\0')
				break;
		}
		if (!same)
			continue;
		id = BPF_CORE_READ(group, kn, id);
		bpf_map_update_elem(&groups, &id, &guard, BPF_ANY);
		break;
	}
	return 0;
}

/* @last: 'f' or 'z', the last letter that is a digit */
static __always_inline int all_digits(const char *id, int n, char last)
{
	for (int i = 0; i < n; i++)
		if ((id[i] < '0' || id[i] > '9') && (id[i] < 'a' || id[i] > last))
			return 0;
	return 1;
}

static __always_inline int named(const struct cgroup *group, const char *wanted, int size)
{
	char name[16] = { 0 };
	int same = 1;

	if (bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(group, kn, name)) != size)
		return 0;
	for (int i = 0; i < size; i++)
		same = same && name[i] == wanted[i];
	return same;
}

/*
 * What BuildKit runs for a build: "buildkit/ID", or with systemd's driver "PARENT:docker:ID", which is no scope, for
 * runc takes the path that BuildKit writes for a path. Copies the id.
 */
static __always_inline int build_name(struct cgroup *group, const char *name, long n, char id[CGROUP_ID_DIGITS])
{
	char before = 0;

	if (n < CGROUP_BUILD_DIGITS || bpf_probe_read_kernel(id, CGROUP_BUILD_DIGITS, name + n - CGROUP_BUILD_DIGITS) < 0 ||
	    !all_digits(id, CGROUP_BUILD_DIGITS, 'z'))
		return 0;
	if (n == CGROUP_BUILD_DIGITS)
		return named(BPF_CORE_READ(group, self.parent, cgroup), "buildkit", sizeof("buildkit"));
	return bpf_probe_read_kernel(&before, 1, name + n - CGROUP_BUILD_DIGITS - 1) == 0 && before == ':';
}

/* Is it the group of a container? Copies the container's id. */
static __always_inline int container_name(struct cgroup *group, char id[CGROUP_ID_DIGITS])
{
	const char scope[] = ".scope", *name = BPF_CORE_READ(group, kn, name);
	struct cgroup_runtimes *r;
	__u64 text[16] = { 0 }; /* compared in words: a branch for each byte is much to verify */
	char tail[sizeof(scope)] = { 0 };
	__u32 zero = 0;
	long n;

	r = bpf_map_lookup_elem(&runtimes, &zero);
	n = bpf_probe_read_kernel_str(text, sizeof(text), name) - 1;
	if (build_name(group, name, n, id))
		return 1;
	if (!r || n < CGROUP_ID_DIGITS)
		return 0;
	for (__u32 i = 0; i < CGROUP_MAX_RUNTIMES; i++) {
		__u64 n_prefix = r->prefixes[i].n & (CGROUP_PREFIX_SIZE - 1), differ = i >= r->n;
		int same;

		for (int k = 0; k < CGROUP_PREFIX_SIZE / 8; k++)
			differ |= (text[k] ^ r->prefixes[i].text[k]) & r->prefixes[i].mask[k];
		if (differ || (n != n_prefix + CGROUP_ID_DIGITS && n != n_prefix + CGROUP_ID_DIGITS + sizeof(scope) - 1))
			continue;
		if (bpf_probe_read_kernel(id, CGROUP_ID_DIGITS, name + n_prefix) < 0 || !all_digits(id, CGROUP_ID_DIGITS, 'f'))
			continue;
		if (n == n_prefix + CGROUP_ID_DIGITS)
			return 1;
		if (bpf_probe_read_kernel(tail, sizeof(tail), name + n_prefix + CGROUP_ID_DIGITS) < 0)
			continue;
		same = 1;
		for (__u32 k = 0; k < sizeof(scope); k++)
			same = same && tail[k] == scope[k];
		if (same)
			return 1;
	}
	return 0;
}

/* Below the root, and below no group that has a row: what is made inside a container is the container's. */
static __always_inline int stands_alone(struct cgroup *group, __u64 root)
{
	struct cgroup *above = BPF_CORE_READ(group, self.parent, cgroup);

	for (int level = 0; level < CGROUP_MAX_LEVELS && above; level++) {
		__u64 id = BPF_CORE_READ(above, kn, id);

		if (bpf_map_lookup_elem(&groups, &id) || bpf_map_lookup_elem(&newborns, &id))
			return 0;
		if (id == root)
			return 1;
		above = BPF_CORE_READ(above, self.parent, cgroup);
	}
	return 0;
}

/* Attached as long as somebody lives who judges the newborn; not pinned. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(imds_container_made, struct cgroup *group)
{
	__u64 cgroup = BPF_CORE_READ(group, kn, id), lease = bpf_ktime_get_ns() + CGROUP_LEASE_NS;
	struct cgroup_birth birth = { .cgroup = cgroup };
	struct cgroup_settings *s;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s || !in_version2(group) || !container_name(group, birth.id) ||
	    !stands_alone(group, s->root) || bpf_map_lookup_elem(&agents, birth.id))
		return 0;
	bpf_map_update_elem(&newborns, &cgroup, &lease, BPF_ANY);
	bpf_ringbuf_output(&events, &birth, sizeof(birth), 0);
	return 0;
}

/* An id is never used again; its rows only take room. */
SEC("tp_btf/cgroup_release")
int BPF_PROG(imds_group_gone, struct cgroup *group)
{
	__u64 id = BPF_CORE_READ(group, kn, id);

	if (!in_version2(group))
		return 0;
	bpf_map_delete_elem(&groups, &id);
	bpf_map_delete_elem(&newborns, &id);
	bpf_map_delete_elem(&counters, &id);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
