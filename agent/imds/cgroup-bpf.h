/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Between the cgroup programs and their loader: what lies in the maps. All numbers are of the
 * host's byte order; addresses are in network order.
 */
#ifdef __bpf__
#include <linux/types.h>
#else
#include <asm/types.h>
#endif

#define CGROUP_MAX_ROWS 16384	  /* guarded and allowed groups */
#define CGROUP_MAX_COUNTERS 4096  /* groups that tried; the one that was silent longest gives way */
#define CGROUP_MAX_LEVELS 16	  /* depth below the root of the hierarchy that is looked at */
#define CGROUP_MAX_SLICES 8
#define CGROUP_NAME_SIZE 64
#define CGROUP_RING_BYTES (64 * 1024)
#define CGROUP_MAX_RUNTIMES 9	  /* the first stands for names that are an id and nothing else */
#define CGROUP_MAX_AGENTS 64
#define CGROUP_PREFIX_SIZE 32
#define CGROUP_ID_DIGITS 64	  /* of a container's id, in the name of its group */
#define CGROUP_BUILD_DIGITS 25	  /* of the id, in base 36, of what BuildKit runs for a build */
#define CGROUP_LEASE_NS 30000000000ull /* a newborn that nobody speaks of stays refused for so long */

enum cgroup_verdict {
	CGROUP_GUARD = 1, /* this group and all below may not reach the service */
	CGROUP_ALLOW = 2, /* they may; the deepest row decides */
};

enum cgroup_hook {
	CGROUP_CONNECT4,
	CGROUP_CONNECT6,
	CGROUP_SENDMSG4,
	CGROUP_SENDMSG6,
	CGROUP_EGRESS4, /* whatever the others did not see: raw sockets, sockets connected before */
	CGROUP_EGRESS6,
	_CGROUP_HOOK_MAX,
};

struct cgroup_counter {
	__u64 refused;	  /* exact, all hooks together */
	__u64 reported;	  /* how many of them events have told of */
	__u64 last_event; /* bpf_ktime_get_ns() of the last event */
};

struct cgroup_totals {
	__u64 refused[_CGROUP_HOOK_MAX];
	__u64 allowed[_CGROUP_HOOK_MAX];
};

struct cgroup_settings {
	__u64 root;		    /* id of the group whose children are looked at by name */
	__u64 event_interval_ns;    /* between two events of one group */
	char slices[CGROUP_MAX_SLICES][CGROUP_NAME_SIZE];
};

/* Whose containers are known by the names of their groups: [PREFIX]ID[.scope]. */
struct cgroup_runtimes {
	__u32 n;
	__u32 pad;
	struct {
		__u64 text[CGROUP_PREFIX_SIZE / 8]; /* bytes, with the hyphen: "docker-"; "" */
		__u64 mask[CGROUP_PREFIX_SIZE / 8]; /* all bits of those that count */
		__u64 n;			    /* how many count */
	} prefixes[CGROUP_MAX_RUNTIMES];
};

/* Told when a container's group is made; known from an attempt by its size. */
struct cgroup_birth {
	__u64 cgroup;
	char id[CGROUP_ID_DIGITS]; /* a build's ends with NULs */
};

struct cgroup_event {
	__u64 cgroup;	/* the sender's own group */
	__u64 count;	/* attempts since the last event of that group, this one included */
	__u32 tgid, uid;
	char comm[16];
	__u8 address[16];
	__u16 port;	/* 0 where there is none */
	__u8 family;	/* 4 or 6 */
	__u8 protocol;	/* IPPROTO_ */
	__u8 hook;	/* enum cgroup_hook */
	__u8 sender_known; /* process, user and command are the sender's; 0: they are not told */
	__u8 pad[2];
	__u64 groups[CGROUP_MAX_LEVELS]; /* the sender's groups from the root down; 0 behind the last */
};
