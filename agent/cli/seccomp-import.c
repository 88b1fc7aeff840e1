/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp import` and `batten seccomp merge`: observations out of other things, and out of
 * observations.
 */
#include <errno.h>
#include <string.h>

#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/kernel/confined.h"
#include "batten/seccomp/import.h"
#include "cli/commands.h"
#include "cli/seccomp-input.h"

#define OUTPUT_MODE 0644

static const struct format {
	const char *name;
	int (*import)(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d);
} formats[] = {
	{ "strace", import_strace },
	{ "audit", import_audit },
	{ "docker", import_docker },
};

struct trace {
	const struct format *format;
	const char *text, *name;
	size_t n;
};

/* In a process that can do nothing else: whoever was traced wrote most of the text. */
static int read_trace(void *user, struct bytes *out, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	_cleanup_(json_freep) json_t *j = NULL;
	const struct trace *t = user;
	int r = t->format->import(t->text, t->n, t->name, &o, d);

	if (r < 0)
		return r;
	j = observation_json(o);
	if (!j)
		return -ENOMEM;
	json_append(out, j);
	return 0;
}

static const struct format *find_format(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(formats); i++)
		if (strcmp(name, formats[i].name) == 0)
			return &formats[i];
	return NULL;
}

/* @t: read; its text is somebody else's */
static int import_text(const struct trace *t, const char *output, struct diag *d)
{
	const struct confined_work work = {
		.run = read_trace,
		.user = (void *)t,
		.max_data_bytes = 4ul * MAX_IMPORT_BYTES,
		.max_out_bytes = MAX_IMPORT_BYTES,
	};
	_cleanup_(freep) char *result = NULL;
	size_t n = 0;
	int r;

	json_object_seed(0); /* while there is a /dev/urandom */
	r = confined_run(&work, &result, &n, d);
	return r < 0 ? r : file_output(output, result, n, OUTPUT_MODE, d);
}

static int import(const struct invocation *inv, struct diag *d)
{
	const struct format *f = find_format(invocation_value(inv, "from"));
	_cleanup_(freep) char *text = NULL;
	const char *path = inv->args[0];
	size_t n = 0;
	int r;

	if (!f)
		return diag_fail(d, -EINVAL, "--from", "say what the file is: strace, audit or docker");
	r = file_read_or_stdin(path, MAX_IMPORT_BYTES, &text, &n, &path, d);
	if (r < 0)
		return r;
	return import_text(&(struct trace){ .format = f, .text = text, .name = path, .n = n },
			   invocation_value(inv, "output"), d);
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
	.details = "Audit records are auditd's log, the kernel's, or what journalctl prints of either.",
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
