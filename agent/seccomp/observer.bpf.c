/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system calls the tasks of the observed groups make. Each task carries a copy of the bits
 * that its row already has, in storage of its own: a call seen before costs a test of one bit in
 * memory that nobody else writes. Everything rare (a new task, a move, an exec, a first sight, an
 * argument to look at) leaves that path.
 *
 * Kernels before Linux 5.13 keep nothing by task and set no bit atomically: there the copy is in an
 * array by the thread's number, or in a hash where two threads would share a place, and a row holds
 * bytes. Each program exists for both; the loader takes one. (Storage by cgroup, Linux 6.2, would be
 * slower than by task and cannot hold what is a task's own.)
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "seccomp/observer-bpf.h"
#include "seccomp/observer-kernel.bpf.h"

#define EPERM 1
#define ENOSYS 38
#define X32_BIT 0x40000000
#define MODE_FILTER 2
#define TS_COMPAT 2	  /* x86: the call came through a 32-bit door */
#define TIF_32BIT_ARM64 22
#define USER_CS 0x33	  /* x86: 64-bit code */
#define PSTATE_32BIT 0x10 /* arm64 */
#define CALLS_BEFORE_FLUSH 4096

/* Set by the loader before it loads. */
const volatile __u8 rule_of[OBS_ABIS][OBS_NUMBERS];
const volatile struct obs_arg_rule rules[OBS_MAX_RULES];
const volatile __u32 exec_number[OBS_ABIS], execveat_number[OBS_ABIS];
const volatile struct obs_bits unsettling[OBS_ABIS]; /* after them a task's filter or namespace may be another */
const volatile __u8 make_rows;	/* for groups that look like a container's */
const volatile __u8 by_mntns;	/* groups are mount namespaces (cgroup v1) */
const volatile __u64 loaded_ns; /* boot time of the loading */

/*
 * Raised when what tasks remember is void: by the loader when a row goes from start to serving, and where
 * nothing is kept by task, when one was moved or has got a filter. Tasks that have to look again have 0.
 */
__u64 epoch = 1;

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
	__type(value, struct obs_row); /* or struct obs_byte_row, as the loader says */
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

/* Which row a container's is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct obs_id);
	__type(value, __u64);
} ids SEC(".maps");

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

/* A task state to copy from, and how often there was no room for one: calls were missed then. */
static const struct task_state no_state;
__u64 lost_tasks;

#include "seccomp/observer-threads.bpf.h"

/* A field of the task, which the older kernels give no pointer to that could be followed. */
#define TASK(old, t, field) ((old) ? BPF_CORE_READ(t, field) : (t)->field)

static __always_inline struct task_struct *current_task(bool old)
{
	return old ? (struct task_struct *)bpf_get_current_task() : bpf_get_current_task_btf();
}

static __always_inline struct task_state *state_of(bool old, struct task_struct *t)
{
	return old ? thread_state(BPF_CORE_READ(t, pid)) : bpf_task_storage_get(&tasks, t, 0, 0);
}

static __always_inline struct task_state *make_state(bool old, struct task_struct *t)
{
	struct task_state *st;

	if (old) {
		st = thread_state(BPF_CORE_READ(t, pid));
		if (!st)
			st = make_thread_state(BPF_CORE_READ(t, pid));
	} else {
		st = bpf_task_storage_get(&tasks, t, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	}
	if (!st)
		__sync_fetch_and_add(&lost_tasks, 1);
	return st;
}

static __always_inline void drop_state(bool old, struct task_struct *t)
{
	if (old)
		drop_thread_state(BPF_CORE_READ(t, pid));
	else
		bpf_task_storage_delete(&tasks, t);
}

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
static __always_inline __u64 where_is(bool old, struct task_struct *t)
{
	return by_mntns ? (__u64)(unsigned long)TASK(old, t, nsproxy) : (__u64)(unsigned long)TASK(old, t, cgroups);
}

static __always_inline __u32 abi_of(bool old, struct task_struct *t, long id)
{
#if defined(__TARGET_ARCH_x86)
	if (TASK(old, t, thread_info.status) & TS_COMPAT)
		return 1;
	return id & X32_BIT ? 2 : 0;
#else
	return TASK(old, t, thread_info.flags) & (1ul << TIF_32BIT_ARM64) ? 1 : 0;
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

/* An argument as a filter sees it. */
static __always_inline __u64 argument(struct pt_regs *regs, __u32 abi, __u32 index)
{
#if defined(__TARGET_ARCH_x86)
	if (abi == 1)
		return index == 0 ? regs->bx : index == 1 ? regs->cx : index == 2 ? regs->dx :
		       index == 3 ? regs->si : index == 4 ? regs->di : regs->bp;
	return index == 0 ? regs->di : index == 1 ? regs->si : index == 2 ? regs->dx : index == 3 ? regs->r10 :
	       index == 4 ? regs->r8 : regs->r9;
#else
	return index == 0 ? regs->orig_x0 : index == 1 ? regs->regs[1] : index == 2 ? regs->regs[2] :
	       index == 3 ? regs->regs[3] : index == 4 ? regs->regs[4] : regs->regs[5];
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
	e->pid = bpf_get_current_pid_tgid() >> 32;
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
static __always_inline __u32 class_of_newcomer(bool old, struct task_struct *t, const struct obs_head *row)
{
	if (row->running_ns && TASK(old, t, start_boottime) < row->running_ns)
		return OBS_START;
	if (row->exec_other_ns || (!row->maker_mntns && row->exec_same_ns))
		return OBS_XPRE;
	return OBS_PRE;
}

/* "docker-<64>.scope", "libpod-<64>.scope", "cri-containerd-<64>.scope" or "<64>": the 64. */
static __always_inline int ends_in_id(const char *name, long n, struct obs_id *ret)
{
	long end = n - 1;

	if (end > 6 && end < 120 && name[(end - 6) & 127] == '.' && name[(end - 5) & 127] == 's')
		end -= 6;
	if (end < OBS_ID || end > 120)
		return 0;
	for (int i = 0; i < OBS_ID; i++) {
		char c = name[(end - OBS_ID + i) & 127];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return 0;
		ret->hex[i] = c;
	}
	return 1;
}

/* Whose a row is, for who hears of the container when it is over; and what it did before, if nobody heard. */
static __always_inline void name_row(__u64 id, struct obs_head *row, const struct obs_id *name)
{
	__u64 *earlier = bpf_map_lookup_elem(&ids, name);

	if (earlier && *earlier != id)
		row->earlier = *earlier;
	bpf_map_update_elem(&ids, name, &id, BPF_ANY);
}

/* On a host whose containers have no group in cgroup2, the other hierarchies tell whose a namespace is. */
static __always_inline void name_row_by_task(__u64 id, struct obs_head *row, struct task_struct *t)
{
	struct css_set *set = BPF_CORE_READ(t, cgroups);

	for (unsigned int i = 0; i < MAX_CONTROLLERS; i++) {
		struct cgroup_subsys_state *state = 0;
		struct obs_id name = {};
		char text[128];
		long n;

		if ((i + 1) * sizeof(state) > bpf_core_field_size(set->subsys))
			return;
		bpf_core_read(&state, sizeof(state), &set->subsys[i]);
		n = bpf_probe_read_kernel_str(text, sizeof(text), BPF_CORE_READ(state, cgroup, kn, name));
		if (n > 0 && ends_in_id(text, n, &name)) {
			name_row(id, row, &name);
			return;
		}
	}
}

/* A row for a group that has just come to be, and word of it. Return: its first member, or NULL. */
static __always_inline struct obs_head *make_row(__u64 group, __u64 id, __u32 maker_mntns, const char *name)
{
	struct obs_head *row;
	struct obs_event *e;
	__u32 zero = 0;
	void *empty = bpf_map_lookup_elem(&empty_row, &zero);

	if (!empty || bpf_map_update_elem(&rows, &id, empty, BPF_NOEXIST) != 0)
		return 0;
	row = bpf_map_lookup_elem(&rows, &id);
	if (!row)
		return 0;
	row->made_ns = bpf_ktime_get_boot_ns();
	row->maker_mntns = maker_mntns;
	bpf_map_update_elem(&groups, &group, &id, BPF_ANY);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return row;
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = OBS_EVENT_GROUP;
	e->owner = id;
	e->boot_ns = row->made_ns;
	if (name)
		__builtin_memcpy(e->group, name, sizeof(e->group));
	bpf_ringbuf_submit(e, 0);
	return row;
}

/* A number that no other mount namespace gets, unlike that of its inode. */
static __always_inline __u64 mntns_number(struct task_struct *t)
{
	struct mnt_namespace *ns = BPF_CORE_READ(t, nsproxy, mnt_ns);

	if (bpf_core_field_exists(ns->seq))
		return BPF_CORE_READ(ns, seq);
	if (bpf_core_field_exists(ns->ns.ns_id))
		return BPF_CORE_READ(ns, ns.ns_id);
	return BPF_CORE_READ(ns, ns.inum);
}

/*
 * Without cgroups to tell containers by, each mount namespace may be one that has come to be since the
 * programs were loaded: that is told by the first task that is seen in it.
 */
static __always_inline __u64 owner_of_mntns(bool old, struct task_struct *t, __u64 group, const __u64 *owner)
{
	__u64 nobody = OBS_NUMBERED | mntns_number(t), own = OBS_BY_MNTNS | nobody;

	if (owner && (*owner == own || !(*owner & OBS_NUMBERED)))
		return *owner;
	if (!make_rows || (owner && *owner == nobody))
		return 0;
	if (TASK(old, t, start_boottime) < loaded_ns) {
		bpf_map_update_elem(&groups, &group, &nobody, BPF_ANY);
		return 0;
	}
	return make_row(group, own, OBS_ANY_MNTNS, 0) ? own : 0;
}

/* The group's owner; 0 for a group that nobody watches. */
static __always_inline __u64 owner_of(bool old, struct task_struct *t, __u64 group)
{
	__u64 *owner = bpf_map_lookup_elem(&groups, &group);

	if (by_mntns)
		return owner_of_mntns(old, t, group, owner);
	return owner ? *owner : 0;
}

/* Finds out where the current task belongs, and remembers it. */
static __always_inline struct task_state *settle(bool old, struct task_struct *t, struct task_state *st)
{
	__u64 group = group_of(t), owner = owner_of(old, t, group);
	struct obs_head *row = owner ? bpf_map_lookup_elem(&rows, &owner) : 0;
	__u32 mode;

	if (!row) {
		if (st)
			drop_state(old, t);
		return 0;
	}
	if (!st)
		st = make_state(old, t);
	if (!st)
		return 0;
	if (st->group != group || st->owner != owner) {
		/* A step into a group below keeps what the task is; anything else is an arrival. */
		if (st->owner != owner)
			st->class = class_of_newcomer(old, t, row);
		st->group = group;
		st->owner = owner;
	}
	__builtin_memset(st->seen, 0, sizeof(st->seen));
	st->where = where_is(old, t);
	mode = TASK(old, t, seccomp.mode);
	/* A filter may have been given to all threads of the process. */
	if (old && st->mode != mode)
		__sync_fetch_and_add(&epoch, 1);
	st->mode = mode;
	st->epoch = epoch;
	return st;
}

static __always_inline void note_arguments(struct pt_regs *regs, struct obs_head *row, __u64 owner, __u32 nr, __u32 abi,
					   __u32 r, __u32 which)
{
	const volatile struct obs_arg_rule *rule = &rules[which & (OBS_MAX_RULES - 1)];
	struct obs_arg_key key = { .owner = owner, .nr = nr, .abi = abi, .row = r };
	__u32 *n, one = 1;
	__u8 yes = 1;

	n = bpf_map_lookup_elem(&n_values, &key);
	if (n && *n > OBS_MAX_ARG_VALUES)
		return;
	key.v[0] = (__u32)argument(regs, abi, rule->index[0]) & rule->mask[0];
	if (rule->n > 1)
		key.v[1] = (__u32)argument(regs, abi, rule->index[1]) & rule->mask[1];
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

#include "seccomp/observer-trial.bpf.h"

/* Marks a call in a bitmap, or in the bytes that older kernels have instead. Return: it is new. */
#define MARK(old, row, member, nr)                                                                 \
	({                                                                                         \
		__u64 mask = 1ull << ((nr) & 63);                                                  \
		__u64 *word = &((struct obs_row *)(row))->member.w[((nr) >> 6) & (OBS_WORDS - 1)];   \
		__u8 *byte = &((struct obs_byte_row *)(row))->member[(nr) & (OBS_NUMBERS - 1)];     \
		bool is_new = (old) ? !*byte : !(*word & mask);                                    \
		if (is_new && (old))                                                               \
			*byte = 1;                                                                 \
		else if (is_new)                                                                   \
			__sync_fetch_and_or(word, mask);                                           \
		is_new;                                                                            \
	})

/* What a task is from an exec on: the workload's, once its mount namespace is another than that of the group's maker. */
static __always_inline __u64 class_from_exec(struct obs_head *row, struct task_struct *t, __u64 class)
{
	bool other = !row->maker_mntns || mntns_of(t) != row->maker_mntns;

	if (class == OBS_PRE || class == OBS_SAME)
		return other ? OBS_START : OBS_SAME;
	return class == OBS_XPRE && other ? OBS_EXEC : class;
}

static __always_inline void note(bool old, struct task_struct *t, struct pt_regs *regs, struct task_state *st,
				 struct obs_head *row, __u64 nr, __u64 abi)
{
	__u64 owner = st->owner, class = st->class, r;
	__u32 which;
	bool shadow;

	if (!BOUNDED(abi, OBS_ABIS) || !BOUNDED(nr, OBS_NUMBERS))
		return;

	if (class == OBS_START && bpf_map_lookup_elem(&serving, &st->owner))
		class = OBS_SERVE;
	/* The exec that starts the workload is made by the runtime and needed all the same; those that runc begins with are not. */
	if (nr == exec_number[abi] || nr == execveat_number[abi])
		class = class_from_exec(row, t, class);
	r = class * 2 + (TASK(old, t, seccomp.mode) == MODE_FILTER);
	if (!BOUNDED(r, OBS_ROWS))
		return;
	which = rule_of[abi][nr];
	if (MARK(old, row, seen[r][abi], nr))
		tell(t, OBS_EVENT_CALL, owner, nr, abi, r, 0);
	if (which)
		note_arguments(regs, row, owner, nr, abi, r, which);
	/* Before the exec only what runs under a filter would meet the profile. */
	shadow = ((r & 1) || (class != OBS_PRE && class != OBS_XPRE)) && shadowed(t, regs, owner, nr, abi, r);
	if (old && unsettling[abi].w[nr >> 6] >> (nr & 63) & 1)
		st->epoch = 0;
	else if (!shadow && !which && abi == 0 && BOUNDED(nr, 512))
		st->seen[nr >> 6] |= 1ull << (nr & 63);
}

/* Certainly a native call? SYSCALL leaves the address behind it in both registers. */
static __always_inline bool is_native(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return regs->cs == USER_CS && regs->cx == regs->ip;
#else
	return !(regs->pstate & PSTATE_32BIT);
#endif
}

/*
 * For kernels that keep nothing by task: is it a call that the thread's row has? A look at the task would be a
 * copy each time; that it was moved, or its filter changed, is told by the epoch.
 */
static __always_inline bool is_known_by_thread(struct pt_regs *regs, long id)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid(), place = thread & (OBS_THREADS - 1);
	struct slot *slot = bpf_map_lookup_elem(&slots, &place);
	__u64 index = id;

	if (!slot || slot->thread != thread || slot->state.epoch != epoch || !BOUNDED(index, 512) ||
	    !(slot->state.seen[index >> 6] >> (index & 63) & 1) || !is_native(regs))
		return false;
	slot->state.calls++;
	slot->state.last = (__u32)id + 1;
	return true;
}

static __always_inline int on_enter(bool old, struct pt_regs *regs, long id)
{
	struct task_struct *t;
	struct task_state *st;
	struct obs_head *row;
	__u64 index = id;
	__u32 abi;

	if (old && is_known_by_thread(regs, id))
		return 0;
	t = current_task(old);
	st = old ? thread_state((__u32)bpf_get_current_pid_tgid()) : state_of(old, t);
	abi = abi_of(old, t, id);
	if (st && st->where == where_is(old, t) && st->epoch == epoch && st->mode == TASK(old, t, seccomp.mode)) {
		st->calls++;
		st->last = (__u32)id + 1;
		if (abi == 0 && BOUNDED(index, 512) && st->seen[index >> 6] >> (index & 63) & 1)
			return 0;
	} else {
		st = settle(old, t, st);
		if (!st)
			return 0;
		st->calls++;
		st->last = (__u32)id + 1;
	}
	row = bpf_map_lookup_elem(&rows, &st->owner);
	if (!row)
		return 0;
	note(old, t, regs, st, row, number_of(abi, id), abi);
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
static __always_inline int on_leave(bool old, struct pt_regs *regs, long ret)
{
	struct task_struct *t;
	struct task_state *st;
	struct obs_head *row;
	__u64 abi, nr;
	bool is_new;
	long id;

	if (ret != -EPERM && ret != -ENOSYS)
		return 0;
	t = current_task(old);
	if (TASK(old, t, seccomp.mode) != MODE_FILTER)
		return 0;
	st = state_of(old, t);
	if (!st || st->where != where_is(old, t)) {
		st = settle(old, t, st);
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
	abi = abi_of(old, t, id);
	nr = number_of(abi, id);
	if (!BOUNDED(abi, OBS_ABIS) || !BOUNDED(nr, OBS_NUMBERS))
		return 0;
	is_new = ret == -EPERM ? MARK(old, row, eperm[abi], nr) : MARK(old, row, enosys[abi], nr);
	if (is_new)
		tell(t, OBS_EVENT_DENIED, st->owner, nr, abi, st->class * 2 + 1, (__u32)-ret);
	return 0;
}

static __always_inline int on_fork(bool old, struct task_struct *parent, struct task_struct *child)
{
	struct task_state *from = state_of(old, parent), *to;

	if (!from)
		return 0;
	to = make_state(old, child);
	if (!to)
		return 0;
	*to = *from;
	to->calls = 0;
	to->last = 0;
	/* It may have been born in another group or namespace. */
	if (old && to->where != where_is(old, child))
		to->epoch = 0;
	return 0;
}

static __always_inline int on_exec(bool old, struct task_struct *t)
{
	struct task_state *st = state_of(old, t);
	__u64 now = bpf_ktime_get_boot_ns();
	struct obs_head *row;
	int other;

	if (!st)
		return 0;
	row = bpf_map_lookup_elem(&rows, &st->owner);
	if (!row)
		return 0;
	other = !row->maker_mntns || mntns_of(t) != row->maker_mntns;
	st->class = class_from_exec(row, t, st->class);
	if (!row->exec_same_ns)
		row->exec_same_ns = now;
	if (other && !row->exec_other_ns) {
		row->exec_other_ns = now;
		if (by_mntns && make_rows)
			name_row_by_task(st->owner, row, t);
	}
	__builtin_memset(st->seen, 0, sizeof(st->seen));
	return 0;
}

static __always_inline int on_exit(bool old, struct task_struct *t)
{
	struct task_state *st = state_of(old, t);
	struct obs_head *row = st ? bpf_map_lookup_elem(&rows, &st->owner) : 0;

	if (row)
		__sync_fetch_and_add(&row->calls, st->calls);
	if (st)
		st->calls = 0;
	if (st && old)
		drop_state(old, t);
	return 0;
}

/* Each for kernels that have storage by task, and for the older ones. */
#define PROGRAMS(suffix, old)                                                                      \
	SEC("tp_btf/sys_enter")                                                                    \
	int BPF_PROG(enter##suffix, struct pt_regs *regs, long id)                                 \
	{                                                                                          \
		return on_enter(old, regs, id);                                                    \
	}                                                                                          \
	SEC("tp_btf/sys_exit")                                                                     \
	int BPF_PROG(leave##suffix, struct pt_regs *regs, long ret)                                \
	{                                                                                          \
		return on_leave(old, regs, ret);                                                   \
	}                                                                                          \
	SEC("tp_btf/sched_process_fork")                                                           \
	int BPF_PROG(forked##suffix, struct task_struct *parent, struct task_struct *child)        \
	{                                                                                          \
		return on_fork(old, parent, child);                                                \
	}                                                                                          \
	SEC("tp_btf/sched_process_exec")                                                           \
	int BPF_PROG(executed##suffix, struct task_struct *t)                                      \
	{                                                                                          \
		return on_exec(old, t);                                                            \
	}                                                                                          \
	SEC("tp_btf/sched_process_exit")                                                           \
	int BPF_PROG(exited##suffix, struct task_struct *t)                                        \
	{                                                                                          \
		return on_exit(old, t);                                                            \
	}

PROGRAMS(, false)
PROGRAMS(_old, true)

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(moved_old, struct cgroup *to)
{
	__sync_fetch_and_add(&epoch, 1);
	return 0;
}

/* Rows are there before anything can run in the group. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(group_made, struct cgroup *g)
{
	__u64 id = BPF_CORE_READ(g, kn, id), parent = 0, *owner;
	struct obs_name_key key = {};
	struct obs_id name = {};
	struct obs_head *row;
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
	if (!make_rows || by_mntns || !ends_in_id(key.name, n, &name))
		return 0;
	row = make_row(id, id, mntns_of((struct task_struct *)bpf_get_current_task()), key.name);
	if (row)
		name_row(id, row, &name);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
