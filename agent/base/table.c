/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text tables. Cells are kept until the widths are known; control characters from foreign text
 * never reach the terminal.
 */
#include "batten/base/table.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/bytes.h"

struct cell {
	char *text;
	size_t width; /* columns on the terminal */
	enum table_style style;
};

struct table {
	size_t n_columns, n_cells, size;
	struct cell *cells;
	int error;
};

static const char *const style_codes[_STYLE_MAX] = {
	[STYLE_PLAIN] = "",	  [STYLE_HEAD] = "\033[1m",  [STYLE_GOOD] = "\033[32m",
	[STYLE_BAD] = "\033[31m", [STYLE_WARN] = "\033[33m", [STYLE_DIM] = "\033[2m",
};

struct table *table_new(size_t n_columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t)
		t->n_columns = n_columns;
	return t;
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
	return NULL;
}

static char *printable(const char *text, size_t *ret_width)
{
	struct bytes b = { 0 };
	size_t width = 0;
	char *s;

	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f) {
			bytes_printf(&b, "\\x%02x", c);
			width += 4;
		} else {
			bytes_append(&b, p, 1);
			width += (c & 0xc0) != 0x80; /* UTF-8 continuation bytes take no column */
		}
	}
	if (bytes_take(&b, &s, NULL) < 0)
		return NULL;
	*ret_width = width;
	return s;
}

void table_cell(struct table *t, enum table_style style, const char *text)
{
	struct cell c = { .style = style };

	if (!t || t->error < 0)
		return;
	if (t->n_cells == t->size) {
		size_t size = t->size ? t->size * 2 : 64;
		struct cell *grown = reallocarray(t->cells, size, sizeof(*grown));

		if (!grown) {
			t->error = -ENOMEM;
			return;
		}
		t->cells = grown;
		t->size = size;
	}
	c.text = printable(text ? text : "", &c.width);
	if (!c.text) {
		t->error = -ENOMEM;
		return;
	}
	t->cells[t->n_cells++] = c;
}

void table_cellf(struct table *t, enum table_style style, const char *fmt, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;
	int n;

	if (!t)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL; /* vasprintf() leaves it undefined */
		t->error = -ENOMEM;
	} else {
		table_cell(t, style, text);
	}
}

int table_print(const struct table *t, FILE *f)
{
	_cleanup_(freep) size_t *widths = NULL;

	if (!t || t->error < 0)
		return -ENOMEM;
	widths = calloc(t->n_columns, sizeof(*widths));
	if (!widths)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_cells; i++)
		widths[i % t->n_columns] = MAX(widths[i % t->n_columns], t->cells[i].width);
	for (size_t i = 0; i < t->n_cells; i++) {
		const struct cell *c = &t->cells[i];
		size_t column = i % t->n_columns;

		(void)fprintf(f, "%s%s%s", style_begin(f, c->style), c->text, style_end(f, c->style));
		if (column == t->n_columns - 1 || i == t->n_cells - 1)
			(void)fputc('\n', f);
		else
			(void)fprintf(f, "%*s", (int)(widths[column] - c->width + 2), "");
	}
	return 0;
}

static bool ask_for_colour(FILE *f)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(f)) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

/* Standard output does not change, and a report asks a thousand times. */
bool colour_wanted(FILE *f)
{
	static enum { UNKNOWN, NO, YES } known;

	if (f != stdout)
		return ask_for_colour(f);
	if (known == UNKNOWN)
		known = ask_for_colour(f) ? YES : NO;
	return known == YES;
}

const char *style_begin(FILE *f, enum table_style style)
{
	return colour_wanted(f) ? style_codes[style] : "";
}

const char *style_end(FILE *f, enum table_style style)
{
	return style != STYLE_PLAIN && colour_wanted(f) ? "\033[0m" : "";
}
