/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten help` and `batten completion`: the command rows, printed for people, for shells, as manual
 * pages and as JSON for whatever checks that the manual names every option.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/json.h"
#include "cli/commands.h"
#include "cli/help.h"

static json_t *command_json(const struct command *c)
{
	json_t *options = json_array(), *exits = json_object();
	const struct option_row *o;

	for (size_t i = 0; (o = command_option(c, i)); i++) {
		json_t *row = json_pack("{s:s, s:s, s:b}", "name", o->name, "help", o->help, "repeats",
					o->repeats);

		if (o->letter)
			json_object_set_new(row, "letter", json_stringn(&o->letter, 1));
		if (o->arg)
			json_object_set_new(row, "value", json_string(o->arg));
		json_array_append_new(options, row);
	}
	for (int i = 0; i < _EXIT_STATUS_MAX; i++) {
		char code[2] = { (char)('0' + i), '\0' };

		if (c->exits[i])
			json_object_set_new(exits, code, json_string(c->exits[i]));
	}
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", c->name, "args", c->args, "help", c->help,
			 "options", options, "exits", exits);
}

static const struct command *find_by_words(const struct invocation *inv)
{
	char name[128] = "";

	for (unsigned int i = 0; i < inv->n_args; i++) {
		size_t n = strlen(name);

		(void)snprintf(name + n, sizeof(name) - n, "%s%s", i > 0 ? " " : "", inv->args[i]);
	}
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static enum exit_status no_such_command(void)
{
	return invocation_fail(&(struct diag){ .what = "no such command; see `batten help`" }, -EINVAL);
}

static enum exit_status help_run(struct invocation *inv)
{
	const struct command *c;

	if (strcmp(invocation_format(inv), "man") == 0) {
		if (inv->n_args == 0)
			manual_list(stdout);
		else if (!manual_page(stdout, inv->args[0]))
			return no_such_command();
		return EXIT_DONE;
	}
	c = find_by_words(inv);
	if (inv->n_args > 0 && !c)
		return no_such_command();
	if (strcmp(invocation_format(inv), "json") == 0) {
		_cleanup_(json_freep) json_t *all = json_array(), *doc = NULL;
		int r;

		for (size_t i = 0; i < n_commands; i++)
			if (!c || c == commands[i])
				json_array_append_new(all, command_json(commands[i]));
		doc = json_pack("{s:s, s:s, s:O}", "schema", "batten.help/1", "version", BATTEN_VERSION,
				"commands", all);
		r = doc ? json_print(STDOUT_FILENO, doc) : -ENOMEM;
		return r < 0 ? invocation_fail(&(struct diag){ 0 }, r) : EXIT_DONE;
	}
	if (c)
		command_usage(stdout, c);
	else
		command_overview(stdout);
	return EXIT_DONE;
}

const struct command cmd_help = {
	.name = "help",
	.args = "[COMMAND]",
	.help = "what a command does, its options and exit codes",
	.details = "--format man prints the manual page of one noun, or without one the nouns that have a page.",
	.formats = "text|json|man",
	.max_args = 2,
	.exits = {
		[EXIT_DONE] = "printed",
		[EXIT_USAGE] = "no such command",
	},
	.run = help_run,
};

/*
 * Both shells call back into one list: the words so far name a command, and its row says what may
 * follow. Printing plain `case` arms keeps the shell side free of logic.
 */
static void print_case_arms(const char *before, const char *after)
{
	for (size_t i = 0; i < n_commands; i++) {
		const struct option_row *o;
		char options[1024] = "";

		for (size_t k = 0; (o = command_option(commands[i], k)); k++) {
			size_t n = strlen(options);

			(void)snprintf(options + n, sizeof(options) - n, "%s--%s", k > 0 ? " " : "", o->name);
		}
		(void)printf("\t\t\"%s\"*) %s%s%s ;;\n", commands[i]->name, before, options, after);
	}
}

/* The words that can stand at @position (0 or 1), each once; for 1 only those after @noun. */
static void print_words(unsigned int position, const char *noun)
{
	const char *last = "";
	size_t n_last = 0;

	for (size_t i = 0; i < n_commands; i++) {
		const char *name = commands[i]->name, *space = strchr(name, ' ');
		size_t n = space ? (size_t)(space - name) : strlen(name);

		if (position == 0) {
			if (n == n_last && memcmp(name, last, n) == 0)
				continue;
			(void)printf("%s%.*s", i > 0 ? " " : "", (int)n, name);
			last = name;
			n_last = n;
		} else if (space && strlen(noun) == n && memcmp(name, noun, n) == 0) {
			(void)printf("%s ", space + 1);
		}
	}
}

static void print_noun_arms(const char *before, const char *after)
{
	for (size_t i = 0; i < n_commands; i++) {
		const char *space = strchr(commands[i]->name, ' ');
		size_t n = space ? (size_t)(space - commands[i]->name) : 0;
		char noun[64];

		if (!space)
			continue;
		if (i > 0 && strncmp(commands[i - 1]->name, commands[i]->name, n + 1) == 0)
			continue;
		(void)snprintf(noun, sizeof(noun), "%.*s", (int)n, commands[i]->name);
		(void)printf("\t\t%s) %s", noun, before);
		print_words(1, noun);
		(void)printf("%s ;;\n", after);
	}
}

static void print_bash(void)
{
	(void)fputs("# bash completion for batten\n_batten()\n{\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} second=${COMP_WORDS[2]}\n"
		    "\tlocal words=\n"
		    "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"",
		    stdout);
	print_words(0, NULL);
	(void)fputs("\"\n\telif [ \"$COMP_CWORD\" -eq 2 ] && [ \"${cur#-}\" = \"$cur\" ]; then\n"
		    "\t\tcase $first in\n",
		    stdout);
	print_noun_arms("words=\"", "\"");
	(void)fputs("\t\tesac\n\telse\n\t\tcase \"$first $second\" in\n", stdout);
	print_case_arms("words=\"", "\"");
	(void)fputs("\t\tesac\n\tfi\n"
		    "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
		    "\t[ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
		    "}\ncomplete -F _batten batten\n",
		    stdout);
}

static void print_zsh(void)
{
	(void)fputs("#compdef batten\n# zsh completion for batten\n_batten()\n{\n"
		    "\tif (( CURRENT == 2 )); then\n\t\tcompadd -- ",
		    stdout);
	print_words(0, NULL);
	(void)fputs("\n\telif (( CURRENT == 3 )) && [[ ${words[3]} != -* ]]; then\n\t\tcase ${words[2]} in\n",
		    stdout);
	print_noun_arms("compadd -- ", "");
	(void)fputs("\t\t*) _files ;;\n\t\tesac\n\telse\n\t\tcase \"${words[2]} ${words[3]}\" in\n", stdout);
	print_case_arms("compadd -- ", "");
	(void)fputs("\t\tesac\n\t\t_files\n\tfi\n}\n_batten \"$@\"\n", stdout);
}

static enum exit_status completion_run(struct invocation *inv)
{
	if (strcmp(inv->args[0], "bash") == 0)
		print_bash();
	else if (strcmp(inv->args[0], "zsh") == 0)
		print_zsh();
	else
		return invocation_fail(&(struct diag){ .what = "completion is for bash or zsh" }, -EINVAL);
	return EXIT_DONE;
}

const struct command cmd_completion = {
	.name = "completion",
	.args = "bash|zsh",
	.help = "print a completion script for the shell",
	.min_args = 1,
	.max_args = 1,
	.exits = {
		[EXIT_DONE] = "printed",
		[EXIT_USAGE] = "a shell that is not known",
	},
	.run = completion_run,
};
