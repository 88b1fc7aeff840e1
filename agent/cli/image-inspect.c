/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten image inspect: what an image carries, layer by layer.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/image-options.h"

static enum exit_status print(struct invocation *inv, struct image_run *run)
{
	struct image_totals t = image_run_totals(run);
	struct diag d = { 0 };
	int r;

	image_print_notes(inv, run);
	if (strcmp(invocation_format(inv), "json") == 0) {
		r = image_run_print_json(run, stdout);
	} else {
		r = image_run_print_text(run, stdout);
		(void)printf("%" PRIu64 " setuid, %" PRIu64 " setgid, %" PRIu64
			     " with capabilities, %" PRIu64 " shells and download tools; %" PRIu64
			     " to strip, %" PRIu64 " kept by rule\n",
			     t.setuid, t.setgid, t.capabilities, t.tools, t.stripped, t.kept);
	}
	if (r < 0)
		return invocation_fail(&d, r);
	return t.stripped > 0 ? EXIT_NO : EXIT_DONE;
}

static enum exit_status run(struct invocation *inv)
{
	_cleanup_(image_run_freep) struct image_run *result = NULL;
	struct image_options o = { 0 };
	struct diag d = { 0 };
	int r;

	r = image_options_read(inv, &o, &d);
	if (r >= 0)
		r = image_inspect(&o, &result, &d);
	image_policy_done(&o.policy);
	return r < 0 ? invocation_fail(&d, r) : print(inv, result);
}

static const struct option_row options[] = {
	IMAGE_RULE_OPTIONS,
	{ 0 },
};

const struct command cmd_image_inspect = {
	.name = "image inspect",
	.args = "SOURCE",
	.help = "setuid, setgid, file capabilities, shells and download tools, per layer",
	.details = "SOURCE is docker-archive:FILE, oci-archive:FILE, oci:DIR[:TAG], docker-daemon:REF,\n"
		   "or a path; - is standard input. Nothing is extracted and nothing is changed.",
	.options = options,
	.formats = "text|json",
	.min_args = 1,
	.max_args = 1,
	.exits = {
		[EXIT_DONE] = "nothing to strip was found",
		[EXIT_NO] = "setuid, setgid or capabilities were found",
		[EXIT_USAGE] = "wrong usage, or an image that is damaged or ambiguous",
		[EXIT_UNABLE] = "the image cannot be examined",
	},
	.run = run,
};
