/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a container comes from, what it carries, and how it is reached.
 */
#include <errno.h>
#include <string.h>

#include "audit/controls/containers.h"
#include "audit/secrets.h"
#include "batten/base/parse.h"

bool user_is_root(const char *user)
{
	size_t n = strcspn(user, ":");

	return n == 0 || strspn(user, "0") == n || (n == 4 && strncmp(user, "root", n) == 0);
}

const json_t *container_in_agent(struct audit *a, const struct container_facts *c)
{
	return facts_agent_container(a->facts, c->id);
}

int check_environment(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *env = json_object_get(s->container->config, "Env"), *v;
	struct evidence e = { 0 };
	size_t i;

	json_array_foreach(env, i, v) {
		const char *text = json_string_value(v), *equals = text ? strchr(text, '=') : NULL, *name, *rule;

		if (!equals)
			continue;
		name = arena_strndup(&a->arena, text, (size_t)(equals - text));
		rule = secret_in_variable(name, equals + 1);
		if (rule && !audit_listed(a, "variables-without-secrets", name))
			evidence_add(&e, "%s holds a credential (%s)", name, rule);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "no credential in %zu variables", json_array_size(env));
	return 0;
}

/* "docker.io/library/nginx:1" is what Docker lists as "nginx:1". */
static const char *familiar(const char *reference)
{
	static const char *const prefixes[] = { "docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/",
						"library/" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(reference, prefixes[i], strlen(prefixes[i])) == 0)
			return reference + strlen(prefixes[i]);
	return reference;
}

/* The id of the local image that the tag names now, or NULL. */
static const char *image_of_tag(struct audit *a, const char *reference)
{
	const char *wanted = familiar(reference);
	const struct image_facts *list;
	size_t n = facts_images(a->facts, &list);

	for (size_t i = 0; i < n; i++) {
		const json_t *tags = json_object_get(list[i].summary, "RepoTags"), *v;
		size_t k;

		json_array_foreach(tags, k, v) {
			if (json_string_value(v) && strcmp(familiar(json_string_value(v)), wanted) == 0)
				return list[i].id;
		}
	}
	return NULL;
}

/* By digest, or by the image's own id, whole or its first digits. */
static bool is_named_by_digest(const struct container_facts *c)
{
	const char *hex = strncmp(c->image, "sha256:", 7) == 0 ? c->image + 7 : c->image;
	const char *id = strncmp(c->image_id, "sha256:", 7) == 0 ? c->image_id + 7 : c->image_id;
	size_t n = strlen(hex);

	return strstr(c->image, "@sha256:") || (n >= 4 && strncmp(hex, id, n) == 0);
}

/* A version has a number in it; "stable", "edge" and "prod" are made to be moved. */
static bool is_moving_tag(const char *tag)
{
	return strcmp(tag, "latest") == 0 || strcspn(tag, "0123456789") == strlen(tag);
}

int check_image_pinned(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *image = s->container->image, *slash = strrchr(image, '/'), *now;
	const char *tag = strchr(slash ? slash : image, ':');

	if (is_named_by_digest(s->container)) {
		audit_pass(a, s, "%s is named by digest", image);
		return 0;
	}
	if (!tag) {
		audit_fail(a, s, "%s: without a tag it may be another image tomorrow", image);
		return 0;
	}
	if (is_moving_tag(tag + 1)) {
		audit_fail(a, s, "%s: the tag %s may be another image tomorrow", image, tag + 1);
		return 0;
	}
	now = image_of_tag(a, image);
	if (now && strcmp(now, s->container->image_id) != 0)
		audit_drift(a, s, "%s now names %.19s, and it runs %.19s", image, now, s->container->image_id);
	else
		audit_pass(a, s, "%s, which is %.19s", image, s->container->image_id);
	return 0;
}

/* Is the port among those that the agent says its task definition wants? */
static bool is_declared(const json_t *known, uint64_t port)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(known, "Ports"), i, v) {
		if (facts_json_int(v, "HostPort", 0) == (int64_t)port)
			return true;
	}
	return false;
}

static bool is_all_of_ipv4(const char *address)
{
	return !address[0] || strcmp(address, "0.0.0.0") == 0;
}

int check_ports(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *ports = facts_json(s->container->inspect, "NetworkSettings.Ports"), *v;
	const char *mode = facts_json_string(s->container->host_config, "NetworkMode", "");
	uint64_t lowest = audit_parameter(a, "lowest-port", 1024), port;
	const json_t *known = s->task_arn ? container_in_agent(a, s->container) : NULL;
	const char *inside;
	struct evidence e = { 0 };
	size_t i, n = 0;
	json_t *list;

	if (!json_is_object(ports) || strcmp(mode, "host") == 0 || strncmp(mode, "container:", 10) == 0) {
		audit_not_applicable(a, s, "it has no network of Docker's");
		return 0;
	}
	json_object_foreach((json_t *)ports, inside, list) {
		json_array_foreach(list, i, v) {
			const char *address = facts_json_string(v, "HostIp", "");
			const char *text = facts_json_string(v, "HostPort", "");
			const json_t *before = i > 0 ? json_array_get(list, i - 1) : NULL;
			bool all = strcmp(address, "::") == 0, wildcard = all || is_all_of_ipv4(address);

			/* Every address of the other family comes as an entry of its own. */
			if (all && before && strcmp(text, facts_json_string(before, "HostPort", "")) == 0 &&
			    is_all_of_ipv4(facts_json_string(before, "HostIp", "")))
				continue;

			n++;
			if (parse_u64(slice_of(text), 1, 65535, &port) < 0 || audit_listed(a, "published-ports", text))
				continue;
			if (port < lowest)
				evidence_add(&e, "host port %s (of %s) is below %llu", text, inside, (unsigned long long)lowest);
			else if (json_object_get(known, "Ports") && !is_declared(known, port))
				evidence_add(&e, "host port %s (of %s) is none that the ECS agent gave it", text, inside);
			else if (wildcard && !s->task_arn)
				evidence_add(&e, "host port %s (of %s) is open on every address, and no task definition says so",
					     text, inside);
		}
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "%zu published port%s", n, n == 1 ? "" : "s");
	return 0;
}

int check_remote_login(struct audit *a, const struct control *c, const struct subject *s)
{
	static const char *const names[] = { "sshd", "dropbear", "telnetd", "in.telnetd", "utelnetd", "rlogind", "in.rlogind",
					     "rshd" };
	struct evidence e = { 0 };

	if (!container_has_process(a, s))
		return 0;
	for (size_t i = 0; i < s->container->n_processes; i++)
		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			if (strcmp(s->container->processes[i]->name, names[k]) == 0)
				evidence_add(&e, "process %d is %s", s->container->processes[i]->pid, names[k]);
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "none among %zu processes", s->container->n_processes);
	return 0;
}

int check_belongs(struct audit *a, const struct control *c, const struct subject *s)
{
	enum source_state agent;
	const char *reason;

	if (audit_listed(a, "containers-outside-ecs", s->name)) {
		audit_pass(a, s, "the profile allows it");
		return 0;
	}
	agent = facts_source(a->facts, SOURCE_INTROSPECTION, &reason);
	if (!s->task_arn) {
		if (agent == SOURCE_ABSENT && !facts_agent(a->facts))
			audit_not_applicable(a, s, "no ECS agent on this host");
		else
			audit_fail(a, s, "started outside ECS: it has no label %s", LABEL_TASK_ARN);
	} else if (agent != SOURCE_OK) {
		audit_unknown(a, s, "the agent cannot be asked whether it knows %s: %s", s->task_arn, reason);
	} else if (container_in_agent(a, s->container)) {
		audit_pass(a, s, "the agent runs it for %s", s->task_arn);
	} else {
		audit_fail(a, s, "it carries the label of %s, but the agent does not know it", s->task_arn);
	}
	return 0;
}

/* ECS Exec mounts the SSM agent's binaries below this. */
static bool has_ecs_exec(const struct container_facts *c)
{
	const json_t *mounts = json_object_get(c->inspect, "Mounts"), *v;
	size_t i;

	json_array_foreach(mounts, i, v) {
		if (strncmp(facts_json_string(v, "Destination", ""), "/ecs-execute-command-", 21) == 0)
			return true;
	}
	return false;
}

/* "NONE" switches off the image's. */
static bool has_health_check(const struct container_facts *c)
{
	const char *kind = json_string_value(json_array_get(facts_json(c->config, "Healthcheck.Test"), 0));

	return kind && strcmp(kind, "NONE") != 0;
}

/* Docker runs a health check as such a session, too; it is the image's or the task's, and nobody's shell. */
static bool is_health_check(const struct container_facts *c, const json_t *exec)
{
	const json_t *test = facts_json(c->config, "Healthcheck.Test"), *words = facts_json(exec, "ProcessConfig.arguments");
	const char *kind = json_string_value(json_array_get(test, 0)), *program = facts_json_string(exec, "ProcessConfig.entrypoint", "");
	const char *test_program = json_string_value(json_array_get(test, 1));
	size_t n = json_array_size(test), k = json_array_size(words);

	if (!kind || !test_program)
		return false;
	if (strcmp(kind, "CMD-SHELL") == 0) /* SHELL -c TEST */
		return k >= 2 && json_equal(json_array_get(words, k - 1), json_array_get(test, 1));
	if (strcmp(kind, "CMD") != 0 || k != n - 2 || strcmp(program, test_program) != 0)
		return false;
	for (size_t i = 0; i < k; i++)
		if (!json_equal(json_array_get(words, i), json_array_get(test, i + 2)))
			return false;
	return true;
}

int check_interactive(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *ids = json_object_get(s->container->inspect, "ExecIDs"), *v;
	struct evidence e = { 0 };
	size_t i;

	json_array_foreach(ids, i, v) {
		const char *id = json_string_value(v);
		const json_t *exec = id ? json_object_get(facts_docker(a->facts, "execs"), id) : NULL;
		const char *user = facts_json_string(exec, "ProcessConfig.user", "");
		const char *program = facts_json_string(exec, "ProcessConfig.entrypoint", "?");

		if (!facts_json_true(exec, "Running") || is_health_check(s->container, exec))
			continue;
		if (facts_json_true(exec, "ProcessConfig.privileged"))
			evidence_add(&e, "a privileged %s was started in it by docker exec and runs", program);
		else if (user_is_root(user))
			evidence_add(&e, "%s was started in it by docker exec and runs as %s", program,
				     user[0] ? user : "the image's user");
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "nobody is inside%s%s", has_ecs_exec(s->container) ? "; ECS Exec is enabled for its task" : "",
			   has_health_check(s->container) ? "" : "; no health check");
	return 0;
}
