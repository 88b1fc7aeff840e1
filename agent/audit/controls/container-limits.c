/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How much of the host a container may use. ECS bounds the task's cgroup, not the container's, so
 * what Docker was told about the container proves nothing either way.
 */
#include <string.h>

#include "audit/cgroup-limit.h"
#include "audit/controls/containers.h"
#include "batten/base/parse.h"

/* Return: true when there is an answer in @ret. */
static bool read_limit(struct audit *a, const struct subject *s, enum cgroup_limit which, uint64_t *ret,
		       const char **ret_where)
{
	const char *path;

	if (!container_has_process(a, s))
		return false;
	path = s->container->processes[0]->cgroup;
	if (cgroup_limit(a->facts, path, which, ret, ret_where) < 0) {
		audit_unknown(a, s, "no limits to be read for cgroup %s", path);
		return false;
	}
	return true;
}

int check_memory_and_cpu(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *where, *cpu_where;
	uint64_t memory, cpu;

	if (!read_limit(a, s, LIMIT_MEMORY, &memory, &where))
		return 0;
	if (memory == LIMIT_NONE)
		audit_fail(a, s, "no memory limit on any cgroup from %s upwards", s->container->processes[0]->cgroup);
	else if (cgroup_limit(a->facts, s->container->processes[0]->cgroup, LIMIT_CPU, &cpu, &cpu_where) < 0 ||
		 cpu == LIMIT_NONE)
		audit_pass(a, s, "memory at most %llu MiB (set on %s); processor time by weight only",
			   (unsigned long long)(memory >> 20), where);
	else
		audit_pass(a, s, "memory at most %llu MiB (set on %s), processors at most %llu.%02llu",
			   (unsigned long long)(memory >> 20), where, (unsigned long long)(cpu / 1000000),
			   (unsigned long long)(cpu % 1000000 / 10000));
	return 0;
}

int check_process_count(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *where;
	uint64_t pids;

	if (!read_limit(a, s, LIMIT_PIDS, &pids, &where))
		return 0;
	if (pids == LIMIT_NONE)
		audit_fail(a, s, "no pids limit on any cgroup from %s upwards", s->container->processes[0]->cgroup);
	else
		audit_pass(a, s, "at most %llu processes (set on %s)", (unsigned long long)pids, where);
	return 0;
}

/* "Max core file size        0                    unlimited            bytes": is the soft one? */
static bool soft_is_unlimited(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	if (!line)
		return false;
	line += strlen(name);
	line += strspn(line, " ");
	return strncmp(line, "unlimited", 9) == 0;
}

int check_process_limits(struct audit *a, const struct control *c, const struct subject *s)
{
	struct evidence e = { 0 };
	const char *text;

	if (!container_has_process(a, s))
		return 0;
	if (facts_process_read(a->facts, s->container->processes[0]->pid, "limits", &text, NULL) < 0) {
		audit_unknown(a, s, "cannot read /proc/%d/limits", s->container->processes[0]->pid);
		return 0;
	}
	if (soft_is_unlimited(text, "Max core file size"))
		evidence_add(&e, "core dumps of any size");
	if (soft_is_unlimited(text, "Max open files"))
		evidence_add(&e, "any number of open files");
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "core dumps and open files are bounded");
	return 0;
}

int check_restart_policy(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *name = facts_json_string(s->container->host_config, "RestartPolicy.Name", "");
	int64_t retries = facts_json_int(s->container->host_config, "RestartPolicy.MaximumRetryCount", 0);
	int64_t most = (int64_t)audit_parameter(a, "restart-max", 5);

	if (s->task_arn) {
		int64_t n = facts_json_int(container_in_agent(a, s->container), "RestartCount", -1);

		if (n > most)
			audit_fail(a, s, "the ECS agent restarted it %lld times", (long long)n);
		else
			audit_not_applicable(a, s, "the ECS agent restarts it, not Docker");
	} else if (strcmp(name, "always") == 0 || strcmp(name, "unless-stopped") == 0) {
		audit_fail(a, s, "restart policy \"%s\": restarted for ever", name);
	} else if (strcmp(name, "on-failure") == 0 && (retries == 0 || retries > most)) {
		audit_fail(a, s, "restart policy on-failure with %s retries", retries == 0 ? "any number of" : U64S((uint64_t)retries));
	} else {
		audit_pass(a, s, "restart policy \"%s\"", name[0] ? name : "no");
	}
	return 0;
}
