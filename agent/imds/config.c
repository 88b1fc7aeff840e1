/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Section [imds].
 */
#include "batten/imds/config.h"
#include "imds/cgroup-bpf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static int parse_address(struct slice text, struct ip_address *ret)
{
	char buf[INET6_ADDRSTRLEN + 1];

	if (text.n == 0 || text.n >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	memset(ret, 0, sizeof(*ret));
	ret->family = memchr(buf, ':', text.n) ? AF_INET6 : AF_INET;
	return inet_pton(ret->family, buf, ret->bytes) == 1 ? 0 : -EINVAL;
}

static int parse_address_list(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	struct imds_address_list *l = target;

	l->n = 0;
	while (v.n > 0) {
		const char *comma = memchr(v.p, ',', v.n);
		size_t n = comma ? (size_t)(comma - v.p) : v.n;
		struct slice one = slice_trim((struct slice){ v.p, n });

		if (l->n == IMDS_MAX_ALLOW)
			return diag_fail(d, -EINVAL, NULL, "at most %d addresses fit", IMDS_MAX_ALLOW);
		if (parse_address(one, &l->addresses[l->n]) < 0)
			return diag_fail(d, -EINVAL, NULL, "\"%.*s\" is no IPv4 or IPv6 address; separate with commas",
					 (int)MIN(one.n, (size_t)48), one.p);
		l->n++;
		v.p += n + (comma ? 1 : 0);
		v.n -= n + (comma ? 1 : 0);
	}
	return 0;
}

static int parse_names(struct imds_slices *l, struct slice v, size_t max, const char *what, struct diag *d)
{
	memset(l, 0, sizeof(*l));
	while (v.n > 0) {
		const char *comma = memchr(v.p, ',', v.n);
		size_t n = comma ? (size_t)(comma - v.p) : v.n;
		struct slice one = slice_trim((struct slice){ v.p, n });

		if (l->n == IMDS_MAX_SLICES)
			return diag_fail(d, -EINVAL, NULL, "at most %d fit", IMDS_MAX_SLICES);
		if (one.n == 0 || one.n > max || memchr(one.p, '/', one.n) || one.p[0] == '.')
			return diag_fail(d, -EINVAL, NULL, "\"%.*s\" is no %s; separate with commas",
					 (int)MIN(one.n, (size_t)48), one.p, what);
		memcpy(l->names[l->n++], one.p, one.n);
		v.p += n + (comma ? 1 : 0);
		v.n -= n + (comma ? 1 : 0);
	}
	return 0;
}

static int parse_slices(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	struct imds_slices *l = target;

	return parse_names(l, v, sizeof(l->names[0]) - 1, "name of a group below the root", d);
}

static int parse_runtimes(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	return parse_names(target, v, CGROUP_PREFIX_SIZE - 2, "beginning of a group's name (docker, libpod)", d);
}

/* An absolute path, or nothing. */
static int parse_path(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	char *path = target;

	if (v.n >= IMDS_PATH_SIZE || (v.n > 0 && v.p[0] != '/'))
		return diag_fail(d, -EINVAL, NULL, "use an absolute path of at most %d bytes", IMDS_PATH_SIZE - 1);
	memcpy(path, v.p, v.n);
	path[v.n] = '\0';
	return 0;
}

static const char *const awsvpc_words[] = { "verify", "enforce", "no", NULL };
static const char *const self_test_words[] = { "no", "yes", "anywhere", NULL };
static const char *const owner_words[] = { "auto", "no", NULL };

static const struct config_key keys[] = {
	{
		.name = "enabled",
		.offset = offsetof(struct imds_config, enabled),
		.parse = config_parse_bool,
		.default_text = "yes",
		.help = "Keep the instance metadata service closed to containers.",
	},
	{
		.name = "proxy-mode",
		.offset = offsetof(struct imds_config, proxy_mode),
		.parse = config_parse_bool,
		.default_text = "no",
		.help = "Leave the layers prerouting and translated out, for hosts that redirect IMDS to a proxy of their own.",
	},
	{
		.name = "routing-rules",
		.offset = offsetof(struct imds_config, routing_rules),
		.parse = config_parse_bool,
		.default_text = "yes",
		.help = "Prohibit forwarded packets to IMDS by routing rules too; these survive a flushed firewall.",
	},
	{
		.name = "routing-rule-priority",
		.offset = offsetof(struct imds_config, routing_rule_priority),
		.parse = config_parse_uint,
		.min = 2,
		.max = 32000,
		.default_text = "90",
		.help = "Priority of the first routing rule; the number before it and the one after it are used too.",
	},
	{
		.name = "table-owner",
		.offset = offsetof(struct imds_config, table_owner),
		.parse = config_parse_word,
		.words = owner_words,
		.default_text = "auto",
		.help = "Own the nftables table, so that nobody else can flush or change it: auto or no.",
	},
	{
		.name = "log",
		.offset = offsetof(struct imds_config, log),
		.parse = config_parse_bool,
		.default_text = "yes",
		.help = "Send the first bytes of blocked packets to an nflog group.",
	},
	{
		.name = "log-group",
		.offset = offsetof(struct imds_config, log_group),
		.parse = config_parse_uint,
		.min = 1,
		.max = 65535,
		.default_text = "254",
		.help = "The nflog group; no other program may listen to the same one.",
	},
	{
		.name = "log-rate",
		.offset = offsetof(struct imds_config, log_rate),
		.parse = config_parse_uint,
		.min = 1,
		.max = 10000,
		.default_text = "10",
		.help = "At most so many packets a second go to the group; counters count all.",
	},
	{
		.name = "allow-address",
		.offset = offsetof(struct imds_config, allow_address),
		.parse = parse_address_list,
		.default_text = "",
		.help = "Source addresses that may reach IMDS all the same, separated by commas.",
	},
	{
		.name = "allow",
		.offset = offsetof(struct imds_config, allow),
		.parse = config_parse_exceptions,
		.default_text = "",
		.help = "Containers that may: container:NAME, family:NAME, image:REF, label:KEY=VALUE; commas between.",
	},
	{
		.name = "awsvpc",
		.offset = offsetof(struct imds_config, awsvpc),
		.parse = config_parse_word,
		.words = awsvpc_words,
		.default_text = "verify",
		.help = "Look for blackhole routes in awsvpc tasks: verify, enforce (add what is missing) or no.",
	},
	{
		.name = "self-test",
		.offset = offsetof(struct imds_config, self_test),
		.parse = config_parse_word,
		.words = self_test_words,
		.default_text = "no",
		.help = "Probe from inside every container after each change: no, yes (on EC2 alone) or anywhere.",
	},
	{
		.name = "cgroup-ebpf",
		.offset = offsetof(struct imds_config, cgroup_ebpf),
		.parse = config_parse_bool,
		.default_text = "yes",
		.help = "Refuse IMDS by eBPF to every task whatever its network: host, awsvpc, bridge.",
	},
	{
		.name = "slices",
		.offset = offsetof(struct imds_config, slices),
		.parse = parse_slices,
		.default_text = "ecstasks.slice",
		.help = "Cgroups right below the root that hold the tasks, separated by commas.",
	},
	{
		.name = "runtimes",
		.offset = offsetof(struct imds_config, runtimes),
		.parse = parse_runtimes,
		.default_text = "docker",
		.help = "Whose containers are refused from birth until Docker tells who they are, by cgroup name: docker, libpod.",
	},
	{
		.name = "cgroup-root",
		.offset = offsetof(struct imds_config, cgroup_root),
		.parse = parse_path,
		.default_text = "",
		.help = "The cgroup2 root to guard; empty: where it is mounted, in the host's own network alone.",
	},
	{
		.name = "bpf-dir",
		.offset = offsetof(struct imds_config, bpf_dir),
		.parse = parse_path,
		.default_text = "/sys/fs/bpf/batten",
		.help = "Where the programs are pinned, in a bpffs, so that they outlive the daemon.",
	},
};

const struct config_section imds_config_section = { "imds", keys, ARRAY_SIZE(keys) };
