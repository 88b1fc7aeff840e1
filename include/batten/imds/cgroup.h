/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The guard's eBPF layer: the metadata service refused to cgroups, whatever their network. The
 * programs are pinned in bpffs and stay when whoever put them there ends.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "imds/cgroup-bpf.h"

#define CGROUP_PINS "/sys/fs/bpf/batten"

struct cgroup_options {
	const char *pins; /* directory in a bpffs; NULL: CGROUP_PINS */
	const char *root; /* group to hang the programs at; NULL: where cgroup2 is mounted */
	/* Names of groups right below the root, guarded with all that is in them; NULL at the end. */
	const char *const *slices;
	bool no_tracing; /* act as a kernel that cannot trace the making of groups */
};

/*
 * cgroup_install - load, attach and pin; also over an older installation, without a gap
 * Rows and counters of an older installation stay.
 * Where the kernel cannot run the program that guards a slice as it is made, the rest is installed
 * and cgroup_check() tells.
 * Return: 0 or a negative errno: -EPERM; -EOPNOTSUPP without cgroup2, bpffs or what a program needs
 */
int cgroup_install(const struct cgroup_options *o, struct diag *d) _must_check_;

/*
 * cgroup_guard_slices - give the slices that there are now their rows
 * For installations in state CGROUP_RACED, when a slice was made. Return: 0 or a negative errno
 */
int cgroup_guard_slices(const struct cgroup_options *o, struct diag *d) _must_check_;

/* Detaches and unpins everything. Return: 0, also when there is nothing, or a negative errno. */
int cgroup_uninstall(const struct cgroup_options *o, struct diag *d) _must_check_;

/* Can programs be pinned in @pins, which need not be there yet? Return: 0, or -EOPNOTSUPP without bpffs */
int cgroup_pins_ok(const char *pins, struct diag *d) _must_check_;

enum cgroup_state {
	CGROUP_ABSENT,	 /* not installed, or not whole */
	CGROUP_RACED,	 /* whole, but for the program that guards a slice as it is made */
	CGROUP_COMPLETE,
};

/*
 * cgroup_check - are all programs pinned, and attached where they should be?
 * @why: what is missing, for a human; "" when all is there
 * Return: enum cgroup_state, or a negative errno of looking
 */
int cgroup_check(const struct cgroup_options *o, char *why, size_t n_why, struct diag *d) _must_check_;

/* Descriptors of all that is pinned. */
struct cgroup_hold;

/* Return: 0 or a negative errno */
int cgroup_hold_new(struct cgroup_hold **ret, const char *pins, struct diag *d) _must_check_;
struct cgroup_hold *cgroup_hold_free(struct cgroup_hold *h);
DEFINE_CLEANUP(struct cgroup_hold *, cgroup_hold_free)

/* Pins again what somebody deleted. Return: how many pins were missing and now are not. */
unsigned int cgroup_hold_restore(const struct cgroup_hold *h);

/* An open installation. */
struct cgroup_layer;

/* Return: 0, or -ENOENT when nothing is installed */
int cgroup_layer_open(struct cgroup_layer **ret, const struct cgroup_options *o, struct diag *d) _must_check_;
struct cgroup_layer *cgroup_layer_free(struct cgroup_layer *l);
DEFINE_CLEANUP(struct cgroup_layer *, cgroup_layer_free)

/* Guards or allows one group and all below it. The row goes with the group. */
int cgroup_layer_put(struct cgroup_layer *l, uint64_t id, enum cgroup_verdict v) _must_check_;

/* Takes the row away; no row is fine. */
int cgroup_layer_drop(struct cgroup_layer *l, uint64_t id) _must_check_;

/* A row that still is there says from now on that its group is guarded. Return: 0 or a negative errno */
int cgroup_layer_close(struct cgroup_layer *l, uint64_t id);

/* Sums over all processors. */
int cgroup_layer_totals(struct cgroup_layer *l, struct cgroup_totals *ret) _must_check_;

/* The rows and the counters, each once; @fn returns 0 to go on. */
int cgroup_layer_rows(struct cgroup_layer *l, int (*fn)(void *user, uint64_t id, enum cgroup_verdict v),
		      void *user) _must_check_;
int cgroup_layer_counters(struct cgroup_layer *l,
			  int (*fn)(void *user, uint64_t id, const struct cgroup_counter *c),
			  void *user) _must_check_;

/*
 * cgroup_layer_listen - be told of attempts; one listener at a time gets each event
 * cgroup_layer_fd() becomes readable; cgroup_layer_read() calls @fn for what has come.
 */
int cgroup_layer_listen(struct cgroup_layer *l, void (*fn)(void *user, const struct cgroup_event *e),
			void *user, struct diag *d) _must_check_;
/* Be told, by the same means and with the same @user, of containers' groups that are made. */
void cgroup_layer_on_birth(struct cgroup_layer *l, void (*fn)(void *user, const struct cgroup_birth *b));
int cgroup_layer_fd(const struct cgroup_layer *l);
int cgroup_layer_read(struct cgroup_layer *l) _must_check_;

const char *cgroup_hook_name(enum cgroup_hook hook);

/* ---- containers in no slice, refused at birth (cgroup-births.c) --------------------------------- */

/* Refuses the groups of containers as they are made, until they are judged; ends with the process. */
struct cgroup_births;

/*
 * cgroup_births_new - on the maps of an installation; nobody is refused before cgroup_births_watch()
 * @runtimes: a container's group is called [RUNTIME-]ID[.scope]; NULL at the end
 * Return: 0 or a negative errno: -EOPNOTSUPP, or another of loading, where the kernel cannot trace
 */
int cgroup_births_new(struct cgroup_births **ret, const struct cgroup_options *o, const char *const *runtimes,
		      struct diag *d) _must_check_;
struct cgroup_births *cgroup_births_free(struct cgroup_births *b);
DEFINE_CLEANUP(struct cgroup_births *, cgroup_births_free)

int cgroup_births_watch(struct cgroup_births *b, bool on, struct diag *d) _must_check_;
bool cgroup_births_watched(const struct cgroup_births *b);

/* The container with this id is never refused at birth. */
int cgroup_births_agent(struct cgroup_births *b, const char id[static CGROUP_ID_DIGITS]) _must_check_;

/* Is the group refused because nobody has judged it yet? */
bool cgroup_births_newborn(const struct cgroup_births *b, uint64_t id);

/* From here on its row decides, or those above it. */
void cgroup_births_judged(struct cgroup_births *b, uint64_t id);

/* New leases for all newborns, which are refused for CGROUP_LEASE_NS else. Return: how many there are */
unsigned int cgroup_births_renew(struct cgroup_births *b);
