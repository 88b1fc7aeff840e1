/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the command rows are printed as: text, the manual, completion scripts.
 */
#include "cli/command.h"

/* What an exit code means in general. */
extern const char *const exit_meanings[_EXIT_STATUS_MAX];

/* The explanation of an option as @c has it: with the formats, or that it may be repeated. */
void option_help(char *ret, size_t size, const struct command *c, const struct option_row *o);

/* The first words of all commands, each once, one a line: what manual pages there are. */
void manual_list(FILE *f);

/*
 * manual_page - the manual page batten-@noun(8), in the man macros
 *
 * Return: false when no command has that first word; nothing is printed then.
 */
bool manual_page(FILE *f, const char *noun);
