/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ECS agent: does it run, how old is it, who reaches its ports, and is its container what
 * ecs-init makes of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/agent-port.h"
#include "audit/controls/controls.h"
#include "audit/controls/ecs-agent.h"
#include "audit/listeners.h"
#include "audit/packet-rules.h"
#include "audit/version.h"
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/base/fd.h"
#include "batten/host/ecs-config.h"
#include "batten/host/go-values.h"

#define INTROSPECTION_PORT 51678
#define CREDENTIALS "169.254.170.2"
#define DAY (24 * 60 * 60)

/* ---- it runs -----------------------------------------------------------------------------------*/

static int check_runs(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *reason, *arn, *version;
	enum source_state state = facts_source(a->facts, SOURCE_INTROSPECTION, &reason);

	if (state == SOURCE_ABSENT) {
		audit_not_applicable(a, s, "%s", reason);
		return 0;
	}
	if (state != SOURCE_OK) {
		audit_fail(a, s, "%s", reason);
		return 0;
	}
	arn = facts_json_string(facts_introspection(a->facts, "metadata"), "ContainerInstanceArn", "");
	version = facts_json_string(facts_introspection(a->facts, "metadata"), "Version", "");
	if (!arn[0] || !version[0])
		audit_fail(a, s, "the agent answers, but is not registered");
	else
		audit_pass(a, s, "registered as %s", arn);
	return 0;
}

/* ---- its version -------------------------------------------------------------------------------*/

/*
 * What we knew when this was built. 1.97.1 closed the introspection port towards other hosts
 * (CVE-2025-9039); 1.16.0 brought execution roles; interface endpoints need 1.25.1.
 */
#define FLOOR "1.97.1"
#define NEWEST "1.105.1"
#define NEWEST_RELEASED 1782777600 /* 2026-06-30 */
#define TOO_OLD_DAYS 90 /* that something newer is out */
#define TABLE_TRUSTED_DAYS 120

/* "Amazon ECS Agent - v1.105.1 (*abcdef)" */
static const char *number_in(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p == 'v' && p[1] >= '0' && p[1] <= '9')
			return p + 1;
	return text;
}

static int64_t days_since_newest(const struct audit *a)
{
	return (a->options.now - NEWEST_RELEASED) / DAY;
}

const char *ecs_agent_version(struct audit *a)
{
	const char *text = facts_json_string(facts_introspection(a->facts, "metadata"), "Version", "");

	return arena_strndup(&a->arena, number_in(text), strcspn(number_in(text), " ("));
}

bool ecs_agent_is_recent(const struct audit *a, const char *number)
{
	struct version v;

	return version_parse(number, &v) && !version_before(number, FLOOR) &&
	       !(version_before(number, NEWEST) && days_since_newest(a) > TOO_OLD_DAYS);
}

static int check_version(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *text = facts_json_string(facts_introspection(a->facts, "metadata"), "Version", "");
	const char *number = ecs_agent_version(a);
	int64_t days = days_since_newest(a);
	struct version v;

	if (!version_parse(number, &v)) {
		audit_unknown(a, s, "the agent calls its version \"%s\"", text);
	} else if (version_before(number, FLOOR)) {
		audit_fail_as(a, s, SEV_HIGH, "%s is before " FLOOR ": its introspection port is open to the network%s%s", number,
			      version_before(number, "1.25.1") ? "; VPC interface endpoints for ECS need 1.25.1" : "",
			      version_before(number, "1.16.0") ? "; task execution roles need 1.16.0" : "");
	} else if (version_before(number, NEWEST)) {
		if (!ecs_agent_is_recent(a, number))
			audit_fail(a, s, "%s is before " NEWEST ", which is out for %lld days", number, (long long)days);
		else
			audit_pass(a, s, "%s; " NEWEST " is out for %lld days", number, (long long)days);
	} else if (days > TABLE_TRUSTED_DAYS) {
		audit_unknown(a, s, "%s is at least the newest that this batten knows, but that is %lld days ago", number,
			      (long long)days);
	} else {
		audit_pass(a, s, "%s", number);
	}
	return 0;
}

/* ---- its ports ---------------------------------------------------------------------------------*/

/* A filter rule of INPUT that keeps the network from the introspection port. */
enum shield {
	SHIELD_NONE,
	SHIELD_ONE_INTERFACE, /* as before 1.97.1: only the one that was named */
	SHIELD_ALL,
};

/* Lets everybody in to the port, so that what stands behind it does not count. */
static bool opens_port(const json_t *rule)
{
	static const char *const conditions[] = { "iif", "iif_not", "oif", "oif_not", "saddr", "saddr_not", "daddr", "daddr_not",
						  "proto_not" };
	const char *proto = facts_json_string(rule, "proto", "tcp");
	size_t n_matches = json_array_size(json_object_get(rule, "matches")); /* iptables has "tcp" to compare the port */

	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++)
		if (json_object_get(rule, conditions[i]))
			return false;
	return rule_does(rule, "accept") && rule_is_plain(rule) && strcmp(proto, "tcp") == 0 &&
	       (rule_port(rule, INTROSPECTION_PORT) ? n_matches <= 1 : !json_object_get(rule, "dport") && n_matches == 0);
}

static enum shield introspection_shield(struct audit *a, const char *family)
{
	const json_t *chains = json_object_get(facts_document(a->facts, SOURCE_RULES), "chains"), *chain, *rule;
	enum shield best = SHIELD_NONE;
	size_t i, k;

	json_array_foreach(chains, i, chain) {
		const char *f = facts_json_string(chain, "family", "");
		bool input = strcmp(facts_json_string(chain, "chain", ""), "INPUT") == 0 ||
			     facts_json_int(chain, "hook", -1) == 1;

		if (!input || (strcmp(f, family) != 0 && strcmp(f, "inet") != 0))
			continue;
		json_array_foreach(json_object_get(chain, "rules"), k, rule) {
			if (opens_port(rule))
				break;
			if (!rule_port(rule, INTROSPECTION_PORT) || !(rule_does(rule, "drop") || rule_does(rule, "reject")))
				continue;
			if (!rule_is_plain(rule) || json_object_get(rule, "saddr"))
				continue;
			if (!json_object_get(rule, "iif"))
				return SHIELD_ALL;
			best = SHIELD_ONE_INTERFACE;
		}
		if (k == json_array_size(json_object_get(chain, "rules")) &&
		    strcmp(facts_json_string(chain, "policy", ""), "drop") == 0)
			return SHIELD_ALL;
	}
	return best;
}

static void judge_shield(struct audit *a, struct evidence *e, const char *family, const char *name)
{
	enum shield shield = introspection_shield(a, family);

	if (shield == SHIELD_NONE)
		evidence_add(e, "no rule keeps the network from it over %s", name);
	else if (shield == SHIELD_ONE_INTERFACE)
		evidence_add(e, "only one interface is closed over %s; tasks and further interfaces come through", name);
}

static int check_introspection(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct listener *list;
	const struct container_facts *from = NULL;
	bool open = false, any = false;
	struct evidence e = { 0 };
	size_t n_tried = 0;
	struct stat st;
	int n = listeners_read(a->facts, &list);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (list[i].udp || list[i].port != INTROSPECTION_PORT)
			continue;
		any = true;
		open |= !list[i].loopback;
	}
	if (!any) {
		audit_not_applicable(a, s, "nobody listens on port 51678");
		return 0;
	}
	if (!open) {
		audit_pass(a, s, "the port is bound to loopback");
		return 0;
	}
	if (facts_source(a->facts, SOURCE_DOCKER, NULL) == SOURCE_OK)
		n_tried = agent_port_try(a->facts, &from);
	if (from)
		evidence_add(&e, "%s connects to it over ecs-bridge", from->name);
	judge_shield(a, &e, "ip", "IPv4");
	if (facts_stat(a->facts, "/proc/net/if_inet6", true, &st) == 0)
		judge_shield(a, &e, "ip6", "IPv6");
	if (e.n_parts > 0 && !from && rules_legacy(a->facts))
		audit_unknown(a, s, "rules of the old iptables interface are loaded; they cannot be listed");
	else if (e.n_parts > 0)
		audit_fail(a, s, "port 51678 listens on every address, and %s", evidence_text(&e));
	else
		audit_pass(a, s, "port 51678 listens on every address, and rules keep the network out%s",
			   n_tried > 0 ? "; no task's connection is accepted" : "");
	return 0;
}

/* Counts rules of a nat chain that send CREDENTIALS:80 to the agent by @target. */
static unsigned int redirects(struct audit *a, const char *chain_name, const char *target)
{
	const json_t *chains = json_object_get(facts_document(a->facts, SOURCE_RULES), "chains"), *chain, *rule;
	unsigned int n = 0;
	size_t i, k;

	json_array_foreach(chains, i, chain) {
		if (strcmp(facts_json_string(chain, "chain", ""), chain_name) != 0)
			continue;
		json_array_foreach(json_object_get(chain, "rules"), k, rule) {
			n += rule_to(rule, CREDENTIALS) && rule_port(rule, 80) && rule_does(rule, target);
		}
	}
	return n;
}

static bool loopback_shield(struct audit *a)
{
	const json_t *chains = json_object_get(facts_document(a->facts, SOURCE_RULES), "chains"), *chain, *rule;
	size_t i, k;

	json_array_foreach(chains, i, chain) {
		json_array_foreach(json_object_get(chain, "rules"), k, rule) {
			if (strncmp(facts_json_string(rule, "daddr", ""), "127.0.0.0", 9) == 0 && rule_does(rule, "drop") &&
			    !json_object_get(rule, "iif"))
				return true;
		}
	}
	return false;
}

static int check_loopback(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *route = facts_line(a->facts, "/proc/sys/net/ipv4/conf/all/route_localnet");
	enum source_state agent = facts_source(a->facts, SOURCE_INTROSPECTION, NULL);
	unsigned int n_in = redirects(a, "PREROUTING", "DNAT"), n_out = redirects(a, "OUTPUT", "REDIRECT");
	struct evidence e = { 0 };

	if (!route) {
		audit_not_applicable(a, s, "no IPv4 on this host");
		return 0;
	}
	if (rules_legacy(a->facts)) {
		audit_unknown(a, s, "rules of the old iptables interface are loaded; they cannot be listed");
		return 0;
	}
	if (strcmp(route, "0") != 0 && !loopback_shield(a))
		evidence_add(&e, "route_localnet is on and no rule drops what comes to 127.0.0.0/8 from outside");
	if (agent == SOURCE_OK && (n_in != 1 || n_out != 1))
		evidence_add(&e, "%u DNAT and %u REDIRECT rules for " CREDENTIALS ", wanted one of each", n_in, n_out);
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else if (strcmp(route, "0") == 0 && agent != SOURCE_OK)
		audit_not_applicable(a, s, "route_localnet is off, and no agent runs");
	else
		audit_pass(a, s, "route_localnet is %s", strcmp(route, "0") == 0 ? "off" : "on, and a rule shields loopback");
	return 0;
}

/* ---- its container -----------------------------------------------------------------------------*/

/* Host paths that ecs-init binds; below them counts too. */
static const char *const agent_binds[] = {
	"/var/run",	 "/run",	  "/var/log/ecs",     "/var/lib/ecs",	      "/etc/ecs",	 "/var/cache/ecs",
	"/sys/fs/cgroup", "/proc",	  "/lib",	      "/lib64",		      "/usr/lib",	 "/usr/lib64",
	"/sbin",	 "/usr/sbin",	  "/etc/alternatives", "/usr/bin/lsblk",     "/usr/bin/nsenter", "/etc/pki",
	"/etc/ssl",	 "/var/lib/cloud/data/result.json", "/etc/docker/plugins", "/usr/lib/docker/plugins", "/run/docker/plugins",
	"/mnt/ecs",	 "/sbin/modinfo", "/usr/sbin/modinfo", "/bin/nsenter",	      "/bin/lsblk",	 "/var/lib/nvidia-volumes",
	"/etc/resolv.conf", "/usr/lib/systemd", "/var/cache/credentials-fetcher",
};

static bool bind_is_known(const char *source)
{
	for (size_t i = 0; i < ARRAY_SIZE(agent_binds); i++) {
		size_t n = strlen(agent_binds[i]);

		if (strncmp(source, agent_binds[i], n) == 0 && (source[n] == '\0' || source[n] == '/'))
			return true;
	}
	return false;
}

static const char *variable(const struct container_facts *c, const char *name)
{
	char prefix[64];
	const char *text;

	(void)snprintf(prefix, sizeof(prefix), "%s=", name);
	text = facts_json_find(c->config, "Env", prefix);
	return text ? text + strlen(prefix) : NULL;
}

/* As the agent reads its bools: blanks around the word do not count. */
bool ecs_agent_is_told(const struct container_facts *agent, const char *name)
{
	const char *value = variable(agent, name);
	bool b = false;

	return value && go_parse_bool(go_trim_space(slice_of(value)), &b) == 0 && b;
}

/* A size of no bytes, and files that begin anew by size: the agent never begins one. */
static bool has_no_log_size(const struct container_facts *agent)
{
	const char *size = variable(agent, "ECS_LOG_MAX_FILE_SIZE_MB"), *type = variable(agent, "ECS_LOG_ROLLOVER_TYPE");
	double megabytes;

	return size && go_parse_float(slice_of(size), &megabytes) == 0 && !ecs_log_size_counts(megabytes) &&
	       (!type || !*type || strcmp(type, "size") == 0);
}

/* The agent is known by its mounts, and is of no task. */
static const struct container_facts *any_unreadable(struct audit *a)
{
	const struct container_facts *list;

	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++)
		if (list[i].unreadable && !list[i].task_arn)
			return &list[i];
	return NULL;
}

static int check_agent_container(struct audit *a, const struct control *c, const struct subject *host)
{
	const struct container_facts *agent = facts_agent(a->facts), *unreadable = agent ? NULL : any_unreadable(a);
	struct subject s = { .kind = SUBJECT_CONTAINER };
	struct evidence e = { 0 };
	const json_t *v;
	size_t i;

	if (!agent) {
		if (unreadable)
			audit_unknown(a, host, "nobody can say whether container %s is the ECS agent's: %s", unreadable->name,
				      unreadable->unreadable);
		else
			audit_not_applicable(a, host, "no container here is the ECS agent's");
		return 0;
	}
	s.name = agent->name;
	s.container_id = agent->id;
	s.image = agent->image;
	if (agent->privileged)
		evidence_add(&e, "privileged");
	json_array_foreach(json_object_get(agent->host_config, "CapAdd"), i, v) {
		const char *name = json_string_value(v) ? json_string_value(v) : "?";

		if (strncmp(name, "CAP_", 4) == 0)
			name += 4;
		if (strcmp(name, "NET_ADMIN") != 0 && strcmp(name, "SYS_ADMIN") != 0)
			evidence_add(&e, "capability %s added", name);
	}
	if (strcmp(facts_json_string(agent->host_config, "PidMode", ""), "host") == 0)
		evidence_add(&e, "the host's process namespace");
	if (facts_json_find(agent->host_config, "SecurityOpt", "apparmor=unconfined") ||
	    facts_json_find(agent->host_config, "SecurityOpt", "seccomp=unconfined"))
		evidence_add(&e, "confinement switched off");
	if (ecs_agent_is_told(agent, "ECS_ENABLE_RUNTIME_STATS"))
		evidence_add(&e, "profiling endpoints are on (ECS_ENABLE_RUNTIME_STATS)");
	json_array_foreach(json_object_get(agent->inspect, "Mounts"), i, v) {
		const char *source = facts_json_string(v, "Source", "");

		if (strcmp(facts_json_string(v, "Type", ""), "bind") == 0 && !bind_is_known(source))
			evidence_add(&e, "%s is mounted, which ecs-init does not do", source);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, &s, "%s", evidence_text(&e));
	else
		audit_pass(a, &s, "as ecs-init makes it");
	return 0;
}

/* ---- its logs ----------------------------------------------------------------------------------*/

#define LOG_DIRECTORY "/var/log/ecs"
#define TAIL_BYTES (256 * 1024)
#define MAX_LOG_BYTES (1024LL * 1024 * 1024)

/* The end of a log, however long it is. NULL when it cannot be read. */
static const char *read_tail(struct audit *a, const char *path)
{
	_cleanup_(fd_closep) int fd = facts_file(a->facts, path, O_RDONLY);
	struct stat st;
	char *text;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	text = arena_alloc(&a->arena, TAIL_BYTES + 1);
	if (!text)
		return NULL;
	n = pread(fd, text, TAIL_BYTES, st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0);
	return n < 0 ? NULL : text;
}

static int check_logs(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct container_facts *agent = facts_live(a->facts) ? facts_agent(a->facts) : NULL;
	const char *const *names, *tail;
	struct evidence e = { 0 };
	long long total = 0;
	time_t newest = 0;
	int n = facts_list(a->facts, LOG_DIRECTORY, &names);

	if (n <= 0) {
		audit_not_applicable(a, s, LOG_DIRECTORY " is empty or not there: no agent, or its logs are shipped");
		return 0;
	}
	for (int i = 0; i < n; i++) {
		struct stat st;

		if (facts_stat(a->facts, arena_printf(&a->arena, LOG_DIRECTORY "/%s", names[i]), false, &st) < 0)
			continue;
		total += st.st_size;
		if (strncmp(names[i], "ecs-agent.log", 13) == 0)
			newest = MAX(newest, st.st_mtime);
	}
	if (newest == 0 && !(agent && variable(agent, "ECS_LOG_DRIVER")))
		evidence_add(&e, "no ecs-agent.log");
	else if (newest > 0 && facts_live(a->facts) && a->options.now - newest > DAY)
		evidence_add(&e, "the agent wrote nothing for %lld hours", (long long)(a->options.now - newest) / 3600);
	if (total > MAX_LOG_BYTES)
		evidence_add(&e, "%lld MiB of logs: nothing rotates them", total >> 20);
	if (agent && ecs_agent_is_told(agent, "ECS_AUDIT_LOGFILE_DISABLED"))
		evidence_add(&e, "requests for credentials are not logged (ECS_AUDIT_LOGFILE_DISABLED)");
	if (agent && has_no_log_size(agent))
		evidence_add(&e, "neither requests for credentials nor anything else is logged (ECS_LOG_MAX_FILE_SIZE_MB)");
	tail = read_tail(a, LOG_DIRECTORY "/ecs-agent.log");
	if (tail && strstr(tail, "Invalid format for"))
		evidence_add(&e, "the agent says that it ignored a setting (\"Invalid format for\")");
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "%lld MiB of logs, and no setting was ignored", total >> 20);
	return 0;
}

static const struct control controls[] = {
	{
		.id = "AGT-01",
		.title = "The ECS agent runs and is registered",
		.means = "Tasks keep running, but nothing watches, replaces or updates them, and credentials stop being renewed.",
		.remedy = "systemctl restart ecs; then look at /var/log/ecs/ecs-init.log and ecs-agent.log",
		.severity = SEV_HIGH,
		.needs = NEEDS_PROC,
		.also = NEEDS_INTROSPECTION,
		.mendable = true,
		.check = check_runs,
	},
	{
		.id = "AGT-02",
		.title = "The ECS agent is recent",
		.means = "Known faults are open; before 1.97.1 neighbours on the network read what tasks run here.",
		.remedy = "dnf update ecs-init and restart ecs, or replace the instance by one of a current AMI",
		.severity = SEV_MEDIUM,
		.mendable = true,
		.needs = NEEDS_INTROSPECTION,
		.pci_dss = "6.3.3",
		.check = check_version,
	},
	{
		.id = "AGT-03",
		.title = "The agent's introspection port is closed to the network",
		.means = "Whoever is in reach learns every task, image and port of this host.",
		.remedy = "unset ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS and restart ecs, which writes the rules again",
		.severity = SEV_HIGH,
		.needs = NEEDS_PROC | NEEDS_RULES,
		.also = NEEDS_DOCKER,
		.mendable = true,
		.nist = "4.4.2",
		.check = check_introspection,
	},
	{
		.id = "AGT-04",
		.title = "Loopback services are shielded while route_localnet is on",
		.means = "ecs-init routes 127.0.0.0/8; without its rule neighbours reach services that were meant for this host "
			 "alone. Without the redirects tasks get no credentials.",
		.remedy = "unset ECS_SKIP_LOCALHOST_TRAFFIC_FILTER and restart ecs, which writes the rules again",
		.severity = SEV_HIGH,
		.needs = NEEDS_PROC | NEEDS_RULES,
		.also = NEEDS_INTROSPECTION,
		.mendable = true,
		.nist = "4.5.1",
		.check = check_loopback,
	},
	{
		.id = "AGT-05",
		.title = "The agent's container is as ecs-init makes it",
		.means = "The agent holds every task's credentials; what was added to its container was added to them.",
		.remedy = "remove ECS_AGENT_RUN_PRIVILEGED and the like from ecs.config, and restart ecs",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_DOCKER,
		.cis_docker = "5.4, 5.5, 5.16",
		.nist = "4.4.3",
		.check = check_agent_container,
	},
	{
		.id = "AGT-06",
		.title = "The agent's logs are there, rotated, and without ignored settings",
		.means = "Who fetched which credentials cannot be told afterwards, or a setting is not what it seems.",
		.remedy = "set ECS_LOG_MAX_ROLL_COUNT and ECS_LOG_MAX_FILE_SIZE_MB, unset ECS_AUDIT_LOGFILE_DISABLED, mend the "
			  "setting that the log names",
		.severity = SEV_LOW,
		.needs = NEEDS_FILES,
		.also = NEEDS_DOCKER,
		.mendable = true,
		.pci_dss = "10.2.1",
		.check = check_logs,
	},
};

CONTROL_SET(ecs_agent_controls, AREA_ECS_AGENT);
