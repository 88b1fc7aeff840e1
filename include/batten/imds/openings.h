/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What is open at this moment for the containers that are allowed: made anew whenever one of them
 * comes or goes.
 */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/macros.h"
#include "batten/kernel/nft.h"

#define IMDS_MAX_OPEN 1024 /* entries of each list */

/* A port of a bridge, from which alone an address may come. */
struct imds_port {
	struct ip_address address;
	char name[IF_NAMESIZE];
};

/* A cgroup, and how deep below the mount it stands. */
struct imds_group {
	uint64_t id;
	unsigned int level;
};

struct imds_openings {
	struct ip_address *addresses; /* all lists are owned */
	struct imds_port *ports;
	struct imds_group *groups;
	size_t n_addresses, n_ports, n_groups;
};

/* Each adds an entry once. Return: 0, -ENOMEM, or -E2BIG beyond IMDS_MAX_OPEN. */
int imds_openings_address(struct imds_openings *o, const struct ip_address *a) _must_check_;
int imds_openings_port(struct imds_openings *o, const struct ip_address *a, const char *port) _must_check_;
int imds_openings_group(struct imds_openings *o, uint64_t id, unsigned int level) _must_check_;

bool imds_openings_equal(const struct imds_openings *a, const struct imds_openings *b);

/* Return: 0, or -ENOMEM with @ret untouched. */
int imds_openings_copy(struct imds_openings *ret, const struct imds_openings *o) _must_check_;

/* Empties it. */
void imds_openings_done(struct imds_openings *o);
