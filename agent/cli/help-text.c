/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command rows for people: the overview and the usage of one command, in 80 columns whatever the
 * rows say.
 */
#include <stdio.h>
#include <string.h>

#include "batten/base/macros.h"
#include "batten/base/table.h"
#include "cli/commands.h"
#include "cli/help.h"

#define COLUMNS 80
#define MAX_LEFT 28 /* columns of what stands left of an explanation */

const char *const exit_meanings[_EXIT_STATUS_MAX] = {
	[EXIT_DONE] = "done; nothing is wrong",
	[EXIT_NO] = "done; the answer is no",
	[EXIT_USAGE] = "wrong usage or an invalid input file",
	[EXIT_UNABLE] = "something required could not be examined",
	[EXIT_ROLLED_BACK] = "a change failed and was rolled back",
};

/*
 * Words, from column @at on, further lines from column @indent on. A line's end is one only before an
 * indented or an empty line.
 */
static void print_wrapped(FILE *f, size_t at, size_t indent, const char *text)
{
	while (*text) {
		bool line = *text == '\n';
		size_t blanks = line || *text == ' ', n;

		if (line && (text[1] == ' ' || text[1] == '\n')) {
			(void)fprintf(f, "\n%*s", (int)indent, "");
			at = indent;
			text++;
			continue;
		}
		n = strcspn(text + blanks, " \n");
		if (at > indent && at + blanks + n > COLUMNS) {
			(void)fprintf(f, "\n%*s", (int)indent, "");
			at = indent;
			text += blanks;
			blanks = 0;
		}
		(void)fprintf(f, "%*s%.*s", (int)blanks, "", (int)n, text + blanks);
		at += blanks + n;
		text += blanks + n;
	}
	(void)fputc('\n', f);
}

/* @left, then @right beside it, or below it where @left is too long. */
static void print_row(FILE *f, size_t width, enum table_style style, const char *left, const char *right)
{
	size_t n = strlen(left);

	(void)fprintf(f, "%s%s%s", style_begin(f, style), left, style_end(f, style));
	if (n + 2 > width)
		(void)fprintf(f, "\n%*s", (int)width, "");
	else
		(void)fprintf(f, "%*s", (int)(width - n), "");
	print_wrapped(f, width, width, right);
}

void command_overview(FILE *f)
{
	char left[64], text[512] = "";
	size_t width = 0;

	(void)fprintf(f, "batten %s: runtime hardening for container hosts\n\n", BATTEN_VERSION);
	for (size_t i = 0; i < n_commands; i++)
		width = MAX(width, strlen(commands[i]->name) + 4);
	for (size_t i = 0; i < n_commands; i++) {
		(void)snprintf(left, sizeof(left), "  %s", commands[i]->name);
		print_row(f, width, STYLE_HEAD, left, commands[i]->help);
	}
	for (int i = 0; i < _EXIT_STATUS_MAX; i++) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%s%d %s", i > 0 ? "; " : "Exit codes: ", i,
			       exit_meanings[i]);
	}
	(void)fputs("\nEvery command takes --help; `batten help COMMAND` says more.\n", f);
	print_wrapped(f, 0, 0, text);
}

/* "  -o, --output FILE" */
static void option_words(char *ret, size_t size, const struct option_row *o)
{
	char letter[8] = "    ";

	if (o->letter)
		(void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	(void)snprintf(ret, size, "  %s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
}

void option_help(char *ret, size_t size, const struct command *c, const struct option_row *o)
{
	if (strcmp(o->name, "format") == 0)
		(void)snprintf(ret, size, "%s: %s", o->help, c->formats);
	else
		(void)snprintf(ret, size, "%s%s", o->help, o->repeats ? " (repeatable)" : "");
}

void command_usage(FILE *f, const struct command *c)
{
	const struct option_row *o;
	char left[128], text[512];
	size_t width = 0;

	(void)snprintf(text, sizeof(text), "Usage: batten %s [OPTIONS]%s%s", c->name, c->args[0] ? " " : "", c->args);
	print_wrapped(f, 0, 7, text);
	(void)fputc('\n', f);
	print_wrapped(f, 0, 0, c->help);
	if (c->details) {
		(void)fputc('\n', f);
		print_wrapped(f, 0, 0, c->details);
	}
	(void)fputs("\nOptions:\n", f);
	for (size_t i = 0; (o = command_option(c, i)); i++) {
		option_words(left, sizeof(left), o);
		if (strlen(left) + 2 <= MAX_LEFT)
			width = MAX(width, strlen(left) + 2);
	}
	for (size_t i = 0; (o = command_option(c, i)); i++) {
		option_words(left, sizeof(left), o);
		option_help(text, sizeof(text), c, o);
		print_row(f, width, STYLE_PLAIN, left, text);
	}
	(void)fputs("\nExit codes:\n", f);
	for (int i = 0; i < _EXIT_STATUS_MAX; i++) {
		if (!c->exits[i])
			continue;
		(void)snprintf(left, sizeof(left), "  %d", i);
		print_row(f, 5, STYLE_PLAIN, left, c->exits[i]);
	}
}
