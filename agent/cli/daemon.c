/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten daemon
 */
#include "batten/daemon/daemon.h"

#include <errno.h>

#include "batten/daemon/control.h"
#include "cli/commands.h"
#include "cli/guard-options.h"

static enum exit_status daemon_command_run(struct invocation *inv)
{
	struct daemon_options o = {
		.config_path = invocation_value(inv, "config"),
		.runtime_dir = invocation_value(inv, "runtime-dir"),
		.fd_store = invocation_value(inv, "fd-store") != NULL,
		.verbose = inv->verbose,
	};
	struct diag d = { 0 };
	int r;

	o.config_optional = !o.config_path;
	if (!o.config_path)
		o.config_path = DEFAULT_CONFIG;
	if (!o.runtime_dir)
		o.runtime_dir = DEFAULT_RUNTIME_DIR;
	r = assumed_features(inv, &o.assume, &d);
	if (r >= 0)
		r = daemon_run(&o, &d);
	if (r == -EALREADY || r == -EBUSY) {
		diag_print(&d, r);
		return EXIT_NO;
	}
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row daemon_options[] = {
	RUNTIME_DIR_OPTION,
	ASSUME_FEATURE_OPTION,
	{ "fd-store", 0, NULL, "the service manager keeps file descriptors for us", false },
	{ 0 },
};

const struct command cmd_daemon = {
	.name = "daemon",
	.args = "",
	.help = "keep the host hardened until told to stop",
	.details = "The guard stands before the service manager hears READY=1, is put back whenever somebody\n"
		   "changes it, and stays when the daemon ends. SIGHUP reads the configuration again.",
	.options = daemon_options,
	.exits = {
		[EXIT_DONE] = "stopped by SIGTERM or SIGINT; the guard stays",
		[EXIT_NO] = "another daemon runs here",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "CAP_NET_ADMIN is missing, or the kernel refused",
	},
	.run = daemon_command_run,
};
