/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp shadow`: what the daemon's profile on trial would have denied so far.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/json.h"
#include "batten/base/table.h"
#include "batten/daemon/control.h"
#include "batten/seccomp/base.h"
#include "cli/commands.h"
#include "cli/guard-options.h"

static const char *member(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "";
}

static int print_text(const json_t *images)
{
	static const char *const heads[] = { "IMAGE", "CALL", "ABI", "TIMES", "WHAT IT IS FOR" };
	_cleanup_(table_freep) struct table *t = table_new(ARRAY_SIZE(heads));
	const json_t *image, *denied;
	size_t i, k;

	for (size_t n = 0; n < ARRAY_SIZE(heads); n++)
		table_cell(t, STYLE_HEAD, heads[n]);
	json_array_foreach(images, i, image) {
		json_array_foreach(json_object_get(image, "denied"), k, denied) {
			table_cell(t, STYLE_PLAIN, member(image, "image"));
			table_cell(t, STYLE_WARN, member(denied, "call"));
			table_cell(t, STYLE_DIM, member(denied, "abi"));
			table_cellf(t, STYLE_PLAIN, "%lld", (long long)json_integer_value(json_object_get(denied, "count")));
			table_cell(t, STYLE_DIM, call_note(member(denied, "call")));
		}
	}
	return table_print(t, stdout);
}

static bool any_denied(const json_t *images)
{
	const json_t *image;
	size_t i;

	json_array_foreach(images, i, image)
		if (json_array_size(json_object_get(image, "denied")) > 0)
			return true;
	return false;
}

static enum exit_status shadow_run(struct invocation *inv)
{
	const char *dir = invocation_value(inv, "runtime-dir");
	_cleanup_(json_freep) json_t *result = NULL;
	int status = EXIT_UNABLE, r;
	const json_t *images;
	struct diag d = { 0 };

	r = control_call(dir ? dir : DEFAULT_RUNTIME_DIR, "seccomp.shadow", NULL, &result, &status, &d);
	if (r == -ENOENT)
		(void)diag_fail(&d, r, NULL, "no daemon runs; it tries profiles when [seccomp] shadow names one");
	if (r < 0) {
		diag_print(&d, r);
		return r == -EREMOTEIO ? (enum exit_status)status : EXIT_UNABLE;
	}
	images = json_object_get(result, "images");
	r = strcmp(invocation_format(inv), "json") == 0 ? json_print(STDOUT_FILENO, result) : print_text(images);
	if (r < 0)
		return invocation_fail(&d, r);
	return any_denied(images) ? EXIT_NO : EXIT_DONE;
}

static const struct option_row options[] = {
	RUNTIME_DIR_OPTION,
	{ 0 },
};

const struct command cmd_seccomp_shadow = {
	.name = "seccomp shadow",
	.args = "",
	.help = "what the daemon's profile on trial would have denied so far",
	.details = "The daemon tries the profile of [seccomp] shadow on the calls of all containers, counts\n"
		   "those that it would deny, and denies none.",
	.options = options,
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "it would have denied nothing",
		[EXIT_NO] = "it would have denied what is printed",
		[EXIT_UNABLE] = "no daemon runs, or it tries no profile",
	},
	.run = shadow_run,
};
