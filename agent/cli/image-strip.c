/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten image strip: the image without setuid and setgid bits and file capabilities.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "batten/base/json.h"
#include "batten/daemon/control.h"
#include "cli/commands.h"
#include "cli/guard-options.h"
#include "cli/image-options.h"

static void tell_totals(const struct image_totals *t, const char *old_name, const char *digest)
{
	if (old_name)
		(void)fprintf(stderr, "the image as it was is kept as %s\n", old_name);
	if (!t->changed)
		(void)fputs("nothing to strip\n", stderr);
	else
		(void)fprintf(stderr,
			      "stripped %" PRIu64 ", removed %" PRIu64 ", kept %" PRIu64
			      " by rule; %u of %u layers changed%s%s\n",
			      t->stripped, t->removed, t->kept, t->n_changed, t->n_layers, digest ? "; now " : "",
			      digest ? digest : "");
}

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
	tell_totals(&t, image_run_old_name(run), image_run_new_digest(run));
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

/* ---- by the daemon ----------------------------------------------------------------------------- */

static void add_rules(const struct invocation *inv, const char *option, json_t *rules)
{
	const char *value;

	for (unsigned int i = 0; (value = invocation_nth(inv, option, i)); i++)
		json_array_append_new(rules, json_sprintf("%s=%s", option, value));
}

static json_t *request_of(const struct invocation *inv, const struct image_options *o)
{
	const struct {
		bool given;
		const char *rule;
	} flags[] = {
		{ o->policy.dirs, "dirs" },	       { o->policy.keep_caps, "keep-caps" },
		{ o->effective_only, "effective" },    { o->no_verify, "no-verify" },
		{ o->keep_attestations, "keep-attestations" },
	};
	json_t *rules = json_array();
	unsigned char random[16];
	char token[2 * sizeof(random) + 1] = "";

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return json_decref(rules), NULL;
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(token + 2 * i, 3, "%02x", random[i]);
	add_rules(inv, "keep", rules);
	add_rules(inv, "remove", rules);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].given)
			json_array_append_new(rules, json_string(flags[i].rule));
	return json_pack("{s:s, s:o, s:o, s:o}", "token", token, "source", json_text(o->source), "destination",
			 json_text(o->destination), "rules", rules);
}

static enum exit_status strip_by_daemon(const struct invocation *inv, const struct image_options *o)
{
	_cleanup_(json_freep) json_t *request = request_of(inv, o), *result = NULL;
	const char *dir = invocation_value(inv, "runtime-dir");
	struct image_totals t;
	int status = EXIT_UNABLE, r;
	struct diag d = { 0 };
	const json_t *note;
	size_t i;

	if (o->dry_run || o->docker_url)
		return invocation_fail(&(struct diag){ .where = "--by-daemon",
						       .what = "not together with --dry-run or --docker" }, -EINVAL);
	if (!request)
		return invocation_fail(&d, -ENOMEM);
	r = control_call_waiting(dir ? dir : DEFAULT_RUNTIME_DIR, "image.strip", request, &result, &status, &d);
	if (r == -ENOENT)
		(void)diag_fail(&d, r, "--by-daemon", "no daemon runs; leave the option out");
	if (r == -EREMOTEIO)
		diag_print(&d, r);
	if (r < 0)
		return r == -EREMOTEIO ? (enum exit_status)status : r == -ENOENT ? (diag_print(&d, r), EXIT_UNABLE) :
										     invocation_fail(&d, r);
	if (inv->quiet)
		return EXIT_DONE;
	json_array_foreach(json_object_get(result, "notes"), i, note) {
		(void)fprintf(stderr, "batten: %s\n", json_string_value(note));
	}
	t = (struct image_totals){
		.changed = json_is_true(json_object_get(result, "changed")),
		.stripped = (uint64_t)json_integer_value(json_object_get(result, "stripped")),
		.removed = (uint64_t)json_integer_value(json_object_get(result, "removed")),
		.kept = (uint64_t)json_integer_value(json_object_get(result, "kept")),
		.n_changed = (unsigned int)json_integer_value(json_object_get(result, "n_changed")),
		.n_layers = (unsigned int)json_integer_value(json_object_get(result, "n_layers")),
	};
	tell_totals(&t, json_string_value(json_object_get(result, "old_name")),
		    json_string_value(json_object_get(result, "digest")));
	return EXIT_DONE;
}

static enum exit_status run(struct invocation *inv)
{
	_cleanup_(image_run_freep) struct image_run *result = NULL;
	struct image_options o = { 0 };
	struct diag d = { 0 };
	int r;

	r = read_options(inv, &o, &d);
	if (r >= 0 && invocation_value(inv, "by-daemon")) {
		enum exit_status status = strip_by_daemon(inv, &o);

		image_policy_done(&o.policy);
		return status;
	}
	if (r >= 0)
		r = image_strip(&o, &result, &d);
	image_policy_done(&o.policy);
	return r < 0 ? invocation_fail(&d, r) : tell(inv, &o, result);
}

static const struct option_row options[] = {
	IMAGE_RULE_OPTIONS,
	{ "remove", 0, "PATH", "take what this glob matches out of its layer, and links to it; directories stay",
	  true },
	{ "scope", 0, "SCOPE", "all (default), or effective: leave what an upper layer hides",
	  false },
	{ "dry-run", 0, NULL, "print what would be done, write nothing", false },
	{ "no-verify", 0, NULL, "do not read again what was written", false },
	{ "keep-attestations", 0, NULL, "keep signatures and statements about the old image",
	  false },
	{ "by-daemon", 0, NULL, "let the daemon do it in a worker; docker-daemon: to docker-daemon:", false },
	RUNTIME_DIR_OPTION,
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
