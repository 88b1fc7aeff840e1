/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten ecs config`: every variable of the ECS agent, what each source says about it and what the
 * agent does with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/core-dump.h"
#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/base/table.h"
#include "batten/host/ecs-config.h"
#include "cli/commands.h"

#define MAX_USER_DATA (1U << 20) /* EC2 allows 16 KiB */

static void set_text(json_t *o, const char *key, const char *text)
{
	if (text)
		json_object_set_new(o, key, json_text(text));
}

static json_t *layer_json(const struct ecs_layer *l)
{
	json_t *o = json_object();

	set_text(o, "source", ecs_source_names[l->source]);
	set_text(o, "file", l->file);
	if (l->line > 0)
		json_object_set_new(o, "line", json_integer(l->line));
	set_text(o, "raw", l->raw);
	set_text(o, "verdict", ecs_verdict_names[l->verdict]);
	set_text(o, "reason", l->reason);
	return o;
}

static json_t *result_json(const struct ecs_result *r)
{
	json_t *o = json_object(), *layers = json_array();
	const struct ecs_layer *first = r->n_layers > 0 ? &r->layers[0] : NULL;

	set_text(o, "name", r->name);
	json_object_set_new(o, "known", json_boolean(r->row && !(r->row->flags & ECS_DEAD)));
	json_object_set_new(o, "effective", r->effective ? json_text(r->effective) : json_null());
	set_text(o, "effective_for_init", r->effective_for_init);
	set_text(o, "source", ecs_source_names[r->source]);
	if (first && first->file) {
		set_text(o, "file", first->file);
		if (first->line > 0)
			json_object_set_new(o, "line", json_integer(first->line));
	}
	if (first)
		set_text(o, "raw", first->raw);
	set_text(o, "verdict", ecs_verdict_names[r->verdict]);
	set_text(o, "reason", r->reason);
	set_text(o, "did_you_mean", r->suggestion);
	if (r->row)
		set_text(o, "hardened", r->row->hardened);
	json_object_set_new(o, "secret", json_boolean(r->secret));
	if (r->drift) {
		json_object_set_new(o, "drift", json_true());
		json_object_set_new(o, "running", r->running ? json_text(r->running) : json_null());
	}
	for (size_t i = 0; i < r->n_layers; i++)
		json_array_append_new(layers, layer_json(&r->layers[i]));
	json_object_set_new(o, "layers", layers);
	return o;
}

static const char *const file_states[] = {
	[ECS_FILE_READ] = "read",
	[ECS_FILE_ABSENT] = "absent",
	[ECS_FILE_UNREADABLE] = "unreadable",
	[ECS_FILE_DENIED] = "denied",
};

static int print_json(const struct ecs_config *c)
{
	_cleanup_(json_freep) json_t *doc = json_object();
	json_t *variables = json_array(), *files = json_array(), *fatal = json_array();

	for (size_t i = 0; i < c->n_files; i++) {
		json_t *o = json_object();

		set_text(o, "path", c->files[i].path);
		set_text(o, "state", file_states[c->files[i].state]);
		set_text(o, "reason", c->files[i].reason);
		json_array_append_new(files, o);
	}
	for (size_t i = 0; i < c->n_fatal; i++)
		json_array_append_new(fatal, json_text(c->fatal[i]));
	for (size_t i = 0; i < c->n_results; i++)
		json_array_append_new(variables, result_json(&c->results[i]));
	set_text(doc, "schema", "batten.ecs-config/1");
	json_object_set_new(doc, "files", files);
	json_object_set_new(doc, "fatal", fatal);
	if (c->agent_pid > 0)
		json_object_set_new(doc, "agent_pid", json_integer(c->agent_pid));
	json_object_set_new(doc, "variables", variables);
	return json_object_size(doc) >= 4 ? json_print(STDOUT_FILENO, doc) : -ENOMEM;
}

static enum table_style verdict_style(enum ecs_verdict v)
{
	static const enum table_style styles[_ECS_VERDICT_MAX] = {
		[ECS_OK] = STYLE_PLAIN,	       [ECS_IGNORED] = STYLE_WARN, [ECS_SHADOWED] = STYLE_WARN,
		[ECS_DUPLICATE] = STYLE_WARN,  [ECS_UNKNOWN] = STYLE_BAD,  [ECS_OUT_OF_RANGE] = STYLE_BAD,
		[ECS_INVALID] = STYLE_BAD,     [ECS_FATAL] = STYLE_BAD,
	};

	return styles[v];
}

/* Written down by somebody, different from what is written, or worth a word. */
static bool is_interesting(const struct ecs_result *r)
{
	for (size_t i = 0; i < r->n_layers; i++)
		if (r->layers[i].source != ECS_FROM_BUILT_IN)
			return true;
	return r->drift || r->verdict != ECS_OK || (r->source != ECS_FROM_DEFAULT && r->source != ECS_FROM_BUILT_IN);
}

static void add_row(struct table *t, const struct ecs_result *r)
{
	const struct ecs_layer *first = r->n_layers > 0 ? &r->layers[0] : NULL;

	table_cell(t, STYLE_HEAD, r->name);
	table_cell(t, STYLE_PLAIN, r->effective ? r->effective : "-");
	table_cell(t, STYLE_DIM, r->effective ? ecs_source_names[r->source] : "-");
	table_cell(t, verdict_style(r->verdict), r->drift ? "drift" : ecs_verdict_names[r->verdict]);
	if (first && first->file && first->line > 0)
		table_cellf(t, STYLE_DIM, "%s:%u", first->file, first->line);
	else
		table_cell(t, STYLE_DIM, first && first->file ? first->file : "");
}

static int print_table(const struct ecs_config *c, bool all)
{
	_cleanup_(table_freep) struct table *t = table_new(5);
	static const char *const head[] = { "VARIABLE", "EFFECTIVE", "FROM", "VERDICT", "WRITTEN AT" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		table_cell(t, STYLE_HEAD, head[i]);
	for (size_t i = 0; i < c->n_results; i++) {
		if (all || is_interesting(&c->results[i])) {
			add_row(t, &c->results[i]);
			n++;
		}
	}
	if (n == 0) {
		(void)puts("No variable is written anywhere: defaults hold.");
		return 0;
	}
	return table_print(t, stdout);
}

static void put_printable(const char *s)
{
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch < 0x20 || ch == 0x7f)
			(void)printf("\\x%02x", ch);
		else
			(void)putchar(ch);
	}
}

static void print_reasons(const struct ecs_config *c)
{
	bool headed = false;

	for (size_t i = 0; i < c->n_results; i++) {
		const struct ecs_result *r = &c->results[i];

		if (!r->reason || (r->verdict == ECS_OK && !r->drift && !is_interesting(r)))
			continue;
		if (!headed)
			(void)putchar('\n');
		headed = true;
		put_printable(r->name);
		if (r->n_layers > 0 && r->layers[0].line > 0)
			(void)printf(" (line %u)", r->layers[0].line);
		(void)fputs(": ", stdout);
		put_printable(r->reason);
		(void)putchar('\n');
	}
}

static int print_text(const struct ecs_config *c, bool all)
{
	size_t n_quiet = 0;
	int r;

	for (size_t i = 0; i < c->n_fatal; i++) {
		(void)printf("%sFatal:%s ", style_begin(stdout, STYLE_BAD),
			     style_end(stdout, STYLE_BAD));
		put_printable(c->fatal[i]);
		(void)putchar('\n');
	}
	for (size_t i = 0; i < c->n_files; i++) {
		if (!c->files[i].reason)
			continue;
		(void)printf("%s: ", c->files[i].path);
		put_printable(c->files[i].reason);
		(void)putchar('\n');
	}
	r = print_table(c, all);
	if (r < 0)
		return r;
	print_reasons(c);
	for (size_t i = 0; i < c->n_results; i++)
		n_quiet += !is_interesting(&c->results[i]);
	if (!all)
		(void)printf("\n%zu more variables are as they were built; -v shows them.\n", n_quiet);
	if (c->agent_pid > 0 && c->n_drift == 0)
		(void)printf("The running agent (process %d) has what the files say.\n", (int)c->agent_pid);
	return 0;
}

/* The first file that we, but not its readers, are kept from; NULL when there is none. */
static const struct ecs_file *denied_file(const struct ecs_config *c)
{
	for (size_t i = 0; i < c->n_files; i++)
		if (c->files[i].state == ECS_FILE_DENIED)
			return &c->files[i];
	return NULL;
}

/* Does everything that somebody wrote do what it says? */
static bool all_well(const struct ecs_config *c)
{
	for (size_t i = 0; i < c->n_results; i++)
		if (c->results[i].verdict != ECS_OK || c->results[i].drift)
			return false;
	return c->n_fatal == 0;
}

static enum exit_status ecs_config_run(struct invocation *inv)
{
	_cleanup_(ecs_config_freep) struct ecs_config *c = NULL;
	_cleanup_(root_done) struct root root = ROOT_NONE;
	_cleanup_(freep) char *user_data = NULL;
	struct ecs_config_options options = { .compare = true };
	const char *file = invocation_value(inv, "user-data");
	const struct ecs_file *denied;
	struct diag d = { 0 };
	int r;

	core_dump_forbid();
	r = root_init(&root, invocation_value(inv, "root"), &d);
	if (r < 0)
		return invocation_fail(&d, r);
	if (file) {
		r = file_read(AT_FDCWD, file, MAX_USER_DATA, &user_data, &options.user_data.n, &d);
		if (r < 0)
			return invocation_fail(&d, r);
		options.user_data.p = user_data;
	}
	r = ecs_config_load(&c, &root, &options, &d);
	if (r == 0)
		r = strcmp(invocation_format(inv), "json") == 0 ? print_json(c) : print_text(c, inv->verbose);
	if (r < 0)
		return invocation_fail(&d, r);
	denied = denied_file(c);
	if (denied)
		return invocation_fail(&d, diag_fail(&d, -EACCES, denied->path, "not readable for you: run as root"));
	return all_well(c) ? EXIT_DONE : EXIT_NO;
}

const struct command cmd_ecs_config = {
	.name = "ecs config",
	.args = "",
	.help = "every agent variable: what each source says, what the agent does with it, and why",
	.details = "Reads /etc/ecs/ecs.config, /var/lib/ecs/ecs.config, ecs.config.json and the unit of ecs-init as\n"
		   "their readers do. On a live host the running agent's environment is compared as well. Secrets\n"
		   "are shown as ***.",
	.options = (const struct option_row[]){
		{ "root", 0, "DIR", "an unpacked image or a mounted disk instead of this host", false },
		{ "user-data", 0, "FILE", "the instance's user data; without, cloud-init's copy is read", false },
		{ 0 },
	},
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "everything that is written does what it says",
		[EXIT_NO] = "something does not, or the agent would not start",
		[EXIT_USAGE] = "no such directory or file",
		[EXIT_UNABLE] = "a file of the agent is not readable for you",
	},
	.run = ecs_config_run,
};
