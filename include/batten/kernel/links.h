/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Which ports of the host's bridges lead into which network namespace: asked of rtnetlink, without
 * entering anything.
 */
#include <net/if.h>
#include <stddef.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/kernel/netlink.h"

struct bridge_port {
	char name[IF_NAMESIZE];
	int netns_id; /* of the namespace of its other end, as ours numbers them */
};

/*
 * bridge_ports_read - the ports of all bridges whose other end is in another namespace
 * @ret: freed by the caller
 * Return: 0 or a negative errno
 */
int bridge_ports_read(struct nl_socket *nl, struct bridge_port **ret, size_t *ret_n, struct diag *d) _must_check_;

/*
 * netns_id - our number of the namespace that a process is in
 * @pid, @netns: the process, and the inode of its namespace as it was known: another one is -ESTALE
 * Return: the number, -ENOENT where it has none, or another negative errno
 */
int netns_id(struct nl_socket *nl, pid_t pid, ino_t netns) _must_check_;
