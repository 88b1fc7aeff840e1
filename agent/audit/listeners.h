/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Who listens on the network of the host: the kernel's socket tables joined with the descriptors of
 * every process, so that a finding names the program.
 */
#include "batten/audit/facts.h"

struct listener {
	char address[46]; /* as inet_ntop() writes it */
	unsigned int port;
	bool udp, any, loopback; /* any: on every address */
	unsigned long inode;
	const struct process_facts *process; /* NULL when nobody's descriptor was found */
};

/*
 * listeners_read - TCP sockets that listen and UDP sockets that are bound
 * @ret: lives as long as the facts
 * Return: how many, or a negative errno
 */
int listeners_read(struct facts *f, const struct listener **ret) _must_check_;

/* Could its owner be anybody's process, for descriptors of some may not be looked at? Not so for root. */
bool listener_is_hidden(const struct facts *f, const struct listener *l);
