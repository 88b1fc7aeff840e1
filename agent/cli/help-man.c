/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Manual pages of the command rows, one for each noun: what batten(8) tells at length stands here by
 * command, and never lacks an option.
 */
#include <stdio.h>
#include <string.h>

#include "batten/base/macros.h"
#include "cli/commands.h"
#include "cli/help.h"

/* How much of a row's name is its first word. */
static size_t noun_length(const struct command *c)
{
	return strcspn(c->name, " ");
}

static bool has_noun(const struct command *c, const char *noun)
{
	return noun_length(c) == strlen(noun) && strncmp(c->name, noun, strlen(noun)) == 0;
}

/* A dash is one, a backslash is one, and no line begins with a request. */
static void put(FILE *f, const char *s)
{
	bool begin = true;

	for (; *s; s++) {
		if (begin && (*s == '.' || *s == '\''))
			(void)fputs("\\&", f);
		if (*s == '-')
			(void)fputs("\\-", f);
		else if (*s == '\\')
			(void)fputs("\\e", f);
		else if (*s == '\n')
			(void)fputs("\n.br\n", f);
		else
			(void)fputc(*s, f);
		begin = *s == '\n';
	}
}

static void put_line(FILE *f, const char *request, const char *text)
{
	(void)fprintf(f, "%s", request);
	put(f, text);
	(void)fputc('\n', f);
}

static void put_options(FILE *f, const struct command *c)
{
	const struct option_row *o;
	char text[512];

	for (size_t i = 0; (o = command_option(c, i)); i++) {
		(void)fputs(".TP\n\\fB", f);
		if (o->letter)
			(void)fprintf(f, "\\-%c\\fR, \\fB", o->letter);
		put(f, "--");
		put(f, o->name);
		(void)fputs("\\fR", f);
		if (o->arg) {
			(void)fputs(" \\fI", f);
			put(f, o->arg);
			(void)fputs("\\fR", f);
		}
		(void)fputc('\n', f);
		option_help(text, sizeof(text), c, o);
		put_line(f, "", text);
	}
}

static void put_command(FILE *f, const struct command *c)
{
	(void)fputs(".SS batten ", f);
	put_line(f, "", c->name);
	put_line(f, "", c->help);
	if (c->details) {
		(void)fputs(".PP\n", f);
		put_line(f, "", c->details);
	}
	put_options(f, c);
	(void)fputs(".PP\nExit status:\n", f);
	for (int i = 0; i < _EXIT_STATUS_MAX; i++) {
		if (c->exits[i]) {
			(void)fprintf(f, ".TP\n.B %d\n", i);
			put_line(f, "", c->exits[i]);
		}
	}
}

void manual_list(FILE *f)
{
	for (size_t i = 0; i < n_commands; i++) {
		size_t n = noun_length(commands[i]);

		if (i == 0 || n != noun_length(commands[i - 1]) || strncmp(commands[i]->name, commands[i - 1]->name, n) != 0)
			(void)fprintf(f, "%.*s\n", (int)n, commands[i]->name);
	}
}

bool manual_page(FILE *f, const char *noun)
{
	const struct command *first = NULL;
	unsigned int n = 0;

	for (size_t i = 0; i < n_commands; i++) {
		if (!has_noun(commands[i], noun))
			continue;
		if (!first)
			first = commands[i];
		n++;
	}
	if (!first)
		return false;
	(void)fputs(".TH BATTEN\\-", f);
	for (const char *p = noun; *p; p++)
		(void)fputc(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p, f);
	(void)fputs(" 8 \"\" \"batten " BATTEN_VERSION "\" \"System administration\"\n.SH NAME\nbatten\\-", f);
	put(f, noun);
	(void)fputs(" \\- ", f);
	if (n == 1)
		put_line(f, "", first->help);
	else
		(void)fprintf(f, "the commands of batten %s\n", noun);
	(void)fputs(".SH SYNOPSIS\n.nf\n", f);
	for (size_t i = 0; i < n_commands; i++) {
		if (!has_noun(commands[i], noun))
			continue;
		(void)fputs("\\fBbatten ", f);
		put(f, commands[i]->name);
		(void)fputs("\\fR [\\fIOPTIONS\\fR] ", f);
		put_line(f, "", commands[i]->args);
	}
	(void)fputs(".fi\n.SH COMMANDS\n", f);
	for (size_t i = 0; i < n_commands; i++)
		if (has_noun(commands[i], noun))
			put_command(f, commands[i]);
	(void)fputs(".SH SEE ALSO\n.BR batten (8),\n.BR batten.conf (5),\n.BR batten\\-waivers (5)\n", f);
	return true;
}
