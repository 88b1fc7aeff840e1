/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The daemon: the guard in place before READY=1, put back whenever somebody changes it, left in
 * place when the daemon ends, however it ends.
 */
#include <stdbool.h>

#include "batten/base/diag.h"
#include "batten/imds/features.h"

struct daemon_options {
	const char *config_path;
	bool config_optional; /* the default path: a missing file means defaults */
	const char *runtime_dir;
	struct imds_features assume;
	bool fd_store; /* the service manager keeps descriptors (FileDescriptorStoreMax=) */
	bool verbose;
};

/*
 * daemon_run - until SIGTERM or SIGINT
 * Return: 0 after a clean stop; -EALREADY when another daemon runs here; -EINVAL for a bad
 *         configuration; -EPERM without CAP_NET_ADMIN; another negative errno
 */
int daemon_run(const struct daemon_options *o, struct diag *d) _must_check_;
