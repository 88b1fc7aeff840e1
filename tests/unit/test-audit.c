/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The catalogue row by row, and the parts of the engine that stand alone.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "audit/secrets.h"
#include "audit/version.h"
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/audit/profile.h"
#include "batten/audit/report.h"
#include "batten/audit/waiver.h"
#include "batten/base/arena.h"

static void every_row_is_whole(void **state)
{
	static const char *const prefixes[_AREA_MAX] = { "CFG", "IMD", "AGT", "DKD", "DKF", "CTR", "IMG", "HST" };
	static const unsigned int sizes[_AREA_MAX] = { 16, 7, 6, 13, 3, 23, 8, 14 };

	assert_int_equal(n_control_sets, _AREA_MAX);
	for (size_t i = 0; i < n_control_sets; i++) {
		const struct control_set *set = control_sets[i];

		assert_int_equal(set->n_controls, sizes[set->area]);
		for (size_t k = 0; k < set->n_controls; k++) {
			const struct control *c = &set->controls[k];
			char id[32];

			/* In the catalogue's order, none left out: so they are unique too. */
			(void)snprintf(id, sizeof(id), "%s-%02zu", prefixes[set->area], k + 1);
			assert_string_equal(c->id, id);
			assert_true(c->title && c->title[0] && c->title[strlen(c->title) - 1] != '.');
			assert_true(c->means && strlen(c->means) > 20 && strchr(".?!", c->means[strlen(c->means) - 1]));
			assert_true(c->remedy && strlen(c->remedy) > 5 && !strchr(c->remedy, '\n'));
			assert_true(c->check && c->needs && c->severity < _SEV_MAX);
			if (c->each == SUBJECT_CONTAINER || c->each == SUBJECT_IMAGE)
				assert_true(c->needs & NEEDS_DOCKER);
			assert_ptr_equal(control_find(c->id, NULL), c);
		}
	}
}

static void arena_serves_any_size(void **state)
{
	struct arena a = { 0 };
	char *big = arena_alloc(&a, 300000);

	assert_non_null(big);
	memset(big, 1, 300000);
	for (size_t i = 0; i < 5000; i++) {
		char *p = arena_alloc(&a, i % 97 + 1);

		assert_int_equal((uintptr_t)p % 16, 0);
		assert_int_equal(p[i % 97], 0);
		p[0] = 'x';
	}
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 7), "x-7");
	assert_null(arena_alloc(&a, SIZE_MAX - 4));
	assert_true(a.error < 0);
	assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
	arena_done(&a);
}

static void versions_compare_by_number(void **state)
{
	assert_true(version_before("1.9.3", "1.10.0"));
	assert_true(version_before("v1.1.5+ds1", "1.1.12"));
	assert_false(version_before("1.1.12", "1.1.12"));
	assert_false(version_before("2", "1.99.99"));
	assert_false(version_before("unknown", "1.0.0"));
}

static void evidence_counts_what_does_not_fit(void **state)
{
	struct evidence e = { 0 };

	evidence_add(&e, "one");
	evidence_add(&e, "two");
	assert_string_equal(evidence_text(&e), "one; two");
	for (int i = 0; i < 500; i++)
		evidence_add(&e, "part number %d", i);
	assert_true(strlen(evidence_text(&e)) < sizeof(e.text));
	assert_non_null(strstr(evidence_text(&e), " more"));
}

static void evidence_without_room_is_still_evidence(void **state)
{
	struct evidence e = { 0 }, wide = { 0 };
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	evidence_add(&e, "%s", text);
	evidence_add(&e, "second");
	assert_int_equal(e.n_parts, 1);
	assert_non_null(strstr(evidence_text(&e), "xxx ...; 1 more"));
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 3);
	evidence_add(&wide, "a%s", text);
	assert_true(strlen(evidence_text(&wide)) > 800);
	assert_non_null(strstr(evidence_text(&wide), "\xa4 ..."));
}

static void secrets_are_typed(void **state)
{
	static const struct {
		const char *name, *value;
		bool secret;
	} cases[] = {
		{ "X", "AKIAIOSFODNN7EXAMPLE", true },
		{ "X", "xAKIAIOSFODNN7EXAMPLE", false },
		{ "X", "AKIAIOSFODNN7EXAMPLE2", false },
		{ "X", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", true },
		{ "X", "-----BEGIN PRIVATE KEY-----", true },
		{ "X", "-----BEGIN CERTIFICATE-----", false },
		{ "X", "https://user:pass@host/", true },
		{ "X", "https://user:$PASS@host/", false },
		{ "X", "https://host:8080/a@b", false },
		{ "PASSWORD", "correcthorse", true },
		{ "DB_PASSWORD", "${DB_PASSWORD}", false },
		{ "DB_PASSWORD_FILE", "/run/secrets/x", false },
		{ "PASSWORD_MIN_LENGTH", "12", false },
		{ "MONKEY", "bananas1", false },
		{ "TOKEN_TTL", "3600", false },
		{ "GITHUB_TOKEN", "whatever-it-is", true },
		{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1", false },
		{ "ECS_ENGINE_AUTH_DATA", "{\"https://index.docker.io/v1/\":{\"auth\":\"dTpw\"}}", true },
		{ "DOCKER_AUTH_CONFIG", "{\"auths\":{}}", true },
		{ "DB_PASSWORD", "{{resolve:secretsmanager:x}}", false },
		{ "DB_PASSWORD", "vault:secret/data/db#password", false },
		{ "DB_PASSWORD", "ref+awsssm://db/password", false },
		{ "DB_PASSWORD", "vaulting-horse", true },
		{ "DB_PASSWORD", "123456", true },
		{ "DB_PASSWORD", "root", true },
		{ "DB_PASSWORD", "changeme", true },
		{ "DB_PASSWORD", "", false },
		{ "ALLOW_EMPTY_PASSWORD", "yes", false },
		{ "MYSQL_RANDOM_ROOT_PASSWORD", "True", false },
		{ "PASS", "hunter2", true },
		{ "BYPASS", "hunter22", false },
		{ "TOKEN", "whatever-it-is", true },
		{ "SECRET_KEY_BASE", "0a1b2c3d4e", true },
		{ "X", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", true },
		{ "X", "eyJhbGciOiJIUzI1NiJ9", false },
		{ "X", "postgres://u:pa/ss@db/app", true },
		{ "X", "https://host:8080/u:x@b", false },
		{ "X", "http://[fd00::1]:8080/npm/@scope/pkg", false },
		{ "X", "http://u:pass@[fd00::1]:8080/", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if ((secret_in_variable(cases[i].name, cases[i].value) != NULL) != cases[i].secret)
			fail_msg("%s=%s", cases[i].name, cases[i].value);
}

static void assignments_are_found_in_text(void **state)
{
	static const struct {
		const char *text, *names; /* with a blank behind each */
	} cases[] = {
		{ "|1 API_TOKEN=correct-horse /bin/sh -c make", "API_TOKEN " },
		{ "RUN export DB_PASSWORD='a b' && run", "DB_PASSWORD " },
		{ "ENV A=b DB_PASSWORD=\"hunter2\"", "DB_PASSWORD " },
		{ "RUN tool --password=hunter2", "password " },
		{ "|2 DB_PASSWORD=example API_TOKEN=correct-horse", "DB_PASSWORD API_TOKEN " },
		{ "ENV DB_PASSWORD=a=b PASS=\"PASSWORD=y\"", "DB_PASSWORD PASS PASSWORD " },
		{ "RUN [ \"$DB_PASSWORD\" = x ]", "" },
		{ "ENV DB_PASSWORD=", "" },
		{ "RUN x DB_PASSWORD=$(cat /run/secrets/p)", "" },
		{ "=", "" },
		{ "", "" },
	};
	struct arena arena = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slice rest = slice_of(cases[i].text);
		char names[128] = "";
		const char *name;

		while (secret_in_assignments(&rest, &arena, &name)) {
			size_t n = strlen(names);

			(void)snprintf(names + n, sizeof(names) - n, "%s ", name);
		}
		if (strcmp(names, cases[i].names) != 0)
			fail_msg("%s: \"%s\"", cases[i].text, names);
	}
	arena_done(&arena);
}

/* What is not told is not copied, however often and however long it stands there. */
static void assignments_take_no_memory(void **state)
{
	static char text[64 * 1024];
	struct arena arena = { 0 };
	struct slice rest = { text, sizeof(text) };
	const char *name;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '=' : 'a';
	assert_null(secret_in_assignments(&rest, &arena, &name));
	memset(text, 'x', sizeof(text));
	memcpy(text, "DB_PASSWORD=", 12);
	assert_null(secret_in_assignments(&rest, &arena, &name));
	memcpy(text + sizeof(text) - 8, "_TOKEN=x", 8);
	assert_null(secret_in_assignments(&rest, &arena, &name));
	assert_null(arena.blocks);
	memset(text + 12, 'y', 500);
	assert_non_null(secret_in_assignments(&rest, &arena, &name));
	assert_string_equal(name, "DB_PASSWORD");
	arena_done(&arena);
}

/* ---- waivers -----------------------------------------------------------------------------------*/

static json_t *parse(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, 0, &e);

	if (!j)
		fail_msg("%s", e.text);
	return j;
}

/* Runs HST-10 in a tree where it fails (or not), with a waiver. */
static void run_with(struct audit *a, struct facts **facts, struct waivers *w, const char *switch_value, int64_t now)
{
	static const char *const ids[] = { "HST-10", NULL };
	static char root[64];
	_cleanup_(json_freep) json_t *stand_in = parse("{\"live\": true}");
	char path[160];
	FILE *f;

	(void)snprintf(root, sizeof(root), "/tmp/batten-test-audit-XXXXXX");
	assert_non_null(mkdtemp(root));
	(void)snprintf(path, sizeof(path), "%s/proc", root);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/proc/1", root);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/proc/1/status", root);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs("Name:\tinit\n", f);
	(void)fclose(f);
	(void)snprintf(path, sizeof(path), "%s/proc/sys", root);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/proc/sys/kernel", root);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/proc/sys/kernel/unprivileged_bpf_disabled", root);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(switch_value, f);
	(void)fclose(f);
	assert_int_equal(facts_open(facts, &(struct facts_options){ .root = root, .stand_in = stand_in }, NULL), 0);
	assert_int_equal(audit_run(a, *facts, &(struct audit_options){ .host = "h", .control_ids = ids, .waivers = w,
								       .now = now }), 0);
}

static void waivers_end_and_are_missed(void **state)
{
	static const char text[] = "{\"schema\": \"batten.waivers/1\", \"waivers\": [{\"control\": \"HST-10\", \"scope\": {}, "
				   "\"reason\": \"r\", \"owner\": \"o\", \"until\": \"2026-09-21\"}]}";
	const struct {
		const char *value;
		int64_t now;
		unsigned int waived, failed;
		const char *extra;
	} cases[] = {
		{ "0", 1790000000, 1, 0, NULL },     /* 2026-09-21, its last day */
		{ "0", 1790035200, 0, 2, "WVR-01" }, /* the first second of the day after */
		{ "1", 1790000000, 0, 1, "WVR-02" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_freep) json_t *j = parse(text);
		_cleanup_(waivers_freep) struct waivers *w = NULL;
		_cleanup_(facts_freep) struct facts *facts = NULL;
		struct audit a = { 0 };

		assert_int_equal(waivers_parse(&w, j, "w.json", NULL), 0);
		run_with(&a, &facts, w, cases[i].value, cases[i].now);
		assert_int_equal(a.n_status[STATUS_WAIVED], cases[i].waived);
		assert_int_equal(a.n_status[STATUS_FAIL], cases[i].failed);
		if (cases[i].extra)
			assert_string_equal(a.findings[a.n_findings - 1].control->id, cases[i].extra);
		if (cases[i].waived) {
			assert_string_equal(a.findings[0].waiver_owner, "o");
			assert_false(audit_failed(&a, SEV_INFO));
		}
		audit_done(&a);
	}
}

/* What whoever watches a host does after each change; AddressSanitizer sees to it that nothing stays. */
static void a_change_runs_what_looks_at_it(void **state)
{
	for (int source = 0; source < _SOURCE_MAX; source++) {
		unsigned int n_expected = 0, n_runs = 3;

		for (size_t i = 0; i < n_control_sets; i++)
			for (size_t k = 0; k < control_sets[i]->n_controls; k++)
				n_expected += (control_sources(&control_sets[i]->controls[k]) & NEEDS(source)) != 0;
		assert_in_range(n_expected, 1, 89);
		while (n_runs-- > 0) {
			_cleanup_(json_freep) json_t *stand_in = parse("{\"live\": true}");
			_cleanup_(facts_freep) struct facts *facts = NULL;
			struct audit a = { 0 };

			assert_int_equal(facts_open(&facts, &(struct facts_options){ .root = "tests/golden/audit",
										     .stand_in = stand_in }, NULL), 0);
			assert_int_equal(audit_run(&a, facts, &(struct audit_options){ .host = "h", .now = 1790000000,
										       .sources = NEEDS(source) }), 0);
			assert_int_equal(a.n_controls, n_expected);
			for (size_t i = 0; i < a.n_findings; i++)
				assert_true(control_sources(a.findings[i].control) & NEEDS(source));
			audit_done(&a);
		}
	}
}

static void fingerprints_stay(void **state)
{
	char first[65] = "";

	for (int i = 0; i < 2; i++) {
		_cleanup_(facts_freep) struct facts *facts = NULL;
		struct audit a = { 0 };

		run_with(&a, &facts, NULL, i == 0 ? "0" : "1", 1790000000 + i);
		assert_int_equal(a.n_findings, 1);
		assert_int_equal(strlen(a.findings[0].fingerprint), 64);
		if (i == 0)
			(void)snprintf(first, sizeof(first), "%s", a.findings[0].fingerprint);
		else
			assert_string_equal(a.findings[0].fingerprint, first);
		audit_done(&a);
	}
}

/* ---- profiles ----------------------------------------------------------------------------------*/

static void bad_profiles_are_refused(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"schema\": \"x\", \"name\": \"n\", \"title\": \"t\", \"controls\": [\"*\"]}",
		"{\"schema\": \"batten.audit-profile/1\", \"name\": \"n\", \"title\": \"t\", \"controls\": [\"NOPE-*\"]}",
		"{\"schema\": \"batten.audit-profile/1\", \"name\": \"n\", \"title\": \"t\", \"controls\": []}",
		"{\"schema\": \"batten.audit-profile/1\", \"name\": \"n\", \"title\": \"t\", \"controls\": [\"*\"], \"typo\": 1}",
		"{\"schema\": \"batten.audit-profile/1\", \"name\": \"n\", \"title\": \"t\", \"controls\": [\"*\"], "
		"\"severity\": {\"CTR-01\": \"bad\"}}",
		"{\"schema\": \"batten.audit-profile/1\", \"name\": \"n\", \"title\": \"t\", \"controls\": [\"*\"], "
		"\"parameters\": {\"x\": -1}}",
		"{\"schema\": \"batten.audit-profile/1\", \"name\": \"n\", \"title\": \"t\", \"controls\": [\"*\"], "
		"\"lists\": {\"x\": [1]}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(audit_profile_freep) struct audit_profile *p = NULL;
		_cleanup_(json_freep) json_t *j = parse(bad[i]);
		struct diag d = { 0 };

		if (audit_profile_parse(&p, j, "f", &d) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_true(d.what[0]);
	}
}

static void shipped_profiles_are_good(void **state)
{
	static const char *const names[] = { "profiles/audit-ecs.json", "profiles/audit-cis-docker.json",
					     "profiles/audit-managed-instances.json" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(audit_profile_freep) struct audit_profile *p = NULL;
		struct diag d = { 0 };

		if (audit_profile_load(&p, names[i], &d) < 0)
			fail_msg("%s: %s", d.where, d.what);
		/* The benchmark's own profile holds each control that has a number in it, and no other. */
		for (size_t s = 0; i == 1 && s < n_control_sets; s++)
			for (size_t k = 0; k < control_sets[s]->n_controls; k++) {
				const struct control *c = &control_sets[s]->controls[k];

				if (audit_profile_has(p, c->id) != (c->cis_docker != NULL))
					fail_msg("%s: cis-docker and its mapping differ", c->id);
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(arena_serves_any_size),
		cmocka_unit_test(versions_compare_by_number),
		cmocka_unit_test(evidence_counts_what_does_not_fit),
		cmocka_unit_test(evidence_without_room_is_still_evidence),
		cmocka_unit_test(secrets_are_typed),
		cmocka_unit_test(assignments_are_found_in_text),
		cmocka_unit_test(assignments_take_no_memory),
		cmocka_unit_test(waivers_end_and_are_missed),
		cmocka_unit_test(a_change_runs_what_looks_at_it),
		cmocka_unit_test(fingerprints_stay),
		cmocka_unit_test(bad_profiles_are_refused),
		cmocka_unit_test(shipped_profiles_are_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
