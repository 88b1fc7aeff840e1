/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten status and batten metrics: one document, for people and for Prometheus. The daemon tells
 * it; without one it is what the kernel and the state directory show.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/daemon/control.h"
#include "batten/daemon/status.h"
#include "cli/commands.h"
#include "cli/guard-options.h"

/* Without a daemon. What cannot be examined here is left out, and the status says so. */
static int status_here(const struct invocation *inv, const struct settings *s, json_t **ret, struct diag *d)
{
	struct status_parts p = {
		.daemon = json_pack("{s:b, s:s}", "running", 0, "version", BATTEN_VERSION),
		.audit = status_kept_findings(s->daemon.state_dir),
	};
	int r = guard_status_here(inv, &p.guard, d);

	*ret = status_assemble(&p);
	if (!*ret)
		return -ENOMEM;
	return r;
}

/* @ret_status: the daemon's, when it refused (-EREMOTEIO) */
static int get_status(const struct invocation *inv, json_t **ret, int *ret_status, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	const char *dir = invocation_value(inv, "runtime-dir");
	char store[512];
	struct settings s;
	int r;

	r = invocation_settings(inv, &s, d);
	if (r < 0)
		return r;
	r = control_call(dir ? dir : DEFAULT_RUNTIME_DIR, "status", NULL, &j, ret_status, d);
	if (r == -ENOENT)
		r = status_here(inv, &s, &j, d);
	if (r < 0)
		return r;
	(void)snprintf(store, sizeof(store), "%s/seccomp", s.daemon.state_dir);
	r = status_add_observed(j, store, d);
	if (r < 0)
		return r;
	*ret = take_ptr(j);
	return 0;
}

static enum exit_status refused(const struct diag *d, int error, int status)
{
	if (error != -EREMOTEIO)
		return invocation_fail(d, error);
	diag_print(d, error);
	return (enum exit_status)status;
}

static enum exit_status status_run(struct invocation *inv)
{
	_cleanup_(json_freep) json_t *j = NULL;
	int status = EXIT_UNABLE, r;
	struct diag d = { 0 };
	const char *state;

	r = get_status(inv, &j, &status, &d);
	if (r >= 0)
		r = strcmp(invocation_format(inv), "json") == 0 ? json_print(STDOUT_FILENO, j) : status_print(j, stdout);
	if (r < 0)
		return refused(&d, r, status);
	state = json_string_value(json_object_get(j, "state"));
	return state && strcmp(state, "protected") == 0 ? EXIT_DONE : EXIT_NO;
}

static enum exit_status metrics_run(struct invocation *inv)
{
	_cleanup_(json_freep) json_t *j = NULL;
	int status = EXIT_UNABLE, r;
	struct diag d = { 0 };
	struct bytes b = { 0 };

	r = get_status(inv, &j, &status, &d);
	if (r < 0)
		return refused(&d, r, status);
	status_metrics(j, &b);
	r = b.error;
	if (r >= 0)
		r = fd_write_all(STDOUT_FILENO, b.data ? b.data : "", b.n);
	bytes_done(&b);
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row options[] = {
	RUNTIME_DIR_OPTION,
	{ 0 },
};

const struct command cmd_status = {
	.name = "status",
	.args = "",
	.help = "what protects this host now, and what is less than was asked for",
	.details = "Layer by layer, with the reason of each that is degraded, missing or off. Without a daemon\n"
		   "the guard is read from the kernel and the findings are those that the last daemon kept.",
	.options = options,
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "protected: all that was asked for is there",
		[EXIT_NO] = "degraded, or the metadata service is open",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "CAP_NET_ADMIN is missing, or the daemon does not answer",
	},
	.run = status_run,
};

const struct command cmd_metrics = {
	.name = "metrics",
	.args = "",
	.help = "the same as numbers, in Prometheus' text format",
	.details = "[metrics] textfile = PATH makes the daemon write them for node_exporter's textfile collector.",
	.options = options,
	.exits = {
		[EXIT_DONE] = "printed",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "CAP_NET_ADMIN is missing, or the daemon does not answer",
	},
	.run = metrics_run,
};
