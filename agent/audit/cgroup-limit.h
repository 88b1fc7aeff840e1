/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Limits of a cgroup as they hold: the smallest along the path up to the root, for a limit set on
 * the task's slice bounds each of its containers.
 */
#include <stdint.h>

#include "batten/audit/facts.h"

enum cgroup_limit {
	LIMIT_MEMORY, /* bytes */
	LIMIT_PIDS,
	LIMIT_CPU, /* microseconds of processor time in each second */
	_LIMIT_MAX,
};

#define LIMIT_NONE UINT64_MAX

struct cgroup_limits;
void cgroup_limits_done(struct cgroup_limits *c);

/*
 * cgroup_limit - the smallest limit along @path
 * @path:      as in /proc/PID/cgroup
 * @ret:       LIMIT_NONE when nothing bounds it
 * @ret_where: the cgroup that sets it; NULL when none does
 * Return: 0, or -ENOENT when no controller's file is there at all
 */
int cgroup_limit(struct facts *f, const char *path, enum cgroup_limit which, uint64_t *ret,
		 const char **ret_where) _must_check_;
