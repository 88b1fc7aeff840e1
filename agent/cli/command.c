/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Parsing by row. Nouns come first, then verbs, then options and arguments in any order; "--" ends
 * the options. A wrong word gets the nearest right one.
 */
#include "cli/command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/macros.h"
#include "batten/base/log.h"

#ifndef BATTEN_VERSION
#error "BATTEN_VERSION comes from the Makefile"
#endif

const struct option_row common_options[] = {
	{ "config", 0, "FILE", "configuration instead of " DEFAULT_CONFIG, false },
	{ "help", 'h', NULL, "show this text", false },
	{ "quiet", 'q', NULL, "only errors", false },
	{ "verbose", 'v', NULL, "more detail on standard error", false },
	{ 0 },
};

const struct option_row format_options[] = {
	{ "format", 0, "FORMAT", "how to print the result", false },
	{ "json", 0, NULL, "short for --format json", false },
	{ 0 },
};

const struct option_row *command_option(const struct command *c, size_t index)
{
	const struct option_row *const lists[] = {
		c->options,
		c->formats ? format_options : NULL,
		common_options,
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (const struct option_row *o = lists[i]; o && o->name; o++)
			if (index-- == 0)
				return o;
	}
	return NULL;
}

static const struct option_row *find_option(const struct command *c, const char *name, size_t n)
{
	const struct option_row *o;

	for (size_t i = 0; (o = command_option(c, i)); i++)
		if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
			return o;
	return NULL;
}

static const struct option_row *find_letter(const struct command *c, char letter)
{
	const struct option_row *o;

	for (size_t i = 0; (o = command_option(c, i)); i++)
		if (o->letter == letter)
			return o;
	return NULL;
}

const char *invocation_nth(const struct invocation *inv, const char *option, unsigned int index)
{
	for (unsigned int i = 0; i < inv->n_values; i++)
		if (strcmp(inv->values[i].name, option) == 0 && index-- == 0)
			return inv->values[i].value;
	return NULL;
}

const char *invocation_value(const struct invocation *inv, const char *option)
{
	for (unsigned int i = inv->n_values; i-- > 0;)
		if (strcmp(inv->values[i].name, option) == 0)
			return inv->values[i].value;
	return NULL;
}

static bool format_known(const char *formats, const char *format)
{
	size_t n = strlen(format);

	for (const char *p = formats; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (n > 0 && strncmp(p, format, n) == 0 && (p[n] == '|' || p[n] == '\0'))
			return true;
	}
	return false;
}

const char *invocation_format(const struct invocation *inv)
{
	const char *format = invocation_value(inv, "format");

	if (invocation_value(inv, "json"))
		return "json";
	if (format)
		return format;
	return strncmp(inv->command->formats, "nft", 3) == 0 ? "nft" : "text";
}

/* What to do about an error of the system, where the words that came with it do not say. */
static const char *next_step(const struct diag *d, int error)
{
	if (strstr(d->what, "; ") || strstr(d->what, "root"))
		return "";
	switch (error) {
	case -EACCES:
	case -EPERM:
		return geteuid() != 0 ? "; run it as root" : "";
	case -ENOMEM:
		return "; free some memory and run it again";
	case -ENOSPC:
		return "; make room and run it again";
	default:
		return "";
	}
}

enum exit_status invocation_fail(const struct diag *d, int error)
{
	struct diag said = *d;
	size_t n;

	if (!said.what[0])
		(void)snprintf(said.what, sizeof(said.what), "%s", strerror(-error));
	n = strlen(said.what);
	(void)snprintf(said.what + n, sizeof(said.what) - n, "%s", next_step(d, error));
	diag_print(&said, error);
	switch (error) {
	case -EINVAL:
	case -EBADMSG:
	case -ERANGE:
	case -EFBIG:
	case -E2BIG:
	case -EISDIR:
	case -ELOOP:
	case -ENOENT:
		return EXIT_USAGE;
	case -ECANCELED:
		return EXIT_ROLLED_BACK;
	default:
		return EXIT_UNABLE;
	}
}

static enum exit_status wrong_usage(const struct command *c, const char *what, const char *word)
{
	struct diag d = { 0 };

	if (c)
		(void)diag_fail(&d, -EINVAL, c->name, "%s%s; see `batten help %s`", what, word, c->name);
	else
		(void)diag_fail(&d, -EINVAL, NULL, "%s%s; see `batten help`", what, word);
	diag_print(&d, -EINVAL);
	return EXIT_USAGE;
}

static int store(struct invocation *inv, const struct option_row *o, const char *value)
{
	if (inv->n_values == MAX_OPTION_VALUES)
		return -E2BIG;
	inv->values[inv->n_values].name = o->name;
	inv->values[inv->n_values].value = value ? value : "";
	inv->n_values++;
	return 0;
}

/* One option word. @next: the word behind it or NULL. Return: words used, or a negative errno. */
static int parse_option(struct invocation *inv, const char *word, const char *next)
{
	const struct command *c = inv->command;
	const struct option_row *o;
	const char *equals, *value;
	size_t n;

	if (word[1] == '-') {
		word += 2;
		equals = strchr(word, '=');
		n = equals ? (size_t)(equals - word) : strlen(word);
		o = find_option(c, word, n);
		if (!o) {
			(void)wrong_usage(c, "unknown option --", word);
			return -EINVAL;
		}
		if (!o->arg && equals) {
			(void)wrong_usage(c, "no value is taken by --", o->name);
			return -EINVAL;
		}
		value = equals ? equals + 1 : next;
		if (o->arg && !value) {
			(void)wrong_usage(c, "a value is missing for --", o->name);
			return -EINVAL;
		}
		if (store(inv, o, o->arg ? value : NULL) < 0) {
			(void)wrong_usage(c, "too many options at --", o->name);
			return -EINVAL;
		}
		return o->arg && !equals ? 2 : 1;
	}
	for (word++; *word; word++) {
		o = find_letter(c, *word);
		if (!o) {
			(void)wrong_usage(c, "unknown option -", word);
			return -EINVAL;
		}
		value = word[1] ? word + 1 : next;
		if (o->arg && !value) {
			(void)wrong_usage(c, "a value is missing for -", word);
			return -EINVAL;
		}
		if (store(inv, o, o->arg ? value : NULL) < 0) {
			(void)wrong_usage(c, "too many options at -", word);
			return -EINVAL;
		}
		if (o->arg)
			return word[1] ? 1 : 2;
	}
	return 1;
}

static int parse_words(struct invocation *inv, int argc, const char *const *argv, const char **args)
{
	int i = 0;

	while (i < argc) {
		const char *word = argv[i];
		int used;

		if (strcmp(word, "--") == 0) {
			for (i++; i < argc; i++)
				args[inv->n_args++] = argv[i];
			break;
		}
		if (word[0] != '-' || word[1] == '\0') {
			args[inv->n_args++] = word;
			i++;
			continue;
		}
		used = parse_option(inv, word, i + 1 < argc ? argv[i + 1] : NULL);
		if (used < 0)
			return used;
		i += used;
	}
	inv->args = args;
	return 0;
}

/* Does the row's name stand at the start of the words? Return: how many words it has, or 0. */
static int name_matches(const char *name, int argc, const char *const *argv)
{
	int words = 0;

	while (*name) {
		size_t n = strcspn(name, " ");

		if (words == argc || strlen(argv[words]) != n || memcmp(argv[words], name, n) != 0)
			return 0;
		words++;
		name += n + (name[n] == ' ');
	}
	return words;
}

static size_t distance(const char *a, const char *b)
{
	size_t row[65], n = MIN(strlen(b), (size_t)64);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; i <= strlen(a); i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
			size_t gap = MIN(above, row[j - 1]) + 1;

			row[j] = MIN(change, gap);
			diagonal = above;
		}
	}
	return row[n];
}

static enum exit_status unknown_command(int argc, const char *const *argv)
{
	struct diag d = { 0 };
	char words[128];
	const struct command *best = NULL;
	size_t best_distance = 3;

	(void)snprintf(words, sizeof(words), "%s%s%s", argv[0], argc > 1 && argv[1][0] != '-' ? " " : "",
		       argc > 1 && argv[1][0] != '-' ? argv[1] : "");
	for (size_t i = 0; i < n_commands; i++) {
		size_t whole = distance(words, commands[i]->name), first = distance(argv[0], commands[i]->name);

		if (MIN(whole, first) < best_distance) {
			best = commands[i];
			best_distance = MIN(whole, first);
		}
	}
	if (best)
		(void)diag_fail(&d, -EINVAL, NULL, "no command \"%s\"; did you mean \"%s\"?", words, best->name);
	else
		(void)diag_fail(&d, -EINVAL, NULL, "no command \"%s\"; see `batten help`", words);
	diag_print(&d, -EINVAL);
	return EXIT_USAGE;
}

/* "batten imds" alone: the verbs of that noun. */
static bool noun_usage(const char *noun)
{
	size_t n = strlen(noun);
	bool found = false;

	for (size_t i = 0; i < n_commands; i++) {
		const struct command *c = commands[i];

		if (strncmp(c->name, noun, n) != 0 || c->name[n] != ' ')
			continue;
		if (!found)
			(void)fputs("Usage:\n", stderr);
		found = true;
		(void)fprintf(stderr, "  batten %-22s %s\n", c->name, c->help);
	}
	return found;
}

static enum exit_status run_command(const struct command *c, int argc, const char *const *argv)
{
	_cleanup_(freep) const char **args = NULL;
	struct invocation inv = { .command = c };
	const char *format;

	args = calloc((size_t)argc + 1, sizeof(*args));
	if (!args)
		return invocation_fail(&(struct diag){ 0 }, -ENOMEM);
	if (parse_words(&inv, argc, argv, args) < 0)
		return EXIT_USAGE;
	if (invocation_value(&inv, "help")) {
		command_usage(stdout, c);
		return EXIT_DONE;
	}
	inv.quiet = invocation_value(&inv, "quiet") != NULL;
	inv.verbose = invocation_value(&inv, "verbose") != NULL;
	log_init(LOG_TARGET_AUTO, inv.quiet ? LOG_ERR : inv.verbose ? LOG_DEBUG : LOG_INFO);
	format = invocation_value(&inv, "format");
	if (format && !format_known(c->formats, format))
		return wrong_usage(c, "unknown format ", format);
	if (inv.n_args < c->min_args)
		return wrong_usage(c, "missing ", c->args);
	if (inv.n_args > c->max_args)
		return wrong_usage(c, "unexpected argument ", inv.args[c->max_args]);
	return c->run(&inv);
}

int command_main(int argc, const char *const *argv)
{
	const struct command *found = NULL;
	enum exit_status status;
	int words = 0;

	argc--;
	argv++;
	if (argc == 0) {
		command_overview(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[0], "--version") == 0) {
		(void)puts("batten " BATTEN_VERSION);
		return EXIT_DONE;
	}
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
		command_overview(stdout);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < n_commands; i++) {
		int n = name_matches(commands[i]->name, argc, argv);

		if (n > words) {
			found = commands[i];
			words = n;
		}
	}
	if (!found) {
		if (argc == 1 && noun_usage(argv[0]))
			return EXIT_USAGE;
		return unknown_command(argc, argv);
	}
	status = run_command(found, argc - words, argv + words);
	/* What could not be printed was not done: a full disk behind a redirection, say. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		(void)invocation_fail(&(struct diag){ .what = "cannot write the result to standard output" },
				      -EIO);
		return status == EXIT_DONE || status == EXIT_NO ? EXIT_UNABLE : status;
	}
	return status;
}
