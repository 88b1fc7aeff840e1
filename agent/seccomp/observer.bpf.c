/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system calls the tasks of the observed groups make. Each task carries a copy of the bits
 * that its row already has, in storage of its own: a call seen before costs a test of one bit in
 * memory that nobody else writes. Everything rare (a new task, a move, an exec, a first sight, an
 * argument to look at) leaves that path.
 *
 * Kernel types are declared here as far as they are read; CO-RE finds where the fields are.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "seccomp/observer-bpf.h"

#define EPERM 1
#define ENOSYS 38
#define X32_BIT 0x40000000
#define MODE_FILTER 2
#define TS_COMPAT 2	  /* x86: the call came through a 32-bit door */
#define TIF_32BIT_ARM64 22
#define CALLS_BEFORE_FLUSH 4096
#define HEX_ID 64 /* Docker, containerd and podman name a container by 64 hexadecimal digits */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct thread_info {
	unsigned long flags;
	__u32 status;
};
struct seccomp {
	int mode;
};
struct ns_common {
	unsigned int inum;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct qstr d_name;
};
struct path {
	struct dentry *dentry;
};
struct file {
	struct path f_path;
};
struct mm_struct {
	struct file *exe_file;
};
struct css_set;
struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	char comm[16];
	struct seccomp seccomp;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct mm_struct *mm;
	__u64 start_boottime;
};
struct kernfs_node {
	const char *name;
	__u64 id;
};
struct cgroup_root {
	int hierarchy_id;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, r10, bx, cx, orig_ax;
};
#else
struct pt_regs {
	__u64 regs[31];
	__u64 orig_x0;
	__s32 syscallno;
};
#endif
#pragma clang attribute pop

/* Set by the loader before it loads. */
const volatile __u8 rule_of[OBS_ABIS][OBS_NUMBERS];
const volatile struct obs_arg_rule rules[OBS_MAX_RULES];
const volatile __u32 exec_number[OBS_ABIS], execveat_number[OBS_ABIS];
const volatile __u8 make_rows;	/* for groups that look like a container's */
const volatile __u8 by_mntns;	/* groups are mount namespaces (cgroup v1) */

/* Raised by the loader when a row goes from start to serving: what tasks remember is void. */
__u64 epoch;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct obs_row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct obs_arg_key);
	__type(value, __u8);
} values SEC(".maps");

/* How many values there are for (owner, call, row); key with v[] zero. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct obs_arg_key);
	__type(value, __u32);
} n_values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* Rows whose start-up is over; apart from the row, which the loader must not write over. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} serving SEC(".maps");

/*
 * Groups by name that lead to a row although they do not exist, or no longer or not yet: a watched
 * cgroup that its container's next start makes anew.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct obs_name_key);
	__type(value, __u64);
} awaited SEC(".maps");

/* What profiles on trial would deny. Empty as long as none is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct obs_shadow_key);
	__type(value, __u64);
} shadow SEC(".maps");
__u64 n_shadows;

/* An empty row to copy from: a row is larger than a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct obs_row);
} empty_row SEC(".maps");

/* What a task knows about itself. */
struct task_state {
	__u64 where;  /* where_is() when it was found */
	__u64 group;  /* key it was found under */
	__u64 owner;  /* of the row; 0: nobody watches this group */
	__u64 epoch;
	__u32 mode;
	__u32 class;
	__u32 calls;
	__u32 last;   /* number + 1 of the call that entered last, 0 none */
	__u64 seen[OBS_WORDS / 2]; /* native calls below 512 whose bit is in the row */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

/*
 * An index that the verifier can follow: the compiler must not compute with a copy that has not
 * been compared.
 */
#define BOUNDED(x, n)                                                                              \
	({                                                                                         \
		asm volatile("" : "+r"(x));                                                        \
		(x) < (n);                                                                         \
	})

static __always_inline __u32 mntns_of(struct task_struct *t)
{
	return BPF_CORE_READ(t, nsproxy, mnt_ns, ns.inum);
}

static __always_inline __u64 group_of(struct task_struct *t)
{
	return by_mntns ? OBS_BY_MNTNS | mntns_of(t) : bpf_get_current_cgroup_id();
}

/*
 * A number that changes whenever the task's group does, for one load instead of a walk: the set of
 * cgroups, or of namespaces, that it points at.
 */
static __always_inline __u64 where_is(struct task_struct *t)
{
	return by_mntns ? (__u64)(unsigned long)t->nsproxy : (__u64)(unsigned long)t->cgroups;
}

static __always_inline __u32 abi_of(struct task_struct *t, long id)
{
#if defined(__TARGET_ARCH_x86)
	if (t->thread_info.status & TS_COMPAT)
		return 1;
	return id & X32_BIT ? 2 : 0;
#else
	return t->thread_info.flags & (1ul << TIF_32BIT_ARM64) ? 1 : 0;
#endif
}

static __always_inline __u32 number_of(__u32 abi, long id)
{
	__u32 nr = (__u32)id;

	if (abi == 2)
		nr &= ~X32_BIT;
	if (nr >= OBS_ARM_PRIVATE && nr < OBS_ARM_PRIVATE + 16)
		return OBS_ARM_FIRST + (nr - OBS_ARM_PRIVATE);
	return nr < OBS_ARM_FIRST ? nr : OBS_ARM_FIRST - 1;
}

/* The 32 lower bits of an argument, which is all that a rule looks at. */
static __always_inline __u32 argument(struct pt_regs *regs, __u32 abi, __u32 index)
{
#if defined(__TARGET_ARCH_x86)
	if (abi == 1)
		return index == 0 ? regs->bx : index == 1 ? regs->cx : index == 2 ? regs->dx : 0;
	return index == 0 ? regs->di : index == 1 ? regs->si : index == 2 ? regs->dx : 0;
#else
	return index == 0 ? regs->orig_x0 : index == 1 ? regs->regs[1] : index == 2 ? regs->regs[2] : 0;
#endif
}

static __always_inline void tell(struct task_struct *t, __u32 kind, __u64 owner, __u32 nr, __u32 abi, __u32 row,
				 __u32 error)
{
	struct obs_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	const unsigned char *name;

	if (!e)
		return; /* the bits are what counts */
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->pid = t->tgid;
	e->owner = owner;
	e->boot_ns = bpf_ktime_get_boot_ns();
	e->nr = nr;
	e->abi = abi;
	e->row = row;
	e->error = error;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	name = BPF_CORE_READ(t, mm, exe_file, f_path.dentry, d_name.name);
	if (name)
		bpf_probe_read_kernel_str(e->exe, sizeof(e->exe), name);
	bpf_ringbuf_submit(e, 0);
}

/* Which class a task is in that has just been found in a group. */
static __always_inline __u32 class_of_newcomer(struct task_struct *t, struct obs_row *row)
{
	if (row->running_ns && t->start_boottime < row->running_ns)
		return OBS_START;
	if (row->exec_other_ns || (!row->maker_mntns && row->exec_same_ns))
		return OBS_XPRE;
	return OBS_PRE;
}

/* Finds out where the current task belongs, and remembers it. */
static __always_inline struct task_state *settle(struct task_struct *t, struct task_state *st)
{
	__u64 group = group_of(t);
	__u64 *owner = bpf_map_lookup_elem(&groups, &group);
	struct obs_row *row = owner ? bpf_map_lookup_elem(&rows, owner) : 0;

	if (!row) {
		if (st)
			bpf_task_storage_delete(&tasks, t);
		return 0;
	}
	if (!st)
		st = bpf_task_storage_get(&tasks, t, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!st)
		return 0;
	if (st->group != group || st->owner != *owner) {
		/* A step into a group below keeps what the task is; anything else is an arrival. */
		if (st->owner != *owner)
			st->class = class_of_newcomer(t, row);
		st->group = group;
		st->owner = *owner;
	}
	__builtin_memset(st->seen, 0, sizeof(st->seen));
	st->where = where_is(t);
	st->mode = t->seccomp.mode;
	st->epoch = epoch;
	return st;
}

static __always_inline void note_arguments(struct pt_regs *regs, struct obs_row *row, __u64 owner, __u32 nr, __u32 abi,
					   __u32 r, __u32 which)
{
	const volatile struct obs_arg_rule *rule = &rules[which & (OBS_MAX_RULES - 1)];
	struct obs_arg_key key = { .owner = owner, .nr = nr, .abi = abi, .row = r };
	__u32 *n, one = 1;
	__u8 yes = 1;

	n = bpf_map_lookup_elem(&n_values, &key);
	if (n && *n > OBS_MAX_ARG_VALUES)
		return;
	key.v[0] = argument(regs, abi, rule->index[0]) & rule->mask[0];
	if (rule->n > 1)
		key.v[1] = argument(regs, abi, rule->index[1]) & rule->mask[1];
	if (bpf_map_lookup_elem(&values, &key))
		return;
	if (bpf_map_update_elem(&values, &key, &yes, BPF_NOEXIST) != 0)
		one = OBS_MAX_ARG_VALUES + 1; /* no room: the call goes without arguments */
	key.v[0] = key.v[1] = 0;
	if (n)
		__sync_fetch_and_add(n, one);
	else if (bpf_map_update_elem(&n_values, &key, &one, BPF_NOEXIST) != 0)
		__sync_fetch_and_add(&row->lost_args, 1);
}

/* Counts a call that a profile on trial would deny. Such a call is never remembered by its task. */
static __always_inline int shadowed(__u64 owner, __u32 nr, __u32 abi)
{
	struct obs_shadow_key key = { .owner = owner, .nr = nr, .abi = abi };
	__u64 *count = n_shadows ? bpf_map_lookup_elem(&shadow, &key) : 0;

	if (!count)
		return 0;
	__sync_fetch_and_add(count, 1);
	return 1;
}

static __always_inline void note(struct task_struct *t, struct pt_regs *regs, struct task_state *st,
				 struct obs_row *row, __u64 nr, __u64 abi)
{
	__u64 owner = st->owner, class = st->class, r, mask, *word;
	__u32 which;

	if (!BOUNDED(abi, OBS_ABIS) || !BOUNDED(nr, OBS_NUMBERS))
		return;

	if (class == OBS_START && bpf_map_lookup_elem(&serving, &st->owner))
		class = OBS_SERVE;
	/* The exec that starts the workload is made by the runtime and needed all the same. */
	if ((class == OBS_PRE || class == OBS_XPRE) && (nr == exec_number[abi] || nr == execveat_number[abi]))
		class = class == OBS_PRE ? OBS_START : OBS_EXEC;
	r = class * 2 + (t->seccomp.mode == MODE_FILTER);
	if (!BOUNDED(r, OBS_ROWS))
		return;
	mask = 1ull << (nr & 63);
	word = &row->seen[r][abi].w[nr >> 6];
	which = rule_of[abi][nr];
	if (!(*word & mask)) {
		__sync_fetch_and_or(word, mask);
		tell(t, OBS_EVENT_CALL, owner, nr, abi, r, 0);
	}
	if (which)
		note_arguments(regs, row, owner, nr, abi, r, which);
	/* Before the exec only what runs under a filter would meet the profile. */
	if (((r & 1) || (class != OBS_PRE && class != OBS_XPRE)) && shadowed(owner, nr, abi))
		return;
	if (!which && abi == 0 && BOUNDED(nr, 512))
		st->seen[nr >> 6] |= mask;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter, struct pt_regs *regs, long id)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct task_state *st = bpf_task_storage_get(&tasks, t, 0, 0);
	__u32 abi = abi_of(t, id);
	struct obs_row *row;
	__u64 index = id;

	if (st && st->where == where_is(t) && st->epoch == epoch && st->mode == t->seccomp.mode) {
		st->calls++;
		st->last = (__u32)id + 1;
		if (abi == 0 && BOUNDED(index, 512) && st->seen[index >> 6] >> (index & 63) & 1)
			return 0;
	} else {
		st = settle(t, st);
		if (!st)
			return 0;
		st->calls++;
		st->last = (__u32)id + 1;
	}
	row = bpf_map_lookup_elem(&rows, &st->owner);
	if (!row)
		return 0;
	note(t, regs, st, row, number_of(abi, id), abi);
	if (st->calls >= CALLS_BEFORE_FLUSH) {
		__sync_fetch_and_add(&row->calls, st->calls);
		st->calls = 0;
	}
	return 0;
}

/*
 * A filter that answers with an errno does so before sys_enter: an answer without a question is a
 * denial. A kernel's own refusal had a question and does not count.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(leave, struct pt_regs *regs, long ret)
{
	struct task_struct *t;
	struct task_state *st;
	struct obs_row *row;
	__u64 mask, *word, abi, nr;
	long id;

	if (ret != -EPERM && ret != -ENOSYS)
		return 0;
	t = bpf_get_current_task_btf();
	if (t->seccomp.mode != MODE_FILTER)
		return 0;
	st = bpf_task_storage_get(&tasks, t, 0, 0);
	if (!st || st->where != where_is(t)) {
		st = settle(t, st);
		if (!st)
			return 0;
	}
#if defined(__TARGET_ARCH_x86)
	id = regs->orig_ax;
#else
	id = regs->syscallno;
#endif
	if (id < 0)
		return 0;
	if (st->last == (__u32)id + 1) {
		st->last = 0;
		return 0;
	}
	row = bpf_map_lookup_elem(&rows, &st->owner);
	if (!row)
		return 0;
	abi = abi_of(t, id);
	nr = number_of(abi, id);
	if (!BOUNDED(abi, OBS_ABIS) || !BOUNDED(nr, OBS_NUMBERS))
		return 0;
	mask = 1ull << (nr & 63);
	word = ret == -EPERM ? &row->eperm[abi].w[nr >> 6] : &row->enosys[abi].w[nr >> 6];
	if (*word & mask)
		return 0;
	__sync_fetch_and_or(word, mask);
	tell(t, OBS_EVENT_DENIED, st->owner, nr, abi, st->class * 2 + 1, (__u32)-ret);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	struct task_state *from = bpf_task_storage_get(&tasks, parent, 0, 0), *to;

	if (!from)
		return 0;
	to = bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!to)
		return 0;
	*to = *from;
	to->calls = 0;
	to->last = 0;
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *t)
{
	struct task_state *st = bpf_task_storage_get(&tasks, t, 0, 0);
	__u64 now = bpf_ktime_get_boot_ns();
	struct obs_row *row;
	int other;

	if (!st)
		return 0;
	row = bpf_map_lookup_elem(&rows, &st->owner);
	if (!row)
		return 0;
	other = !row->maker_mntns || mntns_of(t) != row->maker_mntns;
	if (st->class == OBS_PRE || st->class == OBS_SAME)
		st->class = other ? OBS_START : OBS_SAME;
	else if (st->class == OBS_XPRE && other)
		st->class = OBS_EXEC;
	if (!row->exec_same_ns)
		row->exec_same_ns = now;
	if (other && !row->exec_other_ns)
		row->exec_other_ns = now;
	__builtin_memset(st->seen, 0, sizeof(st->seen));
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exited, struct task_struct *t)
{
	struct task_state *st = bpf_task_storage_get(&tasks, t, 0, 0);
	struct obs_row *row = st ? bpf_map_lookup_elem(&rows, &st->owner) : 0;

	if (row)
		__sync_fetch_and_add(&row->calls, st->calls);
	if (st)
		st->calls = 0;
	return 0;
}

static __always_inline int ends_in_id(const char *name, long n)
{
	/* "docker-<64>.scope", "libpod-<64>.scope", "cri-containerd-<64>.scope" or "<64>" */
	long end = n - 1;

	if (end > 6 && end < 120 && name[(end - 6) & 127] == '.' && name[(end - 5) & 127] == 's')
		end -= 6;
	if (end < HEX_ID || end > 120)
		return 0;
	for (int i = 0; i < HEX_ID; i++) {
		char c = name[(end - HEX_ID + i) & 127];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return 0;
	}
	return 1;
}

/* Rows are there before anything can run in the group. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(group_made, struct cgroup *g)
{
	struct task_struct *t = bpf_get_current_task_btf();
	__u64 id = BPF_CORE_READ(g, kn, id), parent = 0, *owner;
	struct obs_row *row, *empty;
	struct obs_event *e;
	__u32 zero = 0;
	struct obs_name_key key = {};
	long n;

	if (BPF_CORE_READ(g, root, hierarchy_id) != 0)
		return 0;
	/* Below an observed group: the same container. */
	if (g->self.parent)
		parent = BPF_CORE_READ(g, self.parent, cgroup, kn, id);
	owner = parent ? bpf_map_lookup_elem(&groups, &parent) : 0;
	if (owner) {
		bpf_map_update_elem(&groups, &id, owner, BPF_NOEXIST);
		return 0;
	}
	n = bpf_probe_read_kernel_str(key.name, sizeof(key.name), BPF_CORE_READ(g, kn, name));
	if (n <= 0)
		return 0;
	key.parent = parent;
	owner = bpf_map_lookup_elem(&awaited, &key);
	if (owner) {
		bpf_map_update_elem(&groups, &id, owner, BPF_NOEXIST);
		return 0;
	}
	if (!make_rows || !ends_in_id(key.name, n))
		return 0;
	empty = bpf_map_lookup_elem(&empty_row, &zero);
	if (!empty || bpf_map_update_elem(&rows, &id, empty, BPF_NOEXIST) != 0)
		return 0;
	row = bpf_map_lookup_elem(&rows, &id);
	if (!row)
		return 0;
	row->made_ns = bpf_ktime_get_boot_ns();
	row->maker_mntns = mntns_of(t);
	bpf_map_update_elem(&groups, &id, &id, BPF_ANY);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = OBS_EVENT_GROUP;
	e->owner = id;
	e->boot_ns = row->made_ns;
	__builtin_memcpy(e->group, key.name, sizeof(e->group));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
