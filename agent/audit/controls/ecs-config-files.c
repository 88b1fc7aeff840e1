/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What stands in the agent's files: lines that do not do what they say, layers that nobody looks
 * at, secrets, and who may read and write them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/controls/ecs-config.h"

static struct subject setting(struct audit *a, const struct ecs_result *r)
{
	return audit_subject(a, SUBJECT_SETTING, r->name);
}

static bool is_bool(const struct ecs_variable *v)
{
	return v && (v->kind == ECS_BOOL || v->kind == ECS_BOOL_PLAIN || v->kind == ECS_BOOL_INIT ||
		     v->kind == ECS_BOOL_EXACT);
}

static enum severity weight(const struct ecs_variable *v, enum severity otherwise)
{
	return v && v->relevance == ECS_HIGH ? SEV_HIGH : otherwise;
}

ECS_CHECK(check_ecs_bools)
{
	const struct ecs_settings *e;
	unsigned int n_written = 0, n_bad = 0;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < e->config->n_results; i++) {
		const struct ecs_result *v = &e->config->results[i];
		struct subject about;

		if (!is_bool(v->row) || !ecs_is_written(v))
			continue;
		n_written++;
		if (v->verdict != ECS_INVALID)
			continue;
		n_bad++;
		about = setting(a, v);
		audit_fail_as(a, &about, weight(v->row, SEV_MEDIUM), "%s", ecs_result_text(a, v));
	}
	if (n_written == 0)
		audit_not_applicable(a, s, "no switch is written in any of the files");
	else if (n_bad == 0)
		audit_pass(a, s, "all %u that are written are understood", n_written);
	return 0;
}

/* Which line is wrong, and what was meant; NULL when it is well. */
static bool judge_line(struct audit *a, const struct ecs_result *v, enum severity *severity, const char **why)
{
	const struct ecs_layer *first = v->n_layers > 0 ? &v->layers[0] : NULL;
	const struct ecs_variable *meant = v->suggestion ? ecs_variable_find(slice_of(v->suggestion)) : v->row;

	if (!first || !first->file || first->line == 0 || !v->reason)
		return false;
	if (v->verdict != ECS_UNKNOWN && v->verdict != ECS_DUPLICATE && v->verdict != ECS_IGNORED &&
	    !(v->verdict == ECS_FATAL && !v->row))
		return false;
	*severity = weight(meant, SEV_LOW);
	*why = arena_printf(&a->arena, "%s:%u: %s", first->file, first->line, v->reason);
	return true;
}

ECS_CHECK(check_ecs_lines)
{
	const struct ecs_settings *e;
	const char *why;
	enum severity severity;
	unsigned int n_bad = 0;
	bool any = false;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < e->config->n_files; i++)
		any |= e->config->files[i].state == ECS_FILE_READ &&
		       (strcmp(e->config->files[i].path, ECS_CONFIG_FILE) == 0 ||
			strcmp(e->config->files[i].path, ECS_INSTANCE_FILE) == 0);
	if (!any) {
		audit_not_applicable(a, s, "neither " ECS_CONFIG_FILE " nor " ECS_INSTANCE_FILE " is there");
		return 0;
	}
	for (size_t i = 0; i < e->config->n_results; i++) {
		struct subject about;

		if (!judge_line(a, &e->config->results[i], &severity, &why))
			continue;
		n_bad++;
		about = setting(a, &e->config->results[i]);
		audit_fail_as(a, &about, severity, "%s", why);
	}
	if (n_bad == 0)
		audit_pass(a, s, "every line sets a variable that is read, once");
	return 0;
}

ECS_CHECK(check_ecs_in_force)
{
	const struct ecs_settings *e;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	if (!e->compared) {
		audit_not_applicable(a, s, "the agent is not running");
		return 0;
	}
	for (size_t i = 0; i < e->config->n_results; i++) {
		const struct ecs_result *v = &e->config->results[i];
		struct subject about;

		if (!v->drift)
			continue;
		about = setting(a, v);
		/* What no file says was set by somebody who went past them. */
		if (v->running && !ecs_is_written(v))
			audit_fail(a, &about, "%s; running: %s", v->reason, v->running);
		else
			audit_drift(a, &about, "%s; running: %s", v->reason, v->running ? v->running : "not set");
	}
	if (e->config->n_drift == 0)
		audit_pass(a, s, "the environment of the running agent is what the files make");
	return 0;
}

/* A source below ecs.config that the agent takes settings from. */
static bool is_hidden_layer(const struct ecs_config *c, const struct ecs_file *f)
{
	bool user_data = strcmp(f->path, ECS_USER_DATA_COPY) == 0 || strcmp(f->path, "user data") == 0;

	if (f->path == c->json_path)
		return f->state != ECS_FILE_ABSENT;
	return user_data && f->state == ECS_FILE_READ && !f->reason;
}

ECS_CHECK(check_ecs_hidden_layers)
{
	const struct ecs_settings *e;
	struct evidence clean = { 0 };
	unsigned int n_bad = 0;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < e->config->n_files; i++)
		if (is_hidden_layer(e->config, &e->config->files[i]))
			evidence_add(&clean, "%s sets nothing that matters", e->config->files[i].path);
	if (clean.n_parts == 0) {
		audit_not_applicable(a, s, "there is no JSON file, and user data are no configuration of the agent");
		return 0;
	}
	for (size_t i = 0; i < e->config->n_results; i++) {
		const struct ecs_result *v = &e->config->results[i];
		struct subject about;

		if ((v->source != ECS_FROM_JSON && v->source != ECS_FROM_USER_DATA) ||
		    (v->row && v->row->relevance < ECS_MEDIUM))
			continue;
		n_bad++;
		about = setting(a, v);
		audit_fail(a, &about, "%s", ecs_result_text(a, v));
	}
	for (size_t i = 0; i < e->config->n_fatal; i++) {
		if (!e->config->json_path || !strstr(e->config->fatal[i], e->config->json_path))
			continue;
		n_bad++;
		audit_fail_as(a, s, SEV_MEDIUM, "%s", e->config->fatal[i]);
	}
	if (n_bad == 0)
		audit_pass(a, s, "%s", evidence_text(&clean));
	return 0;
}

ECS_CHECK(check_ecs_registry_secrets)
{
	static const char *const names[] = { "ECS_ENGINE_AUTH_DATA", "ECS_ENGINE_AUTH_TYPE" };
	const struct ecs_settings *e;
	struct evidence found = { 0 };
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct ecs_result *v = ecs_config_get(e->config, names[i]);

		for (size_t k = 0; k < v->n_layers; k++)
			if (*v->layers[k].raw)
				evidence_add(&found, "%s in %s:%u", v->name, v->layers[k].file ? v->layers[k].file : "user data", v->layers[k].line);
		if (v->n_layers == 0 && v->running)
			evidence_add(&found, "%s in the running agent's environment", v->name);
	}
	/* A comment and a misspelt name hand the secret over all the same. */
	for (size_t i = 0; i < e->config->n_results; i++) {
		const struct ecs_result *v = &e->config->results[i];

		if (!v->row && v->secret && v->n_layers > 0)
			evidence_add(&found, "%s in %s:%u", v->name, v->layers[0].file, v->layers[0].line);
	}
	if (found.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&found));
	else
		audit_pass(a, s, "none in the files%s", e->compared ? " and none in the running agent" : "");
	return 0;
}

/* Does a line begin with it? What only begins like it (ExecStartPre, EnvironmentFile) is as much of a setting. */
static bool unit_sets(const char *text, const char *keyword)
{
	size_t n = strlen(keyword);

	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		p += strspn(p, " \t");
		if (strncmp(p, keyword, n) == 0)
			return true;
	}
	return false;
}

/* Only ExecStart and the like in a drop-in change what runs as root; what else it does is its own. */
static void check_drop_in(struct audit *a, const char *path, const char *name)
{
	static const char *const words[] = { "ExecStart", "Environment", "User", "RootDirectory" };
	struct subject about = audit_subject(a, SUBJECT_FILE, path);
	struct evidence found = { 0 };
	const char *text;
	struct stat st;
	int r = facts_read(a->facts, path, &text, NULL);

	if (r < 0) {
		audit_unknown(a, &about, "cannot be read: %s", strerror(-r));
		return;
	}
	for (size_t k = 0; k < ARRAY_SIZE(words); k++) {
		if (!unit_sets(text, words[k]) || audit_listed(a, "ecs-drop-ins", name))
			continue;
		evidence_add(&found, "overrides %s of the agent's unit", words[k]);
		break;
	}
	if (facts_stat(a->facts, path, true, &st) == 0 && (st.st_uid != 0 || (st.st_mode & (st.st_gid ? 0022u : 0002u))))
		evidence_add(&found, "mode %04o of user %u: others than root can change what root runs", st.st_mode & 07777,
			     st.st_uid);
	if (found.n_parts > 0)
		audit_fail(a, &about, "%s", evidence_text(&found));
}

static void check_drop_ins(struct audit *a, bool *any)
{
	static const char *const directories[] = { "/etc/systemd/system/ecs.service.d", "/run/systemd/system/ecs.service.d" };

	for (size_t k = 0; k < ARRAY_SIZE(directories); k++) {
		const char *const *names;
		int n = facts_list(a->facts, directories[k], &names);

		for (int i = 0; i < n; i++) {
			size_t length = strlen(names[i]);

			if (length <= 5 || strcmp(names[i] + length - 5, ".conf") != 0)
				continue; /* systemd reads no others */
			*any = true;
			check_drop_in(a, arena_printf(&a->arena, "%s/%s", directories[k], names[i]), names[i]);
		}
	}
}

static bool holds_secret(const struct ecs_settings *e, const char *path)
{
	for (size_t i = 0; i < e->config->n_files; i++)
		if (strcmp(e->config->files[i].path, path) == 0)
			return e->config->files[i].holds_secret;
	return false;
}

static const struct {
	const char *path;
	mode_t most;
} files[] = {
	{ "/etc/ecs", 0755 },
	{ ECS_CONFIG_FILE, 0644 },
	{ ECS_JSON_FILE, 0644 },
	{ ECS_INSTANCE_FILE, 0644 },
	{ "/usr/lib/systemd/system/ecs.service", 0644 },
	{ "/etc/systemd/system/ecs.service", 0644 },
	{ "/etc/systemd/system/ecs.service.d", 0755 },
};

static mode_t most_of(const struct ecs_settings *e, size_t i)
{
	return holds_secret(e, files[i].path) ? 0600 : files[i].most;
}

mode_t ecs_file_mode(struct audit *a, const char *path)
{
	const struct ecs_settings *e;

	if (ecs_settings(a->facts, &e) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (strcmp(files[i].path, path) == 0)
			return most_of(e, i);
	return 0;
}

ECS_CHECK(check_ecs_file_modes)
{
	const struct ecs_settings *e;
	bool any = false;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct subject about = audit_subject(a, SUBJECT_FILE, files[i].path);
		bool secret = holds_secret(e, files[i].path);
		mode_t most = most_of(e, i);
		struct evidence found = { 0 };
		struct stat st;

		r = facts_stat(a->facts, files[i].path, true, &st);
		if (r == -ENOENT || r == -ENOTDIR)
			continue;
		any = true;
		if (r < 0) {
			audit_unknown(a, &about, "%s", strerror(-r));
			continue;
		}
		if (st.st_uid != 0 || st.st_gid != 0)
			evidence_add(&found, "belongs to %u:%u, wanted root:root", st.st_uid, st.st_gid);
		if ((st.st_mode & 07777) & ~most)
			evidence_add(&found, "mode %04o, wanted %04o or less%s", st.st_mode & 07777, most,
				     secret ? " for the secrets in it" : "");
		if (found.n_parts > 0)
			audit_fail_as(a, &about, secret ? SEV_HIGH : SEV_MEDIUM, "%s", evidence_text(&found));
		else
			audit_pass(a, &about, "mode %04o, root:root", st.st_mode & 07777);
	}
	check_drop_ins(a, &any);
	if (!any)
		audit_not_applicable(a, s, "none of the agent's files is there");
	return 0;
}
