/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Everything that is less than was asked for stands in one list with its reason, so that nobody has
 * to know which part of the document to look at.
 */
#include "batten/daemon/status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "batten/audit/life.h"
#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/base/table.h"
#include "batten/seccomp/observation-store.h"

static const char *text_of(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "";
}

static void blame(json_t *list, json_t *what, const char *reason)
{
	json_array_append_new(list, json_pack("{s:o, s:o}", "what", what, "reason", json_text(reason)));
}

/* A part whose "state" is neither good nor off. */
static void blame_part(json_t *list, const char *what, const json_t *part)
{
	const char *state = text_of(part, "state");

	if (strcmp(state, "degraded") == 0 || strcmp(state, "missing") == 0)
		blame(list, json_string(what), text_of(part, "reason"));
}

static void blame_guard(json_t *list, const json_t *guard)
{
	const json_t *l;
	size_t i;

	if (json_is_true(json_object_get(guard, "unblocked")))
		blame(list, json_string("guard"), "an operator has unblocked; `batten imds block` closes it again");
	json_array_foreach(json_object_get(guard, "layers"), i, l) {
		const char *state = text_of(l, "state");

		if (strcmp(state, "degraded") == 0 || strcmp(state, "missing") == 0)
			blame(list, json_sprintf("guard %s %s", text_of(l, "layer"), text_of(l, "family")),
			      text_of(l, "reason"));
	}
}

static json_t *blames(const json_t *status)
{
	const json_t *docker = json_object_get(status, "docker"), *metrics = json_object_get(status, "metrics");
	json_t *list = json_array();

	if (!json_is_true(json_object_get(json_object_get(status, "daemon"), "running")))
		blame(list, json_string("daemon"), "does not run: nobody heals the guard or watches the host");
	if (!json_object_get(status, "guard"))
		blame(list, json_string("guard"), "cannot be examined");
	blame_guard(list, json_object_get(status, "guard"));
	if (docker && !json_is_true(json_object_get(docker, "followed")))
		blame(list, json_string("docker"), text_of(docker, "reason"));
	blame_part(list, "audit", json_object_get(status, "audit"));
	blame_part(list, "seccomp", json_object_get(status, "seccomp"));
	if (text_of(metrics, "reason")[0])
		blame(list, json_string("metrics"), text_of(metrics, "reason"));
	return list;
}

json_t *status_assemble(struct status_parts *p)
{
	const struct {
		const char *name;
		json_t *part;
	} parts[] = {
		{ "daemon", p->daemon },   { "guard", p->guard },     { "docker", p->docker },
		{ "audit", p->audit },	   { "seccomp", p->seccomp }, { "attempts", p->attempts },
		{ "process", p->process }, { "loop", p->loop },	      { "metrics", p->metrics },
	};
	json_t *j = json_pack("{s:s, s:s}", "schema", "batten.status/1", "state", ""), *degraded;
	char host[256] = "";

	*p = (struct status_parts){ 0 };
	if (gethostname(host, sizeof(host) - 1) == 0)
		json_object_set_new(j, "host", json_text(host));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].part)
			json_object_set_new(j, parts[i].name, parts[i].part);
	degraded = blames(j);
	json_object_set_new(j, "state",
			    json_string(!json_is_true(json_object_get(json_object_get(j, "guard"), "closed")) ? "open" :
					json_array_size(degraded) > 0					     ? "degraded" :
												       "protected"));
	json_object_set_new(j, "degraded", degraded);
	return j;
}

/* ---- what lies on disk ------------------------------------------------------------------------- */

static int add_observed(void *user, const char *digest, const struct observation *o)
{
	json_t *list = user;
	struct confidence c;

	observation_confidence(o, &c);
	json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:f}", "image",
					      json_text(o->images.n > 0 ? o->images.v[0] : ""), "digest", json_text(digest),
					      "syscalls", (json_int_t)c.n_names, "saturation", c.saturation));
	return 0;
}

int status_add_observed(json_t *status, const char *directory, struct diag *d)
{
	json_t *list = json_array();
	int r;

	if (json_object_set_new(status, "observed", list) < 0)
		return -ENOMEM;
	r = observation_store_each(directory, add_observed, list, d);
	return r;
}

static void no_step(void *user, enum life_step step, const struct life_finding *f, size_t others)
{
}

json_t *status_kept_findings(const char *state_dir)
{
	_cleanup_(life_freep) struct life *l = NULL;
	json_t *findings = json_object();
	size_t counts[_SEV_MAX];
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/findings.json", state_dir);
	if (life_new(&l, no_step, NULL) < 0 || access(path, R_OK) < 0 || life_load(l, path, NULL) < 0) {
		json_decref(findings);
		return NULL;
	}
	life_count(l, counts);
	for (int i = _SEV_MAX - 1; i >= 0; i--)
		json_object_set_new(findings, severity_name((enum severity)i), json_integer((json_int_t)counts[i]));
	return json_pack("{s:s, s:s, s:o}", "state", "off", "reason", "as the last daemon left them", "findings", findings);
}

/* ---- for people -------------------------------------------------------------------------------- */

static enum table_style style_of(const char *state)
{
	static const struct {
		const char *state;
		enum table_style style;
	} rows[] = {
		{ "active", STYLE_GOOD },   { "runs", STYLE_GOOD },	{ "followed", STYLE_GOOD }, { "protected", STYLE_GOOD },
		{ "degraded", STYLE_WARN }, { "missing", STYLE_BAD },	{ "open", STYLE_BAD },	    { "stopped", STYLE_BAD },
		{ "waiting", STYLE_WARN },  { "off", STYLE_DIM },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].state, state) == 0)
			return rows[i].style;
	return STYLE_PLAIN;
}

static void row(struct table *t, const char *what, const char *family, const char *state, const char *why)
{
	table_cell(t, STYLE_PLAIN, what);
	table_cell(t, STYLE_PLAIN, family);
	table_cell(t, style_of(state), state);
	table_cell(t, STYLE_PLAIN, why);
}

static void guard_rows(struct table *t, const json_t *guard)
{
	const json_t *l;
	size_t i;

	json_array_foreach(json_object_get(guard, "layers"), i, l) {
		const char *reason = text_of(l, "reason");
		json_int_t packets = json_integer_value(json_object_get(l, "packets"));
		char why[300];

		(void)snprintf(why, sizeof(why), "%s", reason);
		if (packets > 0)
			(void)snprintf(why, sizeof(why), "%s%s%lld blocked", reason, reason[0] ? "; " : "",
				       (long long)packets);
		row(t, text_of(l, "layer"), text_of(l, "family"), text_of(l, "state"), why);
	}
}

static void findings_row(struct table *t, const json_t *audit)
{
	const json_t *findings = json_object_get(audit, "findings"), *n;
	const char *severity, *reason = text_of(audit, "reason");
	char why[400] = "";

	json_object_foreach((json_t *)findings, severity, n) {
		size_t used = strlen(why);

		(void)snprintf(why + used, sizeof(why) - used, "%s%lld %s", used > 0 ? ", " : "",
			       (long long)json_integer_value(n), severity);
	}
	if (reason[0]) {
		size_t used = strlen(why);

		(void)snprintf(why + used, sizeof(why) - used, "; %s", reason);
	}
	row(t, "audit", "", text_of(audit, "state"), why);
}

static void docker_row(struct table *t, const json_t *docker)
{
	bool followed = json_is_true(json_object_get(docker, "followed"));
	char why[300];

	(void)snprintf(why, sizeof(why), "%lld containers, %lld exceptions",
		       (long long)json_integer_value(json_object_get(docker, "containers")),
		       (long long)json_integer_value(json_object_get(docker, "exceptions")));
	row(t, "docker", "", followed ? "followed" : "waiting", followed ? why : text_of(docker, "reason"));
}

int status_print(const json_t *status, FILE *f)
{
	static const char *const heads[] = { "WHAT", "FAMILY", "STATE", "WHY" };
	_cleanup_(table_freep) struct table *t = table_new(ARRAY_SIZE(heads));
	const json_t *daemon = json_object_get(status, "daemon"), *part, *b;
	bool runs = json_is_true(json_object_get(daemon, "running"));
	const char *state = text_of(status, "state");
	char why[100] = "";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(heads); i++)
		table_cell(t, STYLE_HEAD, heads[i]);
	if (runs)
		(void)snprintf(why, sizeof(why), "process %lld", (long long)json_integer_value(json_object_get(daemon, "pid")));
	row(t, "daemon", "", runs ? "runs" : "stopped", why);
	guard_rows(t, json_object_get(status, "guard"));
	if ((part = json_object_get(status, "docker")))
		docker_row(t, part);
	if ((part = json_object_get(status, "audit")))
		findings_row(t, part);
	if ((part = json_object_get(status, "seccomp")))
		row(t, "seccomp", "", text_of(part, "state"), text_of(part, "reason"));
	if (table_print(t, f) < 0)
		return -ENOMEM;
	(void)fputc('\n', f);
	json_array_foreach(json_object_get(status, "degraded"), i, b) {
		(void)fprintf(f, "%s%s%s: %s\n", style_begin(f, STYLE_WARN), text_of(b, "what"), style_end(f, STYLE_WARN),
			      text_of(b, "reason"));
	}
	(void)fprintf(f, "This host is %s%s%s.\n", style_begin(f, style_of(state)), state, style_end(f, style_of(state)));
	return 0;
}
