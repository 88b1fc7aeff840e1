/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the agent's settings come to: its switches as they hold, beside what the host, Docker and
 * the tasks are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "audit/controls/ecs-config.h"
#include "batten/base/parse.h"

/* The value is good or bad by the files; a running agent that has another one is a drift. */
static void report(struct audit *a, const struct subject *s, const struct ecs_result *v, bool good)
{
	if (v->drift)
		audit_drift(a, s, "%s; the running agent has %s: restart it", ecs_result_text(a, v),
			    v->running ? v->running : "nothing");
	else if (good)
		audit_pass(a, s, "%s", ecs_result_text(a, v));
	else
		audit_fail(a, s, "%s", ecs_result_text(a, v));
}

static bool is_external(const struct ecs_settings *e)
{
	return ecs_config_is_true(e->config, "ECS_EXTERNAL");
}

ECS_CHECK(check_ecs_block_imds)
{
	const struct ecs_settings *e;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	if (!ecs_config_is_true(e->config, "ECS_ENABLE_TASK_ENI")) {
		audit_not_applicable(a, s, "%s: there are no awsvpc tasks",
				     ecs_result_text(a, ecs_config_get(e->config, "ECS_ENABLE_TASK_ENI")));
		return 0;
	}
	report(a, s, ecs_config_get(e->config, "ECS_AWSVPC_BLOCK_IMDS"),
	       ecs_config_is_true(e->config, "ECS_AWSVPC_BLOCK_IMDS"));
	return 0;
}

ECS_CHECK(check_ecs_task_roles)
{
	const struct ecs_settings *e;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	if (is_external(e))
		audit_not_applicable(a, s, "outside of EC2 there is no instance role to fall back to");
	else
		report(a, s, ecs_config_get(e->config, "ECS_ENABLE_TASK_IAM_ROLE"),
		       ecs_config_is_true(e->config, "ECS_ENABLE_TASK_IAM_ROLE"));
	return 0;
}

static struct subject container_subject(struct audit *a, const struct container_facts *k)
{
	struct subject s = audit_subject(a, SUBJECT_CONTAINER, k->name);

	s.container_id = k->id;
	s.task_arn = k->task_arn;
	s.family = k->family;
	s.ecs_name = k->ecs_name;
	s.image = k->image;
	s.container = k;
	return s;
}

static bool is_task(const struct container_facts *k)
{
	return k->task_arn && !k->is_platform && !k->is_agent;
}

static bool in_host_network(const struct container_facts *k)
{
	return strcmp(facts_json_string(k->host_config, "NetworkMode", ""), "host") == 0;
}

ECS_CHECK(check_ecs_host_network_roles)
{
	const struct container_facts *list;
	const struct ecs_settings *e;
	unsigned int n_told = 0;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++) {
		struct subject about;

		if (!is_task(&list[i]) || (!list[i].unreadable && !in_host_network(&list[i])))
			continue;
		n_told++;
		about = container_subject(a, &list[i]);
		if (list[i].unreadable)
			audit_unknown(a, &about, "%s", list[i].unreadable);
		else if (facts_json_find(list[i].config, "Env", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="))
			audit_pass(a, &about, "has a task role");
		else
			audit_fail(a, &about, "in host networking without a task role: its SDK takes the instance's; %s",
				   ecs_result_text(a, ecs_config_get(e->config, "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST")));
	}
	if (n_told == 0)
		audit_not_applicable(a, s, "no task is in host networking");
	return 0;
}

/* The privileged containers of tasks, as far as Docker can be asked, and one of which it does not tell. */
static unsigned int count_privileged(struct audit *a, struct evidence *names, const struct container_facts **ret_unreadable)
{
	const struct container_facts *list;
	unsigned int count = 0;

	*ret_unreadable = NULL;
	if (!facts_live(a->facts) || facts_source(a->facts, SOURCE_DOCKER, NULL) != SOURCE_OK)
		return 0;
	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++) {
		if (!is_task(&list[i]))
			continue;
		if (list[i].unreadable)
			*ret_unreadable = &list[i];
		if (!list[i].privileged)
			continue;
		evidence_add(names, "%s", list[i].name);
		count++;
	}
	return count;
}

ECS_CHECK(check_ecs_privileged)
{
	const struct ecs_result *v;
	const struct ecs_settings *e;
	const struct container_facts *unreadable = NULL;
	struct evidence names = { 0 };
	bool forbidden;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	v = ecs_config_get(e->config, "ECS_DISABLE_PRIVILEGED");
	forbidden = ecs_config_is_true(e->config, v->name);
	if (forbidden && !v->drift && count_privileged(a, &names, &unreadable) > 0)
		audit_drift(a, s, "%s, and privileged all the same: %s", ecs_result_text(a, v), evidence_text(&names));
	else if (unreadable)
		audit_unknown(a, s, "%s, but nobody can say whether %s is privileged: %s", ecs_result_text(a, v),
			      unreadable->name, unreadable->unreadable);
	else
		report(a, s, v, forbidden);
	return 0;
}

ECS_CHECK(check_ecs_lsm)
{
	static const struct {
		const char *variable, *option, *title;
	} rows[] = {
		{ "ECS_SELINUX_CAPABLE", "name=selinux", "SELinux" },
		{ "ECS_APPARMOR_CAPABLE", "name=apparmor", "AppArmor" },
	};
	const json_t *info = facts_docker(a->facts, "info");
	const struct ecs_settings *e;
	bool any = false;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct ecs_result *v = ecs_config_get(e->config, rows[i].variable);
		struct subject about = audit_subject(a, SUBJECT_SETTING, rows[i].variable);
		bool present = facts_json_find(info, "SecurityOptions", rows[i].option) != NULL;
		bool advertised = ecs_config_is_true(e->config, rows[i].variable);

		if (!present && !advertised)
			continue;
		any = true;
		if (present && advertised)
			audit_pass(a, &about, "Docker has %s, and %s", rows[i].title, ecs_result_text(a, v));
		else
			audit_fail(a, &about, "Docker %s %s, and %s", present ? "has" : "does not have", rows[i].title,
				   ecs_result_text(a, v));
	}
	if (!any)
		audit_not_applicable(a, s, "Docker has neither SELinux nor AppArmor, and neither is advertised");
	return 0;
}

ECS_CHECK(check_ecs_awslogs)
{
	const char *name = "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE";
	const struct ecs_result *drivers;
	const struct ecs_settings *e;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	drivers = ecs_config_get(e->config, "ECS_AVAILABLE_LOGGING_DRIVERS");
	if (!drivers->effective || !strstr(drivers->effective, "\"awslogs\""))
		audit_not_applicable(a, s, "%s: tasks cannot ask for awslogs", ecs_result_text(a, drivers));
	else
		report(a, s, ecs_config_get(e->config, name), ecs_config_is_true(e->config, name));
	return 0;
}

/* Is the address @ip in "ADDRESS/BITS"? */
static bool range_has(const char *text, const char *slash, uint32_t ip)
{
	char address[INET_ADDRSTRLEN];
	struct in_addr in;
	uint64_t bits;
	size_t n = (size_t)(slash - text);

	if (n >= sizeof(address))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	if (inet_pton(AF_INET, address, &in) != 1 ||
	    parse_u64((struct slice){ slash + 1, strspn(slash + 1, "0123456789") }, 0, 32, &bits) < 0)
		return false;
	return bits == 0 || (ntohl(in.s_addr) ^ ip) >> (32 - bits) == 0;
}

/* Does the list of what needs no proxy, as Go reads it, have the address: itself, with its port, in a range, or by "*"? */
static bool list_has(const char *list, const char *address)
{
	size_t n = strlen(address);
	struct in_addr in;

	if (inet_pton(AF_INET, address, &in) != 1)
		return false;
	for (const char *p = list; p; p = strchr(p, ',')) {
		size_t k;
		const char *slash;

		p += *p == ',';
		p += strspn(p, " ");
		k = strcspn(p, ", ");
		slash = memchr(p, '/', k);
		if (k == 1 && *p == '*')
			return true;
		if (k >= n && strncmp(p, address, n) == 0 && (k == n || (k == n + 3 && strncmp(p + n, ":80", 3) == 0)))
			return true;
		if (slash && range_has(p, slash, ntohl(in.s_addr)))
			return true;
	}
	return false;
}

static const char *effective(const struct ecs_settings *e, const char *name, const char *lower)
{
	const struct ecs_result *v = ecs_config_get(e->config, name), *w = ecs_config_get(e->config, lower);

	return v->effective && *v->effective ? v->effective : w->effective && *w->effective ? w->effective : NULL;
}

/* Docker masks what it was given; ours is masked as well. */
static bool carries_password(const char *url)
{
	return strstr(url, ":***@") || strstr(url, "xxxxx@");
}

ECS_CHECK(check_ecs_proxy)
{
	/* Where the instance's and the tasks' credentials come from. */
	static const char *const wanted[] = { "169.254.169.254", "169.254.170.2" };
	const json_t *info = facts_live(a->facts) && facts_source(a->facts, SOURCE_DOCKER, NULL) == SOURCE_OK ?
				     facts_docker(a->facts, "info") : NULL;
	const struct ecs_settings *e;
	const char *http, *https, *none, *docker_http, *docker_https;
	struct evidence found = { 0 };
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	http = effective(e, "HTTP_PROXY", "http_proxy");
	https = effective(e, "HTTPS_PROXY", "https_proxy");
	none = effective(e, "NO_PROXY", "no_proxy");
	docker_http = facts_json_string(info, "HttpProxy", "");
	docker_https = facts_json_string(info, "HttpsProxy", "");
	if (!http && !https && !*docker_http && !*docker_https) {
		audit_not_applicable(a, s, "no proxy is set");
		return 0;
	}
	if ((http && carries_password(http)) || (https && carries_password(https)))
		evidence_add(&found, "the agent's proxy URL holds a password: %s", http && carries_password(http) ? http : https);
	if (carries_password(docker_http) || carries_password(docker_https))
		evidence_add(&found, "dockerd's proxy URL holds a password");
	/* Without NO_PROXY the agent leaves both out by itself. */
	for (size_t i = 0; i < ARRAY_SIZE(wanted) && (http || https) && none; i++)
		if (!list_has(none, wanted[i]))
			evidence_add(&found, "NO_PROXY (%s) lacks %s", none, wanted[i]);
	if (found.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&found));
	else
		audit_pass(a, s, "credentials are asked for without the proxy");
	return 0;
}

ECS_CHECK(check_ecs_spot)
{
	/* What cloud-init has asked IMDS at boot. */
	static const char path[] = "/run/cloud-init/instance-data.json";
	const struct ecs_settings *e;
	const char *text, *cycle;
	json_t *j = NULL;
	size_t n;
	bool spot;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	r = facts_read(a->facts, path, &text, &n);
	if (r == -ENOENT || r == -ENOTDIR) {
		audit_not_applicable(a, s, "%s is not there to tell Spot capacity", path);
		return 0;
	}
	if (r < 0 || json_parse(text, n, path, &j, NULL) < 0) {
		audit_unknown(a, s, "%s cannot be read", path);
		return 0;
	}
	cycle = facts_json_string(j, "ds.meta_data.instance-life-cycle", "unknown");
	spot = strcmp(cycle, "spot") == 0;
	if (!spot)
		audit_not_applicable(a, s, "the instance's life cycle is %s", cycle);
	else
		report(a, s, ecs_config_get(e->config, "ECS_ENABLE_SPOT_INSTANCE_DRAINING"),
		       ecs_config_is_true(e->config, "ECS_ENABLE_SPOT_INSTANCE_DRAINING"));
	json_decref(j);
	return 0;
}

/* Families of the tasks that run; 2 stands for "more than one", or for nobody can say. */
static unsigned int count_families(struct audit *a)
{
	const struct container_facts *list;
	const char *first = NULL;

	if (!facts_live(a->facts) || facts_source(a->facts, SOURCE_DOCKER, NULL) != SOURCE_OK)
		return 2;
	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++) {
		if (!is_task(&list[i]) || !list[i].family)
			continue;
		if (first && strcmp(first, list[i].family) != 0)
			return 2;
		first = list[i].family;
	}
	return first ? 1 : 0;
}

ECS_CHECK(check_ecs_pull)
{
	const struct ecs_settings *e;
	const struct ecs_result *v;
	bool cached;
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	v = ecs_config_get(e->config, "ECS_IMAGE_PULL_BEHAVIOR");
	cached = strcmp(v->effective, "once") == 0 || strcmp(v->effective, "prefer-cached") == 0;
	if (cached && !v->drift && count_families(a) < 2)
		audit_not_applicable(a, s, "%s, and one task family has the instance for itself", ecs_result_text(a, v));
	else
		report(a, s, v, !cached);
	return 0;
}

ECS_CHECK(check_ecs_limits)
{
	const struct ecs_result *cgroups, *pids;
	const struct ecs_settings *e;
	struct evidence found = { 0 };
	int r = ecs_settings_of(a, s, &e);

	if (r <= 0)
		return r;
	cgroups = ecs_config_get(e->config, "ECS_ENABLE_TASK_CPU_MEM_LIMIT");
	pids = ecs_config_get(e->config, "ECS_TASK_PIDS_LIMIT");
	if (strcmp(cgroups->effective, "true") != 0)
		evidence_add(&found, "%s: tasks have no cgroup of their own, and the pids limit is not used",
			     ecs_result_text(a, cgroups));
	if (strcmp(pids->effective, pids->row->fallback) == 0)
		evidence_add(&found, "%s", ecs_result_text(a, pids));
	if (cgroups->drift || pids->drift)
		audit_drift(a, s, "%s; %s; the running agent has %s and %s", ecs_result_text(a, cgroups),
			    ecs_result_text(a, pids), cgroups->running ? cgroups->running : "no switch",
			    pids->running ? pids->running : "no limit");
	else if (found.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&found));
	else
		audit_pass(a, s, "%s", ecs_result_text(a, pids));
	return 0;
}
