/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp import` and `batten seccomp merge`: observations out of other things, and out of
 * observations.
 */
#include <errno.h>
#include <string.h>

#include "batten/base/file.h"
#include "batten/seccomp/import.h"
#include "cli/commands.h"
#include "cli/seccomp-input.h"

static const struct format {
	const char *name;
	int (*import)(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d);
} formats[] = {
	{ "strace", import_strace },
	{ "audit", import_audit },
	{ "docker", import_docker },
};

static int import(const struct invocation *inv, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	_cleanup_(freep) char *text = NULL;
	const char *from = invocation_value(inv, "from"), *path = inv->args[0];
	const struct format *f = NULL;
	size_t n;
	int r;

	for (size_t i = 0; from && i < ARRAY_SIZE(formats); i++)
		if (strcmp(from, formats[i].name) == 0)
			f = &formats[i];
	if (!f)
		return diag_fail(d, -EINVAL, "--from", "say what the file is: strace, audit or docker");
	r = file_read_or_stdin(path, MAX_IMPORT_BYTES, &text, &n, &path, d);
	if (r == 0)
		r = f->import(text, n, path, &o, d);
	return r < 0 ? r : observation_write(o, invocation_value(inv, "output"), d);
}

static enum exit_status import_run(struct invocation *inv)
{
	struct diag d = { 0 };
	int r = import(inv, &d);

	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row import_options[] = {
	{ "from", 0, "KIND", "what FILE is: strace, audit or docker", false },
	{ "output", 'o', "OBSERVATION", "file to write instead of standard output", false },
	{ 0 },
};

const struct command cmd_seccomp_import = {
	.name = "seccomp import",
	.args = "FILE",
	.help = "make an observation of strace output, audit records or a profile",
	.options = import_options,
	.min_args = 1,
	.max_args = 1,
	.exits = {
		[EXIT_DONE] = "imported",
		[EXIT_USAGE] = "wrong usage, or nothing of that kind in the file",
		[EXIT_UNABLE] = "the observation cannot be written",
	},
	.run = import_run,
};

static enum exit_status merge_run(struct invocation *inv)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	struct diag d = { 0 };
	int r;

	r = seccomp_input_load(inv, 0, &o, &d);
	if (r == 0)
		r = observation_write(o, invocation_value(inv, "output"), &d);
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row merge_options[] = {
	{ "output", 'o', "OBSERVATION", "file to write instead of standard output", false },
	STATE_OPTION,
	{ 0 },
};

const struct command cmd_seccomp_merge = {
	.name = "seccomp merge",
	.args = "OBSERVATION...",
	.help = "unite observations, in any order and any number of times",
	.options = merge_options,
	.min_args = 1,
	.max_args = 1024,
	.exits = {
		[EXIT_DONE] = "united",
		[EXIT_USAGE] = "an invalid observation, or observations of different machines",
		[EXIT_UNABLE] = "the observation cannot be written",
	},
	.run = merge_run,
};
