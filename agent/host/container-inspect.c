/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker's inspect document into the struct. The reader carries the first error along, so that the
 * mapping below reads as a list: missing or null is the empty value, a wrong type is an error that
 * names the member.
 */
#include "batten/host/container.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "batten/base/parse.h"
#include "batten/host/go-values.h"
#include "host/container-internal.h"

#define NNP "no-new-privileges"
#define MAX_ITEMS 4096 /* of any list; Docker's own limits are far lower */

struct reader {
	int error;
	struct diag *d;
};

static void fail(struct reader *r, const char *member, const char *wanted)
{
	if (r->error == 0)
		r->error = diag_fail(r->d, -EPROTO, "container", "Docker's member %s is no %s", member, wanted);
}

/* A member that is absent or null comes back as NULL without an error. */
static json_t *member(struct reader *r, const json_t *j, const char *name, json_type type)
{
	static const char *const type_names[] = { "object", "list", "text", "number" };
	json_t *v = json_object_get(j, name);

	if (!v || json_is_null(v) || r->error < 0)
		return NULL;
	if (json_typeof(v) != type || (json_is_array(v) && json_array_size(v) > MAX_ITEMS)) {
		fail(r, name, type_names[type]);
		return NULL;
	}
	return v;
}

static char *copy(struct reader *r, const char *s)
{
	char *c = strdup(s ? s : "");

	if (!c && r->error == 0)
		r->error = -ENOMEM;
	return c;
}

static char *text(struct reader *r, const json_t *j, const char *name)
{
	return copy(r, json_string_value(member(r, j, name, JSON_STRING)));
}

static int64_t number(struct reader *r, const json_t *j, const char *name)
{
	return json_integer_value(member(r, j, name, JSON_INTEGER));
}

static bool yes(struct reader *r, const json_t *j, const char *name)
{
	json_t *v = json_object_get(j, name);

	if (v && !json_is_null(v) && !json_is_boolean(v))
		fail(r, name, "yes or no");
	return json_is_true(v);
}

/* Room for @n items of @size; NULL when there are none or on an error. */
static void *room(struct reader *r, size_t n, size_t size)
{
	void *p = n > 0 && r->error == 0 ? calloc(n, size) : NULL;

	if (n > 0 && !p && r->error == 0)
		r->error = -ENOMEM;
	return p;
}

static void texts(struct reader *r, const json_t *j, const char *name, struct text_list *ret)
{
	json_t *list = member(r, j, name, JSON_ARRAY), *v;
	size_t i;

	ret->items = room(r, json_array_size(list), sizeof(*ret->items));
	if (!ret->items)
		return;
	json_array_foreach(list, i, v) {
		if (!json_is_string(v))
			fail(r, name, "list of texts");
		else if ((ret->items[ret->n] = copy(r, json_string_value(v))))
			ret->n++;
	}
}

static void pairs(struct reader *r, const json_t *j, const char *name, struct text_pair **ret, size_t *ret_n)
{
	json_t *o = member(r, j, name, JSON_OBJECT), *v;
	const char *key;

	*ret = room(r, json_object_size(o), sizeof(**ret));
	if (!*ret)
		return;
	json_object_foreach(o, key, v) {
		struct text_pair *p = &(*ret)[(*ret_n)++];

		if (!json_is_string(v))
			fail(r, name, "object of texts");
		p->key = copy(r, key);
		p->value = copy(r, json_string_value(v));
	}
}

/* "cap_net_raw", "CAP_NET_RAW" and "NET_RAW" are one. */
static void capabilities(struct reader *r, const json_t *j, const char *name, struct text_list *ret)
{
	texts(r, j, name, ret);
	for (size_t i = 0; i < ret->n; i++) {
		char *s = ret->items[i];

		if (strncasecmp(s, "CAP_", 4) == 0)
			memmove(s, s + 4, strlen(s + 4) + 1);
		for (; *s; s++)
			*s = (char)toupper((unsigned char)*s);
	}
}

/* Docker takes "key=value" and, from old times, "key:value". */
static bool option_is(const char *option, const char *key, const char **ret_value)
{
	size_t n = strlen(key);

	if (strncmp(option, key, n) != 0 || (option[n] != '=' && option[n] != ':' && option[n] != '\0'))
		return false;
	*ret_value = option[n] ? option + n + 1 : "";
	return true;
}

void container_read_nnp(const char *option, bool *asked)
{
	const char *value;

	if (!option_is(option, NNP, &value))
		return;
	if (strcmp(option, NNP) == 0)
		*asked = true;
	else if (go_parse_bool(slice_of(value), asked) < 0)
		*asked = false;
}

static void security(struct reader *r, const json_t *inspect, const json_t *host, struct container_config *g)
{
	texts(r, host, "SecurityOpt", &g->security_opt);
	g->apparmor = text(r, inspect, "AppArmorProfile");
	g->seccomp = g->privileged ? SECCOMP_UNCONFINED : SECCOMP_DEFAULT;
	for (size_t i = 0; i < g->security_opt.n; i++) {
		const char *option = g->security_opt.items[i], *value;

		container_read_nnp(option, &g->no_new_privileges);
		if (option_is(option, "seccomp", &value))
			g->seccomp = strcmp(value, "unconfined") == 0 ? SECCOMP_UNCONFINED : SECCOMP_CUSTOM;
		else if (option_is(option, "label", &value) && strcmp(value, "disable") == 0)
			g->selinux_disabled = true;
	}
}

static void mounts(struct reader *r, const json_t *inspect, struct container_config *g)
{
	json_t *list = member(r, inspect, "Mounts", JSON_ARRAY), *m;
	size_t i;

	g->mounts = room(r, json_array_size(list), sizeof(*g->mounts));
	if (!g->mounts)
		return;
	json_array_foreach(list, i, m) {
		g->mounts[g->n_mounts++] = (struct container_mount){
			.type = text(r, m, "Type"),
			.source = text(r, m, "Source"),
			.destination = text(r, m, "Destination"),
			.propagation = text(r, m, "Propagation"),
			.writable = yes(r, m, "RW"),
		};
	}
}

static void ulimits(struct reader *r, const json_t *host, struct container_config *g)
{
	json_t *list = member(r, host, "Ulimits", JSON_ARRAY), *u;
	size_t i;

	g->ulimits = room(r, json_array_size(list), sizeof(*g->ulimits));
	if (!g->ulimits)
		return;
	json_array_foreach(list, i, u) {
		g->ulimits[g->n_ulimits++] = (struct container_ulimit){
			.name = text(r, u, "Name"),
			.soft = number(r, u, "Soft"),
			.hard = number(r, u, "Hard"),
		};
	}
}

static void one_port(struct reader *r, const char *key, const json_t *binding, struct container_port *ret)
{
	const char *slash = strchr(key, '/'), *host = json_string_value(json_object_get(binding, "HostPort"));
	uint64_t inside = 0, outside = 0;

	if (!slash || parse_u64((struct slice){ key, (size_t)(slash - key) }, 0, UINT16_MAX, &inside) < 0 ||
	    (host && host[0] && parse_u64(slice_of(host), 0, UINT16_MAX, &outside) < 0))
		fail(r, "Ports", "map of ports");
	*ret = (struct container_port){
		.container_port = (uint16_t)inside,
		.host_port = (uint16_t)outside,
		.udp = slash && strcmp(slash, "/udp") == 0,
		.host_ip = text(r, binding, "HostIp"),
	};
}

/* NetworkSettings.Ports: {"80/tcp": [{"HostIp": …, "HostPort": …}], "81/tcp": null} */
static void ports(struct reader *r, const json_t *settings, struct container_config *g)
{
	json_t *map = member(r, settings, "Ports", JSON_OBJECT), *list, *binding;
	const char *key;
	size_t n = 0, i;

	json_object_foreach(map, key, list) {
		n += MIN(json_array_size(list), (size_t)MAX_ITEMS);
	}
	g->ports = room(r, n, sizeof(*g->ports));
	if (!g->ports)
		return;
	json_object_foreach(map, key, list) {
		json_array_foreach(list, i, binding) {
			if (g->n_ports < n)
				one_port(r, key, binding, &g->ports[g->n_ports++]);
		}
	}
}

static void devices(struct reader *r, const json_t *host, struct container_config *g)
{
	json_t *list = member(r, host, "Devices", JSON_ARRAY), *dev;
	size_t i;

	g->devices.items = room(r, json_array_size(list), sizeof(*g->devices.items));
	if (!g->devices.items)
		return;
	json_array_foreach(list, i, dev) {
		g->devices.items[g->devices.n++] = text(r, dev, "PathOnHost");
	}
}

/* Names only: values hold secrets and are not even copied. */
static void environment(struct reader *r, const json_t *config, struct container_config *g)
{
	json_t *list = member(r, config, "Env", JSON_ARRAY), *v;
	size_t i;

	g->env_names.items = room(r, json_array_size(list), sizeof(*g->env_names.items));
	if (!g->env_names.items)
		return;
	json_array_foreach(list, i, v) {
		const char *s = json_string_value(v);
		char *name;

		if (!s) {
			fail(r, "Env", "list of texts");
			return;
		}
		name = strndup(s, strcspn(s, "="));
		if (!name)
			r->error = -ENOMEM;
		else
			g->env_names.items[g->env_names.n++] = name;
	}
}

static void command(struct reader *r, const json_t *inspect, struct container_config *g)
{
	const char *path = json_string_value(member(r, inspect, "Path", JSON_STRING));
	json_t *args = member(r, inspect, "Args", JSON_ARRAY), *v;
	size_t i;

	g->command.items = room(r, json_array_size(args) + 1, sizeof(*g->command.items));
	if (!g->command.items)
		return;
	if ((g->command.items[0] = copy(r, path)))
		g->command.n = 1;
	json_array_foreach(args, i, v) {
		if (!json_is_string(v))
			fail(r, "Args", "list of texts");
		else if ((g->command.items[g->command.n] = copy(r, json_string_value(v))))
			g->command.n++;
	}
}

static void limits(struct reader *r, const json_t *host, struct container_config *g)
{
	json_t *restart = member(r, host, "RestartPolicy", JSON_OBJECT);

	g->memory = number(r, host, "Memory");
	g->memory_reservation = number(r, host, "MemoryReservation");
	g->memory_swap = number(r, host, "MemorySwap");
	g->nano_cpus = number(r, host, "NanoCpus");
	g->cpu_shares = number(r, host, "CpuShares");
	g->cpu_quota = number(r, host, "CpuQuota");
	g->pids_limit = number(r, host, "PidsLimit");
	g->oom_kill_disable = yes(r, host, "OomKillDisable");
	ulimits(r, host, g);
	g->restart_policy = text(r, restart, "Name");
	g->restart_max = number(r, restart, "MaximumRetryCount");
}

static void config(struct reader *r, const json_t *inspect, struct container_config *g)
{
	json_t *host = member(r, inspect, "HostConfig", JSON_OBJECT);
	json_t *cfg = member(r, inspect, "Config", JSON_OBJECT);

	g->privileged = yes(r, host, "Privileged");
	g->readonly_rootfs = yes(r, host, "ReadonlyRootfs");
	g->publish_all = yes(r, host, "PublishAllPorts");
	g->init = yes(r, host, "Init");
	g->auto_remove = yes(r, host, "AutoRemove");
	g->tty = yes(r, cfg, "Tty");
	capabilities(r, host, "CapAdd", &g->cap_add);
	capabilities(r, host, "CapDrop", &g->cap_drop);
	security(r, inspect, host, g);
	g->pid_mode = text(r, host, "PidMode");
	g->ipc_mode = text(r, host, "IpcMode");
	g->uts_mode = text(r, host, "UTSMode");
	g->userns_mode = text(r, host, "UsernsMode");
	g->cgroupns_mode = text(r, host, "CgroupnsMode");
	g->network_mode_text = text(r, host, "NetworkMode");
	g->cgroup_parent = text(r, host, "CgroupParent");
	g->runtime = text(r, host, "Runtime");
	g->user = text(r, cfg, "User");
	limits(r, host, g);
	mounts(r, inspect, g);
	texts(r, host, "Binds", &g->binds);
	texts(r, host, "MaskedPaths", &g->masked_paths);
	texts(r, host, "ReadonlyPaths", &g->readonly_paths);
	pairs(r, host, "Sysctls", &g->sysctls, &g->n_sysctls);
	g->log_driver = text(r, member(r, host, "LogConfig", JSON_OBJECT), "Type");
	g->healthcheck = member(r, cfg, "Healthcheck", JSON_OBJECT) != NULL;
	ports(r, member(r, inspect, "NetworkSettings", JSON_OBJECT), g);
	devices(r, host, g);
	environment(r, cfg, g);
	command(r, inspect, g);
}

static void mac_address(const char *s, uint8_t ret[6])
{
	unsigned int b[6];

	if (s && sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) == 6)
		for (int i = 0; i < 6; i++)
			ret[i] = (uint8_t)b[i];
}

static void networks(struct reader *r, const json_t *inspect, struct container *c)
{
	json_t *all = member(r, member(r, inspect, "NetworkSettings", JSON_OBJECT), "Networks", JSON_OBJECT);
	const char *name;
	json_t *n;

	c->networks = room(r, json_object_size(all), sizeof(*c->networks));
	if (!c->networks)
		return;
	json_object_foreach(all, name, n) {
		const char *ip4 = json_string_value(member(r, n, "IPAddress", JSON_STRING));
		const char *ip6 = json_string_value(member(r, n, "GlobalIPv6Address", JSON_STRING));
		struct container_network *net = &c->networks[c->n_networks++];

		net->name = copy(r, name);
		if (ip4 && ip4[0] && inet_pton(AF_INET, ip4, &net->ip4) != 1)
			fail(r, "IPAddress", "address");
		if (ip6 && ip6[0] && inet_pton(AF_INET6, ip6, &net->ip6) != 1)
			fail(r, "GlobalIPv6Address", "address");
		mac_address(json_string_value(member(r, n, "MacAddress", JSON_STRING)), net->mac);
	}
}

static void network_mode(struct reader *r, struct container *c)
{
	const char *mode = c->config.network_mode_text ? c->config.network_mode_text : "";

	c->network_mode = NETWORK_USER;
	if (strcmp(mode, "default") == 0 || strcmp(mode, "bridge") == 0 || mode[0] == '\0')
		c->network_mode = NETWORK_BRIDGE;
	else if (strcmp(mode, "host") == 0)
		c->network_mode = NETWORK_HOST;
	else if (strcmp(mode, "none") == 0)
		c->network_mode = NETWORK_NONE;
	else if (strncmp(mode, "container:", 10) == 0)
		c->network_mode = NETWORK_CONTAINER;
	c->network_of = copy(r, c->network_mode == NETWORK_CONTAINER ? mode + 10 : "");
}

static void state(struct reader *r, const json_t *inspect, struct container *c)
{
	json_t *s = member(r, inspect, "State", JSON_OBJECT);
	int64_t pid = number(r, s, "Pid");

	c->running = yes(r, s, "Running");
	c->paused = yes(r, s, "Paused");
	c->started_at = text(r, s, "StartedAt");
	c->restart_count = number(r, inspect, "RestartCount");
	if (pid < 0 || pid > INT32_MAX)
		fail(r, "Pid", "process id");
	else if (c->running)
		c->pid = (pid_t)pid;
}

static void ecs_labels(struct reader *r, struct container *c)
{
	c->task_arn = copy(r, container_label(c, "com.amazonaws.ecs.task-arn"));
	c->family = copy(r, container_label(c, "com.amazonaws.ecs.task-definition-family"));
	c->revision = copy(r, container_label(c, "com.amazonaws.ecs.task-definition-version"));
	c->container_name = copy(r, container_label(c, "com.amazonaws.ecs.container-name"));
	c->cluster = copy(r, container_label(c, "com.amazonaws.ecs.cluster"));
}

int container_parse(struct container **ret, json_t *inspect, unsigned int flags, struct diag *d)
{
	_cleanup_(container_freep) struct container *c = calloc(1, sizeof(*c));
	struct reader r = { .d = d };
	json_t *id, *cfg;
	const char *name;

	if (!c)
		return -ENOMEM;
	list_init(&c->node);
	id = member(&r, inspect, "Id", JSON_STRING);
	if (!id || !container_id_ok(json_string_value(id)))
		return diag_fail(d, -EPROTO, "container", "Docker's answer has no container id");
	memcpy(c->id, json_string_value(id), CONTAINER_ID_SIZE);
	name = json_string_value(member(&r, inspect, "Name", JSON_STRING));
	c->name = copy(&r, name && name[0] == '/' ? name + 1 : name);
	cfg = member(&r, inspect, "Config", JSON_OBJECT);
	c->image = text(&r, cfg, "Image");
	c->image_id = text(&r, inspect, "Image");
	pairs(&r, cfg, "Labels", &c->labels, &c->n_labels);
	if (r.error == 0) /* the rest reads what is above */
		config(&r, inspect, &c->config);
	if (r.error == 0) {
		state(&r, inspect, c);
		network_mode(&r, c);
		networks(&r, inspect, c);
		ecs_labels(&r, c);
	}
	c->cgroup = copy(&r, "");
	if (r.error < 0)
		return r.error;
	if (flags & CONTAINER_KEEP_INSPECT)
		c->inspect = json_incref(inspect);
	c->role = container_recognise(c);
	*ret = take_ptr(c);
	return 0;
}
