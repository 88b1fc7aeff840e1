/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The cgroup2 hierarchy: where it is mounted, the number by which the kernel and BPF know a group,
 * and groups of our own.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

/*
 * cgroup_mount - where cgroup2 is mounted, from /proc/self/mountinfo
 * Hybrid hosts have it at /sys/fs/cgroup/unified, others anywhere: never assume a path.
 * Return: 0; -ENOENT when it is mounted nowhere in this mount namespace
 */
int cgroup_mount(char ret[static PATH_MAX], struct diag *d) _must_check_;

/*
 * cgroup_of - directory of the cgroup2 group that a process is in
 * @pid: 0 for the caller
 * Return: 0; -ENOENT for no such process or when cgroup2 is not mounted
 */
int cgroup_of(pid_t pid, char ret[static PATH_MAX], struct diag *d) _must_check_;

/*
 * cgroup_id - the 64-bit id that bpf_get_current_cgroup_id() returns inside the group
 * Return: 0; -EINVAL when @path is no cgroup2 directory; else from the kernel
 */
int cgroup_id(const char *path, uint64_t *ret, struct diag *d) _must_check_;

/* How deep the group stands below the mount: 0 for the mount itself. */
unsigned int cgroup_depth(const char *path);

/*
 * Does the group stand below this very @child of the root? One of the same name further down is another.
 * @root: "": where cgroup2 is mounted
 */
bool cgroup_leads_through(const char *path, const char *root, const char *child);

/* Is any process in the group or below it? Return: 1, 0 or a negative errno. */
int cgroup_populated(const char *path) _must_check_;

/*
 * cgroup_make - a new, empty group below the caller's own, so that its limits stay in force
 * @name: one path component; the caller's process id is added
 * @ret:  its directory
 */
int cgroup_make(const char *name, char ret[static PATH_MAX], struct diag *d) _must_check_;

/* Moves a process (0: the caller) into the group. */
int cgroup_join(const char *path, pid_t pid) _must_check_;

/* Kills what is left in the group and below, and removes it. Missing is fine. */
int cgroup_remove(const char *path);
