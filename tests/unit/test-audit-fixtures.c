/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One runner for the fixtures of every control: tests/golden/audit/ID.json. Each holds worlds in
 * which the control passes, fails and does not apply (and may hold some where it is unknown or
 * drifts); a control that lacks one of the three fails the test. So does one that looks at a source
 * which its row does not name.
 */
#include "audit-world.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/audit/profile.h"

static void print_findings(const struct audit *a)
{
	for (size_t i = 0; i < a->n_findings; i++)
		print_error("  %s %s %s: %s\n", status_name(a->findings[i].status),
			    severity_name(a->findings[i].severity), a->findings[i].subject.name,
			    a->findings[i].evidence);
}

static bool any_as_grave(const struct audit *a, enum status wanted, const char *severity)
{
	for (size_t i = 0; i < a->n_findings; i++)
		if (a->findings[i].status == wanted && strcmp(severity_name(a->findings[i].severity), severity) == 0)
			return true;
	return false;
}

/* The case's own status must occur; beside "pass" no failure may, beside "not_applicable" nothing. */
static const char *judge(const struct audit *a, enum status wanted, json_t *expect, const char *severity)
{
	const json_t *v;
	size_t k;

	if (a->n_findings == 0)
		return "no finding at all";
	if (a->n_status[wanted] == 0)
		return "no finding of the wanted status";
	if (wanted == STATUS_NOT_APPLICABLE && a->n_findings != a->n_status[wanted])
		return "something applied";
	if (wanted == STATUS_PASS && a->n_status[STATUS_FAIL] + a->n_status[STATUS_DRIFT] + a->n_status[STATUS_UNKNOWN])
		return "something failed";
	if (severity && !any_as_grave(a, wanted, severity))
		return "no finding of the wanted severity";
	json_array_foreach(expect, k, v)
	{
		bool found = false;

		for (size_t i = 0; i < a->n_findings; i++)
			found |= a->findings[i].status == wanted &&
				 (strstr(a->findings[i].evidence, json_string_value(v)) ||
				  strstr(a->findings[i].subject.name, json_string_value(v)));
		if (!found)
			return json_string_value(v);
	}
	return NULL;
}

static bool run_case(const struct control *c, json_t *fixture, json_t *test, enum status wanted, size_t number)
{
	_cleanup_(json_freep) json_t *world = make_world(fixture, test);
	_cleanup_(audit_profile_freep) struct audit_profile *profile = NULL;
	_cleanup_(facts_freep) struct facts *facts = NULL;
	json_t *now = json_object_get(world, "now"), *p = json_object_get(world, "profile");
	char root[] = "/tmp/batten-audit-XXXXXX";
	const char *const ids[] = { c->id, NULL };
	struct audit a = { 0 };
	struct audit_options o = {
		.host = "fixture",
		.control_ids = ids,
		.thorough = true,
		.now = now ? json_integer_value(now) : NOW,
	};
	struct diag d = { 0 };
	const char *wrong;

	assert_non_null(mkdtemp(root));
	make_tree(root, world);
	if (p && audit_profile_parse(&profile, p, c->id, &d) < 0)
		fail_msg("%s: %s", d.where, d.what);
	o.profile = profile;
	assert_int_equal(facts_open(&facts, &(struct facts_options){ .root = root, .stand_in = world }, &d), 0);
	assert_int_equal(audit_run(&a, facts, &o), 0);
	wrong = judge(&a, wanted, json_object_get(world, "expect"),
		      json_string_value(json_object_get(world, "severity")));
	if (facts_touched(facts) & ~control_sources(c))
		wrong = "looks at a source that its row does not name";
	if (wrong) {
		print_error("%s, case %s[%zu]: %s\n", c->id, status_name(wanted), number, wrong);
		print_findings(&a);
		for (int i = 0; i < _SOURCE_MAX; i++)
			if (facts_touched(facts) & ~control_sources(c) & NEEDS(i))
				print_error("  looked at: %s\n", source_name((enum source)i));
	}
	audit_done(&a);
	(void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return !wrong;
}

static bool run_cases(const struct control *c, json_t *fixture, enum status wanted, bool required)
{
	json_t *tests = json_object_get(fixture, status_name(wanted)), *test;
	bool ok = true;
	size_t i;

	if (!tests && required) {
		print_error("%s: tests/golden/audit/%s.json lacks \"%s\"\n", c->id, c->id, status_name(wanted));
		return false;
	}
	if (json_is_object(tests))
		return run_case(c, fixture, tests, wanted, 0);
	json_array_foreach(tests, i, test)
		ok &= run_case(c, fixture, test, wanted, i);
	return ok;
}

static bool run_control(const struct control *c)
{
	_cleanup_(json_freep) json_t *fixture = NULL;
	char path[512];
	bool ok;

	(void)snprintf(path, sizeof(path), DIRECTORY "/%s.json", c->id);
	if (access(path, R_OK) < 0) {
		print_error("%s: has no fixtures: %s is missing\n", c->id, path);
		return false;
	}
	fixture = load(DIRECTORY, c->id);
	ok = run_cases(c, fixture, STATUS_PASS, true);
	ok &= run_cases(c, fixture, STATUS_FAIL, true);
	ok &= run_cases(c, fixture, STATUS_NOT_APPLICABLE, true);
	ok &= run_cases(c, fixture, STATUS_UNKNOWN, false);
	ok &= run_cases(c, fixture, STATUS_DRIFT, false);
	return ok;
}

static void every_control_has_fixtures_that_hold(void **state)
{
	unsigned int n_bad = 0;

	if (geteuid() != 0)
		skip_because("its trees have owners of their own: only root can make them");
	for (size_t i = 0; i < n_control_sets; i++)
		for (size_t k = 0; k < control_sets[i]->n_controls; k++)
			n_bad += !run_control(&control_sets[i]->controls[k]);
	assert_int_equal(n_bad, 0);
}

static void every_fixture_has_a_control(void **state)
{
	DIR *dir = opendir(DIRECTORY);

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		char id[64];
		size_t n = strlen(e->d_name);

		if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0)
			continue;
		(void)snprintf(id, sizeof(id), "%.*s", (int)n - 5, e->d_name);
		if (!control_find(id, NULL))
			fail_msg("%s/%s belongs to no control", DIRECTORY, e->d_name);
	}
	(void)closedir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_control_has_fixtures_that_hold),
		cmocka_unit_test(every_fixture_has_a_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
