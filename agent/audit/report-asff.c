/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The AWS Security Finding Format, ready for `aws securityhub batch-import-findings
 * --cli-input-json`: one {"Findings": [...]} a line, at most 100 findings in each, every field
 * within the API's lengths. Ids stay the same from run to run, and what passes is sent too, so that
 * a finding closes when it is mended. What no longer applies is archived.
 */
#include <errno.h>
#include <string.h>

#include "audit/report-internal.h"

#define MAX_BATCH 100
#define MAX_TITLE 256
#define MAX_DESCRIPTION 1024
#define MAX_RECOMMENDATION 512
#define MAX_ID 512

static const char *compliance(const struct finding *f)
{
	static const char *const words[_STATUS_MAX] = {
		[STATUS_PASS] = "PASSED",    [STATUS_FAIL] = "FAILED",	       [STATUS_DRIFT] = "FAILED",
		[STATUS_WAIVED] = "WARNING", [STATUS_UNKNOWN] = "NOT_AVAILABLE", [STATUS_NOT_APPLICABLE] = "NOT_AVAILABLE",
	};

	return words[f->status];
}

static const char *label(const struct finding *f)
{
	static const char *const words[_SEV_MAX] = { "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL" };

	return finding_failed(f) ? words[f->severity] : "INFORMATIONAL";
}

/* "aws", "aws-cn", "aws-us-gov", by the region. */
static const char *partition(const char *region)
{
	return strncmp(region, "cn-", 3) == 0 ? "aws-cn" : strncmp(region, "us-gov-", 7) == 0 ? "aws-us-gov" : "aws";
}

static json_t *resource(const struct report *r, const struct finding *f)
{
	const struct subject *s = &f->subject;
	json_t *j;

	if (s->container_id) {
		j = json_pack("{s:s, s:o, s:s, s:s}", "Type", "Container", "Id",
			      report_cut_text(s->task_arn ? s->task_arn : s->container_id, MAX_ID), "Partition",
			      partition(r->region), "Region", r->region);
		json_object_set_new(j, "Details", json_pack("{s:{s:o, s:o}}", "Container", "Name", report_cut_text(s->name, MAX_ID),
							    "ImageName", report_cut_text(s->image ? s->image : "", MAX_ID)));
		return j;
	}
	if (r->instance_id)
		return json_pack("{s:s, s:o, s:s, s:s}", "Type", "AwsEc2Instance", "Id",
				 json_sprintf("arn:%s:ec2:%s:%s:instance/%s", partition(r->region), r->region, r->account,
					      r->instance_id),
				 "Partition", partition(r->region), "Region", r->region);
	return json_pack("{s:s, s:o, s:s, s:s}", "Type", "Other", "Id", report_cut_text(r->audit->host, MAX_ID), "Partition",
			 partition(r->region), "Region", r->region);
}

static json_t *finding(const struct report *r, const struct finding *f)
{
	static const char type[] = "Software and Configuration Checks/AWS Security Best Practices";
	char when[TIME_TEXT_SIZE];
	json_t *description, *j;

	(void)report_time(when, r->audit->started);
	description = json_sprintf("%s: %s. %s", f->subject.name, f->evidence, f->control->means);
	j = json_pack("{s:s, s:o, s:o, s:o, s:s, s:[s], s:s, s:s, s:{s:s}, s:o, s:o, s:[o]}", "SchemaVersion", "2018-10-08", "Id",
		      json_sprintf("batten/%s/%s/%s", r->instance_id ? r->instance_id : "host", f->control->id, f->fingerprint),
		      "ProductArn",
		      json_sprintf("arn:%s:securityhub:%s:%s:product/%s/default", partition(r->region), r->region, r->account,
				   r->account),
		      "GeneratorId", json_sprintf("batten/%s", f->control->id), "AwsAccountId", r->account, "Types", type,
		      "CreatedAt", when, "UpdatedAt", when, "Severity", "Label", label(f), "Title",
		      json_sprintf("%s %s", f->control->id, f->control->title), "Description",
		      report_cut_text(json_string_value(description) ? json_string_value(description) : f->evidence,
				      MAX_DESCRIPTION),
		      "Resources", resource(r, f));
	json_decref(description);
	if (!j)
		return NULL;
	json_object_set_new(j, "FindingProviderFields",
			    json_pack("{s:{s:s, s:s}, s:[s]}", "Severity", "Label", label(f), "Original",
				      severity_name(f->severity), "Types", type));
	json_object_set_new(j, "Compliance", json_pack("{s:s}", "Status", compliance(f)));
	json_object_set_new(j, "RecordState",
			    json_string(f->status == STATUS_NOT_APPLICABLE ? "ARCHIVED" : "ACTIVE"));
	json_object_set_new(j, "Remediation", json_pack("{s:{s:o}}", "Recommendation", "Text",
							 report_cut_text(f->control->remedy, MAX_RECOMMENDATION)));
	json_object_set_new(j, "ProductFields", json_pack("{s:s, s:s}", "batten/status", status_name(f->status),
							  "batten/fingerprint", f->fingerprint));
	return j;
}

int report_asff(const struct report *r, FILE *f)
{
	const struct audit *a = r->audit;
	int e = 0;

	for (size_t i = 0; i < a->n_findings && e >= 0; i += MAX_BATCH) {
		json_t *batch = json_array();

		for (size_t k = i; k < MIN(i + MAX_BATCH, a->n_findings); k++)
			if (json_array_append_new(batch, finding(r, &a->findings[k])) < 0)
				e = -ENOMEM;
		if (e < 0)
			json_decref(batch);
		else
			e = report_print_line(json_pack("{s:o}", "Findings", batch), f);
	}
	return e;
}
