/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Menders of the ECS agent: a variable in /etc/ecs/ecs.config becomes what it should be, in the place of
 * the line that was wrong, and the agent itself a newer one. It reads its file when it starts.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "audit/controls/ecs-agent.h"
#include "audit/ecs-settings.h"
#include "audit/fix-internal.h"
#include "batten/host/go-values.h"

#define CONFIG_MODE 0600 /* of a file that was not there: it may get secrets */

/* The settings of the audited tree; NULL sends the finding back. */
static const struct ecs_settings *settings_of(struct fix_plan *p)
{
	const struct ecs_settings *e;

	if (ecs_settings(p->audit->facts, &e) < 0 || !e->is_ecs)
		return NULL;
	return e;
}

static int put_text(struct snapshot *s, struct bytes *out, int r)
{
	if (r >= 0)
		r = snapshot_set_data(s, out->data ? out->data : "", out->n);
	bytes_done(out);
	return r;
}

/* The line of the file that names it nearly right, or 0. */
static unsigned int misspelt_line(const struct ecs_settings *e, const char *name)
{
	for (size_t i = 0; i < e->config->n_results; i++) {
		const struct ecs_result *v = &e->config->results[i];

		if (v->suggestion && strcmp(v->suggestion, name) == 0 && v->n_layers > 0 && v->layers[0].file &&
		    strcmp(v->layers[0].file, ECS_CONFIG_FILE) == 0)
			return v->layers[0].line;
	}
	return 0;
}

static int put(struct fix_plan *p, const struct ecs_settings *e, const char *name, const char *value)
{
	struct bytes out = { 0 };
	struct snapshot *s;
	int r = plan_file(p, ECS_CONFIG_FILE, CONFIG_MODE, &s);

	if (r < 0)
		return r;
	return put_text(s, &out, lines_set((struct slice){ s->data, s->n }, name, value, misspelt_line(e, name), &out));
}

static bool needs_setting(const struct ecs_settings *e, const struct ecs_setting *x)
{
	const struct ecs_result *v = ecs_config_get(e->config, x->name);
	const char *now = v->effective_for_init ? v->effective_for_init : v->effective;
	bool any = x->bad[0] != NULL;

	for (size_t i = 0; i < ARRAY_SIZE(x->bad) && x->bad[i]; i++)
		if (now && strcmp(now, x->bad[i]) == 0)
			return true;
	return !any && !(now && strcmp(now, x->value) == 0);
}

static int mend_settings(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct ecs_settings *e = settings_of(p);
	bool any = false;
	int r = 0;

	if (!e)
		return plan_refuse(p, "there is no ECS agent here; %s", f->control->remedy);
	for (const struct ecs_setting *x = m->settings; x && x->name && r >= 0; x++) {
		any |= needs_setting(e, x) || ecs_config_get(e->config, x->name)->drift;
		if (needs_setting(e, x))
			r = put(p, e, x->name, x->value);
	}
	/* Set, and in the running agent: what is there all the same did not come from here. */
	if (r >= 0 && !any && f->status == STATUS_DRIFT)
		return plan_refuse(p, "the agent is set right; what runs all the same is for its task definition to mend");
	return r < 0 ? r : 1;
}

/* ---- CFG-02: values that are no bool -----------------------------------------------------------*/

/* What a person meant by it: 1, 0, or -1. */
static int meant(struct slice s)
{
	static const struct {
		const char *word;
		int value;
	} words[] = { { "true", 1 },	 { "yes", 1 }, { "on", 1 },  { "enabled", 1 },	{ "enable", 1 },  { "1", 1 },	{ "t", 1 },
		      { "y", 1 },	 { "false", 0 }, { "no", 0 }, { "off", 0 },	{ "disabled", 0 }, { "disable", 0 }, { "0", 0 },
		      { "f", 0 },	 { "n", 0 } };
	size_t n = 0;

	s = slice_trim(s);
	while (s.n > 0 && (*s.p == '"' || *s.p == '\'')) {
		s.p++;
		s.n--;
	}
	while (n < s.n && !strchr(" \t#;\"'", s.p[n]))
		n++;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strlen(words[i].word) == n && strncasecmp(s.p, words[i].word, n) == 0)
			return words[i].value;
	return -1;
}

static struct slice value_in_line(struct slice text, unsigned int line)
{
	struct slice s = { "", 0 };

	for (size_t at = 0; line > 0 && at < text.n; line--) {
		const char *end = memchr(text.p + at, '\n', text.n - at);
		size_t n = end ? (size_t)(end - text.p) - at : text.n - at;

		s = (struct slice){ text.p + at, n };
		at += n + 1;
	}
	for (const char *p = s.p; p < s.p + s.n; p++)
		if (*p == '=')
			return (struct slice){ p + 1, (size_t)(s.p + s.n - p) - 1 };
	return (struct slice){ "", 0 };
}

/* What was meant, unless that is weaker than what holds now: then what holds, spelt right. */
static const char *value_for(const struct ecs_result *v, struct slice written)
{
	const char *now = v->effective_for_init ? v->effective_for_init : v->effective;
	int bit = meant(written);
	const char *wish = bit == 1 ? "true" : bit == 0 ? "false" : NULL;

	if (wish && v->row->hardened && strcmp(wish, v->row->hardened) != 0)
		return now && strcmp(now, "true") == 0 ? "true" : "false";
	if (wish)
		return wish;
	return v->row->built_in ? v->row->built_in : v->row->hardened;
}

static int mend_bool(struct fix_plan *p, const struct ecs_result *v)
{
	const struct ecs_layer *layer = v && v->n_layers > 0 ? &v->layers[0] : NULL;
	struct bytes out = { 0 };
	const char *value;
	struct snapshot *s;
	int r;

	if (!layer || layer->source != ECS_FROM_FILE || layer->line == 0)
		return plan_refuse(p, "it does not stand in an ecs.config");
	r = plan_file(p, layer->file, CONFIG_MODE, &s);
	if (r < 0)
		return r;
	value = value_for(v, value_in_line((struct slice){ s->data, s->n }, layer->line));
	if (!value)
		return plan_refuse(p, "%s:%u: what was meant cannot be told", layer->file, layer->line);
	r = put_text(s, &out, lines_replace((struct slice){ s->data, s->n }, layer->line, v->name, value, &out));
	return r < 0 ? r : 1;
}

static int mend_bools(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct ecs_settings *e = settings_of(p);

	return e ? mend_bool(p, ecs_config_get(e->config, f->subject.name)) : -ENOENT;
}

/* ---- others with a head of their own -----------------------------------------------------------*/

static int mend_lsm(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct ecs_settings *e = settings_of(p);
	bool selinux = strcmp(f->subject.name, "ECS_SELINUX_CAPABLE") == 0;
	bool present = facts_json_find(facts_docker(p->audit->facts, "info"), "SecurityOptions",
				       selinux ? "name=selinux" : "name=apparmor") != NULL;
	int r = e ? put(p, e, f->subject.name, present ? "true" : "false") : -ENOENT;

	return r < 0 ? r : 1;
}

static bool has_password(const struct ecs_settings *e, const char *name)
{
	const struct ecs_result *v = ecs_config_get(e->config, name);

	return v->effective && strstr(v->effective, ":***@");
}

static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || strchr(", ", p[-1])) && strchr(", ", p[n]))
			return true;
	return false;
}

/* Passwords stay: without them the proxy lets nobody through, and where they should come from we cannot know. */
static int mend_proxy(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	static const char *const proxies[] = { "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy" };
	static const char *const wanted[] = { "169.254.169.254", "169.254.170.2", "/var/run/docker.sock" };
	const struct ecs_settings *e = settings_of(p);
	const struct ecs_result *upper, *lower, *v;
	struct bytes list = { 0 };
	int r;

	if (!e)
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		if (has_password(e, proxies[i]))
			return plan_refuse(p, "the password in %s is yours to take out", proxies[i]);
	upper = ecs_config_get(e->config, "NO_PROXY");
	lower = ecs_config_get(e->config, "no_proxy");
	v = upper->effective && *upper->effective ? upper : lower;
	if (!v->effective || !*v->effective)
		return plan_refuse(p, "the password in dockerd's proxy is yours to take out");
	bytes_append_str(&list, v->effective);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!list_has(v->effective, wanted[i]))
			bytes_printf(&list, ",%s", wanted[i]);
	r = list.error < 0 ? list.error : put(p, e, v->name, list.data);
	bytes_done(&list);
	return r < 0 ? r : 1;
}

/* The bound is the agent's default unless somebody raised it. */
static int bound_logs(struct fix_plan *p, const struct ecs_settings *e)
{
	static const struct {
		const char *name, *value;
		uint64_t most;
	} rows[] = { { "ECS_LOG_MAX_ROLL_COUNT", "24", 24 }, { "ECS_LOG_MAX_FILE_SIZE_MB", "10", 40 } };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && r >= 0; i++) {
		const struct ecs_result *v = ecs_config_get(e->config, rows[i].name);
		uint64_t n;

		/* What is out of range bounds nothing, or lets no log be written. */
		if (v->verdict == ECS_OUT_OF_RANGE ||
		    (v->effective && parse_u64(slice_of(v->effective), 0, UINT64_MAX, &n) == 0 && n > rows[i].most))
			r = put(p, e, rows[i].name, rows[i].value);
	}
	return r;
}

static int mend_logs(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct ecs_settings *e = settings_of(p);
	int r;

	if (!e)
		return plan_refuse(p, "there is no ECS agent here");
	r = mend_settings(p, m, f);
	if (r >= 0)
		r = bound_logs(p, e);
	/* The setting that the log names as ignored. */
	for (size_t i = 0; i < e->config->n_results && r >= 0; i++) {
		const struct ecs_result *v = &e->config->results[i];

		if (v->verdict == ECS_INVALID && v->row && v->row->kind >= ECS_BOOL && v->row->kind <= ECS_BOOL_EXACT)
			r = mend_bool(p, v);
	}
	return r < 0 ? r : 1;
}

/* Nothing is written: the restart is the change. */
static int mend_by_restart(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	return 1;
}

/* ---- the agent itself --------------------------------------------------------------------------*/

#define AGENT_PACKAGE "ecs-init" /* brings the agent's image of the same version */
#define BY_HAND "update it the way it was installed, or take a current AMI"

static bool runs_a_recent_agent(struct audit *a)
{
	return ecs_agent_is_recent(a, ecs_agent_version(a));
}

static int mend_agent(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct fix_host *h = p->fix->host;
	struct package now;
	struct diag why = { 0 };
	int r = h->package(h->data, PACKAGE_ASK, AGENT_PACKAGE, NULL, -1, &now, &why);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return plan_refuse(p, "%s: %s; " BY_HAND, why.where, why.what);
	if (!now.installed[0])
		return plan_refuse(p, "no package " AGENT_PACKAGE " is installed; " BY_HAND);
	/* It was updated, and nobody restarted it: the restart is the change. */
	if (ecs_agent_is_recent(p->audit, now.installed))
		return 1;
	if (!now.offered[0])
		return plan_refuse(p, "dnf has nothing after " AGENT_PACKAGE " %s; newer ones come with a newer release of Amazon Linux "
				   "(dnf check-release-update), or with a current AMI", now.installed);
	if (!ecs_agent_is_recent(p->audit, now.offered))
		return plan_refuse(p, "dnf has " AGENT_PACKAGE " %s, which is too old as well; newer ones come with a newer release of "
				   "Amazon Linux (dnf check-release-update), or with a current AMI", now.offered);
	if (!now.can_go_back)
		return plan_refuse(p, "dnf has " AGENT_PACKAGE " %s, but %s no more: this could not be undone; to do it all the same: "
				   "dnf update " AGENT_PACKAGE, now.offered, now.installed);
	r = plan_package(p, AGENT_PACKAGE, now.installed, now.offered);
	return r < 0 ? r : 1;
}

#define SETTINGS(...) .plan = mend_settings, .kicks = KICK_ECS, .settings = (const struct ecs_setting[]){ __VA_ARGS__, { 0 } }
#define TASK_LIMITS { "ECS_TASK_PIDS_LIMIT", "2048", { "unlimited" } }, { "ECS_ENABLE_TASK_CPU_MEM_LIMIT", "true", { "false" } }

static const struct mender menders[] = {
	{ "CFG-01", SETTINGS({ "ECS_AWSVPC_BLOCK_IMDS", "true", { 0 } }) },
	{ "CFG-02", .plan = mend_bools, .kicks = KICK_ECS },
	{ "CFG-04", .plan = mend_by_restart, .kicks = KICK_ECS },
	{ "CFG-06", SETTINGS({ "ECS_ENABLE_TASK_IAM_ROLE", "true", { 0 } }) },
	{ "CFG-08", SETTINGS({ "ECS_DISABLE_PRIVILEGED", "true", { 0 } }) },
	{ "CFG-09", .plan = mend_lsm, .kicks = KICK_ECS },
	{ "CFG-10", SETTINGS({ "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE", "true", { 0 } }) },
	{ "CFG-12", .plan = mend_proxy, .kicks = KICK_ECS },
	{ "CFG-13", SETTINGS({ "ECS_ENABLE_SPOT_INSTANCE_DRAINING", "true", { 0 } }) },
	{ "CFG-15", SETTINGS({ "ECS_IMAGE_PULL_BEHAVIOR", "always", { "once", "prefer-cached" } }) },
	{ "CFG-16", SETTINGS(TASK_LIMITS) },
	{ "CTR-11", SETTINGS(TASK_LIMITS), .later = "counts for tasks that start from now on" },
	{ "IMG-08", SETTINGS({ "ECS_DISABLE_IMAGE_CLEANUP", "false", { "true" } },
			     { "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP", "true", { "false" } }),
	  .later = "the agent removes images in its next rounds" },
	{ "AGT-01", .plan = mend_by_restart, .kicks = KICK_ECS },
	{ "AGT-02", .plan = mend_agent, .kicks = KICK_ECS, .unknown_is_well = runs_a_recent_agent, .consent = CONSENT_UPDATE_AGENT,
	  .by_consent = "software is yours to replace: say --update-agent when dnf may do it, from the repositories of this host" },
	{ "AGT-03", SETTINGS({ "ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS", "false", { "true" } }) },
	{ "AGT-04", SETTINGS({ "ECS_SKIP_LOCALHOST_TRAFFIC_FILTER", "false", { "true" } }) },
	{ "AGT-06", .plan = mend_logs, .kicks = KICK_ECS,
	  .settings = (const struct ecs_setting[]){ { "ECS_AUDIT_LOGFILE_DISABLED", "false", { "true" } }, { 0 } },
	  .later = "what the log says already stays in it until it is rolled over" },
};

MENDER_SET(ecs_menders);
