/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The report for a terminal: the sum first, then what failed, grouped by what it is about, worst
 * subject first; one line of evidence and one of remedy. What could not be examined is grouped by
 * the reason. Foreign text is escaped.
 */
#include <errno.h>
#include <stdlib.h>
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
		(void)fprintf(f, ": %u of %u hold", s.passed, s.passed + s.failed);
		if (s.unknown > 0)
			(void)fprintf(f, ", and %u more could not be examined", s.unknown);
		(void)fputc('\n', f);
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

/* ---- order -------------------------------------------------------------------------------------*/

/* Findings that stand together, the one that decides about their place first. */
struct group {
	const struct finding **list;
	size_t n;
};

/* Files, settings and processes are the host's: one group; so is each container and each image. */
static int compare_subjects(const struct subject *a, const struct subject *b)
{
	int x = a->container_id ? 1 : a->kind == SUBJECT_IMAGE ? 2 : 0;
	int y = b->container_id ? 1 : b->kind == SUBJECT_IMAGE ? 2 : 0;

	if (x != y || x == 0)
		return x - y;
	return x == 1 ? strcmp(a->container_id, b->container_id) : strcmp(a->name, b->name);
}

static int compare_places(const struct finding *a, const struct finding *b)
{
	return (a > b) - (a < b); /* of one array, in the catalogue's order */
}

/* Worst first; one control's drifts behind its failures. */
static int compare_findings(const struct finding *a, const struct finding *b)
{
	if (a->severity != b->severity)
		return a->severity > b->severity ? -1 : 1;
	if (a->control == b->control && a->status != b->status)
		return a->status < b->status ? -1 : 1;
	return compare_places(a, b);
}

static int by_subject(const void *a, const void *b)
{
	const struct finding *const *x = a, *const *y = b;
	int c = compare_subjects(&(*x)->subject, &(*y)->subject);

	return c ? c : compare_findings(*x, *y);
}

static int by_worst(const void *a, const void *b)
{
	return compare_findings(((const struct group *)a)->list[0], ((const struct group *)b)->list[0]);
}

static int by_evidence(const void *a, const void *b)
{
	const struct finding *const *x = a, *const *y = b;
	int c = strcmp((*x)->evidence, (*y)->evidence);

	return c ? c : compare_places(*x, *y);
}

static int by_first(const void *a, const void *b)
{
	return compare_places(((const struct group *)a)->list[0], ((const struct group *)b)->list[0]);
}

static bool same_subject(const struct finding *a, const struct finding *b)
{
	return compare_subjects(&a->subject, &b->subject) == 0;
}

static bool same_evidence(const struct finding *a, const struct finding *b)
{
	return strcmp(a->evidence, b->evidence) == 0;
}

/* Room for all findings, once in a list and once as groups. */
struct order {
	const struct finding **list;
	struct group *groups;
	size_t n, n_groups;
};

static void make_groups(struct order *o, int (*inside)(const void *, const void *),
			bool (*same)(const struct finding *, const struct finding *),
			int (*between)(const void *, const void *))
{
	qsort(o->list, o->n, sizeof(const struct finding *), inside);
	o->n_groups = 0;
	for (size_t i = 0; i < o->n; i++) {
		if (i == 0 || !same(o->list[i - 1], o->list[i]))
			o->groups[o->n_groups++] = (struct group){ &o->list[i], 0 };
		o->groups[o->n_groups - 1].n++;
	}
	qsort(o->groups, o->n_groups, sizeof(*o->groups), between);
}

/* ---- printing ----------------------------------------------------------------------------------*/

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

/* One control's failures on one subject: its title once, each evidence, its remedy once. Return: how many. */
static size_t print_control(const struct finding *const *list, size_t n, FILE *f)
{
	const struct finding *o = list[0];
	size_t i;

	(void)fprintf(f, "  %s%-8s%s %s %s%s\n", style_begin(f, severity_style(o->severity)),
		      severity_name(o->severity), style_end(f, severity_style(o->severity)), o->control->id,
		      o->control->title, o->status == STATUS_DRIFT ? " (drift)" : "");
	for (i = 0; i < n && list[i]->control == o->control && list[i]->severity == o->severity &&
		    list[i]->status == o->status; i++)
		print_evidence(list[i], f);
	(void)fputs("           ", f);
	put_styled(f, STYLE_DIM, "mend: ");
	report_put_text(f, o->control->remedy);
	(void)fputc('\n', f);
	return i;
}

static void print_failures(const struct audit *a, struct order *o, FILE *f)
{
	o->n = 0;
	for (size_t i = 0; i < a->n_findings; i++)
		if (finding_failed(&a->findings[i]))
			o->list[o->n++] = &a->findings[i];
	make_groups(o, by_subject, same_subject, by_worst);
	for (size_t i = 0; i < o->n_groups; i++) {
		const struct group *g = &o->groups[i];

		print_heading(a, &g->list[0]->subject, f);
		for (size_t k = 0; k < g->n;)
			k += print_control(g->list + k, g->n - k, f);
	}
}

/* A reason, and the controls that it kept from an answer. */
static void print_unknown(const struct audit *a, struct order *o, FILE *f)
{
	o->n = 0;
	for (size_t i = 0; i < a->n_findings; i++)
		if (a->findings[i].status == STATUS_UNKNOWN)
			o->list[o->n++] = &a->findings[i];
	make_groups(o, by_evidence, same_evidence, by_first);
	if (o->n > 0)
		(void)fprintf(f, "\n%scould not be examined%s\n", style_begin(f, STYLE_HEAD), style_end(f, STYLE_HEAD));
	for (size_t i = 0; i < o->n_groups; i++) {
		const struct group *g = &o->groups[i];

		(void)fputs("  ", f);
		report_put_text(f, g->list[0]->evidence);
		for (size_t k = 0; k < g->n; k++)
			if (k == 0 || g->list[k]->control != g->list[k - 1]->control)
				(void)fprintf(f, "%s%s", k == 0 ? ": " : ", ", g->list[k]->control->id);
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
	_cleanup_(freep) const struct finding **list = calloc(a->n_findings + 1, sizeof(const struct finding *));
	_cleanup_(freep) struct group *groups = calloc(a->n_findings + 1, sizeof(*groups));
	struct order o = { .list = list, .groups = groups };

	if (!list || !groups)
		return -ENOMEM;
	print_summary(r, f);
	print_failures(a, &o, f);
	print_waived(a, f);
	print_unknown(a, &o, f);
	if (r->verbose)
		print_passed(a, f);
	if (audit_failed(a, r->fail_on))
		(void)fprintf(f, "\nfindings of severity %s or above: exit 1. `batten audit --explain ID` tells more.\n",
			      severity_name(r->fail_on));
	else
		(void)fprintf(f, "\nno finding of severity %s or above.\n", severity_name(r->fail_on));
	return 0;
}
