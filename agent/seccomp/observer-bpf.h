/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the BPF programs and their loader share: keys, rows, events. The includer brings __u32 and
 * __u64. Every struct is zeroed before it is filled, and the reader checks its size.
 */

#define OBS_ABIS 3 /* 0 native, 1 32-bit, 2 x32 */
#define OBS_NUMBERS 1024
#define OBS_WORDS (OBS_NUMBERS / 64)
/* Calls private to ARM (0x0f0000 and up) get the last numbers. */
#define OBS_ARM_PRIVATE 0x0f0000
#define OBS_ARM_FIRST (OBS_NUMBERS - 16)
#define OBS_MAX_ARG_VALUES 32
#define OBS_THREADS 16384 /* observed at a time where the kernel keeps nothing by task, a power of two */
#define OBS_ID 64 /* Docker, containerd and podman name a container by 64 hexadecimal digits */

/*
 * Who and when, times two: without and with a filter in force.
 * PRE:   a task that has entered and has not executed the workload: the runtime, setting up
 * SAME:  executed something, but still in the mount namespace of the group's maker: the runtime's
 *        own re-execution, or a workload without a namespace of its own; told apart at the end
 * START, SERVE: the workload
 * XPRE, EXEC: a session that entered later (docker exec), before and after its exec
 */
enum obs_class {
	OBS_PRE,
	OBS_SAME,
	OBS_START,
	OBS_SERVE,
	OBS_XPRE,
	OBS_EXEC,
	OBS_CLASSES,
};
#define OBS_ROWS (OBS_CLASSES * 2)

struct obs_bits {
	__u64 w[OBS_WORDS];
};

/* What is known about one observed group (a container) beside its calls. */
struct obs_head {
	__u64 calls;		/* a lower bound: tasks add what they counted now and then */
	__u64 made_ns;		/* boot time of the row; tasks older than @running_ns were there before */
	__u64 running_ns;	/* tasks started before that belong to the workload already */
	__u64 exec_same_ns;	/* boot time of the first exec of each kind; 0: none */
	__u64 exec_other_ns;
	__u64 earlier;		/* the row of the same container's last run, which nobody had asked for; 0: none */
	__u32 maker_mntns;	/* 0: the group is ours; of a group by namespace OBS_ANY_MNTNS */
	__u32 lost_args;	/* argument values that found no room */
};

/* An observed group; key: its id. */
struct obs_row {
	struct obs_head head;
	struct obs_bits seen[OBS_ROWS][OBS_ABIS];
	struct obs_bits eperm[OBS_ABIS];
	struct obs_bits enosys[OBS_ABIS];
};

/*
 * The same for kernels that cannot set a bit atomically (before Linux 5.12): two processors that
 * write to neighbouring bytes do not lose one another's.
 */
struct obs_byte_row {
	struct obs_head head;
	__u8 seen[OBS_ROWS][OBS_ABIS][OBS_NUMBERS];
	__u8 eperm[OBS_ABIS][OBS_NUMBERS];
	__u8 enosys[OBS_ABIS][OBS_NUMBERS];
};

/*
 * key of `groups`: a cgroup id, or OBS_BY_MNTNS | the inode number of a mount namespace; value: the id of the
 * row, 0 for none. The inode number of a namespace that has ended is soon another's: a row that is made
 * for one is named by OBS_BY_MNTNS | OBS_NUMBERED | a number that no other namespace gets, and without
 * OBS_BY_MNTNS that says which namespace has no row.
 */
#define OBS_BY_MNTNS (1ull << 63)
#define OBS_NUMBERED (1ull << 62)
#define OBS_ANY_MNTNS 1 /* no namespace has that number: any exec is the workload's */

struct obs_arg_key {
	__u64 owner;
	__u32 nr;
	__u16 abi;
	__u16 row; /* class * 2 + filter */
	__u32 v[2];
};

/* A directory of the cgroup tree by its parent's id and its own name. */
struct obs_name_key {
	__u64 parent;
	char name[128];
};

/* A container's id as runtimes put it into the name of its cgroup. */
struct obs_id {
	char hex[OBS_ID];
};

/* What a profile on trial would deny; key: the group's id, 0 for all that have none of their own. */
struct obs_shadow_row {
	__u32 trial, pad; /* whose questions are asked */
	struct obs_bits denied[OBS_ABIS];
	struct obs_bits asks[OBS_ABIS]; /* the arguments decide */
};

/* The questions of decision.h, which lead from the first (@n 0) to OBS_PASS or OBS_DENY. */
struct obs_question_key {
	__u32 trial;
	__u16 nr, abi;
	__u32 n;
};
struct obs_question {
	__u32 kind, word, mask, value, yes, no;
};
/* Where a value leads to; value: as obs_question.yes. */
struct obs_case_key {
	struct obs_question_key question;
	__u32 value;
};
#define OBS_PASS 0xffffffffu
#define OBS_DENY 0xfffffffeu
#define OBS_MAX_QUESTIONS 64 /* of one call, from the first to the answer */

/* A call that was made and would have been denied; the value counts how often. */
struct obs_shadow_key {
	__u64 owner;
	__u32 nr, abi;
};

struct obs_arg_rule {
	__u32 n, index[2], mask[2];
};
#define OBS_MAX_RULES 32

enum obs_event_kind {
	OBS_EVENT_CALL = 1, /* first sight */
	OBS_EVENT_DENIED,
	OBS_EVENT_GROUP, /* a container's group was made */
	OBS_EVENT_SHADOW, /* a call was made for the first time that the profile on trial would deny */
};

struct obs_event {
	__u32 kind;
	__u32 pid;
	__u64 owner;
	__u64 boot_ns;
	__u32 nr;
	__u16 abi;
	__u16 row;
	__u32 error; /* DENIED: 1 EPERM, 38 ENOSYS */
	__u32 pad;
	char comm[16];
	char exe[32]; /* last component of the executable; GROUP: unused */
	char group[128]; /* GROUP: name of the directory */
};
