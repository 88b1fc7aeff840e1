/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How the daemon is reached and what it lets through.
 */
#include <string.h>

#include "audit/controls/docker.h"
#include "audit/daemon-settings.h"
#include "audit/listeners.h"
#include "audit/packet-rules.h"

int check_bridge_traffic(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *bridge = facts_docker(a->facts, "bridge"), *options = json_object_get(bridge, "Options");
	const char *icc = json_string_value(json_object_get(options, "com.docker.network.bridge.enable_icc"));

	if (!bridge)
		audit_not_applicable(a, s, "Docker has no default bridge");
	else if (icc && strcmp(icc, "false") == 0)
		audit_pass(a, s, "containers on the default bridge cannot reach each other");
	else if (json_object_size(json_object_get(bridge, "Containers")) == 0)
		audit_not_applicable(a, s, "nothing is on the default bridge");
	else
		audit_fail(a, s, "%zu containers on the default bridge reach each other on every port",
			   json_object_size(json_object_get(bridge, "Containers")));
	return 0;
}

static bool told_not_to(const struct daemon_settings *d, const char *name)
{
	const char *argument = daemon_argument(d, name, 0);

	return (argument && strcmp(argument, "false") == 0) || json_is_false(json_object_get(d->json, name));
}

int check_packet_filter(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct daemon_settings *d;
	int r = daemon_settings(a->facts, &d);

	if (r < 0)
		return r;
	if (!facts_docker(a->facts, "bridge")) {
		audit_not_applicable(a, s, "Docker has no bridge to filter for");
		return 0;
	}
	if (told_not_to(d, "iptables"))
		audit_fail(a, s, "dockerd runs with iptables off: published ports and isolation are nobody's business");
	else if (facts_source(a->facts, SOURCE_RULES, NULL) != SOURCE_OK || rules_legacy(a->facts))
		audit_unknown(a, s, "dockerd is to keep its chains, but the packet filter cannot be read");
	else if (rules_chain(a->facts, "ip", NULL, "DOCKER") || rules_chain(a->facts, "ip", "docker-bridges", NULL))
		audit_pass(a, s, "dockerd keeps its chains, and they are in place");
	else
		audit_fail(a, s, "dockerd is to keep its chains, and they are gone: somebody flushed them");
	return 0;
}

int check_registries(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *config = facts_json(facts_docker(a->facts, "info"), "RegistryConfig"), *v;
	struct evidence e = { 0 };
	const char *name;
	json_t *index;
	size_t i;

	json_array_foreach(json_object_get(config, "InsecureRegistryCIDRs"), i, v) {
		const char *range = json_string_value(v);

		if (range && strcmp(range, "127.0.0.0/8") != 0 && strcmp(range, "::1/128") != 0)
			evidence_add(&e, "registries in %s need no certificate", range);
	}
	json_object_foreach(json_object_get(config, "IndexConfigs"), name, index) {
		if (json_is_false(json_object_get(index, "Secure")))
			evidence_add(&e, "registry %s needs no certificate", name);
	}
	if (!config)
		audit_unknown(a, s, "Docker does not tell about registries");
	else if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "every registry but loopback's must show a certificate");
	return 0;
}

static bool client_certificates(const struct daemon_settings *d)
{
	const char *argument = daemon_argument(d, "tlsverify", 0);

	return (argument && strcmp(argument, "false") != 0) || json_is_true(json_object_get(d->json, "tlsverify"));
}

/* Ports of the swarm's own protocols; DKD-13 judges the swarm. */
static bool is_swarm_port(unsigned int port)
{
	return port == 2377 || port == 7946 || port == 4789;
}

int check_api_socket(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct daemon_settings *d;
	const struct listener *list;
	struct evidence e = { 0 };
	int r = daemon_settings(a->facts, &d), n, n_open = 0, n_hidden = 0;

	if (r < 0)
		return r;
	n = listeners_read(a->facts, &list);
	if (n < 0)
		return n;
	if (!d->process) {
		audit_unknown(a, s, "no process called dockerd is to be seen");
		return 0;
	}
	for (int i = 0; i < n; i++) {
		n_hidden += !list[i].udp && listener_is_hidden(a->facts, &list[i]);
		if (list[i].udp || list[i].process != d->process || is_swarm_port(list[i].port))
			continue;
		n_open++;
		if (!client_certificates(d))
			evidence_add(&e, "dockerd listens on %s port %u and asks for no client certificate",
				     list[i].address, list[i].port);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s: whoever connects is root on the host", evidence_text(&e));
	else if (n_hidden > 0)
		audit_unknown(a, s, "whose %d of the listening sockets are cannot be seen; run as root", n_hidden);
	else if (n_open > 0)
		audit_pass(a, s, "dockerd listens on the network and verifies client certificates");
	else
		audit_pass(a, s, "dockerd listens on no TCP port");
	return 0;
}
