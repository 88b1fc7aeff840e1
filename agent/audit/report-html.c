/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One HTML file that needs nothing else: no script, no font, no picture from elsewhere. Light and
 * dark by the reader's setting, and a print style. The picture is an SVG of the score by area.
 */
#include <errno.h>
#include <string.h>

#include "audit/report-internal.h"
#include "batten/audit/profile.h"

static const char style[] =
	":root{--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d0d7de;--box:#f6f8fa;--bad:#b3261e;--warn:#8a5a00;--good:#1a7f37}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9aa4af;--line:#30363d;--box:#161b22;"
	"--bad:#ff7b72;--warn:#e3b341;--good:#56d364}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1.5rem;background:var(--bg);color:var(--fg);"
	"font:16px/1.5 system-ui,sans-serif}\n"
	"h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.dim{color:var(--dim)}\n"
	".tiles{display:flex;flex-wrap:wrap;gap:.75rem;margin:1rem 0}.tile{background:var(--box);border:1px solid var(--line);"
	"border-radius:.5rem;padding:.6rem 1rem;min-width:7rem}.tile b{display:block;font-size:1.5rem}\n"
	"article{border:1px solid var(--line);border-left:.4rem solid var(--line);border-radius:.4rem;padding:.6rem .9rem;"
	"margin:.6rem 0;break-inside:avoid}article h3{font-size:1rem;margin:0}code{font:.9em ui-monospace,monospace;"
	"overflow-wrap:anywhere}\n"
	".critical,.high{border-left-color:var(--bad)}.medium{border-left-color:var(--warn)}.sev{font-weight:600}\n"
	".critical .sev,.high .sev{color:var(--bad)}.medium .sev{color:var(--warn)}\n"
	"table{border-collapse:collapse;width:100%}td,th{text-align:left;border-bottom:1px solid var(--line);padding:.3rem .5rem;"
	"vertical-align:top;overflow-wrap:anywhere}\n"
	"svg{max-width:100%;height:auto}svg text{fill:var(--fg);font:13px system-ui,sans-serif}.track{fill:var(--line)}"
	".bar-good{fill:var(--good)}.bar-warn{fill:var(--warn)}.bar-bad{fill:var(--bad)}\n"
	"@media print{body{max-width:none;padding:0;font-size:11px}tr{break-inside:avoid}}\n";

static void put_tile(FILE *f, const char *name, const char *value)
{
	(void)fprintf(f, "<div class=\"tile\"><b>%s</b>%s</div>\n", value, name);
}

static void put_number(FILE *f, const char *name, unsigned int value)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", value);
	put_tile(f, name, text);
}

static void put_head(const struct report *r, FILE *f)
{
	const struct audit *a = r->audit;
	struct score all = score_of(a, -1);
	char when[TIME_TEXT_SIZE], percent[16] = "-";

	if (score_percent(&all) >= 0)
		(void)snprintf(percent, sizeof(percent), "%d", score_percent(&all));
	(void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
		    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>batten audit of ", f);
	report_put_markup(f, a->host);
	(void)fprintf(f, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header>\n<h1>batten audit of ", style);
	report_put_markup(f, a->host);
	(void)fprintf(f, "</h1>\n<p class=\"dim\">%s, profile ", report_time(when, a->started));
	report_put_markup(f, a->options.profile ? audit_profile_title(a->options.profile) : "all controls");
	(void)fprintf(f, ", batten %s</p>\n</header>\n<div class=\"tiles\">\n", BATTEN_VERSION);
	put_tile(f, "score of 100", percent);
	put_number(f, "controls failed", all.failed);
	put_number(f, "passed", all.passed);
	put_number(f, "waived", all.waived);
	put_number(f, "unknown", all.unknown);
	put_number(f, "not applicable", all.not_applicable);
	(void)fputs("</div>\n", f);
}

/* A bar for each area that was judged; the words say the same for who cannot see it. */
static void put_picture(const struct audit *a, FILE *f)
{
	unsigned int n = 0, y = 0;

	for (int i = 0; i < _AREA_MAX; i++) {
		struct score s = score_of(a, i);

		n += score_percent(&s) >= 0;
	}
	if (n == 0)
		return;
	(void)fprintf(f, "<h2>Score by area</h2>\n<svg role=\"img\" aria-label=\"score by area\" viewBox=\"0 0 640 %u\" "
		      "width=\"640\" height=\"%u\">\n", n * 28, n * 28);
	for (int i = 0; i < _AREA_MAX; i++) {
		struct score s = score_of(a, i);
		int percent = score_percent(&s);

		if (percent < 0)
			continue;
		(void)fprintf(f, "<text x=\"0\" y=\"%u\">%s</text><rect class=\"track\" x=\"200\" y=\"%u\" width=\"300\" height=\"14\" "
			      "rx=\"3\"/><rect class=\"bar-%s\" x=\"200\" y=\"%u\" width=\"%d\" height=\"14\" rx=\"3\"/>"
			      "<text x=\"510\" y=\"%u\">%d (%u of %u)</text>\n", y + 17, area_title((enum area)i), y + 6,
			      percent >= 80 ? "good" : percent >= 50 ? "warn" : "bad", y + 6, percent * 3, y + 17, percent, s.passed,
			      s.passed + s.failed);
		y += 28;
	}
	(void)fputs("</svg>\n", f);
}

static void put_subject(const struct subject *s, FILE *f)
{
	(void)fprintf(f, "%s <code>", subject_kind_name(s->kind));
	report_put_markup(f, s->name);
	(void)fputs("</code>", f);
	if (s->family) {
		(void)fputs(", family <code>", f);
		report_put_markup(f, s->family);
		(void)fputs("</code>", f);
	}
	if (s->task_arn) {
		(void)fputs(", task <code>", f);
		report_put_markup(f, s->task_arn);
		(void)fputs("</code>", f);
	}
}

static void put_failure(const struct finding *o, FILE *f)
{
	struct mapping m[MAX_MAPPINGS];

	(void)fprintf(f, "<article class=\"%s\">\n<h3><span class=\"sev\">%s</span> %s ", severity_name(o->severity),
		      severity_name(o->severity), o->control->id);
	report_put_markup(f, o->control->title);
	(void)fprintf(f, "%s</h3>\n<p>", o->status == STATUS_DRIFT ? " (drift)" : "");
	put_subject(&o->subject, f);
	(void)fputs("</p>\n<p><code>", f);
	report_put_markup(f, o->evidence);
	(void)fputs("</code></p>\n<p>", f);
	report_put_markup(f, o->control->means);
	(void)fputs("</p>\n<p><b>Mend:</b> ", f);
	report_put_markup(f, o->control->remedy);
	(void)fputs("</p>\n", f);
	for (size_t i = 0, n = control_mappings(o->control, m); i < n; i++)
		(void)fprintf(f, "%s%s: %s%s", i == 0 ? "<p class=\"dim\">" : "; ", m[i].standard, m[i].numbers,
			      i + 1 == n ? "</p>\n" : "");
	(void)fputs("</article>\n", f);
}

static void put_failures(const struct audit *a, FILE *f)
{
	bool any = false;

	(void)fputs("<h2>Findings</h2>\n", f);
	for (int severity = _SEV_MAX - 1; severity >= 0; severity--) {
		for (size_t i = 0; i < a->n_findings; i++) {
			if (!finding_failed(&a->findings[i]) || a->findings[i].severity != (enum severity)severity)
				continue;
			put_failure(&a->findings[i], f);
			any = true;
		}
	}
	if (!any)
		(void)fputs("<p>None.</p>\n", f);
}

static void put_rest(const struct audit *a, FILE *f)
{
	static const enum status order[] = { STATUS_WAIVED, STATUS_UNKNOWN, STATUS_PASS, STATUS_NOT_APPLICABLE };

	(void)fputs("<h2>Everything else that was looked at</h2>\n<table>\n<tr><th>Control</th><th>Came to</th>"
		    "<th>Subject</th><th>Evidence</th></tr>\n", f);
	for (size_t k = 0; k < ARRAY_SIZE(order); k++) {
		for (size_t i = 0; i < a->n_findings; i++) {
			const struct finding *o = &a->findings[i];

			if (o->status != order[k])
				continue;
			(void)fprintf(f, "<tr><td>%s ", o->control->id);
			report_put_markup(f, o->control->title);
			(void)fprintf(f, "</td><td>%s</td><td>", status_name(o->status));
			report_put_markup(f, o->subject.name);
			(void)fputs("</td><td>", f);
			report_put_markup(f, o->evidence);
			if (o->status == STATUS_WAIVED) {
				(void)fputs("<br>waived: ", f);
				report_put_markup(f, o->waiver_reason);
				(void)fputs(" (", f);
				report_put_markup(f, o->waiver_owner);
				(void)fprintf(f, ", until %s)", o->waiver_until);
			}
			(void)fputs("</td></tr>\n", f);
		}
	}
	(void)fputs("</table>\n", f);
}

int report_html(const struct report *r, FILE *f)
{
	put_head(r, f);
	put_picture(r->audit, f);
	put_failures(r->audit, f);
	put_rest(r->audit, f);
	return fputs("</body>\n</html>\n", f) == EOF ? -EIO : 0;
}
