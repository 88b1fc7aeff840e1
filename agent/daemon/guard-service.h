/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The metadata guard in the daemon's loop: applied, watched, healed, and opened when an operator
 * says so.
 */
#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/imds/cgroup.h"
#include "batten/imds/config.h"
#include "batten/imds/features.h"
#include "batten/imds/openings.h"

struct guard_service;

/*
 * guard_service_new - open sockets, probe, listen; nothing is applied yet
 * @kept: the owner's socket from the service manager's store or -1; the service's from here on
 */
int guard_service_new(struct guard_service **ret, sd_event *event, const struct imds_features *assume,
		      int kept, const char *runtime_dir, struct diag *d) _must_check_;
struct guard_service *guard_service_free(struct guard_service *s);
DEFINE_CLEANUP(struct guard_service *, guard_service_free)

/* Heals become events of @log too, which outlives the service. */
struct event_log;
void guard_service_set_log(struct guard_service *s, struct event_log *log);

int guard_service_socket_fd(const struct guard_service *s);

/* Tells that the service manager keeps the socket through a crash. Before the first configure. */
void guard_service_set_kept(struct guard_service *s, bool kept);

/* Calls @fn after each change by others that was mended. */
void guard_service_on_heal(struct guard_service *s, void (*fn)(void *user), void *user);

/* Configured, and not opened by an operator? */
bool guard_service_stands(const struct guard_service *s);

/* Takes a configuration and applies it, unless an operator has unblocked. On failure the old one holds. */
int guard_service_configure(struct guard_service *s, const struct imds_config *c, struct diag *d) _must_check_;

/* Applies the guard and forgets an earlier unblock. */
int guard_service_block(struct guard_service *s, struct diag *d) _must_check_;

/* Removes the guard until guard_service_block(), also through restarts of the daemon, not of the host. */
int guard_service_unblock(struct guard_service *s, struct diag *d) _must_check_;

/*
 * guard_service_allow - what is open for containers, beside the configuration's addresses
 * Replaces what was. Nothing is applied when nothing changes, or before the first configure.
 */
int guard_service_allow(struct guard_service *s, const struct imds_openings *open, struct diag *d) _must_check_;

/* As imds_guard_open_cgroups(); -ENOENT also while an operator has unblocked. */
int guard_service_open_cgroups(struct guard_service *s, struct cgroup_layer **ret, struct diag *d) _must_check_;
int guard_service_open_births(struct guard_service *s, struct cgroup_births **ret, struct diag *d) _must_check_;

/* As imds_guard_packets(). */
int guard_service_packets(struct guard_service *s, uint64_t *ret, struct diag *d) _must_check_;

/* batten.imds-status/1 */
int guard_service_status(struct guard_service *s, json_t **ret, struct diag *d) _must_check_;

/* An owned table becomes a plain one, for it has to outlive us. */
int guard_service_hand_over(struct guard_service *s, struct diag *d) _must_check_;

/* Who owns the table and why, for the log. */
const char *guard_service_owner_text(const struct guard_service *s);
