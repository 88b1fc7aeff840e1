/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten events: what the daemon saw lately. The journal has all of it; this is the short way.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/json.h"
#include "batten/daemon/control.h"
#include "cli/commands.h"
#include "cli/guard-options.h"

static const char *member(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "";
}

static int print_events(const json_t *events, bool json)
{
	const json_t *e;
	size_t i;
	int r = 0;

	json_array_foreach(events, i, e) {
		if (json)
			r = json_print_line(STDOUT_FILENO, e);
		else
			(void)printf("%s  %-14s %s%s\n", member(e, "time"), member(e, "kind"), member(e, "message"),
				     strcmp(member(e, "certainty"), "claimed") == 0 ? " [claimed]" : "");
		if (r < 0)
			return r;
	}
	return fflush(stdout) == 0 ? 0 : -errno;
}

static enum exit_status events_run(struct invocation *inv)
{
	const char *dir = invocation_value(inv, "runtime-dir");
	bool follow = invocation_value(inv, "follow") != NULL, waits = false;
	bool json = strcmp(invocation_format(inv), "json") == 0;
	json_int_t next = 0;
	struct diag d = { 0 };

	for (;;) {
		_cleanup_(json_freep) json_t *parameters = json_pack("{s:I, s:b}", "after", next, "wait", waits), *result = NULL;
		int status = EXIT_UNABLE, r;

		if (!parameters)
			return invocation_fail(&d, -ENOMEM);
		r = control_call_waiting(dir ? dir : DEFAULT_RUNTIME_DIR, "events", parameters, &result, &status, &d);
		if (r == -ENOENT) {
			diag_print(&(struct diag){ .what = "no daemon runs; its journal has what an earlier one saw" }, r);
			return EXIT_UNABLE;
		}
		if (r == -EREMOTEIO) {
			diag_print(&d, r);
			return (enum exit_status)status;
		}
		if (r >= 0)
			r = print_events(json_object_get(result, "events"), json);
		if (r < 0)
			return r == -EPIPE ? EXIT_DONE : invocation_fail(&d, r);
		next = json_integer_value(json_object_get(result, "next"));
		waits = !json_is_true(json_object_get(result, "more"));
		if (!follow && waits)
			return EXIT_DONE;
	}
}

static const struct option_row events_options[] = {
	{ "follow", 'f', NULL, "go on until the daemon ends or a key stops it", false },
	RUNTIME_DIR_OPTION,
	{ 0 },
};

const struct command cmd_events = {
	.name = "events",
	.args = "",
	.help = "attempts on the metadata service, findings that come and go, heals",
	.details = "The newest 256 that the running daemon remembers, oldest first; the journal has all.\n"
		   "With --json one object of schema batten.event/1 a line.",
	.options = events_options,
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "printed",
		[EXIT_UNABLE] = "no daemon runs",
	},
	.run = events_run,
};
