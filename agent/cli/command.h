/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The command line as rows. A command describes itself once; parsing, usage, `batten help`, exit
 * codes and shell completion all read that row.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "batten/base/diag.h"

#define DEFAULT_CONFIG "/etc/batten/batten.conf"

enum exit_status {
	EXIT_DONE = 0,	      /* the answer is yes, nothing is wrong */
	EXIT_NO = 1,	      /* the answer is no: findings, reachable, would deny */
	EXIT_USAGE = 2,	      /* wrong usage or an invalid input file */
	EXIT_UNABLE = 3,      /* something required could not be examined */
	EXIT_ROLLED_BACK = 4, /* a change failed and was undone */
	_EXIT_STATUS_MAX,
};

struct option_row {
	const char *name; /* without dashes; a row with NULL ends the list */
	char letter;	  /* 0 for none */
	const char *arg;  /* name of its value in the usage, or NULL for a flag */
	const char *help;
	bool repeats;
};

struct invocation;

struct command {
	const char *name; /* one or two words: "daemon", "imds block" */
	const char *args; /* positional arguments in the usage, "" for none */
	const char *help; /* one line, lower case, no full stop */
	const char *details; /* what a user should know beyond that; may be NULL */
	const struct option_row *options; /* may be NULL */
	const char *formats; /* "text|json", … or NULL when the command prints no result */
	unsigned int min_args, max_args;
	const char *exits[_EXIT_STATUS_MAX]; /* what each code means here; NULL: does not occur */
	enum exit_status (*run)(struct invocation *inv);
};

/* The table in main.c. */
extern const struct command *const commands[];
extern const size_t n_commands;

#define MAX_OPTION_VALUES 64

struct invocation {
	const struct command *command;
	const char *const *args; /* positional */
	unsigned int n_args;
	struct {
		const char *name, *value;
	} values[MAX_OPTION_VALUES];
	unsigned int n_values;
	bool quiet, verbose;
};

/* The last value given for an option, "" for a flag that was given, NULL when it was not. */
const char *invocation_value(const struct invocation *inv, const char *option);

/* The @index-th value of a repeated option, or NULL. */
const char *invocation_nth(const struct invocation *inv, const char *option, unsigned int index);

/* Value of --format (or "json" for --json); the first of the row's formats by default. */
const char *invocation_format(const struct invocation *inv);

/* Prints the diag (or the error's name) and chooses the exit status that fits the errno. */
enum exit_status invocation_fail(const struct diag *d, int error);

/* Finds the command, parses, runs. Return: the exit status of the process. */
int command_main(int argc, const char *const *argv);

/* The options that every command takes; ends with a NULL row. */
extern const struct option_row common_options[];
extern const struct option_row format_options[];

/* The rows that apply to a command, in order; NULL after the last. */
const struct option_row *command_option(const struct command *c, size_t index);

void command_usage(FILE *f, const struct command *c);
void command_overview(FILE *f);
