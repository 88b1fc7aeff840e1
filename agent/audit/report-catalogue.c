/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the rows themselves say: --list and --explain.
 */
#include <errno.h>
#include <string.h>

#include "audit/report-internal.h"
#include "batten/base/table.h"

static int print_list(FILE *f)
{
	unsigned int n = 0;

	for (size_t i = 0; i < n_control_sets; i++) {
		const struct control_set *set = control_sets[i];
		_cleanup_(table_freep) struct table *t = table_new(3);

		(void)fprintf(f, "%s%s%s%s (%s)\n", i > 0 ? "\n" : "", style_begin(f, STYLE_HEAD), area_title(set->area),
			      style_end(f, STYLE_HEAD), area_name(set->area));
		for (size_t k = 0; k < set->n_controls; k++) {
			const struct control *c = &set->controls[k];

			table_cellf(t, STYLE_PLAIN, "  %s", c->id);
			table_cell(t, c->severity >= SEV_HIGH ? STYLE_BAD : STYLE_PLAIN, severity_name(c->severity));
			table_cell(t, STYLE_PLAIN, c->title);
			n++;
		}
		if (table_print(t, f) < 0)
			return -ENOMEM;
	}
	(void)fprintf(f, "\n%u controls\n", n);
	return 0;
}

int report_catalogue(const char *format, FILE *f)
{
	return strcmp(format, "json") == 0 ? report_catalogue_json(f) : print_list(f);
}

static void print_story(const struct control *c, enum area area, FILE *f)
{
	struct mapping m[MAX_MAPPINGS];

	(void)fprintf(f, "%s%s  %s%s\n", style_begin(f, STYLE_HEAD), c->id, c->title, style_end(f, STYLE_HEAD));
	(void)fprintf(f, "\n  area      %s\n  severity  %s\n", area_title(area), severity_name(c->severity));
	(void)fputs("  looks at  ", f);
	for (int s = 0, first = 1; s < _SOURCE_MAX; s++) {
		if (!(c->needs & NEEDS(s)))
			continue;
		(void)fprintf(f, "%s%s", first ? "" : ", ", source_name((enum source)s));
		first = 0;
	}
	for (int s = 0, first = 1; s < _SOURCE_MAX; s++) {
		if (!(control_sources(c) & ~c->needs & NEEDS(s)))
			continue;
		(void)fprintf(f, "%s%s", first ? "; where there, " : ", ", source_name((enum source)s));
		first = 0;
	}
	(void)fprintf(f, "%s\n", c->needs & NEEDS_LIVE ? " (of a running host; not with --root)" : "");
	(void)fprintf(f, "  for each  %s\n", subject_kind_name(c->each));
	(void)fprintf(f, "\n  When it fails: %s\n\n  To mend it: %s\n", c->means, c->remedy);
	for (size_t i = 0, n = control_mappings(c, m); i < n; i++)
		(void)fprintf(f, "%s  %s: %s\n", i == 0 ? "\n" : "", m[i].standard, m[i].numbers);
}

int report_explain(const char *control_id, const char *format, FILE *f)
{
	enum area area;
	const struct control *c = control_find(control_id, &area);

	if (!c)
		return -ENOENT;
	if (strcmp(format, "json") == 0)
		return report_explain_json(c, area, f);
	print_story(c, area, f);
	return 0;
}
