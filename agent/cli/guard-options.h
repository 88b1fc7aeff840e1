/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Options that the daemon and the imds commands share.
 */
#include <jansson.h>

#include "batten/daemon/settings.h"
#include "batten/imds/features.h"
#include "cli/command.h"

#define RUNTIME_DIR_OPTION                                                                         \
	{                                                                                          \
		"runtime-dir", 0, "DIR", "where the daemon's lock and socket are (/run/batten)", false \
	}
#define ASSUME_FEATURE_OPTION                                                                      \
	{                                                                                          \
		"assume-feature", 0, "-NAME", "act as if the kernel lacked a feature", true        \
	}

/* Return: 0 or -EINVAL with the reason. */
int assumed_features(const struct invocation *inv, struct imds_features *ret, struct diag *d);

/* The configuration named by --config, or the default one where it exists. */
int invocation_settings(const struct invocation *inv, struct settings *ret, struct diag *d);

/*
 * guard_switch - put the guard in place or take it away, by the daemon where one runs
 * @ret_status: the daemon's exit status when it refused, which is -EREMOTEIO
 * Return: 0 or a negative errno
 */
int guard_switch(const struct invocation *inv, bool on, bool *ret_by_daemon, enum exit_status *ret_status,
		 struct diag *d);

/* Is the metadata service closed in both families? Return: 0 or a negative errno as above. */
int guard_closed(struct invocation *inv, bool *ret, struct diag *d);

/* The guard as the kernel holds it, without a daemon: batten.imds-status/1. Return: 0 or a negative errno */
int guard_status_here(const struct invocation *inv, json_t **ret, struct diag *d);
