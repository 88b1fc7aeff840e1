/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text into XML and HTML, and into fields with a longest length: foreign bytes become valid UTF-8,
 * control characters a mark, and nothing is cut inside a character.
 */
#include <errno.h>
#include <string.h>

#include "audit/report-internal.h"

/* What a character is in XML and HTML; NULL: itself. */
static const char *entity(unsigned char c)
{
	switch (c) {
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '&':
		return "&amp;";
	case '"':
		return "&quot;";
	default:
		return NULL;
	}
}

static void put(FILE *f, const char *text, bool markup)
{
	_cleanup_(json_freep) json_t *valid = json_text(text);
	const unsigned char *p = (const unsigned char *)json_string_value(valid);

	for (; p && *p; p++) {
		const char *e = markup ? entity(*p) : NULL;
		size_t n = 0;

		while (p[n] >= 0x20 && p[n] < 0x7f && !(markup && entity(p[n])))
			n++;
		if (n > 0) {
			(void)fwrite(p, 1, n, f);
			p += n - 1;
			continue;
		}
		if (*p < 0x20 || *p == 0x7f)
			(void)fprintf(f, "\\x%02x", *p);
		else if (*p == 0xc2 && p[1] < 0xa0) /* the second set of control characters */
			(void)fprintf(f, "\\u00%02x", *++p);
		else if (e)
			(void)fputs(e, f);
		else
			(void)fputc(*p, f);
	}
}

void report_put_text(FILE *f, const char *text)
{
	put(f, text, false);
}

void report_put_markup(FILE *f, const char *text)
{
	put(f, text, true);
}

json_t *report_cut_text(const char *text, size_t max_bytes)
{
	_cleanup_(json_freep) json_t *valid = json_text(text);
	const char *s = json_string_value(valid);
	size_t n = s ? strlen(s) : 0;

	if (!s)
		return NULL;
	if (n == 0)
		return json_string("-");
	if (n > max_bytes) {
		n = max_bytes - 3;
		while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
			n--;
		return json_sprintf("%.*s...", (int)n, s);
	}
	return json_string(s);
}

int report_print_line(json_t *j, FILE *f)
{
	_cleanup_(json_freep) json_t *owned = j;
	_cleanup_(freep) char *text = json_line(owned, NULL);

	if (!text)
		return -ENOMEM;
	if (fputs(text, f) == EOF)
		return -EIO;
	return fputc('\n', f) == EOF ? -EIO : 0;
}

const char *report_place(struct arena *a, const struct subject *s)
{
	const char *name = s->ecs_name && s->family ? s->ecs_name : s->name;

	switch (s->kind) {
	case SUBJECT_FILE:
		return arena_strdup(a, s->name + (s->name[0] == '/'));
	case SUBJECT_CONTAINER:
		return s->family ? arena_printf(a, "ecs/%s/%s", s->family, name) : arena_printf(a, "container/%s", name);
	default:
		return arena_printf(a, "%s/%s", subject_kind_name(s->kind), name);
	}
}
