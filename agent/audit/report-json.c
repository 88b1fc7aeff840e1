/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten.audit/1, and the catalogue as batten.audit-catalogue/1.
 */
#include <errno.h>
#include <string.h>

#include "audit/report-internal.h"
#include "batten/audit/profile.h"

static json_t *mappings_json(const struct control *c)
{
	struct mapping m[MAX_MAPPINGS];
	json_t *j = json_object();

	for (size_t i = 0, n = control_mappings(c, m); i < n; i++) {
		json_t *numbers = json_array();

		for (const char *p = m[i].numbers; *p;) {
			size_t k = strcspn(p, ",");

			json_array_append_new(numbers, json_stringn(p, k));
			p += k + strspn(p + k, ", ");
		}
		json_object_set_new(j, m[i].key, numbers);
	}
	return j;
}

static void set_text(json_t *j, const char *key, const char *value)
{
	if (value)
		json_object_set_new(j, key, json_text(value));
}

static json_t *finding_json(const struct finding *f)
{
	json_t *subject = json_pack("{s:s, s:o}", "kind", subject_kind_name(f->subject.kind), "name",
				    json_text(f->subject.name));
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s}", "control", f->control->id, "title", f->control->title,
			      "area", area_name(f->area), "severity", severity_name(f->severity), "status",
			      status_name(f->status));

	set_text(subject, "container_id", f->subject.container_id);
	set_text(subject, "task_arn", f->subject.task_arn);
	set_text(subject, "family", f->subject.family);
	set_text(subject, "ecs_name", f->subject.ecs_name);
	set_text(subject, "image", f->subject.image);
	json_object_set_new(j, "subject", subject);
	set_text(j, "evidence", f->evidence);
	set_text(j, "remediation", f->control->remedy);
	json_object_set_new(j, "mappings", mappings_json(f->control));
	set_text(j, "fingerprint", f->fingerprint);
	if (f->status == STATUS_WAIVED)
		json_object_set_new(j, "waiver", json_pack("{s:o, s:o, s:s}", "reason", json_text(f->waiver_reason),
							    "owner", json_text(f->waiver_owner), "until",
							    f->waiver_until));
	return j;
}

int report_json(const struct report *r, FILE *f)
{
	const struct audit *a = r->audit;
	json_t *summary = json_object(), *findings = json_array(), *areas = json_object(), *j;
	char started[TIME_TEXT_SIZE], finished[TIME_TEXT_SIZE];
	struct score all = score_of(a, -1);

	for (int i = 0; i < _STATUS_MAX; i++)
		json_object_set_new(summary, status_name((enum status)i), json_integer(a->n_status[i]));
	for (size_t i = 0; i < a->n_findings; i++)
		json_array_append_new(findings, finding_json(&a->findings[i]));
	for (int i = 0; i < _AREA_MAX; i++) {
		struct score s = score_of(a, i);

		if (score_percent(&s) >= 0)
			json_object_set_new(areas, area_name((enum area)i), json_integer(score_percent(&s)));
	}
	j = json_pack("{s:s, s:o, s:s, s:s, s:s, s:i, s:o}", "schema", "batten.audit/1", "host", json_text(a->host),
		      "started", report_time(started, a->started), "finished", report_time(finished, a->finished),
		      "profile", a->options.profile ? audit_profile_name(a->options.profile) : "all", "controls",
		      (int)a->n_controls, "summary", summary);
	if (j && score_percent(&all) >= 0)
		json_object_set_new(j, "score", json_integer(score_percent(&all)));
	if (j) {
		json_object_set_new(j, "scores", areas);
		json_object_set_new(j, "findings", findings);
	}
	return report_print_json(j, f);
}

static json_t *control_json(const struct control *c, enum area area)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "control", c->id, "title", c->title, "area",
			 area_name(area), "severity", severity_name(c->severity), "means", c->means, "remediation",
			 c->remedy, "mappings", mappings_json(c));
}

int report_catalogue_json(FILE *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n_control_sets; i++)
		for (size_t k = 0; k < control_sets[i]->n_controls; k++)
			json_array_append_new(list, control_json(&control_sets[i]->controls[k], control_sets[i]->area));
	return report_print_json(json_pack("{s:s, s:o}", "schema", "batten.audit-catalogue/1", "controls", list), f);
}

int report_explain_json(const struct control *c, enum area area, FILE *f)
{
	return report_print_json(control_json(c, area), f);
}
