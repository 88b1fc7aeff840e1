/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten audit`: options in, one run, one report out.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/audit/profile.h"
#include "batten/audit/report.h"
#include "batten/audit/waiver.h"
#include "batten/base/core-dump.h"
#include "batten/base/file.h"
#include "cli/commands.h"
#include "cli/guard-options.h"
#include "cli/selection.h"

#define REPORT_MODE 0644

struct request {
	struct selection which;
	enum severity fail_on;
};

static int parse_request(const struct invocation *inv, struct request *q, struct diag *d)
{
	const char *fail_on = invocation_value(inv, "fail-on");

	q->fail_on = SEV_HIGH;
	if (fail_on && (severity_parse(fail_on, &q->fail_on) < 0 || q->fail_on == SEV_INFO))
		return diag_fail(d, -EINVAL, "--fail-on", "\"%s\" is none of low, medium, high, critical", fail_on);
	return selection_parse(&q->which, inv, d);
}

/* An instance of EC2 calls itself i- and hexadecimal digits; cloud-init elsewhere writes what it likes. */
static const char *instance_id(const char *text)
{
	size_t n = text ? strlen(text) : 0;

	return n > 2 && n < 64 && strncmp(text, "i-", 2) == 0 && strspn(text + 2, "0123456789abcdef") == n - 2 ? text : NULL;
}

/* Region, account and instance for the formats that want them, from what the run already knows. */
static void identify(const struct invocation *inv, struct report *r, struct facts *f, struct arena *arena)
{
	const char *arn = facts_json_string(facts_introspection(f, "metadata"), "ContainerInstanceArn", "");
	const char *parts[6] = { 0 };
	size_t n = 0;

	for (const char *p = arn; n < ARRAY_SIZE(parts) && *p; n++) {
		size_t k = strcspn(p, ":");

		parts[n] = arena_strndup(arena, p, k);
		p += k + (p[k] == ':');
	}
	if (n == ARRAY_SIZE(parts)) {
		r->region = parts[3];
		r->account = parts[4];
	}
	if (invocation_value(inv, "region"))
		r->region = invocation_value(inv, "region");
	if (invocation_value(inv, "account"))
		r->account = invocation_value(inv, "account");
	r->instance_id = instance_id(facts_line(f, "/var/lib/cloud/data/instance-id"));
}

static bool account_ok(const char *account)
{
	return account && strlen(account) == 12 && strspn(account, "0123456789") == 12;
}

/* The file is the old one or the whole new one. */
static int write_report(const struct invocation *inv, const struct report *r, struct diag *d)
{
	const char *path = invocation_value(inv, "output");
	bool to_file = path && strcmp(path, "-") != 0;
	_cleanup_(freep) char *text = NULL;
	FILE *f = stdout;
	size_t n = 0;
	int e;

	if (to_file)
		f = open_memstream(&text, &n);
	if (!f)
		return -ENOMEM;
	e = report_write(r, invocation_format(inv), f);
	if (fflush(f) != 0 && e == 0)
		e = -errno;
	if (to_file && fclose(f) != 0 && e == 0)
		e = -errno;
	if (e < 0)
		return diag_errno(d, e, to_file ? path : "standard output", "cannot write the report");
	return to_file ? file_output(path, text, n, REPORT_MODE, d) : 0;
}

/* What was asked for by name and could not be looked at. */
static unsigned int sources_named(const struct invocation *inv, const struct request *q)
{
	unsigned int named = invocation_value(inv, "docker") ? NEEDS_DOCKER : 0;

	return q->which.options.areas || q->which.options.control_ids ? ~0u : named;
}

static enum exit_status conclude(const struct invocation *inv, const struct request *q, const struct audit *a,
				 struct facts *facts)
{
	unsigned int missing = a->failed_sources & sources_named(inv, q);
	const char *reason;
	struct diag d = { 0 };

	if (audit_failed(a, q->fail_on))
		return EXIT_NO;
	for (int s = 0; s < _SOURCE_MAX; s++) {
		if (!(missing & NEEDS(s)))
			continue;
		if (facts_source(facts, (enum source)s, &reason) == SOURCE_ABSENT)
			continue;
		(void)diag_fail(&d, -EIO, source_name((enum source)s), "%s", reason);
		return invocation_fail(&d, -EIO);
	}
	return EXIT_DONE;
}

static enum exit_status audit_and_report(const struct invocation *inv, struct request *q, struct facts *facts)
{
	struct audit a = { 0 };
	struct report report = { .audit = &a, .fail_on = q->fail_on, .verbose = inv->verbose };
	enum exit_status status;
	struct diag d = { 0 };
	int r;

	r = audit_run(&a, facts, &q->which.options);
	if (r >= 0) {
		identify(inv, &report, facts, &a.arena);
		if (strcmp(invocation_format(inv), "asff") == 0 && (!account_ok(report.account) || !report.region))
			r = diag_fail(&d, -EINVAL, "asff", "needs the account (12 digits) and the region, and the ECS agent "
				      "does not tell them: give --account and --region");
	}
	if (r >= 0)
		r = write_report(inv, &report, &d);
	status = r < 0 ? invocation_fail(&d, r) : conclude(inv, q, &a, facts);
	audit_done(&a);
	return status;
}

static enum exit_status catalogue_run(struct invocation *inv)
{
	const char *id = invocation_value(inv, "explain"), *format = invocation_format(inv);
	struct diag d = { 0 };
	int r;

	if (strcmp(format, "text") != 0 && strcmp(format, "json") != 0)
		return invocation_fail(&(struct diag){ .what = "the catalogue is printed as text or json" }, -EINVAL);
	r = id ? report_explain(id, format, stdout) : report_catalogue(format, stdout);
	if (r == -ENOENT)
		(void)diag_fail(&d, r, "--explain", "no control \"%s\"; see `batten audit --list`", id);
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static enum exit_status audit_command(struct invocation *inv)
{
	_cleanup_(audit_profile_freep) struct audit_profile *profile = NULL;
	_cleanup_(waivers_freep) struct waivers *waivers = NULL;
	_cleanup_(facts_freep) struct facts *facts = NULL;
	const char *profile_name = invocation_value(inv, "profile"), *waiver_file = invocation_value(inv, "waivers");
	struct facts_options fo = {
		.root = invocation_value(inv, "root"),
		.docker = invocation_value(inv, "docker"),
		.user_data = invocation_value(inv, "user-data"),
	};
	struct settings settings;
	struct request q = { 0 };
	struct diag d = { 0 };
	int r;

	if (invocation_value(inv, "list") || invocation_value(inv, "explain"))
		return catalogue_run(inv);
	core_dump_forbid();
	r = parse_request(inv, &q, &d);
	if (r >= 0)
		r = invocation_settings(inv, &settings, &d);
	if (r >= 0 && !fo.docker && settings.daemon.docker[0])
		fo.docker = settings.daemon.docker;
	if (r >= 0)
		r = audit_profile_load(&profile, profile_name ? profile_name : DEFAULT_AUDIT_PROFILE, &d);
	if (r >= 0)
		r = waivers_load(&waivers, waiver_file ? waiver_file : DEFAULT_WAIVERS, !waiver_file, &d);
	if (r >= 0)
		r = facts_open(&facts, &fo, &d);
	if (r < 0)
		return invocation_fail(&d, r);
	q.which.options.profile = profile;
	q.which.options.waivers = waivers;
	return audit_and_report(inv, &q, facts);
}

static const struct option_row audit_options[] = {
	{ "account", 0, "ID", "12 digits, for asff; the ECS agent's when it answers", false },
	{ "area", 0, "AREA,...", "only these areas (see --list)", true },
	{ "control", 0, "ID,...", "only these controls", true },
	{ "docker", 0, "URL", "Docker Engine, as unix:///run/docker.sock", false },
	{ "explain", 0, "ID", "the whole story of one control", false },
	{ "fail-on", 0, "SEVERITY", "exit 1 from here on: low, medium, high (default), critical", false },
	{ "list", 0, NULL, "print the catalogue of controls", false },
	{ "output", 'o', "FILE", "write the report there; - is standard output", false },
	{ "profile", 0, "NAME", "ecs (default), cis-docker, managed-instances, or the path of one", false },
	{ "region", 0, "NAME", "for asff; the ECS agent's when it answers", false },
	{ "root", 0, "DIR", "audit an unpacked image or a mounted disk instead of this host", false },
	{ "user-data", 0, "FILE", "the instance's user data; without, cloud-init's copy is read", false },
	{ "waivers", 0, "FILE", "instead of " DEFAULT_WAIVERS, false },
	{ 0 },
};

const struct command cmd_audit = {
	.name = "audit",
	.args = "",
	.help = "tell whether this container host is hardened, control by control",
	.details = "Looks at what the kernel, Docker and the ECS agent really do; changes nothing, starts no\n"
		   "process, enters no container. What cannot be examined is \"unknown\", never passed.",
	.options = audit_options,
	.formats = REPORT_FORMATS,
	.exits = {
		[EXIT_DONE] = "no finding at or above --fail-on",
		[EXIT_NO] = "findings at or above --fail-on",
		[EXIT_USAGE] = "wrong usage, profile or waivers",
		[EXIT_UNABLE] = "something that was asked for by name could not be examined",
	},
	.run = audit_command,
};
