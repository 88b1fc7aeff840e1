/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shared by the image commands: rules, progress, notes.
 */
#include "cli/image-options.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#define BAR 30

static void on_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
	unsigned int n = total ? (unsigned int)(done * BAR / total) : BAR;

	(void)fprintf(stderr, "\r%-9s [%.*s%*s] %3u %%", what, (int)n,
		      "##############################", (int)(BAR - n), "",
		      (unsigned int)(total ? done * 100 / total : 100));
	if (done >= total)
		(void)fputs("\r\033[K", stderr);
}

int image_options_read(const struct invocation *inv, struct image_options *o, struct diag *d)
{
	const char *v;
	int r = 0;

	for (unsigned int i = 0; r >= 0 && (v = invocation_nth(inv, "keep", i)); i++)
		r = image_policy_keep(&o->policy, v, d);
	for (unsigned int i = 0; r >= 0 && (v = invocation_nth(inv, "remove", i)); i++)
		r = image_policy_remove(&o->policy, v, d);
	o->policy.keep_caps = invocation_value(inv, "keep-caps");
	o->policy.dirs = invocation_value(inv, "dirs");
	o->docker_url = invocation_value(inv, "docker");
	o->source = inv->args[0];
	if (isatty(STDERR_FILENO) && !inv->quiet)
		o->progress = on_progress;
	return r;
}

void image_print_notes(const struct invocation *inv, const struct image_run *run)
{
	const char *note;

	for (size_t i = 0; !inv->quiet && (note = image_run_note(run, i)); i++)
		(void)fprintf(stderr, "batten: %s\n", note);
}
