/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp diff`: what one profile lets through and the other does not. The other is Docker's
 * default unless it is named.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/table.h"
#include "batten/seccomp/base.h"
#include "batten/seccomp/generate.h"
#include "cli/commands.h"

enum change {
	CHANGE_NONE,
	CHANGE_REMOVED,
	CHANGE_ADDED,
	CHANGE_NARROWED, /* only with some arguments now */
	CHANGE_WIDENED,
};

static const struct {
	const char *word;
	enum table_style style;
} changes[] = {
	[CHANGE_REMOVED] = { "removed", STYLE_GOOD },
	[CHANGE_ADDED] = { "added", STYLE_BAD },
	[CHANGE_NARROWED] = { "narrowed", STYLE_GOOD },
	[CHANGE_WIDENED] = { "widened", STYLE_WARN },
};

static enum change compare(const struct profile *p, const struct profile *other, const char *name)
{
	bool some = profile_allows(p, name, true), all = profile_allows(p, name, false);
	bool other_some = profile_allows(other, name, true), other_all = profile_allows(other, name, false);

	if (some != other_some)
		return some ? CHANGE_ADDED : CHANGE_REMOVED;
	if (all != other_all)
		return all ? CHANGE_WIDENED : CHANGE_NARROWED;
	return CHANGE_NONE;
}

static int print_text(const struct profile *p, const struct profile *other, const char *other_name, enum abi machine)
{
	_cleanup_(table_freep) struct table *t = table_new(3);
	char name[ABI_NAME_SIZE];

	(void)printf("%zu calls let through; %s: %zu\n", profile_count_allowed(p, machine), other_name,
		     profile_count_allowed(other, machine));
	for (enum change c = CHANGE_ADDED; c <= CHANGE_WIDENED; c++) {
		for (int i = 0; i < ABI_NUMBERS; i++) {
			if (compare(p, other, abi_call_name(machine, i, name)) != c)
				continue;
			table_cell(t, changes[c].style, changes[c].word);
			table_cell(t, STYLE_PLAIN, name);
			table_cell(t, STYLE_DIM, call_note(name));
		}
	}
	for (int i = 0; i < ABI_NUMBERS; i++) {
		if (compare(p, other, abi_call_name(machine, i, name)) != CHANGE_REMOVED)
			continue;
		table_cell(t, STYLE_GOOD, "removed");
		table_cell(t, STYLE_PLAIN, name);
		table_cell(t, STYLE_DIM, call_note(name));
	}
	return table_print(t, stdout);
}

static int print_json(const struct profile *p, const struct profile *other, const char *other_name, enum abi machine)
{
	_cleanup_(json_freep) json_t *doc = json_object();
	char name[ABI_NAME_SIZE];

	json_object_set_new(doc, "schema", json_string("batten.seccomp-diff/1"));
	json_object_set_new(doc, "against", json_text(other_name));
	json_object_set_new(doc, "allowed", json_integer((json_int_t)profile_count_allowed(p, machine)));
	json_object_set_new(doc, "allowed_there", json_integer((json_int_t)profile_count_allowed(other, machine)));
	for (enum change c = CHANGE_REMOVED; c <= CHANGE_WIDENED; c++) {
		json_t *list = json_array();

		for (int i = 0; i < ABI_NUMBERS; i++)
			if (compare(p, other, abi_call_name(machine, i, name)) == c)
				json_array_append_new(list, json_string(name));
		json_object_set_new(doc, changes[c].word, list);
	}
	return json_print(STDOUT_FILENO, doc);
}

static int diff(const struct invocation *inv, struct diag *d)
{
	_cleanup_(profile_freep) struct profile *p = NULL, *other = NULL;
	const char *other_name = inv->n_args > 1 ? inv->args[1] : "Docker's default";
	struct profile_context context;
	int r;

	profile_context_docker(&context);
	r = abi_load_names(context.machine);
	if (r == 0)
		r = profile_read(inv->args[0], &context, &p, d);
	if (r == 0)
		r = inv->n_args > 1 ? profile_read(other_name, &context, &other, d) : docker_default_profile(&context, &other);
	if (r < 0)
		return r;
	return strcmp(invocation_format(inv), "json") == 0 ? print_json(p, other, other_name, context.machine) :
							     print_text(p, other, other_name, context.machine);
}

static enum exit_status diff_run(struct invocation *inv)
{
	struct diag d = { 0 };
	int r = diff(inv, &d);

	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

const struct command cmd_seccomp_diff = {
	.name = "seccomp diff",
	.args = "PROFILE [OTHER]",
	.help = "what a profile removes and adds, against Docker's default or another",
	.formats = "text|json",
	.min_args = 1,
	.max_args = 2,
	.exits = {
		[EXIT_DONE] = "compared",
		[EXIT_USAGE] = "an invalid profile",
	},
	.run = diff_run,
};
