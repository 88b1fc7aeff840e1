/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who reaches the instance metadata service: tried from inside every container's network, and the
 * rules that keep it so.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "audit/controls/controls.h"
#include "audit/packet-rules.h"
#include "audit/secrets.h"
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/base/unpack.h"
#include "batten/host/ecs-config.h"

#define IMDS4 "169.254.169.254"
#define IMDS6 "fd00:ec2::254"

/* ---- tries -------------------------------------------------------------------------------------*/

/* One try of a list, or NULL. */
static const json_t *try_of(const json_t *tries, int family, int version)
{
	const json_t *v;
	size_t i;

	json_array_foreach(tries, i, v) {
		if (facts_json_int(v, "family", 0) == family && facts_json_int(v, "version", 0) == version)
			return v;
	}
	return NULL;
}

static bool came(const json_t *tries, int family, int version, const char *outcome)
{
	return strcmp(facts_json_string(try_of(tries, family, version), "outcome", ""), outcome) == 0;
}

static int check_v1(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *tries = json_object_get(facts_document(a->facts, SOURCE_IMDS), "host");
	int64_t status = facts_json_int(try_of(tries, 4, 1), "status", 0);

	if (!came(tries, 4, 1, "reachable"))
		audit_not_applicable(a, s, "the host itself gets no answer from the metadata service");
	else if (status == 401)
		audit_pass(a, s, "a request without a token is answered with 401");
	else if (status == 200)
		audit_fail(a, s, "a request without a token is answered with 200");
	else
		audit_unknown(a, s, "a request without a token is answered with %lld", (long long)status);
	return 0;
}

static const struct container_facts *container_by_id(struct audit *a, const char *id)
{
	const struct container_facts *list;

	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++)
		if (strcmp(list[i].id, id) == 0)
			return &list[i];
	return NULL;
}

/* Behind a bridge of Docker's. A task with an interface of its own is as near to the service as the host is. */
static bool is_one_hop_away(const struct container_facts *c)
{
	const char *mode = facts_json_string(c->host_config, "NetworkMode", "");

	return !c->is_agent && strcmp(mode, "host") != 0 && strcmp(mode, "none") != 0 &&
	       strncmp(mode, "container:", 10) != 0;
}

/* What a container that is one hop away sees of the token's answer. */
static int check_hop_limit(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *list = json_object_get(facts_document(a->facts, SOURCE_IMDS), "namespaces"), *v;
	size_t i, n_lost = 0, n_near = 0;

	json_array_foreach(list, i, v) {
		const json_t *tries = json_object_get(v, "tries");
		const struct container_facts *k = container_by_id(a, facts_json_string(v, "container", ""));

		if (!k || !is_one_hop_away(k))
			continue;
		n_near++;
		if (came(tries, 4, 2, "reachable")) {
			audit_fail(a, s, "a token reached %s, one bridge away: the hop limit is 2 or more", k->name);
			return 0;
		}
		/* The road is open, for a plain request is answered: only the token got lost on it. */
		n_lost += came(tries, 4, 1, "reachable") && came(tries, 4, 2, "timeout");
	}
	if (n_lost > 0)
		audit_pass(a, s, "no token comes to %zu containers that the service answers otherwise", n_lost);
	else if (n_near > 0)
		audit_unknown(a, s, "something else keeps %zu containers from asking, so that the hop limit cannot be seen; the API "
			      "tells it: HttpPutResponseHopLimit", n_near);
	else
		audit_unknown(a, s, "no container is one bridge away to try from; the API tells it: HttpPutResponseHopLimit");
	return 0;
}

/* Tries of the namespace that a container lives in, NULL when it is the host's or was not tried. */
static const json_t *tries_from(struct audit *a, const struct subject *s)
{
	const json_t *list = json_object_get(facts_document(a->facts, SOURCE_IMDS), "namespaces"), *v;
	size_t i;

	json_array_foreach(list, i, v) {
		if (strcmp(facts_json_string(v, "container", ""), s->container_id) == 0)
			return json_object_get(v, "tries");
	}
	return NULL;
}

/* Why nothing was tried from inside: only the host's own network needs no try. */
static void report_untried(struct audit *a, const struct subject *s)
{
	const char *own = s->container->pid > 0 ? facts_process_link(a->facts, s->container->pid, "ns/net") : NULL;
	const char *host, *ours;

	facts_host_namespaces(a->facts, "net", &host, &ours);
	if (own && ((host && strcmp(own, host) == 0) || (ours && strcmp(own, ours) == 0)))
		audit_not_applicable(a, s, "it has the host's network, see CTR-03");
	else if (own)
		audit_unknown(a, s, "it ended, or began, while others were tried");
	else
		audit_unknown(a, s, "its network namespace cannot be seen: it ended, or this is not root");
}

static int check_reachable(struct audit *a, const struct subject *s, int family)
{
	const json_t *tries = tries_from(a, s);
	bool v1 = came(tries, family, 1, "reachable"), v2 = came(tries, family, 2, "reachable");

	if (!tries)
		report_untried(a, s);
	else if (v1 || v2)
		audit_fail(a, s, "the metadata service answers it over IPv%d (%s%s%s)", family, v1 ? "version 1" : "",
			   v1 && v2 ? " and " : "", v2 ? "version 2" : "");
	else if (came(tries, family, 1, "failed") || came(tries, family, 2, "failed"))
		audit_unknown(a, s, "could not be tried from inside");
	else if (family == 6 && came(tries, family, 1, "no-route") && came(tries, family, 2, "no-route"))
		audit_not_applicable(a, s, "it has no way out over IPv6");
	else
		audit_pass(a, s, "neither version answers: %s and %s",
			   facts_json_string(try_of(tries, family, 1), "outcome", "?"),
			   facts_json_string(try_of(tries, family, 2), "outcome", "?"));
	return 0;
}

static int check_ipv4(struct audit *a, const struct control *c, const struct subject *s)
{
	return check_reachable(a, s, 4);
}

static int check_ipv6(struct audit *a, const struct control *c, const struct subject *s)
{
	return check_reachable(a, s, 6);
}

/* ---- routes and rules --------------------------------------------------------------------------*/

/* In these tables a route to nowhere has no device ("*") or the flag RTF_REJECT (0x200). */
static bool has_blackhole4(const char *table)
{
	for (const char *p = strchr(table, '\n'); p && p[1]; p = strchr(p + 1, '\n'))
		if (strncmp(p + 1, "*\tFEA9FEA9\t", 11) == 0)
			return true;
	return false;
}

static bool has_blackhole6(const char *table)
{
	for (const char *p = table; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		char destination[33];
		unsigned int length, flags;

		if (sscanf(p, "%32s %x %*s %*s %*s %*x %*x %*x %x", destination, &length, &flags) == 3 &&
		    strcmp(destination, "fd000ec2000000000000000000000254") == 0 && length == 128 && (flags & 0x200))
			return true;
	}
	return false;
}

static bool ipv6_works(const char *addresses)
{
	for (const char *p = addresses; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (!memmem(p, strcspn(p, "\n"), " lo", 3))
			return true;
	return false;
}

static void check_routes(struct audit *a, const struct subject *s, const struct container_facts *pause)
{
	const char *v4, *v6, *addresses = "";
	const char *directory = arena_printf(&a->arena, "/proc/%d/net", pause->pid);
	struct evidence e = { 0 };

	if (facts_read(a->facts, arena_printf(&a->arena, "%s/route", directory), &v4, NULL) < 0) {
		audit_unknown(a, s, "its routes cannot be read");
		return;
	}
	if (facts_read(a->facts, arena_printf(&a->arena, "%s/ipv6_route", directory), &v6, NULL) < 0)
		v6 = "";
	(void)!facts_read(a->facts, arena_printf(&a->arena, "%s/if_inet6", directory), &addresses, NULL);
	if (!has_blackhole4(v4))
		evidence_add(&e, "no blackhole route for " IMDS4);
	if (ipv6_works(addresses) && !has_blackhole6(v6))
		evidence_add(&e, "no blackhole route for " IMDS6);
	if (e.n_parts > 0)
		audit_fail(a, s, "%s; tasks that began before ECS_AWSVPC_BLOCK_IMDS was set keep their roads",
			   evidence_text(&e));
	else
		audit_pass(a, s, "blackhole routes are in its namespace");
}

static int check_awsvpc(struct audit *a, const struct control *c, const struct subject *host)
{
	const struct container_facts *list;
	size_t n_pause = 0;

	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++) {
		struct subject s = {
			.kind = SUBJECT_CONTAINER,
			.name = list[i].name,
			.container_id = list[i].id,
			.task_arn = list[i].task_arn,
			.family = list[i].family,
			.ecs_name = list[i].ecs_name,
			.image = list[i].image,
		};

		if (!list[i].is_pause)
			continue;
		n_pause++;
		(void)facts_subject(a->facts, list[i].id);
		check_routes(a, &s, &list[i]);
	}
	if (n_pause == 0)
		audit_not_applicable(a, host, "no task has a network interface of its own (awsvpc)");
	return 0;
}

static bool refuses_imds(const json_t *rule)
{
	return rule_to(rule, IMDS4) && (rule_does(rule, "drop") || rule_does(rule, "reject") || rule_does(rule, "REJECT"));
}

/* What comes from a bridge and goes on passes neither INPUT nor OUTPUT. */
static bool sees_forwarded(const json_t *chain)
{
	int64_t hook = facts_json_int(chain, "hook", -1);

	return hook != NF_INET_LOCAL_IN && hook != NF_INET_LOCAL_OUT;
}

/* The chain that keeps bridge-mode tasks from the service, or NULL. */
static const json_t *blocking_chain(struct audit *a)
{
	const json_t *chains = json_object_get(facts_document(a->facts, SOURCE_RULES), "chains"), *v, *rule, *found = NULL;
	size_t i, k;

	json_array_foreach(chains, i, v) {
		json_array_foreach(json_object_get(v, "rules"), k, rule) {
			if (!refuses_imds(rule) || !sees_forwarded(v))
				continue;
			/* The best place wins over whatever else holds a copy. */
			if (!found || strcmp(facts_json_string(v, "chain", ""), "DOCKER-USER") == 0 ||
			    facts_json_int(v, "priority", 0) < 0)
				found = v;
		}
	}
	return found;
}

/* A copy that is loaded at boot: somebody's text, or our own service. */
static const char *persisted(struct audit *a)
{
	static const char *const files[] = { "/etc/nftables.conf",	"/etc/sysconfig/nftables.conf", "/etc/sysconfig/iptables",
					     "/etc/iptables/rules.v4",	"/etc/nftables/main.nft" };
	struct stat st;

	if (facts_stat(a->facts, "/etc/systemd/system/multi-user.target.wants/batten.service", false, &st) == 0)
		return "batten.service";
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *text;

		if (facts_read(a->facts, files[i], &text, NULL) == 0 && strstr(text, IMDS4))
			return files[i];
	}
	return NULL;
}

static bool any_bridge_container(struct audit *a)
{
	const struct container_facts *list;

	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++)
		if (is_one_hop_away(&list[i]))
			return true;
	return false;
}

static int check_bridge_block(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *file, *table, *chain;
	const json_t *found;
	bool own;

	if (!any_bridge_container(a)) {
		audit_not_applicable(a, s, "no container is on a bridge");
		return 0;
	}
	own = rules_chain(a->facts, "inet", "batten", NULL) != NULL;
	found = blocking_chain(a);
	file = persisted(a);
	table = facts_json_string(found, "table", "");
	chain = facts_json_string(found, "chain", "");
	if (!own && !found) {
		if (rules_legacy(a->facts))
			audit_unknown(a, s, "rules of the old iptables interface are loaded; they cannot be listed");
		else
			audit_fail(a, s, "no rule keeps bridge-mode tasks from " IMDS4);
	} else if (!own && strcmp(chain, "FORWARD") == 0) {
		audit_fail(a, s, "the rule stands in FORWARD of table %s: Docker puts its accepts above it at its next start", table);
	} else if (!file) {
		audit_fail(a, s, "the rule in %s %s is in force, but nothing loads it at boot", own ? "inet batten" : table,
			   own ? "(the guard)" : chain);
	} else {
		audit_pass(a, s, "in force in %s%s%s, loaded at boot by %s", own ? "the guard's table" : table, own ? "" : " ",
			   own ? "" : chain, file);
	}
	return 0;
}

/* ---- user data ---------------------------------------------------------------------------------*/

#define MAX_USER_DATA_BYTES (1024 * 1024) /* unpacked; EC2 takes 16 KiB */

/* Which lines of the text hold one. Return: how many lines there are. */
static unsigned int judge_lines(struct audit *a, const char *text, size_t n_text, struct evidence *e)
{
	unsigned int line = 0;

	for (const char *p = text, *end = text + n_text; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *name;
		size_t n = (size_t)((newline ? newline : end) - p);
		const char *rule = secret_in_text(p, n);

		line++;
		if (!rule)
			rule = secret_in_assignments(&(struct slice){ p, n }, &a->arena, &name);
		if (rule)
			evidence_add(e, "line %u holds a credential (%s)", line, rule);
		p += n + 1;
	}
	return line;
}

/* A part's header says so, in letters of any size. */
static bool has_base64(const char *text, size_t n)
{
	static const char field[] = "Content-Transfer-Encoding:", value[] = "base64";

	for (const char *p = text, *end = text + n; p < end; p++) {
		const char *v;

		if ((size_t)(end - p) < sizeof(field) - 1 || strncasecmp(p, field, sizeof(field) - 1) != 0)
			continue;
		v = p + sizeof(field) - 1;
		while (v < end && (*v == ' ' || *v == '\t'))
			v++;
		if ((size_t)(end - v) >= sizeof(value) - 1 && strncasecmp(v, value, sizeof(value) - 1) == 0)
			return true;
	}
	return false;
}

static int check_user_data(struct audit *a, const struct control *c, const struct subject *s)
{
	size_t n;
	const char *text = facts_user_data(a->facts, &n);
	struct subject file = audit_subject(a, SUBJECT_FILE, text ? "user data" : ECS_USER_DATA_COPY);
	struct evidence e = { 0 };
	unsigned int n_lines;
	int r = text ? 0 : facts_read(a->facts, ECS_USER_DATA_COPY, &text, &n);

	if (r == -ENOENT || r == -ENOTDIR) {
		audit_not_applicable(a, s, "no user data was kept on this host");
		return 0;
	}
	if (r < 0)
		return r;
	if (is_gzip(text, n)) {
		r = unpack_text(&a->arena, text, n, MAX_USER_DATA_BYTES, &text, &n);
		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			audit_unknown(a, &file, "packed, and cannot be unpacked: %s", strerror(-r));
			return 0;
		}
	}
	n_lines = judge_lines(a, text, n, &e);
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, &file, "%s; every process that reaches the metadata service can read it", evidence_text(&e));
	else if (has_base64(text, n))
		audit_unknown(a, &file, "a part of it is in base64, and is not looked into");
	else
		audit_pass(a, &file, "no credential in %u lines", n_lines);
	return 0;
}

static const struct control controls[] = {
	{
		.id = "IMD-01",
		.title = "The metadata service refuses requests without a token",
		.means = "Version 1 answers a plain GET: any server-side request forgery in any task has the instance's "
			 "credentials.",
		.remedy = "aws ec2 modify-instance-metadata-options --http-tokens required --instance-id ID",
		.severity = SEV_HIGH,
		.needs = NEEDS_IMDS,
		.fsbp = "EC2.8",
		.pci_dss = "8.2.8",
		.check = check_v1,
	},
	{
		.id = "IMD-02",
		.title = "A token's answer does not travel past the host",
		.means = "With a hop limit of 2, the default of AMIs made for version 2, a container one bridge away gets a "
			 "token.",
		.remedy = "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 1 --instance-id ID",
		.severity = SEV_HIGH,
		.needs = NEEDS_IMDS | NEEDS_DOCKER,
		.nist = "4.4.2",
		.check = check_hop_limit,
	},
	{
		.id = "IMD-03",
		.title = "No container reaches the metadata service over IPv4",
		.means = "The task has the instance's role: with it, the agent's own calls, and the credentials of other tasks.",
		.remedy = "batten imds block, or run the daemon",
		.severity = SEV_CRITICAL,
		.each = SUBJECT_CONTAINER,
		.needs = NEEDS_DOCKER | NEEDS_IMDS,
		.also = NEEDS_PROC,
		.mendable = true,
		.nist = "4.4.2",
		.check = check_ipv4,
	},
	{
		.id = "IMD-04",
		.title = "No container reaches the metadata service over IPv6",
		.means = "The same service under another address, which rules for IPv4 do not see.",
		.remedy = "batten imds block, or run the daemon; or switch off the IPv6 endpoint",
		.severity = SEV_HIGH,
		.each = SUBJECT_CONTAINER,
		.needs = NEEDS_DOCKER | NEEDS_IMDS,
		.also = NEEDS_PROC,
		.mendable = true,
		.nist = "4.4.2",
		.check = check_ipv6,
	},
	{
		.id = "IMD-05",
		.title = "Tasks with a network interface of their own have blackhole routes",
		.means = "The host's firewall never sees their packets: without the routes they reach the service.",
		.remedy = "ECS_AWSVPC_BLOCK_IMDS=true in ecs.config, restart the agent, then replace the task",
		.severity = SEV_HIGH,
		.needs = NEEDS_DOCKER | NEEDS_PROC,
		.nist = "4.4.2",
		.check = check_awsvpc,
	},
	{
		.id = "IMD-06",
		.title = "What keeps bridge-mode tasks out survives Docker and a reboot",
		.means = "A rule in the wrong place, or in the kernel only, is gone after the next restart, and nobody notices.",
		.remedy = "enable batten.service; else put the rule into DOCKER-USER and save it",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_DOCKER | NEEDS_RULES | NEEDS_PROC,
		.also = NEEDS_FILES,
		.mendable = true,
		.nist = "4.4.2",
		.check = check_bridge_block,
	},
	{
		.id = "IMD-07",
		.title = "User data holds no credentials",
		.means = "The metadata service gives user data to whoever asks, and the file stays on the disk.",
		.remedy = "move it to Secrets Manager or Parameter Store and read it with the instance's role",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES,
		.pci_dss = "8.6.2",
		.check = check_user_data,
	},
};

CONTROL_SET(metadata_controls, AREA_METADATA);
