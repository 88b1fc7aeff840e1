/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How the daemon runs: out of its own mouth (/info), and whether that is what its file says.
 */
#include <string.h>

#include "audit/controls/containers.h"
#include "audit/controls/docker.h"
#include "audit/daemon-settings.h"
#include "batten/host/container.h"

static const json_t *info(struct audit *a)
{
	return facts_docker(a->facts, "info");
}

int check_user_remap(struct audit *a, const struct control *c, const struct subject *s)
{
	if (facts_json_find(info(a), "SecurityOptions", "name=userns") ||
	    facts_json_find(info(a), "SecurityOptions", "name=rootless"))
		audit_pass(a, s, "users in containers are others on the host");
	else
		audit_fail(a, s, "root in a container is root on the host; ECS cannot combine remapping with privileged or "
			      "host-network tasks, so this is a decision to write down as a waiver");
	return 0;
}

/*
 * Every driver but these two ships logs away or keeps a bound of its own, plugins among them: "local" cuts at
 * 100 MB, and journald as it is told. Docker itself uses json-file where nobody says.
 */
static bool ships_or_bounds(const char *driver)
{
	return driver[0] && strcmp(driver, "json-file") != 0 && strcmp(driver, "none") != 0;
}

/* Docker keeps one file unless "max-file" says more, and that only of what "max-size" cuts. */
static bool file_is_bounded(const json_t *options)
{
	return json_object_get(options, "max-size") != NULL;
}

/* "--log-opt NAME=VALUE", as often as somebody likes. */
static bool argument_bounds(const struct daemon_settings *d)
{
	const char *text;

	for (size_t i = 0; (text = daemon_argument(d, "log-opt", i)); i++)
		if (strncmp(text, "max-size=", 9) == 0)
			return true;
	return false;
}

int check_logs(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *driver = facts_json_string(info(a), "LoggingDriver", "");
	const struct container_facts *list, *unreadable = NULL;
	const struct daemon_settings *d;
	struct evidence e = { 0 };
	size_t n = facts_containers(a->facts, &list);
	int r = daemon_settings(a->facts, &d);

	if (r < 0)
		return r;
	if (!ships_or_bounds(driver) &&
	    !(strcmp(driver, "json-file") == 0 &&
	      (file_is_bounded(json_object_get(d->json, "log-opts")) || argument_bounds(d))))
		evidence_add(&e, "the daemon's default is %s%s", driver,
			     strcmp(driver, "none") == 0 ? "" : " without max-size");
	for (size_t i = 0; i < n; i++) {
		const char *own = facts_json_string(list[i].host_config, "LogConfig.Type", "");
		const json_t *options = facts_json(list[i].host_config, "LogConfig.Config");

		if (list[i].unreadable)
			unreadable = &list[i];
		if (list[i].is_platform || list[i].is_agent || !own[0] || ships_or_bounds(own))
			continue;
		if (!(strcmp(own, "json-file") == 0 && file_is_bounded(options)))
			evidence_add(&e, "container %s logs to %s%s", list[i].name, own,
				     strcmp(own, "none") == 0 ? "" : " without bound");
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else if (unreadable)
		audit_unknown(a, s, "nobody can say where container %s logs to: %s", unreadable->name, unreadable->unreadable);
	else
		audit_pass(a, s, "logs go away or are bounded; the default is %s", driver);
	return 0;
}

static bool asks_for_no_new_privs(const struct container_facts *c)
{
	const json_t *v;
	bool asked = false;
	size_t i;

	json_array_foreach(json_object_get(c->host_config, "SecurityOpt"), i, v) {
		if (json_is_string(v))
			container_read_nnp(json_string_value(v), &asked);
	}
	return asked;
}

int check_default_no_new_privs(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct container_facts *list, *unreadable = NULL;
	size_t n = facts_containers(a->facts, &list), n_without = 0;

	for (size_t i = 0; i < n; i++) {
		if (list[i].unreadable)
			unreadable = &list[i];
		else if (!list[i].is_agent && !list[i].is_platform && !asks_for_no_new_privs(&list[i]))
			n_without++;
	}
	if (facts_json_find(info(a), "SecurityOptions", "name=no-new-privileges"))
		audit_pass(a, s, "it is the default for every container");
	else if (unreadable && n_without == 0)
		audit_unknown(a, s, "it is not the default, and nobody can say whether container %s asks for it: %s",
			      unreadable->name, unreadable->unreadable);
	else if (n > 0 && n_without == 0)
		audit_not_applicable(a, s, "every container sets it for itself");
	else
		audit_fail(a, s, "it is not the default, and %zu of %zu containers do not ask for it", n_without, n);
	return 0;
}

bool docker_in_swarm(struct audit *a)
{
	const char *state = facts_json_string(info(a), "Swarm.LocalNodeState", "inactive");

	return strcmp(state, "inactive") != 0 && state[0];
}

int check_live_restore(struct audit *a, const struct control *c, const struct subject *s)
{
	if (docker_in_swarm(a))
		audit_not_applicable(a, s, "a swarm excludes it");
	else if (facts_json_true(info(a), "LiveRestoreEnabled"))
		audit_pass(a, s, "containers outlive a restart of dockerd");
	else
		audit_fail(a, s, "a restart of dockerd stops every container");
	return 0;
}

int check_default_seccomp(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *option = facts_json_find(info(a), "SecurityOptions", "name=seccomp");
	const char *profile = option ? strstr(option, "profile=") : NULL;

	if (!option)
		audit_fail(a, s, "dockerd uses no seccomp at all");
	else if (profile && strcmp(profile, "profile=unconfined") == 0)
		audit_fail(a, s, "the profile for every container is \"unconfined\"");
	else if (seccomp_default_allows_all(a))
		audit_fail(a, s, "the profile for every container, %s, allows every system call", profile + 8);
	else
		audit_pass(a, s, "the profile for every container is \"%s\"", profile ? profile + 8 : "builtin");
	return 0;
}

static bool process_runs(struct audit *a, const char *name)
{
	const struct process_facts *list;

	for (size_t i = 0, n = facts_processes(a->facts, &list); i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return true;
	return false;
}

int check_legacy(struct audit *a, const struct control *c, const struct subject *s)
{
	static const char *const old_drivers[] = { "aufs", "devicemapper", "vfs", "overlay" };
	const char *driver = facts_json_string(info(a), "Driver", "");
	struct evidence e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(old_drivers); i++)
		if (strcmp(driver, old_drivers[i]) == 0)
			evidence_add(&e, "storage driver %s", driver);
	if (facts_json_true(info(a), "ExperimentalBuild"))
		evidence_add(&e, "experimental features are on");
	if (facts_json_true(info(a), "Debug"))
		evidence_add(&e, "debug logging is on");
	if (process_runs(a, "docker-proxy"))
		evidence_add(&e, "published ports go through docker-proxy, which hides who connects");
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "storage driver %s, nothing experimental, no debug, no userland proxy", driver);
	return 0;
}

/* Settings whose value in the file can be held against what the daemon says of itself. */
static void compare_text(struct evidence *e, const struct daemon_settings *d, const json_t *in, const char *key,
			 const char *field)
{
	const char *file = json_string_value(json_object_get(d->json, key));
	const char *real = facts_json_string(in, field, "");

	if (file && strcmp(file, real) != 0)
		evidence_add(e, "%s is \"%s\" in the file and \"%s\" in the daemon", key, file, real);
}

/* "/data/231072.231072": where "userns-remap" puts it, below what was asked for. */
static const char *without_remap(struct audit *a, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? strspn(slash + 1, "0123456789") : 0;

	if (n == 0 || slash == path || slash[1 + n] != '.' || !slash[2 + n] ||
	    slash[2 + n + strspn(slash + 2 + n, "0123456789")] != '\0')
		return path;
	return arena_strndup(&a->arena, path, (size_t)(slash - path));
}

/* One directory may be written in several ways, and dockerd follows links. */
static void compare_data_root(struct audit *a, struct evidence *e, const struct daemon_settings *d)
{
	const char *file = json_string_value(json_object_get(d->json, "data-root"));
	const char *real = facts_json_string(info(a), "DockerRootDir", ""), *top = without_remap(a, real);
	struct stat x, y;
	size_t n;

	if (!file || strcmp(file, real) == 0)
		return;
	n = strlen(file);
	while (n > 1 && file[n - 1] == '/')
		n--;
	if (strlen(top) == n && strncmp(file, top, n) == 0)
		return;
	if (facts_stat(a->facts, file, true, &x) == 0 && facts_stat(a->facts, top, true, &y) == 0 && x.st_dev == y.st_dev &&
	    x.st_ino == y.st_ino)
		return;
	evidence_add(e, "data-root is \"%s\" in the file and \"%s\" in the daemon", file, real);
}

static void compare_flag(struct evidence *e, const struct daemon_settings *d, const char *key, bool real)
{
	const json_t *file = json_object_get(d->json, key);

	if (json_is_boolean(file) && json_is_true(file) != real)
		evidence_add(e, "%s is %s in the file and %s in the daemon", key, json_is_true(file) ? "true" : "false",
			     real ? "true" : "false");
}

int check_settings_in_force(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct daemon_settings *d;
	struct subject file;
	struct evidence e = { 0 };
	int r = daemon_settings(a->facts, &d);

	if (r < 0)
		return r;
	file = audit_subject(a, SUBJECT_FILE, d->file);
	if (d->file_error) {
		audit_fail(a, &file, "cannot be read as JSON: %s; dockerd will not start again", d->file_error);
		return 0;
	}
	if (!d->json) {
		audit_not_applicable(a, s, "there is no %s", d->file);
		return 0;
	}
	compare_text(&e, d, info(a), "log-driver", "LoggingDriver");
	compare_data_root(a, &e, d);
	compare_text(&e, d, info(a), "storage-driver", "Driver");
	compare_text(&e, d, info(a), "default-runtime", "DefaultRuntime");
	compare_flag(&e, d, "live-restore", facts_json_true(info(a), "LiveRestoreEnabled"));
	compare_flag(&e, d, "debug", facts_json_true(info(a), "Debug"));
	compare_flag(&e, d, "no-new-privileges",
		     facts_json_find(info(a), "SecurityOptions", "name=no-new-privileges") != NULL);
	if (e.n_parts > 0)
		audit_drift(a, &file, "%s", evidence_text(&e));
	else if (d->started > 0 && d->file_changed > d->started)
		audit_drift(a, &file, "changed %lld s after dockerd started; what it cannot show may not be in force",
			    (long long)(d->file_changed - d->started));
	else
		audit_pass(a, &file, "what it says is in force");
	return 0;
}

int check_swarm(struct audit *a, const struct control *c, const struct subject *s)
{
	if (!info(a))
		audit_unknown(a, s, "Docker does not tell");
	else if (docker_in_swarm(a))
		audit_fail(a, s, "this host is %s in a swarm",
			   facts_json_true(info(a), "Swarm.ControlAvailable") ? "a manager" : "a worker");
	else
		audit_pass(a, s, "inactive");
	return 0;
}
