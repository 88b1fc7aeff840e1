/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What can change on a host, and which controls look at it: so that a change leads to the run of
 * these and no others.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/audit/control.h"

enum change {
	CHANGE_ECS_FILES,    /* the ECS agent's configuration */
	CHANGE_DOCKER_FILES, /* Docker's configuration */
	CHANGE_OWN_FILES,    /* waivers and profiles: everything is judged anew */
	CHANGE_CONTAINER,    /* one container began or became another: what it shows by itself */
	CHANGE_CONTAINERS,   /* which containers run */
	CHANGE_AGENT,	     /* the ECS agent's container came or went */
	CHANGE_DOCKER,	     /* Docker came or went */
	CHANGE_NETWORK,	     /* addresses and routes */
	CHANGE_RULES,	     /* nftables and routing rules */
	CHANGE_CGROUPS,	     /* a group was made or removed */
	_CHANGE_MAX,
};
#define CHANGED(change) (1u << (change))
#define CHANGED_EVERYTHING (CHANGED(_CHANGE_MAX) - 1)

const char *change_name(enum change c);

/* A set of controls, by their place in the catalogue. */
#define MAX_CONTROLS 256
struct control_mask {
	uint64_t bits[MAX_CONTROLS / 64];
};

/* The place of a control in the catalogue, or MAX_CONTROLS for one that is not in it. */
unsigned int control_number(const struct control *c);
/* The control at a place; NULL when there is none. */
const struct control *control_at(unsigned int number);

void control_mask_add(struct control_mask *m, const struct control *c);
bool control_mask_has(const struct control_mask *m, const struct control *c);

/* Adds the controls that look at what changed. @changes: CHANGED(…) bits */
void control_mask_add_changed(struct control_mask *m, unsigned int changes);

/* The ids of the set, NULL-terminated, for audit_options. @ret: room for MAX_CONTROLS + 1 */
void control_mask_ids(const struct control_mask *m, const char **ret);
