/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten imds allow: exceptions at run time. The daemon keeps and applies them, for an exception
 * follows its container and somebody has to be there when that ends.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/json.h"
#include "batten/base/table.h"
#include "batten/daemon/control.h"
#include "batten/imds/exceptions.h"
#include "cli/commands.h"
#include "cli/guard-options.h"

/* Who asks: the person behind sudo, where there is one. */
static const char *asker(void)
{
	const char *names[] = { getenv("SUDO_USER"), getenv("USER"), "root" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i] && names[i][0])
			return names[i];
	return "root";
}

/* Return: the exit status; EXIT_DONE with *@ret set. */
static enum exit_status ask(const struct invocation *inv, const char *method, json_t *parameters, json_t **ret)
{
	const char *dir = invocation_value(inv, "runtime-dir");
	int status = EXIT_UNABLE, r;
	struct diag d = { 0 };

	r = control_call(dir ? dir : DEFAULT_RUNTIME_DIR, method, parameters, ret, &status, &d);
	if (r == -ENOENT)
		(void)diag_fail(&d, r, NULL, "no daemon runs; exceptions are kept and applied by `batten daemon`");
	if (r == 0)
		return EXIT_DONE;
	diag_print(&d, r);
	return r == -EREMOTEIO ? (enum exit_status)status : EXIT_UNABLE;
}

static enum exit_status change(struct invocation *inv, bool add)
{
	const char *done = add ? "may reach IMDS" : "may not reach IMDS any more";
	_cleanup_(json_freep) json_t *parameters = NULL, *result = NULL;
	enum exit_status status;
	struct diag d = { 0 };
	int r;

	if (inv->n_args < 2)
		return invocation_fail(&(struct diag){ .what = "which exception? see `batten help imds allow`" }, -EINVAL);
	r = exception_check(slice_of(inv->args[1]), &d);
	if (r < 0)
		return invocation_fail(&d, r);
	parameters = json_pack("{s:s}", "rule", inv->args[1]);
	if (!parameters || (add && json_object_set_new(parameters, "by", json_text(asker())) < 0))
		return invocation_fail(&(struct diag){ .what = "the exception is no UTF-8 text" }, -EINVAL);
	status = ask(inv, add ? "imds.allow" : "imds.disallow", parameters, &result);
	if (status == EXIT_DONE && !inv->quiet)
		(void)printf("%s %s.\n", inv->args[1], done);
	return status;
}

static void since_text(const json_t *row, char *text, size_t n)
{
	time_t t = (time_t)json_integer_value(json_object_get(row, "since"));
	struct tm tm;

	text[0] = '\0';
	if (t > 0 && gmtime_r(&t, &tm))
		(void)strftime(text, n, "%Y-%m-%d %H:%M:%SZ", &tm);
}

static int print_list(const json_t *doc)
{
	static const char *const heads[] = { "EXCEPTION", "BY", "SINCE", "CONTAINERS" };
	_cleanup_(table_freep) struct table *t = table_new(ARRAY_SIZE(heads));
	const json_t *row;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(heads); i++)
		table_cell(t, STYLE_HEAD, heads[i]);
	json_array_foreach(json_object_get(doc, "allow"), i, row) {
		const json_t *names = json_object_get(row, "containers");
		const char *first = json_string_value(json_array_get(names, 0));
		char since[40];

		since_text(row, since, sizeof(since));
		table_cell(t, STYLE_PLAIN, json_string_value(json_object_get(row, "rule")));
		table_cell(t, STYLE_PLAIN, json_string_value(json_object_get(row, "by")));
		table_cell(t, STYLE_PLAIN, since[0] ? since : "-");
		if (json_array_size(names) > 1)
			table_cellf(t, STYLE_PLAIN, "%s and %zu more", first, json_array_size(names) - 1);
		else
			table_cell(t, first ? STYLE_PLAIN : STYLE_DIM, first ? first : "none now");
	}
	return table_print(t, stdout);
}

static enum exit_status allow_run(struct invocation *inv)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	enum exit_status status;
	int r;

	if (strcmp(inv->args[0], "add") == 0)
		return change(inv, true);
	if (strcmp(inv->args[0], "remove") == 0)
		return change(inv, false);
	if (strcmp(inv->args[0], "list") != 0 || inv->n_args > 1)
		return invocation_fail(&(struct diag){ .what = "use add EXCEPTION, remove EXCEPTION or list" }, -EINVAL);
	status = ask(inv, "imds.exceptions", NULL, &doc);
	if (status != EXIT_DONE)
		return status;
	r = strcmp(invocation_format(inv), "json") == 0 ? json_print(STDOUT_FILENO, doc) : print_list(doc);
	return r < 0 ? invocation_fail(&(struct diag){ 0 }, r) : EXIT_DONE;
}

static const struct option_row allow_options[] = {
	RUNTIME_DIR_OPTION,
	{ 0 },
};

const struct command cmd_imds_allow = {
	.name = "imds allow",
	.args = "add EXCEPTION | remove EXCEPTION | list",
	.help = "containers that may reach the metadata service",
	.details = "EXCEPTION is container:NAME, family:NAME (of the task definition), image:REF or\n"
		   "label:KEY=VALUE. It opens every layer for the containers that match, from their start to\n"
		   "their end, and is kept through restarts; those of the configuration file are removed there.",
	.options = allow_options,
	.formats = "text|json",
	.min_args = 1,
	.max_args = 2,
	.exits = {
		[EXIT_DONE] = "done",
		[EXIT_USAGE] = "no such exception, or it is there already",
		[EXIT_UNABLE] = "no daemon runs, or it could not keep or apply it",
	},
	.run = allow_run,
};
