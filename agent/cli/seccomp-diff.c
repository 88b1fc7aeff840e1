/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp diff`: what one profile lets through and the other does not. The other is Docker's
 * default unless it is named.
 */
#include <assert.h>
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
	CHANGE_ADDED,
	CHANGE_NARROWED, /* only with some arguments now */
	CHANGE_WIDENED,
	CHANGE_ARGUMENTS, /* with other arguments than there */
	CHANGE_REMOVED,
	_CHANGE_MAX,
};

static const struct {
	const char *word;
	enum table_style style;
} changes[_CHANGE_MAX] = {
	[CHANGE_ADDED] = { "added", STYLE_BAD },
	[CHANGE_NARROWED] = { "narrowed", STYLE_GOOD },
	[CHANGE_WIDENED] = { "widened", STYLE_WARN },
	[CHANGE_ARGUMENTS] = { "arguments", STYLE_WARN },
	[CHANGE_REMOVED] = { "removed", STYLE_GOOD },
};

struct comparison {
	const struct profile *profile, *other;
	const char *other_name;
	enum abi machine;
};

static enum change compare(const struct comparison *c, const char *name)
{
	bool some = profile_allows(c->profile, name, true), all = profile_allows(c->profile, name, false);
	bool other_some = profile_allows(c->other, name, true), other_all = profile_allows(c->other, name, false);

	if (some != other_some)
		return some ? CHANGE_ADDED : CHANGE_REMOVED;
	if (all != other_all)
		return all ? CHANGE_WIDENED : CHANGE_NARROWED;
	return some && !all && !profile_same_arguments(c->profile, c->other, name) ? CHANGE_ARGUMENTS : CHANGE_NONE;
}

/*
 * The call of that number if it changed that way. A rule holds for a name in all interfaces, so that another one than
 * the machine's own adds only the names that it alone has (socketcall), and those only where both profiles have it.
 */
static const char *changed(const struct comparison *c, enum abi a, int number, enum change wanted,
			   char name[static ABI_NAME_SIZE])
{
	(void)abi_call_name(a, number, name);
	if (a != c->machine && (name[0] == '#' || !c->profile->abis[a] || !c->other->abis[a] ||
				abi_call_number(c->machine, name) >= 0))
		return NULL;
	return compare(c, name) == wanted ? name : NULL;
}

static bool of_machine(const struct comparison *c, enum abi a)
{
	return abi_machine(a) == c->machine;
}

static bool architecture_changed(const struct comparison *c, enum abi a, enum change wanted)
{
	return of_machine(c, a) && c->profile->abis[a] != c->other->abis[a] &&
	       (wanted == CHANGE_ADDED ? c->profile->abis[a] : wanted == CHANGE_REMOVED && c->other->abis[a]);
}

static void put_row(struct table *t, enum change change, const char *what, const char *note)
{
	table_cell(t, changes[change].style, changes[change].word);
	table_cell(t, STYLE_PLAIN, what);
	table_cell(t, STYLE_DIM, note);
}

static int print_text(const struct comparison *c)
{
	_cleanup_(table_freep) struct table *t = table_new(3);
	char name[ABI_NAME_SIZE], what[2 * ABI_NAME_SIZE];

	(void)printf("%zu calls let through; %s: %zu\n", profile_count_allowed(c->profile, c->machine), c->other_name,
		     profile_count_allowed(c->other, c->machine));
	for (enum change change = CHANGE_ADDED; change < _CHANGE_MAX; change++) {
		for (enum abi a = 0; a < _ABI_MAX; a++) {
			if (architecture_changed(c, a, change)) {
				(void)snprintf(what, sizeof(what), "every call (%s)", abi_name(a));
				put_row(t, change, what, abi_profile_name(a));
			}
			for (int i = 0; of_machine(c, a) && i < ABI_NUMBERS; i++) {
				if (!changed(c, a, i, change, name))
					continue;
				(void)snprintf(what, sizeof(what), a == c->machine ? "%s" : "%s (%s)", name, abi_name(a));
				put_row(t, change, what, call_note(name));
			}
		}
	}
	return table_print(t, stdout);
}

/* {removed: [...], ...}: the calls of one interface */
static json_t *changes_json(const struct comparison *c, enum abi a)
{
	json_t *j = json_object();
	char name[ABI_NAME_SIZE];

	for (enum change change = CHANGE_ADDED; change < _CHANGE_MAX; change++) {
		json_t *list = json_array();

		for (int i = 0; i < ABI_NUMBERS; i++)
			if (changed(c, a, i, change, name))
				json_array_append_new(list, json_string(name));
		json_object_set_new(j, changes[change].word, list);
	}
	return j;
}

static int print_json(const struct comparison *c)
{
	_cleanup_(json_freep) json_t *doc = changes_json(c, c->machine);
	json_t *others = json_object(), *added = json_array(), *removed = json_array();

	for (enum abi a = 0; a < _ABI_MAX; a++) {
		if (of_machine(c, a) && a != c->machine)
			json_object_set_new(others, abi_name(a), changes_json(c, a));
		if (architecture_changed(c, a, CHANGE_ADDED))
			json_array_append_new(added, json_string(abi_profile_name(a)));
		if (architecture_changed(c, a, CHANGE_REMOVED))
			json_array_append_new(removed, json_string(abi_profile_name(a)));
	}
	json_object_set_new(doc, "schema", json_string("batten.seccomp-diff/1"));
	json_object_set_new(doc, "against", json_text(c->other_name));
	json_object_set_new(doc, "allowed", json_integer((json_int_t)profile_count_allowed(c->profile, c->machine)));
	json_object_set_new(doc, "allowed_there", json_integer((json_int_t)profile_count_allowed(c->other, c->machine)));
	json_object_set_new(doc, "architectures", json_pack("{s:o, s:o}", "added", added, "removed", removed));
	json_object_set_new(doc, "other_interfaces", others);
	return json_print(STDOUT_FILENO, doc);
}

static int diff(const struct invocation *inv, struct diag *d)
{
	_cleanup_(profile_freep) struct profile *p = NULL, *other = NULL;
	const char *other_name = inv->n_args > 1 ? inv->args[1] : "Docker's default";
	struct profile_context context;
	struct comparison c;
	int r = 0;

	profile_context_docker(&context);
	for (enum abi a = 0; r == 0 && a < _ABI_MAX; a++)
		r = abi_load_names(a);
	if (r == 0)
		r = profile_read(inv->args[0], &context, &p, d);
	if (r == 0)
		r = inv->n_args > 1 ? profile_read(other_name, &context, &other, d) : docker_default_profile(&context, &other);
	if (r < 0)
		return r;
	assert(p && other);
	c = (struct comparison){ p, other, other_name, context.machine };
	return strcmp(invocation_format(inv), "json") == 0 ? print_json(&c) : print_text(&c);
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
