/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The metadata guard in the kernel: put there, looked at, mended, handed over, removed. Only our own
 * table and our own routing rules are ever written.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "batten/base/diag.h"
#include "batten/imds/cgroup.h"
#include "batten/imds/config.h"
#include "batten/imds/features.h"
#include "batten/imds/plan.h"

struct imds_guard;

/*
 * imds_guard_new - open what is needed, ask the kernel for its features
 * @assume: features forced off; may be NULL
 * @presume: nftables is asked only when it refuses what would be applied with all its features: half
 *          the time, for who applies once and wants no status
 * @kept:   a netlink socket that may own the table already (from the service manager's store), or
 *          -1; the guard's from here on, also on failure
 * Return: 0 or a negative errno: -EPERM without CAP_NET_ADMIN
 */
int imds_guard_new(struct imds_guard **ret, const struct imds_features *assume, bool presume, int kept,
		   struct diag *d) _must_check_;
struct imds_guard *imds_guard_free(struct imds_guard *g);
DEFINE_CLEANUP(struct imds_guard *, imds_guard_free)

/* The socket that owns or would own the table; for the service manager's store. Stays the guard's. */
int imds_guard_socket_fd(const struct imds_guard *g);

/* Netlink port of that socket: events of others have another. */
uint32_t imds_guard_portid(const struct imds_guard *g);

/*
 * imds_guard_configure - make a plan of a configuration; nothing changes in the kernel
 * @open:     what is open for containers, or NULL; copied
 * @can_keep: the service manager keeps the socket when this process dies
 * Return: 0, -ENOMEM, -E2BIG when more is open than fits; on failure the old plan stays
 */
int imds_guard_configure(struct imds_guard *g, const struct imds_config *c, const struct imds_openings *open,
			 bool can_keep) _must_check_;

const struct imds_plan *imds_guard_plan(const struct imds_guard *g);

/*
 * imds_guard_apply - make the kernel hold the plan, in one batch, whatever was there
 * Counters go on where they were. Rules of an older plan are removed after the new ones stand.
 * Return: 0 or a negative errno: -EBUSY when another process owns the table, -EOPNOTSUPP when the
 *         plan holds nothing that closes anything
 */
int imds_guard_apply(struct imds_guard *g, struct diag *d) _must_check_;

/*
 * imds_guard_heal - look, and apply again what is not as it should be
 * @what: what was wrong, for a human; at least 200 bytes
 * Return: 1 healed; 0 nothing was wrong; a negative errno
 */
int imds_guard_heal(struct imds_guard *g, char *what, size_t n_what, struct diag *d) _must_check_;

/*
 * imds_guard_release - an owned table becomes a plain one, in one batch, so that it stays when this
 * process ends. Return: 0 or a negative errno.
 */
int imds_guard_release(struct imds_guard *g, struct diag *d) _must_check_;

/* Has imds_guard_apply() to be called when a slice was made? After the first one. */
bool imds_guard_follows_slices(const struct imds_guard *g);

/*
 * imds_guard_open_cgroups - the cgroup layer's maps, where the plan wants the layer
 * Return: 0 or -ENOENT when it is not wanted or not installed
 */
int imds_guard_open_cgroups(struct imds_guard *g, struct cgroup_layer **ret, struct diag *d) _must_check_;

/*
 * imds_guard_open_births - the program that refuses containers at birth, on the layer's maps
 * Return: 0, -ENOENT when the layer is not wanted, or an errno of cgroup_births_new()
 */
int imds_guard_open_births(struct imds_guard *g, struct cgroup_births **ret, struct diag *d) _must_check_;

/* Packets that the tables refused, as the kernel counts now. Return: 0 or a negative errno. */
int imds_guard_packets(struct imds_guard *g, uint64_t *ret, struct diag *d) _must_check_;

/*
 * imds_guard_leave_pins - remove what is pinned in a directory, unless the plan wants it there
 * For the directory of an earlier configuration. Return: 0 or a negative errno.
 */
int imds_guard_leave_pins(struct imds_guard *g, const char *pins, struct diag *d) _must_check_;

/* Removes table and rules. Return: 0, also when there are none, or a negative errno. */
int imds_guard_remove(struct imds_guard *g, struct diag *d) _must_check_;

/* ---- status ---------------------------------------------------------------------------------- */

enum imds_state {
	IMDS_ACTIVE,
	IMDS_DEGRADED, /* there, but altered or weaker than it could be */
	IMDS_MISSING,  /* wanted, and not there */
	IMDS_OFF,      /* not wanted, or the kernel cannot */
	_IMDS_STATE_MAX,
};

struct imds_layer_status {
	enum imds_layer layer;
	int family;
	enum imds_state state;
	char reason[200]; /* "" when there is nothing to say */
	bool counted;
	uint64_t packets, bytes; /* blocked by this layer */
};

struct imds_status {
	struct imds_layer_status layers[2 * _LAYER_MAX];
	size_t n_layers;
	bool owner, persist;
	char owner_reason[200];
	char log_reason[200]; /* why packets that the tables refuse are not told of; "": they are */
	bool closed;	/* in both families some layer closes the road for forwarded packets */
	uint64_t heals; /* since the daemon started; set by the daemon */
};

/*
 * imds_guard_status - the layers as they are in the kernel
 * Return: 0 or a negative errno: -EPERM without CAP_NET_ADMIN
 */
int imds_guard_status(struct imds_guard *g, struct imds_status *ret, struct diag *d) _must_check_;

/* As batten.imds-status/1; NULL on no memory. */
json_t *imds_status_json(const struct imds_status *s);

/* That JSON, which may come from a daemon, as a table for people. Return: 0 or -ENOMEM. */
int imds_status_print(const json_t *status, FILE *f) _must_check_;
