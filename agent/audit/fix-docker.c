/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Menders of the Docker daemon: members of daemon.json, spliced, and its place in a swarm. dockerd does not
 * start when a setting is both in the file and on its command line, so that what stands there is not touched
 * in the file.
 */
#include <errno.h>
#include <string.h>

#include "audit/daemon-settings.h"
#include "audit/fix-internal.h"

#define DAEMON_JSON_MODE 0644

static const json_t *info(struct fix_plan *p)
{
	return facts_docker(p->audit->facts, "info");
}

/* Return: 1 with the file's working copy, 0 refused, or a negative errno. */
static int open_file(struct fix_plan *p, const char *key, const struct daemon_settings **ret_d, struct snapshot **ret)
{
	const struct daemon_settings *d;
	int r = daemon_settings(p->audit->facts, &d);

	if (r < 0)
		return r;
	*ret_d = d;
	if (d->file_error) {
		(void)plan_refuse(p, "%s cannot be read as JSON: %s; mend that first", d->file, d->file_error);
		return 0;
	}
	if (key && daemon_argument(d, key, 0)) {
		(void)plan_refuse(p, "--%s stands on dockerd's command line: change it in the unit; dockerd does not start "
				  "with a setting in both places", key);
		return 0;
	}
	r = plan_file(p, d->file, DAEMON_JSON_MODE, ret);
	return r < 0 ? r : 1;
}

/* Puts the edited text in. Return: 1, 0 refused, or a negative errno. */
static int put_text(struct fix_plan *p, struct snapshot *s, struct bytes *out, int r, const struct diag *d)
{
	if (r >= 0)
		r = snapshot_set_data(s, out->data ? out->data : "", out->n);
	bytes_done(out);
	if (r == -EBADMSG || r == -E2BIG)
		return plan_refuse(p, "%s: %s", d->where, d->what);
	return r < 0 ? r : 1;
}

/* @path: "key" or "key.member"; @flag: the key as dockerd's command line has it */
static int set(struct fix_plan *p, const char *path, const char *flag, const char *json)
{
	const struct daemon_settings *d;
	struct bytes out = { 0 };
	struct diag why = { 0 };
	struct snapshot *s;
	int r = open_file(p, flag, &d, &s);

	if (r <= 0)
		return r;
	r = daemon_json_set((struct slice){ s->data, s->n }, d->file, path, json, &out, &why);
	return put_text(p, s, &out, r, &why);
}

static int mend_setting(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	return set(p, m->key, m->key, m->value);
}

static bool is_remote_registry(const char *text)
{
	return strncmp(text, "127.", 4) != 0 && strncmp(text, "localhost", 9) != 0 && strcmp(text, "::1/128") != 0;
}

/* The list stays, if need be empty: a list that is missing changes nothing when dockerd reads again. */
static int mend_registries(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct daemon_settings *d;
	struct bytes out = { 0 };
	struct diag why = { 0 };
	struct snapshot *s;
	int r = open_file(p, "insecure-registry", &d, &s);

	if (r <= 0)
		return r;
	r = daemon_json_filter((struct slice){ s->data, s->n }, d->file, "insecure-registries", is_remote_registry, true,
			       &out, &why);
	return put_text(p, s, &out, r, &why);
}

static int mend_logs(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const char *driver = facts_json_string(info(p), "LoggingDriver", "");
	const struct daemon_settings *d;
	const json_t *options;
	int r = daemon_settings(p->audit->facts, &d);

	if (r < 0)
		return r;
	options = json_object_get(d->json, "log-opts");
	/* A default that is well is not what fails. */
	if (strcmp(driver, "json-file") != 0 && strcmp(driver, "none") != 0)
		return plan_refuse(p, "containers name their log driver themselves: bound it in the task definition");
	if (strcmp(driver, "json-file") == 0 && json_object_get(options, "max-size"))
		return plan_refuse(p, "containers keep the log settings that they were made with: replace them");
	r = strcmp(driver, "none") == 0 ? set(p, "log-driver", "log-driver", "\"json-file\"") : 1;
	if (r > 0 && !json_object_get(options, "max-size"))
		r = set(p, "log-opts.max-size", "log-opt", "\"10m\"");
	if (r > 0 && !json_object_get(options, "max-file"))
		r = set(p, "log-opts.max-file", "log-opt", "\"3\"");
	return r;
}

static int mend_seccomp(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	if (!facts_json_find(info(p), "SecurityOptions", "name=seccomp"))
		return plan_refuse(p, "this kernel or this dockerd has no seccomp");
	return set(p, "seccomp-profile", "seccomp-profile", NULL);
}

static bool proxy_runs(struct fix_plan *p)
{
	const struct process_facts *list;

	for (size_t i = 0, n = facts_processes(p->audit->facts, &list); i < n; i++)
		if (strcmp(list[i].name, "docker-proxy") == 0)
			return true;
	return false;
}

static int mend_legacy(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	static const char *const old_drivers[] = { "aufs", "devicemapper", "vfs", "overlay" };
	const char *driver = facts_json_string(info(p), "Driver", "");
	int r = 1;

	for (size_t i = 0; i < ARRAY_SIZE(old_drivers); i++)
		if (strcmp(driver, old_drivers[i]) == 0)
			return plan_refuse(p, "another storage driver than %s loses every image and container: replace the "
					   "instance", driver);
	if (facts_json_true(info(p), "Debug")) {
		r = set(p, "debug", "debug", "false");
		p->kicks |= KICK_DOCKER_READS;
	}
	if (r > 0 && facts_json_true(info(p), "ExperimentalBuild")) {
		r = set(p, "experimental", "experimental", "false");
		p->kicks |= KICK_DOCKER;
	}
	if (r > 0 && proxy_runs(p)) {
		r = set(p, "userland-proxy", "userland-proxy", "false");
		p->kicks |= KICK_DOCKER;
	}
	return r;
}

static int mend_by_restart(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct daemon_settings *d;
	int r = daemon_settings(p->audit->facts, &d);

	if (r < 0)
		return r;
	return d->file_error ? plan_refuse(p, "%s is no JSON: what was meant cannot be told", d->file) : 1;
}

/* ---- DKD-04: hosts on the network --------------------------------------------------------------*/

static bool is_tcp(const char *text)
{
	return strncmp(text, "tcp://", 6) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The option with a tcp:// host that begins at @at: how long it is with the blanks in front, or 0. */
static size_t option_at(struct slice text, size_t at)
{
	static const char *const forms[] = { "-H tcp://", "-H=tcp://", "-Htcp://", "--host=tcp://", "--host tcp://" };

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		size_t n = strlen(forms[i]);

		if (n > text.n - at || memcmp(text.p + at, forms[i], n) != 0)
			continue;
		while (at + n < text.n && !is_blank(text.p[at + n]) && !strchr("\"'", text.p[at + n]))
			n++;
		return n;
	}
	return 0;
}

/* Return: 1 something was taken out, 0 nothing is there, or a negative errno. */
static int cut_options(struct fix_plan *p, const char *path)
{
	struct bytes out = { 0 };
	struct snapshot *s;
	bool cut = false;
	int r = plan_node(p, path, &s);

	if (r < 0)
		return r;
	if (s->kind != SNAPSHOT_FILE)
		return 0;
	for (size_t i = 0; i < s->n;) {
		size_t n = i == 0 || is_blank(s->data[i - 1]) || strchr("\"'=", s->data[i - 1]) ?
				   option_at((struct slice){ s->data, s->n }, i) : 0;

		if (n == 0) {
			bytes_append(&out, s->data + i++, 1);
			continue;
		}
		cut = true;
		i += n;
		/* One of the two blanks around it goes too. */
		if (out.n > 0 && out.data[out.n - 1] == ' ' && (i >= s->n || is_blank(s->data[i]) || strchr("\"'", s->data[i])))
			out.n--;
	}
	r = out.error < 0 ? out.error : cut ? snapshot_set_data(s, out.data ? out.data : "", out.n) : 0;
	bytes_done(&out);
	return r < 0 ? r : cut;
}

static int cut_everywhere(struct fix_plan *p)
{
	static const char drop_ins[] = "/etc/systemd/system/docker.service.d";
	static const char *const files[] = { "/etc/systemd/system/docker.service", "/etc/default/docker", "/etc/sysconfig/docker" };
	const char *const *names;
	int n = facts_list(p->audit->facts, drop_ins, &names), r = 0, cut = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files) && r >= 0; i++) {
		r = cut_options(p, files[i]);
		cut |= r > 0;
	}
	for (int i = 0; i < n && r >= 0; i++) {
		r = cut_options(p, arena_printf(&p->audit->arena, "%s/%s", drop_ins, names[i]));
		cut |= r > 0;
	}
	return r < 0 ? r : cut;
}

static bool told_by_argument(const struct daemon_settings *d)
{
	const char *text;

	for (size_t i = 0; (text = daemon_argument(d, "host", i)); i++)
		if (is_tcp(text))
			return true;
	for (size_t i = 0; (text = daemon_argument(d, "H", i)); i++)
		if (is_tcp(text))
			return true;
	return false;
}

static int mend_hosts(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct daemon_settings *d;
	struct bytes out = { 0 };
	struct diag why = { 0 };
	struct snapshot *s;
	int r = daemon_settings(p->audit->facts, &d);

	if (r < 0)
		return r;
	if (told_by_argument(d)) {
		r = cut_everywhere(p);
		return r != 0 ? r : plan_refuse(p, "the tcp:// host stands on dockerd's command line, and in none of the files "
						"of /etc that it is made of");
	}
	if (!json_object_get(d->json, "hosts"))
		return plan_refuse(p, "the address that dockerd listens on stands neither in %s nor on its command line", d->file);
	r = open_file(p, NULL, &d, &s);
	if (r <= 0)
		return r;
	r = daemon_json_filter((struct slice){ s->data, s->n }, d->file, "hosts", is_tcp, false, &out, &why);
	return put_text(p, s, &out, r, &why);
}

/* What nobody can undo is done only where nothing is lost with it. */
static int mend_swarm(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const struct fix_host *h = p->fix->host;
	struct docker_swarm s;
	struct diag why = { 0 };
	int r = h->swarm(h->data, SWARM_ASK, NULL, &s, &why);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return plan_refuse(p, "%s%s%s", why.where, why.where[0] ? ": " : "", why.what);
	r = plan_swarm(p, s.node, s.manager);
	return r < 0 ? r : 1;
}

static const struct mender menders[] = {
	{ "DKD-01", .plan = mend_setting, .key = "icc", .value = "false", .kicks = KICK_DOCKER },
	{ "DKD-03", .plan = mend_registries, .kicks = KICK_DOCKER_READS },
	{ "DKD-04", .plan = mend_hosts, .kicks = KICK_DOCKER },
	{ "DKD-06", .plan = mend_logs, .kicks = KICK_DOCKER,
	  .later = "containers keep the log settings that they were made with" },
	{ "DKD-07", .plan = mend_setting, .key = "no-new-privileges", .value = "true", .kicks = KICK_DOCKER },
	{ "DKD-08", .plan = mend_setting, .key = "live-restore", .value = "true", .kicks = KICK_DOCKER_READS },
	{ "DKD-09", .plan = mend_seccomp, .kicks = KICK_DOCKER },
	{ "DKD-10", .plan = mend_legacy, .later = "ports of running containers keep their proxy until they start again" },
	{ "DKD-12", .plan = mend_by_restart, .kicks = KICK_DOCKER },
	{ "DKD-13", .plan = mend_swarm, .consent = CONSENT_LEAVE_SWARM,
	  .by_consent = "nobody can undo that: say --leave-swarm when it may be; it is done only where "
						     "nothing is lost with it" },
};

MENDER_SET(docker_menders);
