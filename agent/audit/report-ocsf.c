/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * OCSF, class 2003 (Compliance Finding), one event a line. The fields are the union of what
 * versions 1.1 to 1.9 require, times are milliseconds, and type_uid is the class times 100 plus the
 * activity. What passes closes the finding of the same uid.
 */
#include "audit/report-internal.h"

#define CLASS_UID 2003
#define OCSF_VERSION "1.5.0"

enum activity { ACTIVITY_CREATE = 1, ACTIVITY_CLOSE = 3 };

static int compliance_id(const struct finding *f)
{
	switch (f->status) {
	case STATUS_PASS:
		return 1;
	case STATUS_UNKNOWN:
		return 2;
	case STATUS_NOT_APPLICABLE:
		return 99;
	default:
		return 3;
	}
}

/* New, suppressed, resolved. */
static int finding_status(const struct finding *f)
{
	return f->status == STATUS_WAIVED ? 3 : f->status == STATUS_PASS || f->status == STATUS_NOT_APPLICABLE ? 4 : 1;
}

static json_t *standards(const struct control *c)
{
	json_t *list = json_array();
	struct mapping m[MAX_MAPPINGS];

	for (size_t i = 0, n = control_mappings(c, m); i < n; i++)
		json_array_append_new(list, json_string(m[i].standard));
	if (json_array_size(list) == 0)
		json_array_append_new(list, json_string("batten"));
	return list;
}

static json_t *requirements(const struct control *c)
{
	json_t *list = json_array();
	struct mapping m[MAX_MAPPINGS];

	for (size_t i = 0, n = control_mappings(c, m); i < n; i++)
		json_array_append_new(list, json_sprintf("%s %s", m[i].standard, m[i].numbers));
	return list;
}

static json_t *resource(const struct report *r, const struct subject *s)
{
	json_t *j = json_pack("{s:o, s:o, s:s}", "uid", json_text(s->container_id ? s->container_id : s->name), "name",
			      json_text(s->name), "type", subject_kind_name(s->kind));

	if (s->task_arn)
		json_object_set_new(j, "labels", json_pack("[o, o]", json_sprintf("task:%s", s->task_arn),
							   json_sprintf("family:%s", s->family ? s->family : "")));
	return j;
}

static json_t *event(const struct report *r, const struct finding *f)
{
	bool closed = f->status == STATUS_PASS || f->status == STATUS_NOT_APPLICABLE;
	int activity = closed ? ACTIVITY_CLOSE : ACTIVITY_CREATE;
	json_int_t ms = (json_int_t)r->audit->started * 1000;
	json_t *j;

	j = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:o}", "activity_id", activity, "category_uid", 2, "class_uid",
		      CLASS_UID, "type_uid", CLASS_UID * 100 + activity, "severity_id", (int)f->severity + 1, "status_id",
		      finding_status(f), "time", ms, "message", json_text(f->evidence));
	json_object_set_new(j, "metadata", json_pack("{s:s, s:{s:s, s:s, s:s}, s:[s]}", "version", OCSF_VERSION, "product",
						     "name", "batten", "vendor_name", "batten", "version", BATTEN_VERSION,
						     "labels", "container-host"));
	json_object_set_new(j, "finding_info",
			    json_pack("{s:s, s:s, s:s, s:I, s:[s]}", "uid", f->fingerprint, "title", f->control->title, "desc",
				      f->control->means, "created_time", ms, "types", area_name(f->area)));
	json_object_set_new(j, "compliance",
			    json_pack("{s:o, s:o, s:s, s:i, s:s}", "standards", standards(f->control), "requirements",
				      requirements(f->control), "control", f->control->id, "status_id", compliance_id(f), "status",
				      status_name(f->status)));
	json_object_set_new(j, "remediation", json_pack("{s:s}", "desc", f->control->remedy));
	json_object_set_new(j, "resources", json_pack("[o]", resource(r, &f->subject)));
	json_object_set_new(j, "evidences", json_pack("[{s:{s:o}}]", "data", "text", json_text(f->evidence)));
	json_object_set_new(j, "device", json_pack("{s:o, s:i}", "hostname", json_text(r->audit->host), "type_id", 1));
	if (f->status == STATUS_WAIVED)
		json_object_set_new(j, "comment", json_sprintf("%s (%s, until %s)", f->waiver_reason, f->waiver_owner,
							       f->waiver_until));
	return j;
}

int report_ocsf(const struct report *r, FILE *f)
{
	for (size_t i = 0; i < r->audit->n_findings; i++) {
		int e = report_print_line(event(r, &r->audit->findings[i]), f);

		if (e < 0)
			return e;
	}
	return 0;
}
