/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every control that is mendable is mended: each world of its fixtures in which it fails or drifts is
 * built, mended, audited, mended once more (which changes nothing), and put back, byte for byte. Where a
 * world cannot be mended its case says why:
 *
 *   "left"    a text that stands in the reason; nothing may be changed then
 *   "later"   the control fails still, for what was there before: the proof is pending
 *   "final"   there is no way back, and undoing it is refused
 *
 * "mended" {path: "0710 0:0"} names modes and owners that files must have then.
 *
 * Docker, the agent, the guard and services are stand-ins that do what the real ones would do with the
 * files as they are: dockerd takes its settings from daemon.json, the agent its environment from
 * ecs.config.
 */
#include "audit-world.h"

#include <dirent.h>

#include "audit/fix-internal.h"
#include "batten/audit/profile.h"
#include "batten/base/file.h"
#include "batten/base/log.h"

struct world {
	char root[32];
	json_t *json;
	json_t *unchanged; /* as the fixture has it, for what a stop brings back */
	unsigned int n_restarts;
	bool guard;
	bool deaf;	      /* dockerd does not read its file again */
	bool will_not_start;  /* dockerd, with what stands in its file now */
	bool falls_silent;    /* Docker, once its file was touched */
	bool silent;
	bool dnf_says_no; /* to an update, and does it all the same */
	bool agent_stays; /* whatever package is installed */
};

/* ---- stand-ins ---------------------------------------------------------------------------------*/

static int open_facts(void *data, struct facts **ret, struct diag *d)
{
	struct world *w = data;

	return facts_open(ret, &(struct facts_options){ .root = w->root, .stand_in = w->json }, d);
}

static json_t *read_json(struct world *w, const char *path)
{
	char full[512];

	(void)snprintf(full, sizeof(full), "%s/%s", w->root, path);
	return json_load_file(full, 0, NULL);
}

static void set_option(json_t *options, const char *name, bool on)
{
	json_t *v;
	size_t i;

	for (i = json_array_size(options); i-- > 0;) {
		v = json_array_get(options, i);
		if (strncmp(json_string_value(v), name, strlen(name)) == 0)
			json_array_remove(options, i);
	}
	if (on)
		json_array_append_new(options, json_string(name));
}

static json_t *need_object(json_t *in, const char *key)
{
	json_t *j = json_object_get(in, key);

	if (!json_is_object(j)) {
		j = json_object();
		json_object_set_new(in, key, j);
	}
	return j;
}

/* What dockerd takes over when it reads its file again. */
static int docker_reads(void *data, struct diag *d)
{
	struct world *w = data;
	_cleanup_(json_freep) json_t *file = read_json(w, "etc/docker/daemon.json");
	json_t *info = need_object(need_object(w->json, "docker"), "info"), *registries = json_object_get(file, "insecure-registries");

	if (w->deaf)
		return 0;
	w->silent = w->falls_silent;
	if (json_object_get(file, "live-restore"))
		json_object_set(info, "LiveRestoreEnabled", json_object_get(file, "live-restore"));
	if (json_object_get(file, "debug"))
		json_object_set(info, "Debug", json_object_get(file, "debug"));
	if (registries && json_array_size(registries) == 0)
		json_object_set_new(info, "RegistryConfig", json_pack("{s:[s], s:{}}", "InsecureRegistryCIDRs", "127.0.0.0/8", "IndexConfigs"));
	return 0;
}

/* A swarm with services is not left. */
static int swarm(void *data, enum swarm_deed deed, const char *node, struct docker_swarm *ret, struct diag *d)
{
	json_t *docker = need_object(((struct world *)data)->json, "docker"), *s = need_object(need_object(docker, "info"), "Swarm");
	size_t n = json_array_size(json_object_get(docker, "services"));

	*ret = (struct docker_swarm){
		.member = strcmp(facts_json_string(s, "LocalNodeState", "inactive"), "inactive") != 0,
		.manager = json_is_true(json_object_get(s, "ControlAvailable")),
	};
	(void)snprintf(ret->node, sizeof(ret->node), "%s", facts_json_string(s, "NodeID", ""));
	if (deed == SWARM_LOOK)
		return 0;
	if (n > 0)
		return diag_fail(d, -EBUSY, NULL, "in the way: services: %zu", n);
	if (deed == SWARM_LEAVE) {
		assert_string_equal(node, ret->node);
		json_object_set_new(s, "LocalNodeState", json_string("inactive"));
	}
	return 0;
}

static void write_in(struct world *w, const char *path, const char *text)
{
	char full[512];

	(void)snprintf(full, sizeof(full), "%s/%s", w->root, path);
	make_parents(full);
	write_text(full, text, strlen(text));
}

static void restart_docker(struct world *w)
{
	_cleanup_(json_freep) json_t *file = read_json(w, "etc/docker/daemon.json");
	json_t *docker = need_object(w->json, "docker"), *info = need_object(docker, "info"), *v;
	json_t *options = json_object_get(info, "SecurityOptions");
	bool tcp = false;
	size_t i;

	(void)docker_reads(w, NULL);
	if (!file)
		return;
	if (json_object_get(file, "icc"))
		json_object_set_new(need_object(need_object(docker, "bridge"), "Options"), "com.docker.network.bridge.enable_icc",
				    json_string(json_is_true(json_object_get(file, "icc")) ? "true" : "false"));
	v = json_object_get(file, "log-driver");
	if (v)
		json_object_set(info, "LoggingDriver", v);
	if (json_object_get(file, "data-root"))
		json_object_set(info, "DockerRootDir", json_object_get(file, "data-root"));
	if (json_object_get(file, "experimental"))
		json_object_set(info, "ExperimentalBuild", json_object_get(file, "experimental"));
	if (!options) {
		options = json_array();
		json_object_set_new(info, "SecurityOptions", options);
	}
	set_option(options, "name=no-new-privileges", json_is_true(json_object_get(file, "no-new-privileges")));
	if (!json_object_get(file, "seccomp-profile")) {
		set_option(options, "name=seccomp", false);
		set_option(options, "name=seccomp,profile=builtin", true);
	}
	json_array_foreach(json_object_get(file, "hosts"), i, v)
		tcp |= strncmp(json_string_value(v), "tcp://", 6) == 0;
	if (!tcp)
		write_in(w, "proc/net/tcp", "  sl\n");
	/* It started just now. */
	write_in(w, "proc/stat", "cpu 1\nbtime 1889000000\n");
}

/* ecs-init's own values first, then the files', line by line. */
static json_t *agent_environment(struct world *w)
{
	static const char *const built_in[] = {
		"ECS_LOGFILE=/log/ecs-agent.log", "ECS_DATADIR=/data", "ECS_AGENT_CONFIG_FILE_PATH=/etc/ecs/ecs.config.json",
		"ECS_UPDATE_DOWNLOAD_DIR=/var/cache/ecs", "ECS_UPDATES_ENABLED=true",
		"ECS_AVAILABLE_LOGGING_DRIVERS=[\"json-file\",\"syslog\",\"awslogs\",\"fluentd\",\"none\"]",
		"ECS_ENABLE_TASK_IAM_ROLE=true", "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST=true", "ECS_EBSTA_SUPPORTED=true",
		"ECS_VOLUME_PLUGIN_CAPABILITIES=[\"efsAuth\"]", "ECS_ENABLE_TASK_ENI=true",
		"ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE=true", "ECS_AGENT_LABELS=" };
	_cleanup_(json_freep) json_t *map = json_object();
	_cleanup_(freep) char *text = NULL;
	json_t *list = json_array(), *v;
	char path[512];
	const char *key;

	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++) {
		size_t n = strcspn(built_in[i], "=");
		char name[128];

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, built_in[i]);
		json_object_set_new(map, name, json_string(built_in[i] + n + 1));
	}
	(void)snprintf(path, sizeof(path), "%s/etc/ecs/ecs.config", w->root);
	if (file_read(AT_FDCWD, path, 65536, &text, NULL, NULL) == 0) {
		char *state = NULL;

		for (char *line = strtok_r(text, "\r\n", &state); line; line = strtok_r(NULL, "\r\n", &state)) {
			char *equals = strchr(line, '=');

			if (!equals)
				continue;
			*equals = '\0';
			json_object_set_new(map, line, json_string(equals + 1));
		}
	}
	json_object_foreach(map, key, v)
		json_array_append_new(list, json_sprintf("%s=%s", key, json_string_value(v)));
	return list;
}

static const char rules_of_ecs_init[] =
	"{\"legacy\": false, \"chains\": ["
	"{\"family\": \"ip\", \"table\": \"filter\", \"chain\": \"INPUT\", \"hook\": 1, \"policy\": \"accept\", \"rules\": ["
	"{\"proto\": \"tcp\", \"dport\": 51678, \"iif_not\": \"lo\", \"verdict\": \"drop\", \"matches\": [], \"other\": 0},"
	"{\"daddr\": \"127.0.0.0/8\", \"saddr_not\": \"127.0.0.0/8\", \"matches\": [\"conntrack\"], \"verdict\": \"drop\", \"other\": 0}]},"
	"{\"family\": \"ip6\", \"table\": \"filter\", \"chain\": \"INPUT\", \"hook\": 1, \"policy\": \"accept\", \"rules\": ["
	"{\"proto\": \"tcp\", \"dport\": 51678, \"iif_not\": \"lo\", \"verdict\": \"drop\", \"matches\": [], \"other\": 0}]},"
	"{\"family\": \"ip\", \"table\": \"nat\", \"chain\": \"PREROUTING\", \"rules\": ["
	"{\"daddr\": \"169.254.170.2/32\", \"dport\": 80, \"proto\": \"tcp\", \"target\": \"DNAT\"}]},"
	"{\"family\": \"ip\", \"table\": \"nat\", \"chain\": \"OUTPUT\", \"rules\": ["
	"{\"daddr\": \"169.254.170.2/32\", \"dport\": 80, \"proto\": \"tcp\", \"target\": \"REDIRECT\"}]}]}";

/* "kept": the repositories have what is installed, too. */
static int package_of_world(void *data, enum package_deed deed, const char *name, const char *version, int keep,
			    struct package *ret, struct diag *d)
{
	struct world *w = data;
	json_t *p = json_object_get(w->json, "package");

	assert_string_equal(name, "ecs-init");
	if (!p)
		return diag_fail(d, -ENOENT, "/usr/bin/rpm", "is not on this host");
	if (deed == PACKAGE_UPDATE || deed == PACKAGE_DOWNGRADE) {
		assert_true(keep >= 0);
		json_object_set_new(p, "installed", json_string(version));
		return w->dnf_says_no && deed == PACKAGE_UPDATE ? diag_fail(d, -EREMOTEIO, "/usr/bin/dnf", "Error: a scriptlet failed") : 0;
	}
	*ret = (struct package){ .can_go_back = json_is_true(json_object_get(p, "kept")) };
	(void)snprintf(ret->installed, sizeof(ret->installed), "%s", facts_json_string(p, "installed", ""));
	(void)snprintf(ret->offered, sizeof(ret->offered), "%s", facts_json_string(p, "offered", ""));
	if (strcmp(ret->installed, ret->offered) == 0)
		ret->offered[0] = '\0';
	return 0;
}

/* The agent that its package brought. */
static json_t *agent_version(struct world *w)
{
	const char *package = facts_json_string(json_object_get(w->json, "package"), "installed", "1.105.1-1");

	return json_sprintf("Amazon ECS Agent - v%.*s (*abc)", (int)strcspn(package, "-"),
			    w->agent_stays ? "1.97.0" : package);
}

static void restart_agent(struct world *w)
{
	json_t *list = json_object_get(json_object_get(w->json, "docker"), "containers"), *c;
	size_t i;

	json_array_foreach(list, i, c)
		if (strcmp(json_string_value(json_object_get(c, "Name")), "/ecs-agent") == 0)
			json_object_set_new(need_object(c, "Config"), "Env", agent_environment(w));
	if (json_object_get(w->json, "introspection"))
		json_object_set_new(w->json, "introspection",
				    json_pack("{s:{s:s, s:s, s:o}, s:{s:[]}}", "metadata", "Cluster", "prod",
					      "ContainerInstanceArn", "arn:aws:ecs:eu-central-1:111122223333:container-instance/prod/abc",
					      "Version", agent_version(w), "tasks", "Tasks"));
	if (json_object_get(w->json, "rules"))
		json_object_set_new(w->json, "rules", json_loads(rules_of_ecs_init, 0, NULL));
	/* They keep tasks out too. */
	json_object_del(json_object_get(w->json, "agent_port"), "from");
	write_in(w, "var/log/ecs/ecs-agent.log", "level=info msg=\"started\"\n");
}

static int do_unit(void *data, const char *unit, const char *verb, struct diag *d)
{
	bool start = strcmp(verb, "stop") != 0;
	struct world *w = data;

	if (strcmp(unit, "docker.service") == 0) {
		w->n_restarts++;
		if (w->will_not_start) {
			_cleanup_(json_freep) json_t *file = read_json(w, "etc/docker/daemon.json");

			if (json_object_get(file, "no-new-privileges"))
				return diag_fail(d, -EIO, unit, "the job ended as \"failed\"");
		}
		restart_docker(w);
	} else if (strcmp(unit, "ecs.service") == 0) {
		w->n_restarts++;
		restart_agent(w);
	} else if (strcmp(unit, "chronyd.service") == 0) {
		json_object_set_new(w->json, "clock", json_boolean(start));
	} else if (strcmp(unit, "amazon-ssm-agent.service") == 0) {
		if (start)
			make_process(w->root, "9", json_object_get(w->unchanged, "ssm"));
	} else if (strcmp(unit, "sshd.service") == 0) {
		if (!start)
			write_in(w, "proc/net/tcp", "  sl\n");
	} else {
		return diag_fail(d, -ENOENT, unit, "no such unit here");
	}
	json_object_set_new(need_object(w->json, "units"), unit, json_boolean(start));
	return 0;
}

static int unit_active(void *data, const char *unit, bool *ret, struct diag *d)
{
	struct world *w = data;

	*ret = json_is_true(json_object_get(json_object_get(w->json, "units"), unit));
	return 0;
}

static int switch_guard(void *data, bool on, struct diag *d)
{
	json_t *namespaces, *rules, *v, *t;
	struct world *w = data;
	size_t i, k;

	w->guard = on;
	if (!on) {
		json_object_set(w->json, "imds", json_object_get(w->unchanged, "imds"));
		json_object_set(w->json, "rules", json_object_get(w->unchanged, "rules"));
		return 0;
	}
	namespaces = json_object_get(json_object_get(w->json, "imds"), "namespaces");
	json_array_foreach(namespaces, i, v)
		json_array_foreach(json_object_get(v, "tries"), k, t)
			json_object_set_new(t, "outcome", json_string("refused"));
	rules = json_object_get(json_object_get(w->json, "rules"), "chains");
	if (rules)
		json_array_append_new(rules, json_pack("{s:s, s:s, s:s, s:i, s:[]}", "family", "inet", "table", "batten", "chain",
						       "forward", "hook", 2, "rules"));
	return 0;
}

static int guard_is_on(void *data, bool *ret, struct diag *d)
{
	*ret = ((struct world *)data)->guard;
	return 0;
}

static int watch(void *data, const char *path, bool on, struct diag *d)
{
	json_t *list = json_object_get(json_object_get(((struct world *)data)->json, "audit"), "watches");

	set_option(list, path, on);
	return 0;
}

static json_t *health(void *data)
{
	return json_pack("{s:b, s:b}", "docker", !((struct world *)data)->silent, "introspection", 1);
}

/* ---- the tree as a text ------------------------------------------------------------------------*/

static struct bytes listing;
static size_t listing_skip;

/* What stand-ins write, as the kernel and the agent would, is no part of it. */
static bool is_moving(const char *path)
{
	static const char *const moving[] = { "/proc/stat", "/proc/net", "/proc/9", "/var/log/ecs", "/var/lib/batten" };

	for (size_t i = 0; i < ARRAY_SIZE(moving); i++)
		if (strncmp(path, moving[i], strlen(moving[i])) == 0)
			return true;
	return strcmp(path, "/var/lib") == 0 || strcmp(path, "/var/log") == 0 || strcmp(path, "/var") == 0 ||
	       strcmp(path, "/proc") == 0;
}

static int list_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	_cleanup_(snapshot_done) struct snapshot s = { 0 };

	if (is_moving(path + listing_skip))
		return 0;
	assert_int_equal(snapshot_take(&s, AT_FDCWD, path, FIX_MAX_FILE, NULL), 0);
	bytes_printf(&listing, "%s %d %o %u %u %zu ", path + listing_skip, (int)s.kind, s.mode, s.uid, s.gid, s.n);
	bytes_append(&listing, s.data, s.n);
	bytes_append_str(&listing, "\n");
	return 0;
}

static int by_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Freed by the caller. Directories are listed as they come: the lines are compared as a set. */
static char *list_tree(const char *root)
{
	char *text, *lines[4096], *copy, *state = NULL;
	struct bytes sorted = { 0 };
	size_t n = 0;

	listing = (struct bytes){ 0 };
	listing_skip = strlen(root);
	assert_int_equal(nftw(root, list_one, 16, FTW_PHYS), 0);
	assert_int_equal(bytes_take(&listing, &copy, NULL), 0);
	for (char *line = strtok_r(copy, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		assert_true(n < ARRAY_SIZE(lines));
		lines[n++] = line;
	}
	qsort(lines, n, sizeof(*lines), by_line);
	for (size_t i = 0; i < n; i++)
		bytes_printf(&sorted, "%s\n", lines[i]);
	assert_int_equal(bytes_take(&sorted, &text, NULL), 0);
	free(copy);
	return text;
}

/* ---- one case ----------------------------------------------------------------------------------*/

static const char *what_fails(struct world *w, const struct control *c, const struct fix_request *q)
{
	static char text[1024];
	_cleanup_(facts_freep) struct facts *facts = NULL;
	struct audit a = { 0 };

	text[0] = '\0';
	assert_int_equal(open_facts(w, &facts, NULL), 0);
	assert_int_equal(audit_run(&a, facts, &q->audit), 0);
	for (size_t i = 0; i < a.n_findings; i++)
		if (a.findings[i].status == STATUS_FAIL || a.findings[i].status == STATUS_DRIFT)
			(void)snprintf(text, sizeof(text), "%s: %s", a.findings[i].subject.name, a.findings[i].evidence);
	audit_done(&a);
	return text[0] ? text : NULL;
}

static bool left_says(json_t *result, const char *words)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(result, "left"), i, v)
		if (strstr(json_string_value(json_object_get(v, "reason")), words))
			return true;
	return false;
}

static const char *not_as_wanted(struct world *w, json_t *mended)
{
	static char text[512];
	const char *path;
	struct stat st;
	json_t *v;

	json_object_foreach(mended, path, v)
	{
		char full[256], is[64];

		(void)snprintf(full, sizeof(full), "%s%s", w->root, path);
		assert_int_equal(lstat(full, &st), 0);
		(void)snprintf(is, sizeof(is), "%04o %u:%u", st.st_mode & 07777, st.st_uid, st.st_gid);
		if (strcmp(is, json_string_value(v)) == 0)
			continue;
		(void)snprintf(text, sizeof(text), "%s is %s, wanted %s", path, is, json_string_value(v));
		return text;
	}
	return NULL;
}

static const char *undo_all(struct fix *f, json_t *result, bool final)
{
	static char text[1024];
	json_t *fixes = json_object_get(result, "fixes");

	for (size_t i = json_array_size(fixes); i-- > 0;) {
		_cleanup_(json_freep) json_t *entry = NULL;
		struct diag d = { 0 };
		int r = fix_undo(f, json_string_value(json_object_get(json_array_get(fixes, i), "id")), KICKS_ASKED_FOR, &entry, &d);

		if (r != (final ? -ENOTRECOVERABLE : 0)) {
			(void)snprintf(text, sizeof(text), "undo: %s: %s", d.where, d.what);
			return text;
		}
	}
	return NULL;
}

/* Return: what is wrong, or NULL. */
static const char *try_case(struct world *w, const struct control *c, struct fix *f, const struct fix_request *q,
			    json_t *test)
{
	const char *left = json_string_value(json_object_get(test, "left")), *bad;
	_cleanup_(json_freep) json_t *first = NULL, *second = NULL;
	_cleanup_(freep) char *before = list_tree(w->root), *after = NULL, *undone = NULL;
	bool later = json_is_true(json_object_get(test, "later"));
	static char text[2048];
	struct diag d = { 0 };
	json_t *v;
	size_t i;
	int r = fix_run(f, q, &first, &d);

	after = list_tree(w->root);
	json_array_foreach(json_object_get(first, "fixes"), i, v) {
		const char *state = json_string_value(json_object_get(v, "state"));

		if (strcmp(state, "applied") != 0) {
			(void)snprintf(text, sizeof(text), "%s: %s", state,
				       json_string_value(json_object_get(json_object_get(v, "proof"), "reason")));
			return text;
		}
	}
	if (r < 0)
		return d.what[0] ? memcpy(text, d.what, sizeof(d.what)) : strerror(-r);
	if (left)
		return !left_says(first, left)		 ? json_dumps(json_object_get(first, "left"), 0) :
		       strcmp(before, after) != 0	 ? "it was changed all the same" :
		       json_array_size(json_object_get(first, "fixes")) ? "something was mended" : NULL;
	if (json_array_size(json_object_get(first, "fixes")) == 0)
		return json_dumps(json_object_get(first, "left"), 0);
	bad = what_fails(w, c, q);
	if (bad && !later) {
		(void)snprintf(text, sizeof(text), "it fails still: %s", bad);
		return text;
	}
	if (!bad && later)
		return "nothing is left for later";
	bad = not_as_wanted(w, json_object_get(test, "mended"));
	if (bad)
		return bad;
	assert_int_equal(fix_run(f, q, &second, &d), 0);
	json_array_foreach(json_object_get(second, "fixes"), i, v)
		if (json_array_size(json_object_get(v, "files")) > 0)
			return "the second run changed something";
	bad = undo_all(f, first, json_is_true(json_object_get(test, "final")));
	if (bad)
		return bad;
	undone = list_tree(w->root);
	if (strcmp(before, undone) != 0) {
		print_error("before:\n%s\nundone:\n%s\n", before, undone);
		return "the tree is not as it was";
	}
	return NULL;
}

/* A world, its stand-ins and a fix on them. */
struct scene {
	struct world w;
	struct fix_host host;
	struct fix *fix;
};

static void scene_open(struct scene *s, json_t *json, json_t *unchanged)
{
	struct diag d = { 0 };

	*s = (struct scene){ .w = { .root = "/tmp/batten-fix-XXXXXX", .json = json, .unchanged = unchanged } };
	s->host = (struct fix_host){
		.data = &s->w, .facts = open_facts, .unit = do_unit, .unit_active = unit_active, .docker_reads = docker_reads,
		.swarm = swarm, .package = package_of_world, .guard = switch_guard, .guard_is_on = guard_is_on, .guard_data = &s->w, .watch = watch, .health = health,
	};
	json_object_set_new(unchanged, "ssm", json_pack("{s:s}", "name", "amazon-ssm-agen"));
	assert_non_null(mkdtemp(s->w.root));
	make_tree(s->w.root, json);
	assert_int_equal(fix_open(&s->fix, &(struct fix_options){ .root = s->w.root, .host = &s->host }, &d), 0);
}

static void scene_close(struct scene *s)
{
	s->fix = fix_free(s->fix);
	(void)nftw(s->w.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool run_case(const struct control *c, json_t *fixture, json_t *test, const char *status, size_t number)
{
	_cleanup_(json_freep) json_t *json = make_world(fixture, test), *unchanged = json_deep_copy(json);
	_cleanup_(audit_profile_freep) struct audit_profile *profile = NULL;
	const char *ids[] = { c->id, NULL }, *wrong;
	json_t *p = json_object_get(json, "profile"), *now = json_object_get(json, "now");
	struct fix_request q = { .kicks = KICKS_ASKED_FOR, .consents = CONSENT_LEAVE_SWARM | CONSENT_UPDATE_AGENT,
				 .audit = { .host = "fixture", .control_ids = ids, .now = now ? json_integer_value(now) : NOW } };
	struct diag d = { 0 };
	struct scene s;

	scene_open(&s, json, unchanged);
	if (p)
		assert_int_equal(audit_profile_parse(&profile, p, c->id, &d), 0);
	q.audit.profile = profile;
	wrong = try_case(&s.w, c, s.fix, &q, test);
	if (wrong)
		print_error("%s, case %s[%zu]: %s\n", c->id, status, number, wrong);
	scene_close(&s);
	return !wrong;
}

static bool run_cases(const struct control *c, json_t *fixture, const char *status)
{
	json_t *tests = json_object_get(fixture, status), *test;
	bool ok = true;
	size_t i;

	if (json_is_object(tests))
		return run_case(c, fixture, tests, status, 0);
	json_array_foreach(tests, i, test)
		ok &= run_case(c, fixture, test, status, i);
	return ok;
}

static void every_mendable_control_is_mended_and_put_back(void **state)
{
	unsigned int n_bad = 0;
	const struct mender *m;

	if (geteuid() != 0)
		skip_because("its trees have owners of their own: only root can make them");
	log_init(LOG_TARGET_TEXT, LOG_ERR);
	for (size_t i = 0; (m = mender_nth(i)); i++) {
		const struct control *c = control_find(m->control, NULL);
		_cleanup_(json_freep) json_t *fixture = load(DIRECTORY, m->control);

		assert_non_null(c);
		n_bad += !run_cases(c, fixture, "fail");
		n_bad += !run_cases(c, fixture, "drift");
	}
	assert_int_equal(n_bad, 0);
}

static void the_catalogue_and_the_menders_agree(void **state)
{
	size_t n_mendable = 0;
	const struct mender *m;

	for (size_t i = 0; i < n_control_sets; i++) {
		for (size_t k = 0; k < control_sets[i]->n_controls; k++) {
			const struct control *c = &control_sets[i]->controls[k];

			m = mender_find(c->id);
			if (c->mendable != (m != NULL))
				fail_msg("%s: mendable is %d, its mender says otherwise", c->id, c->mendable);
			n_mendable += c->mendable;
		}
	}
	for (size_t i = 0; (m = mender_nth(i)); i++) {
		assert_non_null(m->plan);
		assert_int_equal(m->consent != 0, m->by_consent != NULL);
		assert_ptr_equal(mender_find(m->control), m);
	}
	assert_int_equal(n_mendable, 41);
}

/* ---- proofs that fail --------------------------------------------------------------------------*/

/* The first world in which each of @ids fails, one laid over the other; mended with @set applied to it. */
static void try_failure(const char *const *ids, void (*set)(struct world *w), int wanted, const char *words)
{
	_cleanup_(json_freep) json_t *json = json_object(), *unchanged = NULL, *result = NULL;
	_cleanup_(freep) char *before = NULL, *after = NULL;
	struct fix_request q = { .kicks = KICKS_ASKED_FOR, .consents = wanted < 0 ? CONSENT_UPDATE_AGENT : 0,
				 .audit = { .host = "fixture", .control_ids = ids, .now = NOW } };
	struct diag d = { 0 };
	struct scene s;
	json_t *v;
	size_t i;

	for (i = 0; ids[i]; i++) {
		_cleanup_(json_freep) json_t *fixture = load(DIRECTORY, ids[i]);
		json_t *tests = json_object_get(fixture, "fail");
		_cleanup_(json_freep) json_t *world = make_world(fixture, json_is_array(tests) ? json_array_get(tests, 0) : tests);

		merge(json, world);
	}
	unchanged = json_deep_copy(json);
	scene_open(&s, json, unchanged);
	if (set)
		set(&s.w);
	before = list_tree(s.w.root);
	assert_int_equal(fix_run(s.fix, &q, &result, &d), wanted);
	after = list_tree(s.w.root);
	if (wanted < 0)
		assert_string_equal(before, after);
	assert_true(json_equal(json_object_get(json, "package"), json_object_get(unchanged, "package")) ||
		    !json_object_get(json, "package"));
	if (words) {
		bool said = left_says(result, words);

		json_array_foreach(json_object_get(result, "fixes"), i, v) {
			const char *reason = json_string_value(json_object_get(json_object_get(v, "proof"), "reason"));

			said |= strstr(reason, words) != NULL;
			if (wanted < 0)
				assert_string_equal(json_string_value(json_object_get(v, "state")), "failed");
		}
		if (!said)
			fail_msg("nobody says \"%s\": %s", words, json_dumps(result, 0));
	}
	if (wanted == 0)
		assert_int_equal(s.w.n_restarts, 0);
	scene_close(&s);
}

static void set_deaf(struct world *w)
{
	w->deaf = true;
}

static void set_dnf_says_no(struct world *w)
{
	w->dnf_says_no = true;
}

static void set_agent_stays(struct world *w)
{
	w->agent_stays = true;
}

static void set_falls_silent(struct world *w)
{
	w->falls_silent = true;
}

static void set_will_not_start(struct world *w)
{
	w->will_not_start = true;
}

static void set_no_live_restore(struct world *w)
{
	json_object_set_new(need_object(need_object(w->json, "docker"), "info"), "LiveRestoreEnabled", json_false());
}

static void what_the_control_does_not_confirm_is_undone(void **state)
{
	try_failure((const char *const[]){ "DKD-08", NULL }, set_deaf, -ECANCELED, "still");
}

static void whoever_answered_before_has_to_answer_still(void **state)
{
	try_failure((const char *const[]){ "DKD-08", NULL }, set_falls_silent, -ECANCELED, "Docker does not answer any more");
}

/* DKD-01 edits the same file before: it goes back too, and dockerd starts with the old one. */
static void a_restart_that_fails_takes_everything_back(void **state)
{
	try_failure((const char *const[]){ "DKD-07", NULL }, set_will_not_start, -ECANCELED, "the job ended as");
	try_failure((const char *const[]){ "DKD-01", "DKD-07", NULL }, set_will_not_start, -ECANCELED, "the job ended as");
}

static void docker_is_never_restarted_without_live_restore(void **state)
{
	try_failure((const char *const[]){ "DKD-07", NULL }, set_no_live_restore, 0, "live-restore is off");
}

static void no_swarm_is_left_without_the_word_for_it(void **state)
{
	try_failure((const char *const[]){ "DKD-13", NULL }, NULL, 0, "--leave-swarm");
}

static void no_agent_is_updated_without_the_word_for_it(void **state)
{
	try_failure((const char *const[]){ "AGT-02", NULL }, NULL, 0, "--update-agent");
}

static void an_agent_that_does_not_become_newer_is_put_back(void **state)
{
	try_failure((const char *const[]){ "AGT-02", NULL }, set_agent_stays, -ECANCELED, "still: fixture: 1.97.0 is before");
	try_failure((const char *const[]){ "AGT-02", NULL }, set_dnf_says_no, -ECANCELED, "a scriptlet failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_catalogue_and_the_menders_agree),
		cmocka_unit_test(every_mendable_control_is_mended_and_put_back),
		cmocka_unit_test(what_the_control_does_not_confirm_is_undone),
		cmocka_unit_test(whoever_answered_before_has_to_answer_still),
		cmocka_unit_test(a_restart_that_fails_takes_everything_back),
		cmocka_unit_test(docker_is_never_restarted_without_live_restore),
		cmocka_unit_test(no_swarm_is_left_without_the_word_for_it),
		cmocka_unit_test(no_agent_is_updated_without_the_word_for_it),
		cmocka_unit_test(an_agent_that_does_not_become_newer_is_put_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
