/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten image strip: the image without setuid and setgid bits and file capabilities.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/image-options.h"

/* Standard output may be the image: what is told goes to standard error. */
static enum exit_status tell(struct invocation *inv, const struct image_options *o,
			     struct image_run *run)
{
	struct image_totals t = image_run_totals(run);
	int r = 0;

	image_print_notes(inv, run);
	if (o->dry_run) {
		if (strcmp(invocation_format(inv), "json") == 0)
			r = image_run_print_json(run, stdout);
		else
			r = image_run_print_text(run, stdout);
		return r < 0 ? invocation_fail(&(struct diag){ 0 }, r) : EXIT_DONE;
	}
	if (inv->quiet)
		return EXIT_DONE;
	if (image_run_old_name(run))
		(void)fprintf(stderr, "the image as it was is kept as %s\n",
			      image_run_old_name(run));
	if (!t.changed)
		(void)fputs("nothing to strip\n", stderr);
	else
		(void)fprintf(stderr,
			      "stripped %" PRIu64 ", removed %" PRIu64 ", kept %" PRIu64
			      " by rule; %u of %u layers changed%s%s\n",
			      t.stripped, t.removed, t.kept, t.n_changed, t.n_layers,
			      image_run_new_digest(run) ? "; now " : "",
			      image_run_new_digest(run) ? image_run_new_digest(run) : "");
	return EXIT_DONE;
}

static int read_options(const struct invocation *inv, struct image_options *o, struct diag *d)
{
	const char *scope = invocation_value(inv, "scope");
	int r;

	r = image_options_read(inv, o, d);
	if (r < 0)
		return r;
	if (scope && strcmp(scope, "all") != 0 && strcmp(scope, "effective") != 0)
		return diag_fail(d, -EINVAL, "--scope", "must be all or effective, not %s", scope);
	o->effective_only = scope && strcmp(scope, "effective") == 0;
	o->dry_run = invocation_value(inv, "dry-run");
	o->no_verify = invocation_value(inv, "no-verify");
	o->keep_attestations = invocation_value(inv, "keep-attestations");
	o->destination = inv->n_args > 1 ? inv->args[1] : NULL;
	if (!o->destination && !o->dry_run)
		return diag_fail(d, -EINVAL, "image strip",
				 "missing DESTINATION; see `batten help image strip`");
	return 0;
}

static enum exit_status run(struct invocation *inv)
{
	_cleanup_(image_run_freep) struct image_run *result = NULL;
	struct image_options o = { 0 };
	struct diag d = { 0 };
	int r;

	r = read_options(inv, &o, &d);
	if (r >= 0)
		r = image_strip(&o, &result, &d);
	image_policy_done(&o.policy);
	return r < 0 ? invocation_fail(&d, r) : tell(inv, &o, result);
}

static const struct option_row options[] = {
	IMAGE_RULE_OPTIONS,
	{ "remove", 0, "PATH", "take what this glob matches out of its layer, and links to it",
	  true },
	{ "scope", 0, "SCOPE", "all (default), or effective: leave what an upper layer hides",
	  false },
	{ "dry-run", 0, NULL, "print what would be done, write nothing", false },
	{ "no-verify", 0, NULL, "do not read again what was written", false },
	{ "keep-attestations", 0, NULL, "keep signatures and statements about the old image",
	  false },
	{ 0 },
};

const struct command cmd_image_strip = {
	.name = "image strip",
	.args = "SOURCE DESTINATION",
	.help = "take setuid, setgid and file capabilities out of an image, and nothing else",
	.details = "SOURCE and DESTINATION are docker-archive:FILE, oci-archive:FILE, oci:DIR[:TAG],\n"
		   "docker-daemon:REF, or a path; - is standard input and output. They may be the same.\n"
		   "Every byte that carries no such bit stays what it was.",
	.options = options,
	.formats = "text|json",
	.min_args = 1,
	.max_args = 2,
	.exits = {
		[EXIT_DONE] = "done, also when there was nothing to strip",
		[EXIT_USAGE] = "wrong usage, or an image that is damaged or ambiguous",
		[EXIT_UNABLE] = "the image cannot be examined or written",
		[EXIT_ROLLED_BACK] = "what was written was not right; the destination is what it was",
	},
	.run = run,
};
