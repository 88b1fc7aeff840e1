/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The observer: eBPF programs that keep, for each watched group, which system calls its tasks
 * make. A group is a cgroup (a container's), or a mount namespace on hosts without cgroup2.
 *
 * It has one file descriptor to poll and calls back from observer_dispatch(); it starts no thread
 * and blocks nowhere, so it fits any event loop.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/observation.h"
#include "batten/seccomp/profile.h"

struct observer;

struct observer_options {
	unsigned int max_groups; /* watched at a time; 0: 64. Each costs 6 KiB of kernel memory; 42 KiB, and 128 at
				  * most, where the kernel keeps nothing by task */
	bool make_rows;		 /* watch every new group that may be a container's, from its first task on: cgroups
				  * that are named like one; with by_mntns, mount namespaces made from now on */
	bool by_mntns;		 /* groups are mount namespaces: hosts without cgroup2 */
	bool denials_from_start; /* else what is denied is watched from the first task under a filter on */
	unsigned int startup_ms; /* start-up lasts this long after the workload's exec; 0: 10 s */
	bool no_task_storage;	 /* act as on a kernel before Linux 5.13 */
};

enum observer_event_kind {
	OBSERVER_CALL = 1, /* a group made a call that it had not made before */
	OBSERVER_DENIED,   /* a filter answered for the first time with EPERM or ENOSYS */
	OBSERVER_GROUP,	   /* a container's cgroup was made; it is watched already */
	OBSERVER_SHADOW,   /* a call was made for the first time that the profile on trial would deny */
};

/* Strings die with the callback. */
struct observer_event {
	enum observer_event_kind kind;
	uint64_t group;
	int64_t time_ms;  /* since 1970 */
	const char *call; /* NULL for OBSERVER_GROUP */
	enum abi abi;
	const char *comm, *exe;
	const char *directory; /* OBSERVER_GROUP: last component of the cgroup's path, "" for a mount namespace */
	int error;	       /* OBSERVER_DENIED: EPERM or ENOSYS */
	bool workload;	       /* made by the workload or an exec session, not by what starts them */
	bool news;	       /* set by seccomp_watch: the image was observed before, and never did that */
};
typedef void (*observer_callback)(void *userdata, const struct observer_event *e);

/*
 * observer_new - load and attach the programs
 * @options:  NULL for the defaults
 * @callback: may be NULL
 * Return: 0; -EPERM, -EOPNOTSUPP and whatever the kernel says, with words; programs are gone when
 *         the observer is freed.
 */
int observer_new(struct observer **ret, const struct observer_options *options, observer_callback callback,
		 void *userdata, struct diag *d) _must_check_;
struct observer *observer_free(struct observer *o);
DEFINE_CLEANUP(struct observer *, observer_free)

/* Readable when events wait; owned by the observer. */
int observer_fd(const struct observer *o);

/*
 * observer_dispatch - take the events that wait, and move groups on from start-up to serving
 * Call it when the descriptor is readable, and every few seconds besides. Return: 0 or negative errno.
 */
int observer_dispatch(struct observer *o) _must_check_;

/*
 * observer_watch_cgroup - watch a cgroup and all below it
 * @own: the group is ours: the first exec in it is the workload, whatever its namespaces
 * @ret: the group's id for the calls below
 * Return: 0; -E2BIG past max_groups; else from the kernel
 */
int observer_watch_cgroup(struct observer *o, const char *path, bool own, uint64_t *ret, struct diag *d)
	_must_check_;

/* The same for the mount namespace that a process is in. */
int observer_watch_mntns(struct observer *o, pid_t pid, uint64_t *ret, struct diag *d) _must_check_;

/*
 * observer_find - the group that was made for a container, watched or not, also when it is over
 * @container_id: 64 hexadecimal digits
 * Return: 0, -ENOENT
 */
int observer_find(const struct observer *o, const char *container_id, uint64_t *ret) _must_check_;

/* The group of the same container's run before, if that was not forgotten yet. Return: 0, -ENOENT */
int observer_earlier(const struct observer *o, uint64_t group, uint64_t *ret) _must_check_;

/* Forgets a group and its row. */
void observer_forget(struct observer *o, uint64_t group);

/*
 * observer_collect - what a group has done so far
 * @source: id of the source that the calls are noted under, with one run
 * @into:   an observation; what is collected is added to it
 * Return: 0; -ENOENT for a group that is not watched
 */
int observer_collect(struct observer *o, uint64_t group, const char *source, struct observation *into,
		     struct diag *d) _must_check_;

/*
 * observer_shadow - try a profile: count the calls that it would deny, and deny none
 * @group: 0: every group that has no profile of its own, also those that will be made
 * What is counted is what the kernel's filter would deny, with its rules on arguments. Only where those of a
 * call are more than can be asked of each, it is let through if the profile lets it through with some.
 * Return: how many calls that is, 0 as a rule; -EINVAL for a profile that cannot be compiled; -E2BIG when no
 *         more fit, or for a filter that is longer than the kernel takes
 */
int observer_shadow(struct observer *o, uint64_t group, const struct profile *p, struct diag *d) _must_check_;

/* Ends the trial, and forgets what the group's counts were. */
void observer_unshadow(struct observer *o, uint64_t group);

/*
 * observer_shadow_each - the calls that were made and would have been denied
 * @fn: its result ends the walk when it is not 0
 */
int observer_shadow_each(struct observer *o, uint64_t group,
			 int (*fn)(void *userdata, enum abi a, const char *call, uint64_t count), void *userdata);

/* How often a thread could not be followed for want of room, so that calls were missed. */
uint64_t observer_lost_tasks(const struct observer *o);

/* Does the kernel keep nothing by task, so that threads are looked up in a table? Dearer by a third. */
bool observer_by_thread(const struct observer *o);

/* A source id that no other recording has. */
void observer_source_id(char ret[static SOURCE_ID_SIZE]);

/* Events that found no room in the ring buffer are no loss to the result; this is what they cost: */
struct observer_cost {
	uint64_t run_ns, runs; /* of the sys_enter program, while kernel.bpf_stats_enabled is on */
};
int observer_cost(const struct observer *o, struct observer_cost *ret) _must_check_;
