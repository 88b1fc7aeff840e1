/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Choosing the writer, and what writers share: times, mappings, the score.
 */
#include "batten/audit/report.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "audit/report-internal.h"

static const struct {
	const char *format;
	report_writer write;
} writers[] = {
	{ "text", report_text },
	{ "json", report_json },   { "junit", report_junit }, { "sarif", report_sarif },
	{ "asff", report_asff },   { "ocsf", report_ocsf },	{ "html", report_html },
};

int report_write(const struct report *r, const char *format, FILE *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		int e;

		if (strcmp(writers[i].format, format) != 0)
			continue;
		e = writers[i].write(r, f);
		return e < 0 ? e : ferror(f) ? -EIO : 0;
	}
	return -EINVAL;
}

const char *report_time(char buf[static TIME_TEXT_SIZE], int64_t t)
{
	time_t seconds = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(buf, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		buf[0] = '\0';
	return buf;
}

int report_print_json(json_t *j, FILE *f)
{
	_cleanup_(json_freep) json_t *owned = j;
	_cleanup_(bytes_done) struct bytes text = { 0 };

	json_append(&text, owned);
	if (text.error < 0)
		return text.error;
	return fwrite(text.data, 1, text.n, f) == text.n ? 0 : -EIO;
}

size_t control_mappings(const struct control *c, struct mapping ret[static MAX_MAPPINGS])
{
	const struct mapping all[MAX_MAPPINGS] = {
		{ "cis_docker_1.6.0", "CIS Docker 1.6.0", c->cis_docker },
		{ "aws_fsbp", "AWS FSBP", c->fsbp },
		{ "pci_dss_4.0", "PCI DSS 4.0", c->pci_dss },
		{ "nist_800_190", "NIST SP 800-190", c->nist },
		{ "cis_al2023_1.0", "CIS Amazon Linux 2023 1.0", c->cis_al2023 },
	};
	size_t n = 0;

	for (size_t i = 0; i < MAX_MAPPINGS; i++)
		if (all[i].numbers)
			ret[n++] = all[i];
	return n;
}

/* Worse first: what one control's findings come to. */
static int badness(enum status s)
{
	static const int order[_STATUS_MAX] = {
		[STATUS_NOT_APPLICABLE] = 0, [STATUS_PASS] = 1, [STATUS_UNKNOWN] = 2,
		[STATUS_WAIVED] = 3,	     [STATUS_FAIL] = 4, [STATUS_DRIFT] = 4,
	};

	return order[s];
}

static void count_control(struct score *s, enum status worst, enum severity severity)
{
	static const unsigned int weights[_SEV_MAX] = {
		[SEV_INFO] = 0, [SEV_LOW] = 1, [SEV_MEDIUM] = 2, [SEV_HIGH] = 4, [SEV_CRITICAL] = 8,
	};

	switch (worst) {
	case STATUS_PASS:
		s->passed++;
		s->weight_passed += weights[severity];
		s->weight_judged += weights[severity];
		break;
	case STATUS_FAIL:
	case STATUS_DRIFT:
		s->failed++;
		s->weight_judged += weights[severity];
		break;
	case STATUS_WAIVED:
		s->waived++;
		break;
	case STATUS_UNKNOWN:
		s->unknown++;
		break;
	default:
		s->not_applicable++;
	}
}

/* Findings of one control stand together. */
struct score score_of(const struct audit *a, int area)
{
	struct score s = { 0 };

	for (size_t i = 0, end; i < a->n_findings; i = end) {
		const struct finding *worst = &a->findings[i];

		const struct control *c = worst->control;

		for (end = i; end < a->n_findings && a->findings[end].control == c; end++) {
			const struct finding *f = &a->findings[end];

			if (badness(f->status) > badness(worst->status) ||
			    (finding_failed(f) && finding_failed(worst) && f->severity > worst->severity))
				worst = f;
		}
		if (area < 0 || worst->area == (enum area)area)
			count_control(&s, worst->status, worst->severity);
	}
	return s;
}

int score_percent(const struct score *s)
{
	if (s->weight_judged == 0)
		return s->passed + s->failed == 0 ? -1 : s->failed == 0 ? 100 : 0;
	return (int)(100 * s->weight_passed / s->weight_judged);
}
