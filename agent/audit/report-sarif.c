/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SARIF 2.1.0. Every finding is a result: its kind says what it came to, its level how bad a
 * failure is (anything but a failure has none, as the format wants). Waived ones are suppressed.
 */
#include <stdio.h>
#include <string.h>

#include "audit/report-internal.h"
#include "batten/base/bytes.h"

#define SCHEMA "https://json.schemastore.org/sarif-2.1.0.json"

/* A path as a URI reference. */
static json_t *uri_of(const char *path)
{
	struct bytes b = { 0 };
	json_t *j;
	char *text;

	for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._~/", *p))
			bytes_append(&b, p, 1);
		else
			bytes_printf(&b, "%%%02X", *p);
	}
	if (bytes_take(&b, &text, NULL) < 0)
		return NULL;
	j = json_string(text);
	free(text);
	return j;
}

static const char *level_of(const struct finding *f)
{
	if (!finding_failed(f) && f->status != STATUS_WAIVED)
		return "none";
	return f->severity >= SEV_HIGH ? "error" : f->severity == SEV_MEDIUM ? "warning" : "note";
}

static const char *kind_of(const struct finding *f)
{
	switch (f->status) {
	case STATUS_PASS:
		return "pass";
	case STATUS_NOT_APPLICABLE:
		return "notApplicable";
	case STATUS_UNKNOWN:
		return "review";
	default:
		return "fail";
	}
}

static json_t *location(struct arena *a, const struct subject *s)
{
	json_t *physical = json_pack("{s:{s:o}}", "artifactLocation", "uri", uri_of(report_place(a, s)));
	json_t *logical = json_pack("{s:o, s:s}", "fullyQualifiedName", json_text(s->task_arn ? s->task_arn : s->name), "kind",
				    "resource");

	return json_pack("{s:o, s:[o]}", "physicalLocation", physical, "logicalLocations", logical);
}

static json_t *result(struct arena *a, const struct finding *f, int rule)
{
	json_t *j = json_pack("{s:s, s:i, s:s, s:s, s:{s:o}, s:{s:s}, s:[o]}", "ruleId", f->control->id, "ruleIndex", rule,
			      "kind", kind_of(f), "level", level_of(f), "message", "text", report_cut_text(f->evidence, 1000),
			      "partialFingerprints", "batten/v1", f->fingerprint, "locations", location(a, &f->subject));

	if (j && f->status == STATUS_WAIVED)
		json_object_set_new(j, "suppressions",
				    json_pack("[{s:s, s:s, s:o}]", "kind", "external", "status", "accepted", "justification",
					      json_sprintf("%s (%s, until %s)", f->waiver_reason, f->waiver_owner,
							   f->waiver_until)));
	return j;
}

static json_t *rule(const struct control *c, enum area area)
{
	/* Consumers rank by this: CVSS-like numbers that they cut into four. */
	static const char *const ranks[_SEV_MAX] = { "0.0", "3.0", "5.5", "8.0", "9.5" };
	json_t *tags = json_pack("[s, s]", "security", area_name(area));
	struct mapping m[MAX_MAPPINGS];

	for (size_t i = 0, n = control_mappings(c, m); i < n; i++)
		json_array_append_new(tags, json_string(m[i].standard));
	return json_pack("{s:s, s:s, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:o, s:s}}", "id", c->id, "name", c->id,
			 "shortDescription", "text", c->title, "fullDescription", "text", c->means, "help", "text", c->remedy,
			 "defaultConfiguration", "level",
			 c->severity >= SEV_HIGH ? "error" : c->severity == SEV_MEDIUM ? "warning" : "note", "properties", "tags",
			 tags, "security-severity", ranks[c->severity]);
}

int report_sarif(const struct report *r, FILE *f)
{
	const struct audit *a = r->audit;
	json_t *rules = json_array(), *results = json_array();
	char started[TIME_TEXT_SIZE], finished[TIME_TEXT_SIZE];
	struct arena scratch = { 0 };
	json_t *run;
	int e;

	for (size_t i = 0; i < a->n_findings; i++) {
		/* Findings of one control stand together: each rule is written before its first. */
		if (i == 0 || a->findings[i].control != a->findings[i - 1].control)
			json_array_append_new(rules, rule(a->findings[i].control, a->findings[i].area));
		json_array_append_new(results, result(&scratch, &a->findings[i], (int)json_array_size(rules) - 1));
	}
	run = json_pack("{s:{s:{s:s, s:s, s:o}}, s:[{s:b, s:s, s:s}], s:o}", "tool", "driver", "name", "batten", "version",
			BATTEN_VERSION, "rules", rules, "invocations", "executionSuccessful", 1, "startTimeUtc",
			report_time(started, a->started), "endTimeUtc", report_time(finished, a->finished), "results", results);
	e = report_print_json(json_pack("{s:s, s:s, s:[o]}", "$schema", SCHEMA, "version", "2.1.0", "runs", run), f);
	arena_done(&scratch);
	return e;
}
