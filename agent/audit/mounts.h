/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Mount tables, and where on the host a container's mount really comes from: whatever Docker was
 * told, the kernel says which part of which file system is mounted where.
 */
#include "batten/audit/facts.h"

struct mount {
	const char *device; /* major:minor */
	const char *root;   /* the part of the file system that is mounted */
	const char *point;  /* where */
	const char *options, *type, *super_options;
	bool shared; /* mounts made below it travel to others */
	/*
	 * On the host, NULL unless its file system is mounted there. A part of it may stand in two places, as
	 * /etc does that a volume is bound to: the nearer one, and the one next to the file system's top.
	 */
	const char *host_path, *plain_path;
};

/*
 * mounts_read - /proc/PID/mountinfo
 * @ret: lives as long as the facts
 * Return: how many, or a negative errno
 */
int mounts_read(struct facts *f, pid_t pid, struct mount **ret) _must_check_;

/*
 * mounts_of - the mounts of a container, with host_path of each whose file system the host has
 * mounted too; read once
 * Return: as mounts_read(); -ESRCH when no process of it is to be seen
 */
int mounts_of(struct facts *f, const struct container_facts *c, const struct mount **ret) _must_check_;

/* The last one mounted at @point, NULL when there is none. */
const struct mount *mounts_at(const struct mount *list, size_t n, const char *point);

/* Is @word in the comma-separated options? */
bool mount_option(const char *options, const char *word);

/* Is @path the same as @top or below it? Both absolute, without a slash at the end but "/". */
bool path_within(const char *path, const char *top);
