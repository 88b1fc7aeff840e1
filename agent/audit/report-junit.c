/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JUnit XML: a suite for each area, a case for each finding. What could not be examined is an
 * error, what does not apply or is waived is skipped.
 */
#include <errno.h>

#include "audit/report-internal.h"

static void put_case(const struct finding *o, FILE *f)
{
	(void)fprintf(f, "    <testcase classname=\"batten.%s\" name=\"%s ", area_name(o->area), o->control->id);
	report_put_markup(f, o->subject.name);
	(void)fputs("\"", f);
	if (o->status == STATUS_PASS) {
		(void)fputs("/>\n", f);
		return;
	}
	if (finding_failed(o))
		(void)fprintf(f, ">\n      <failure type=\"%s\" message=\"", severity_name(o->severity));
	else if (o->status == STATUS_UNKNOWN)
		(void)fputs(">\n      <error type=\"unknown\" message=\"", f);
	else
		(void)fputs(">\n      <skipped message=\"", f);
	report_put_markup(f, o->status == STATUS_WAIVED ? o->waiver_reason : o->evidence);
	if (!finding_failed(o)) {
		(void)fputs("\"/>\n    </testcase>\n", f);
		return;
	}
	(void)fputs("\">", f);
	report_put_markup(f, o->control->title);
	(void)fputs("\nmend: ", f);
	report_put_markup(f, o->control->remedy);
	(void)fputs("</failure>\n    </testcase>\n", f);
}

static void put_suite(const struct audit *a, enum area area, FILE *f)
{
	unsigned int n = 0, n_failed = 0, n_unknown = 0, n_skipped = 0;
	char when[TIME_TEXT_SIZE];

	for (size_t i = 0; i < a->n_findings; i++) {
		const struct finding *o = &a->findings[i];

		if (o->area != area)
			continue;
		n++;
		n_failed += finding_failed(o);
		n_unknown += o->status == STATUS_UNKNOWN;
		n_skipped += o->status == STATUS_NOT_APPLICABLE || o->status == STATUS_WAIVED;
	}
	if (n == 0)
		return;
	(void)report_time(when, a->started);
	when[19] = '\0'; /* JUnit's times have no zone */
	(void)fprintf(f, "  <testsuite name=\"%s\" hostname=\"", area_title(area));
	report_put_markup(f, a->host);
	(void)fprintf(f, "\" timestamp=\"%s\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n", when, n, n_failed,
		      n_unknown, n_skipped);
	for (size_t i = 0; i < a->n_findings; i++)
		if (a->findings[i].area == area)
			put_case(&a->findings[i], f);
	(void)fputs("  </testsuite>\n", f);
}

int report_junit(const struct report *r, FILE *f)
{
	(void)fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"batten audit\">\n", f);
	for (int i = 0; i < _AREA_MAX; i++)
		put_suite(r->audit, (enum area)i, f);
	return fputs("</testsuites>\n", f) == EOF ? -EIO : 0;
}
