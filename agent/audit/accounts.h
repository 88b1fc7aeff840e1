/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Users and groups of the audited tree, out of its /etc/passwd and /etc/group: never out of the
 * name service of the machine that audits.
 */
#include "batten/audit/facts.h"

/* Name of a group, or NULL. */
const char *account_group(struct facts *f, gid_t gid);

/*
 * account_members - who is in a group, by /etc/group or as primary group
 * @ret: NULL-terminated, lives as long as the facts
 * Return: how many; -ENOENT when there is no such group; another negative errno
 */
int account_members(struct facts *f, const char *group, gid_t *ret_gid, const char *const **ret) _must_check_;
