/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The report for a terminal: the sum first, then what failed, grouped by what it is about, worst
 * subject first; one line of evidence and one of remedy. What could not be examined is grouped by
 * the reason. Foreign text is escaped.
 */
#include <errno.h>
#include <string.h>

#include "audit/report-internal.h"
#include "batten/audit/profile.h"
#include "batten/base/table.h"

static void put_styled(FILE *f, enum table_style style, const char *text)
{
	(void)fputs(style_begin(f, style), f);
	report_put_text(f, text);
	(void)fputs(style_end(f, style), f);
}

static enum table_style severity_style(enum severity s)
{
	return s >= SEV_HIGH ? STYLE_BAD : s == SEV_MEDIUM ? STYLE_WARN : STYLE_PLAIN;
}

static void print_counts(const struct report *r, FILE *f)
{
	const struct audit *a = r->audit;
	struct score s = score_of(a, -1);
	unsigned int n[_SEV_MAX] = { 0 };
	bool first = true;

	for (size_t i = 0; i < a->n_findings; i++)
		if (finding_failed(&a->findings[i]))
			n[a->findings[i].severity]++;
	(void)fprintf(f, "  %u controls: %u passed, %u failed, %u waived, %u unknown, %u not applicable", a->n_controls,
		      s.passed, s.failed, s.waived, s.unknown, s.not_applicable);
	if (score_percent(&s) >= 0)
		(void)fprintf(f, "; score %d of 100", score_percent(&s));
	(void)fputc('\n', f);
	if (a->options.profile) {
		(void)fputs("  ", f);
		report_put_text(f, audit_profile_title(a->options.profile));
		(void)fprintf(f, ": %u of %u hold\n", s.passed, s.passed + s.failed);
	}
	(void)fputs("  findings: ", f);
	for (int i = _SEV_MAX - 1; i >= 0; i--) {
		if (n[i] == 0)
			continue;
		(void)fprintf(f, "%s%s%u %s%s", first ? "" : ", ", style_begin(f, severity_style((enum severity)i)),
			      n[i], severity_name((enum severity)i), style_end(f, severity_style((enum severity)i)));
		first = false;
	}
	(void)fputs(first ? "none\n" : "\n", f);
}

static void print_summary(const struct report *r, FILE *f)
{
	const struct audit *a = r->audit;
	char when[TIME_TEXT_SIZE];

	(void)fputs(style_begin(f, STYLE_HEAD), f);
	(void)fputs("batten audit of ", f);
	report_put_text(f, a->host);
	(void)fputs(style_end(f, STYLE_HEAD), f);
	(void)fprintf(f, ", %s", report_time(when, a->started));
	if (a->options.profile)
		(void)fprintf(f, ", profile %s", audit_profile_name(a->options.profile));
	(void)fputs("\n", f);
	print_counts(r, f);
}

static bool same_subject(const struct subject *a, const struct subject *b)
{
	if (a->container_id || b->container_id)
		return a->container_id && b->container_id && strcmp(a->container_id, b->container_id) == 0;
	/* Files, settings and processes are the host's: one group. */
	if (a->kind == SUBJECT_IMAGE || b->kind == SUBJECT_IMAGE)
		return a->kind == b->kind && strcmp(a->name, b->name) == 0;
	return true;
}

static void print_heading(const struct audit *a, const struct subject *s, FILE *f)
{
	(void)fprintf(f, "\n%s", style_begin(f, STYLE_HEAD));
	if (!s->container_id && s->kind != SUBJECT_IMAGE) {
		(void)fputs("host ", f);
		report_put_text(f, a->host);
	} else {
		(void)fprintf(f, "%s ", subject_kind_name(s->kind));
		report_put_text(f, s->name);
	}
	(void)fputs(style_end(f, STYLE_HEAD), f);
	if (s->family) {
		(void)fputs(", family ", f);
		report_put_text(f, s->family);
	}
	if (s->task_arn) {
		(void)fputs(", task ", f);
		report_put_text(f, s->task_arn);
	}
	(void)fputc('\n', f);
}

static void print_evidence(const struct finding *o, FILE *f)
{
	(void)fputs("           ", f);
	if (o->subject.kind == SUBJECT_FILE || o->subject.kind == SUBJECT_PROCESS) {
		report_put_text(f, o->subject.name);
		(void)fputs(": ", f);
	}
	report_put_text(f, o->evidence);
	(void)fputc('\n', f);
}

/* One control's failures on one subject: its title once, each evidence, its remedy once. */
static void print_control(const struct audit *a, size_t first, bool *printed, FILE *f)
{
	const struct finding *o = &a->findings[first];

	(void)fprintf(f, "  %s%-8s%s %s %s%s\n", style_begin(f, severity_style(o->severity)),
		      severity_name(o->severity), style_end(f, severity_style(o->severity)), o->control->id,
		      o->control->title, o->status == STATUS_DRIFT ? " (drift)" : "");
	for (size_t i = first; i < a->n_findings; i++) {
		const struct finding *same = &a->findings[i];

		if (printed[i] || same->control != o->control || same->severity != o->severity ||
		    same->status != o->status || !same_subject(&same->subject, &o->subject))
			continue;
		printed[i] = true;
		print_evidence(same, f);
	}
	(void)fputs("           ", f);
	put_styled(f, STYLE_DIM, "mend: ");
	report_put_text(f, o->control->remedy);
	(void)fputc('\n', f);
}

/* Everything that failed on the subject of @first, worst first. */
static void print_subject(const struct audit *a, const struct finding *first, bool *printed, FILE *f)
{
	print_heading(a, &first->subject, f);
	for (int severity = (int)first->severity; severity >= 0; severity--)
		for (size_t i = 0; i < a->n_findings; i++)
			if (!printed[i] && finding_failed(&a->findings[i]) &&
			    a->findings[i].severity == (enum severity)severity &&
			    same_subject(&a->findings[i].subject, &first->subject))
				print_control(a, i, printed, f);
}

static void print_failures(const struct audit *a, bool *printed, FILE *f)
{
	for (int severity = _SEV_MAX - 1; severity >= 0; severity--)
		for (size_t i = 0; i < a->n_findings; i++)
			if (!printed[i] && finding_failed(&a->findings[i]) &&
			    a->findings[i].severity == (enum severity)severity)
				print_subject(a, &a->findings[i], printed, f);
}

static void print_unknown(const struct audit *a, bool *printed, FILE *f)
{
	bool heading = false;

	for (size_t i = 0; i < a->n_findings; i++) {
		const struct finding *first = &a->findings[i];
		const char *separator = ": ";

		if (printed[i] || first->status != STATUS_UNKNOWN)
			continue;
		if (!heading)
			(void)fprintf(f, "\n%scould not be examined%s\n", style_begin(f, STYLE_HEAD),
				      style_end(f, STYLE_HEAD));
		heading = true;
		(void)fputs("  ", f);
		report_put_text(f, first->evidence);
		for (size_t j = i; j < a->n_findings; j++) {
			const struct finding *o = &a->findings[j];

			if (o->status != STATUS_UNKNOWN || strcmp(o->evidence, first->evidence) != 0)
				continue;
			printed[j] = true;
			if (j > i && o->control == a->findings[j - 1].control && a->findings[j - 1].status == o->status)
				continue;
			(void)fprintf(f, "%s%s", separator, o->control->id);
			separator = ", ";
		}
		(void)fputc('\n', f);
	}
}

static void print_waived(const struct audit *a, FILE *f)
{
	bool heading = false;

	for (size_t i = 0; i < a->n_findings; i++) {
		const struct finding *o = &a->findings[i];

		if (o->status != STATUS_WAIVED)
			continue;
		if (!heading)
			(void)fprintf(f, "\n%swaived%s\n", style_begin(f, STYLE_HEAD), style_end(f, STYLE_HEAD));
		heading = true;
		(void)fprintf(f, "  %s ", o->control->id);
		report_put_text(f, o->subject.name);
		(void)fputs(": ", f);
		report_put_text(f, o->waiver_reason);
		(void)fputs(" (", f);
		report_put_text(f, o->waiver_owner);
		(void)fprintf(f, ", until %s)\n", o->waiver_until);
	}
}

static void print_passed(const struct audit *a, FILE *f)
{
	(void)fprintf(f, "\n%spassed%s\n", style_begin(f, STYLE_HEAD), style_end(f, STYLE_HEAD));
	for (size_t i = 0; i < a->n_findings; i++) {
		const struct finding *o = &a->findings[i];

		if (o->status != STATUS_PASS)
			continue;
		(void)fprintf(f, "  %s ", o->control->id);
		report_put_text(f, o->subject.name);
		(void)fputs(": ", f);
		report_put_text(f, o->evidence);
		(void)fputc('\n', f);
	}
}

int report_text(const struct report *r, FILE *f)
{
	const struct audit *a = r->audit;
	_cleanup_(freep) bool *printed = calloc(a->n_findings + 1, sizeof(*printed));

	if (!printed)
		return -ENOMEM;
	print_summary(r, f);
	print_failures(a, printed, f);
	print_waived(a, f);
	print_unknown(a, printed, f);
	if (r->verbose)
		print_passed(a, f);
	if (audit_failed(a, r->fail_on))
		(void)fprintf(f, "\nfindings of severity %s or above: exit 1. `batten audit --explain ID` tells more.\n",
			      severity_name(r->fail_on));
	else
		(void)fprintf(f, "\nno finding of severity %s or above.\n", severity_name(r->fail_on));
	return 0;
}
