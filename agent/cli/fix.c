/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten fix`: what the audit finds, mended; what was mended, told and undone.
 */
#include "batten/audit/fix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/audit/facts.h"
#include "batten/audit/profile.h"
#include "batten/audit/waiver.h"
#include "batten/base/core-dump.h"
#include "batten/base/fd.h"
#include "batten/base/log.h"
#include "batten/base/table.h"
#include "cli/commands.h"
#include "cli/guard-options.h"
#include "cli/selection.h"

static void say_waiting(void)
{
	(void)fputs("batten: another batten fix is at work; waiting for it\n", stderr);
}

/* ---- the guard, by the daemon where one runs ---------------------------------------------------*/

static int set_guard(void *guard, bool on, struct diag *d)
{
	enum exit_status status;
	bool by_daemon;

	return guard_switch(guard, on, &by_daemon, &status, d);
}

static int guard_state(void *guard, bool *ret, struct diag *d)
{
	return guard_closed(guard, ret, d);
}

/* ---- for people --------------------------------------------------------------------------------*/

static const char *text_of(const json_t *j, const char *path)
{
	return facts_json_string(j, path, "");
}

static void print_fix(const json_t *e)
{
	const char *state = text_of(e, "state"), *result = text_of(e, "proof.result");
	bool good = strcmp(result, "failed") != 0;
	const json_t *v;
	size_t i;

	(void)printf("%s%-7s%s %s%s%s\n", style_begin(stdout, STYLE_HEAD), text_of(e, "control"), style_end(stdout, STYLE_HEAD),
		     style_begin(stdout, good ? STYLE_GOOD : STYLE_BAD),
		     strcmp(state, "applied") == 0     ? (good ? "mended" : "done for good, not proved") :
		     strcmp(state, "failed") == 0      ? "failed, undone" :
		     strcmp(state, "interrupted") == 0 ? "cut short, undone" :
							 state,
		     style_end(stdout, good ? STYLE_GOOD : STYLE_BAD));
	json_array_foreach(json_object_get(e, "files"), i, v) {
		(void)printf("        %s\n", text_of(v, "change"));
	}
	(void)printf("        proof %s: %s\n", result, text_of(e, "proof.reason"));
	if (strcmp(state, "applied") == 0 && json_array_size(json_object_get(e, "files")) > 0 &&
	    !json_is_true(json_object_get(e, "final")))
		(void)printf("        undo: batten fix --undo %s\n", text_of(e, "id"));
}

static void print_left(const json_t *l)
{
	bool waits = json_is_true(json_object_get(l, "waits"));
	const char *subject = text_of(l, "subject");

	(void)printf("%-7s %s%s%s\n        %s%s%s\n", text_of(l, "control"), style_begin(stdout, STYLE_WARN),
		     waits ? "waits" : "left", style_end(stdout, STYLE_WARN), subject, *subject ? ": " : "",
		     text_of(l, "reason"));
}

static void print_result(const json_t *result)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(result, "fixes"), i, v) {
		print_fix(v);
	}
	json_array_foreach(json_object_get(result, "left"), i, v) {
		print_left(v);
	}
	if (json_array_size(json_object_get(result, "fixes")) + json_array_size(json_object_get(result, "left")) == 0)
		(void)printf("Nothing to mend.\n");
}

static int print_history(const json_t *history)
{
	_cleanup_(table_freep) struct table *t = table_new(4);
	static const char *const heads[] = { "ID", "STATE", "PROOF", "FILES" };
	const json_t *e, *f;
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(heads); i++)
		table_cell(t, STYLE_HEAD, heads[i]);
	json_array_foreach(json_object_get(history, "fixes"), i, e) {
		struct bytes files = { 0 };

		json_array_foreach(json_object_get(e, "files"), k, f) {
			bytes_printf(&files, "%s%s", k > 0 ? ", " : "", text_of(f, "path"));
		}
		table_cell(t, STYLE_PLAIN, text_of(e, "id"));
		table_cell(t, strcmp(text_of(e, "state"), "applied") == 0 ? STYLE_GOOD : STYLE_DIM, text_of(e, "state"));
		table_cell(t, STYLE_PLAIN, text_of(e, "proof.result"));
		table_cell(t, STYLE_PLAIN, files.data ? files.data : "");
		bytes_done(&files);
	}
	return table_print(t, stdout);
}

static bool wants_json(const struct invocation *inv)
{
	return strcmp(invocation_format(inv), "json") == 0;
}

/* ---- the three deeds ---------------------------------------------------------------------------*/

/* Is something left that only a person can mend? */
static bool left_by_hand(const json_t *result)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(result, "left"), i, v) {
		if (!json_is_true(json_object_get(v, "waits")))
			return true;
	}
	return false;
}

static enum exit_status print_dry(const struct bytes *diff, const json_t *result)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(result, "left"), i, v) {
		(void)printf("# %s is left: %s\n", text_of(v, "control"), text_of(v, "reason"));
	}
	(void)fflush(stdout);
	if (fd_write_all(STDOUT_FILENO, diff->data ? diff->data : "", diff->n) < 0)
		return EXIT_UNABLE;
	return diff->n > 0 ? EXIT_NO : EXIT_DONE;
}

static enum exit_status do_run(const struct invocation *inv, struct fix *f, const struct selection *s, unsigned int kicks)
{
	_cleanup_(audit_profile_freep) struct audit_profile *profile = NULL;
	_cleanup_(waivers_freep) struct waivers *waivers = NULL;
	_cleanup_(json_freep) json_t *result = NULL;
	const char *name = invocation_value(inv, "profile"), *waiver_file = invocation_value(inv, "waivers");
	struct bytes diff = { 0 };
	struct fix_request q = {
		.audit = s->options,
		.kicks = kicks,
		.consents = (invocation_value(inv, "leave-swarm") ? CONSENT_LEAVE_SWARM : 0) |
			    (invocation_value(inv, "update-agent") ? CONSENT_UPDATE_AGENT : 0),
		.dry_run = invocation_value(inv, "dry-run") != NULL,
		.diff = &diff,
	};
	enum exit_status status;
	struct diag d = { 0 };
	int r;

	r = audit_profile_load(&profile, name ? name : DEFAULT_AUDIT_PROFILE, &d);
	if (r >= 0)
		r = waivers_load(&waivers, waiver_file ? waiver_file : DEFAULT_WAIVERS, !waiver_file, &d);
	q.audit.profile = profile;
	q.audit.waivers = waivers;
	if (r >= 0)
		r = fix_run(f, &q, &result, &d);
	if (r < 0 && r != -ECANCELED) {
		status = invocation_fail(&d, r);
	} else if (q.dry_run) {
		status = print_dry(&diff, result);
	} else {
		status = r == -ECANCELED ? EXIT_ROLLED_BACK : left_by_hand(result) ? EXIT_NO : EXIT_DONE;
		if (!wants_json(inv))
			print_result(result);
		else if (json_print(STDOUT_FILENO, result) < 0)
			status = EXIT_UNABLE;
	}
	bytes_done(&diff);
	return status;
}

static enum exit_status do_undo(const struct invocation *inv, struct fix *f, const char *id, unsigned int kicks)
{
	_cleanup_(json_freep) json_t *entry = NULL;
	struct diag d = { 0 };
	int r = fix_undo(f, id, kicks, &entry, &d);

	if (r == -ESTALE || r == -EALREADY || r == -ENOTRECOVERABLE) {
		diag_print(&d, r);
		return EXIT_NO;
	}
	if (r < 0)
		return invocation_fail(&d, r);
	if (wants_json(inv))
		return json_print(STDOUT_FILENO, entry) < 0 ? EXIT_UNABLE : EXIT_DONE;
	print_fix(entry);
	return EXIT_DONE;
}

static enum exit_status do_history(const struct invocation *inv, struct fix *f)
{
	_cleanup_(json_freep) json_t *history = NULL;
	struct diag d = { 0 };
	int r = fix_history(f, &history, &d);

	if (r >= 0)
		r = wants_json(inv) ? json_print(STDOUT_FILENO, history) : print_history(history);
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

/* What a crash left is put in order before anything else. */
static int recover(const struct invocation *inv, struct fix *f, struct diag *d)
{
	_cleanup_(json_freep) json_t *met = NULL;
	const json_t *e;
	size_t i;
	int r = fix_recover(f, &met, d);

	json_array_foreach(met, i, e) {
		if (!inv->quiet)
			(void)fprintf(stderr, "batten: %s: %s\n", text_of(e, "id"), text_of(e, "proof.reason"));
	}
	return r;
}

/* @state_dir: of the configuration; a tree of files has its own below it */
static enum exit_status work(const struct invocation *inv, struct fix_host *host, const struct selection *s,
			     const char *state_dir)
{
	_cleanup_(fix_freep) struct fix *f = NULL;
	const char *undo = invocation_value(inv, "undo");
	unsigned int kicks = (invocation_value(inv, "restart-agent") ? KICK_ECS : 0) |
			     (invocation_value(inv, "restart-docker") ? KICK_DOCKER : 0);
	struct fix_options o = {
		.root = invocation_value(inv, "root"),
		.state_dir = invocation_value(inv, "state-dir"),
		.host = host,
		.waiting = say_waiting,
	};
	struct diag d = { 0 };
	char journal[300];
	int r;

	core_dump_forbid();
	(void)snprintf(journal, sizeof(journal), "%s/fix", state_dir);
	if (!o.root && !o.state_dir)
		o.state_dir = journal;
	/* Who has the lock is alive: nothing to recover. */
	o.dont_wait = invocation_value(inv, "recover") != NULL;
	r = fix_open(&f, &o, &d);
	if (r == -EBUSY && o.dont_wait)
		return EXIT_DONE;
	if (r >= 0)
		r = recover(inv, f, &d);
	if (r < 0)
		return invocation_fail(&d, r);
	if (invocation_value(inv, "recover"))
		return EXIT_DONE;
	if (invocation_value(inv, "history"))
		return do_history(inv, f);
	return undo ? do_undo(inv, f, undo, kicks) : do_run(inv, f, s, kicks);
}

static enum exit_status fix_command(struct invocation *inv)
{
	const char *root = invocation_value(inv, "root"), *docker = invocation_value(inv, "docker");
	_cleanup_(fix_host_done) struct fix_host host = { 0 };
	struct selection s = { 0 };
	struct settings settings;
	struct diag d = { 0 };
	int r;

	r = selection_parse(&s, inv, &d);
	if (r >= 0)
		r = invocation_settings(inv, &settings, &d);
	if (r >= 0)
		r = fix_host_live(&host, docker ? docker : settings.daemon.docker[0] ? settings.daemon.docker : NULL, root);
	if (r < 0)
		return invocation_fail(&d, r);
	if (!root) {
		host.guard = set_guard;
		host.guard_is_on = guard_state;
		host.guard_data = inv;
		log_init(LOG_TARGET_JOURNAL, LOG_INFO);
	} else {
		log_init(LOG_TARGET_TEXT, LOG_ERR);
	}
	return work(inv, &host, &s, settings.daemon.state_dir);
}

static const struct option_row fix_options[] = {
	{ "area", 0, "AREA,...", "only these areas (see audit --list)", true },
	{ "control", 0, "ID,...", "only these controls; some are mended only when named", true },
	{ "docker", 0, "URL", "Docker Engine, as unix:///run/docker.sock", false },
	{ "dry-run", 0, NULL, "change nothing; print what would change as a unified diff", false },
	{ "history", 0, NULL, "what was mended, undone, or failed", false },
	{ "leave-swarm", 0, NULL, "leave a Docker swarm when nothing is lost with it; cannot be undone", false },
	{ "profile", 0, "NAME", "of the audit: ecs (default), cis-docker, managed-instances, or a path", false },
	{ "recover", 0, NULL, "only undo what a crash left half done", false },
	{ "restart-agent", 0, NULL, "restart the ECS agent when a change needs it; tasks keep running", false },
	{ "restart-docker", 0, NULL, "restart Docker when a change needs it; only with live-restore", false },
	{ "root", 0, "DIR", "mend the files of an unpacked image or a mounted disk", false },
	RUNTIME_DIR_OPTION,
	{ "state-dir", 0, "DIR", "the journal (" FIX_STATE_DIR ")", false },
	{ "undo", 0, "ID", "put back what one fix changed", false },
	{ "update-agent", 0, NULL, "update the ECS agent with dnf, where its repositories have what mends", false },
	{ "waivers", 0, "FILE", "instead of " DEFAULT_WAIVERS, false },
	{ 0 },
};

const struct command cmd_fix = {
	.name = "fix",
	.args = "",
	.help = "mend what the audit finds, prove it, or undo it",
	.details = "One transaction for each control: what is there is written to a journal, then changed, then proved\n"
		   "by running the control again and asking who answered before; what cannot be proved is undone.\n"
		   "What a crash cut short is undone at the next start. Doing it twice changes nothing.",
	.options = fix_options,
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "mended, or nothing to mend",
		[EXIT_NO] = "something is left for a person; with --dry-run: something would change; with --undo: refused",
		[EXIT_USAGE] = "wrong usage, profile or waivers, or no such fix",
		[EXIT_UNABLE] = "the journal or the host could not be worked with",
		[EXIT_ROLLED_BACK] = "a change failed and was undone",
	},
	.run = fix_command,
};
