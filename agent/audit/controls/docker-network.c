/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How the daemon is reached and what it lets through.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "audit/controls/docker.h"
#include "audit/daemon-settings.h"
#include "audit/listeners.h"
#include "audit/packet-rules.h"
#include "batten/base/parse.h"

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
	else if (json_object_size(json_object_get(bridge, "Containers")) == 1)
		audit_fail(a, s, "whatever joins the one container on the default bridge reaches it on every port");
	else
		audit_fail(a, s, "%zu containers on the default bridge reach each other on every port",
			   json_object_size(json_object_get(bridge, "Containers")));
	return 0;
}

/* "bridge": "none" takes the default one away, and no other. Return: is there a network to filter for? */
static bool any_bridge(const json_t *networks)
{
	const json_t *v;
	size_t i;

	json_array_foreach(networks, i, v) {
		if (strcmp(facts_json_string(v, "Driver", ""), "bridge") == 0)
			return true;
	}
	return false;
}

int check_packet_filter(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *networks = facts_docker(a->facts, "networks");
	const struct daemon_settings *d;
	int r = daemon_settings(a->facts, &d);

	if (r < 0)
		return r;
	if (!facts_docker(a->facts, "bridge") && !any_bridge(networks)) {
		if (networks)
			audit_not_applicable(a, s, "Docker has no bridge to filter for");
		else
			audit_unknown(a, s, "Docker has no default bridge, and does not list its networks");
		return 0;
	}
	if (!daemon_switch(d, "iptables", true))
		audit_fail(a, s, "dockerd runs with iptables off: published ports and isolation are nobody's business");
	else if (facts_source(a->facts, SOURCE_RULES, NULL) != SOURCE_OK || rules_legacy(a->facts))
		audit_unknown(a, s, "dockerd is to keep its chains, but the packet filter cannot be read");
	else if (rules_chain(a->facts, "ip", NULL, "DOCKER") || rules_chain(a->facts, "ip", "docker-bridges", NULL))
		audit_pass(a, s, "dockerd keeps its chains, and they are in place");
	else
		audit_fail(a, s, "dockerd is to keep its chains, and they are gone: somebody flushed them");
	return 0;
}

/* "localhost:5000" and its like: nobody is on the way there. */
static bool is_loopback(const char *registry)
{
	static const char *const names[] = { "localhost", "[::1]", "::1" };
	unsigned char address[4];
	char host[16];
	size_t n = strcspn(registry, ":");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t k = strlen(names[i]);

		if (strncmp(registry, names[i], k) == 0 && (registry[k] == ':' || registry[k] == '\0'))
			return true;
	}
	(void)snprintf(host, sizeof(host), "%.*s", (int)MIN(n, sizeof(host)), registry);
	return inet_pton(AF_INET, host, address) == 1 && address[0] == 127;
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
		if (json_is_false(json_object_get(index, "Secure")) && !is_loopback(name))
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

/* Ports of the swarm's own protocols; DKD-13 judges the swarm. */
static bool is_swarm_port(struct audit *a, unsigned int port)
{
	return docker_in_swarm(a) && (port == 2377 || port == 7946 || port == 4789);
}

/* Without docker-proxy dockerd itself holds a published port, so that nobody else takes it, and answers nobody. */
static bool is_published(struct audit *a, const struct listener *l)
{
	const struct container_facts *list;
	size_t n = facts_containers(a->facts, &list), k;
	const json_t *ports, *v;
	const char *inside;
	json_t *bindings;
	uint64_t port;

	for (size_t i = 0; i < n; i++) {
		ports = facts_json(list[i].inspect, "NetworkSettings.Ports");
		json_object_foreach((json_t *)ports, inside, bindings) {
			json_array_foreach(bindings, k, v) {
				const char *address = facts_json_string(v, "HostIp", "");

				if (parse_u64(slice_of(facts_json_string(v, "HostPort", "")), 1, 65535, &port) == 0 &&
				    port == l->port && (address[0] ? strcmp(address, l->address) == 0 : l->any))
					return true;
			}
		}
	}
	return false;
}

/* "127.0.0.1:9323": figures for Prometheus, and no way to change anything. */
static bool is_for_metrics(const struct daemon_settings *d, const struct listener *l)
{
	const char *text = daemon_argument(d, "metrics-addr", 0), *colon;
	size_t n = strlen(l->address);
	uint64_t port;

	if (!text)
		text = json_string_value(json_object_get(d->json, "metrics-addr"));
	colon = text ? strrchr(text, ':') : NULL;
	if (!colon || parse_u64(slice_of(colon + 1), 1, 65535, &port) < 0 || port != l->port)
		return false;
	if (colon == text)
		return l->any;
	text += *text == '[';
	return (strncmp(text, l->address, n) == 0 && (text[n] == ':' || text[n] == ']')) ||
	       (strncmp(text, "localhost:", 10) == 0 && l->loopback);
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
		if (list[i].udp || list[i].process != d->process || is_swarm_port(a, list[i].port) ||
		    is_published(a, &list[i]) || is_for_metrics(d, &list[i]))
			continue;
		n_open++;
		if (!daemon_switch(d, "tlsverify", false))
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
		audit_pass(a, s, "dockerd offers its API on no TCP port");
	return 0;
}
