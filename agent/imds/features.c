/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Probing. Each nftables feature is a tiny dormant table that uses it. All are put in the kernel at
 * once, which checks each and loads what modules it needs, and are removed again.
 */
#include "batten/imds/features.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "batten/base/fd.h"
#include "batten/kernel/bpf.h"
#include "batten/kernel/cgroup.h"
#include "batten/kernel/nft.h"
#include "batten/kernel/routing-rules.h"

#define PROBE_TABLE "batten_probe"

static void probe_nftables(struct nft_table *t)
{
	struct nft_chain *c = nft_table_chain(t, "probe", NF_INET_FORWARD, -10, NULL);
	struct nft_rule *r = nft_chain_rule(c, "probe");

	nft_table_counter(t, "probed");
	(void)nft_table_set(t, "addresses", NFT_SET_IPV4, false, NULL);
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_DADDR, .address = { .family = AF_INET } });
	nft_rule_add(r, (struct nft_statement){
				.kind = STMT_SADDR_NOT_IN, .family = AF_INET, .name = "addresses" });
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_COUNT, .name = "probed" });
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_DROP });
}

static void probe_owner(struct nft_table *t)
{
	t->flags = NFT_TABLE_F_OWNER;
}

static void probe_persist(struct nft_table *t)
{
	t->flags = NFT_TABLE_F_OWNER | NFT_F_PERSIST;
}

static void probe_comment(struct nft_table *t)
{
	t->with_comments = true;
	(void)nft_table_chain(t, "probe", -1, 0, "probe");
	memcpy(t->comment, "probe", sizeof("probe"));
}

static void probe_iifkind(struct nft_table *t)
{
	struct nft_chain *c = nft_table_chain(t, "probe", NF_INET_PRE_ROUTING, -301, NULL);

	(void)nft_table_set(t, "kinds", NFT_SET_IFNAME, true, NULL);
	nft_rule_add(nft_chain_rule(c, NULL), (struct nft_statement){ .kind = STMT_IIFKIND_IN, .name = "kinds" });
}

static void put_reject(struct nft_table *t, int hook)
{
	struct nft_rule *r = nft_chain_rule(nft_table_chain(t, "probe", hook, 0, NULL), NULL);

	nft_rule_add(r, (struct nft_statement){ .kind = STMT_L4PROTO, .number = IPPROTO_TCP });
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_REJECT_RESET });
}

static void probe_reject(struct nft_table *t)
{
	put_reject(t, NF_INET_FORWARD);
}

static void probe_reject_prerouting(struct nft_table *t)
{
	put_reject(t, NF_INET_PRE_ROUTING);
}

static void probe_undo_translation(struct nft_table *t)
{
	struct nft_chain *c = nft_table_chain(t, "probe", NF_INET_PRE_ROUTING, 0, NULL);
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct nft_rule *r = nft_chain_rule(c, NULL);

		nft_rule_add(r, (struct nft_statement){ .kind = STMT_L4PROTO, .number = IPPROTO_TCP });
		nft_rule_add(r, (struct nft_statement){ .kind = STMT_UNDO_TRANSLATION, .family = families[i] });
		nft_rule_add(r, (struct nft_statement){ .kind = STMT_DROP });
	}
}

static void probe_postrouting_iif(struct nft_table *t)
{
	struct nft_chain *c = nft_table_chain(t, "probe", NF_INET_POST_ROUTING, 0, NULL);

	nft_rule_add(nft_chain_rule(c, NULL), (struct nft_statement){ .kind = STMT_IIF_PRESENT });
}

static void probe_socket_cgroup(struct nft_table *t)
{
	struct nft_chain *c = nft_table_chain(t, "probe", NF_INET_LOCAL_OUT, 0, NULL);

	nft_rule_add(nft_chain_rule(c, NULL),
		     (struct nft_statement){ .kind = STMT_SOCKET_CGROUP, .number = 1, .cgroup = 1 });
}

static void probe_bridge(struct nft_table *t)
{
	struct nft_rule *r;

	t->family = NFPROTO_BRIDGE;
	(void)nft_table_set(t, "ports", NFT_SET_PORT6, false, NULL);
	r = nft_chain_rule(nft_table_chain(t, "probe", NF_INET_PRE_ROUTING, -300, NULL), NULL);
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_DADDR, .address = { .family = AF_INET6 } });
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_PORT_NOT_IN, .family = AF_INET6, .name = "ports" });
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_DROP });
}

static void probe_limit(struct nft_table *t)
{
	nft_rule_add(nft_chain_rule(nft_table_chain(t, "probe", -1, 0, NULL), NULL),
		     (struct nft_statement){ .kind = STMT_LIMIT, .number = 10, .burst = 5 });
}

static void probe_log(struct nft_table *t)
{
	nft_rule_add(nft_chain_rule(nft_table_chain(t, "probe", -1, 0, NULL), NULL),
		     (struct nft_statement){ .kind = STMT_LOG, .number = 1, .snaplen = 96, .name = "probe" });
}

static const struct {
	const char *name;
	void (*build)(struct nft_table *t); /* NULL: not asked with a table */
	const char *lack;
} rows[_FEATURE_MAX] = {
	[FEATURE_NFTABLES] = { "nftables", probe_nftables, "the kernel has no nftables" },
	[FEATURE_OWNER] = { "owner", probe_owner, "the kernel has no table owners (5.12)" },
	[FEATURE_PERSIST] = { "persist", probe_persist, "the kernel has no persistent owned tables (6.9)" },
	[FEATURE_COMMENT] = { "comment", probe_comment, "the kernel keeps no comments (5.10)" },
	[FEATURE_IIFKIND] = { "iifkind", probe_iifkind, "the kernel cannot match the kind of a device (5.1)" },
	[FEATURE_REJECT] = { "reject", probe_reject, "the kernel cannot reject packets" },
	[FEATURE_REJECT_PREROUTING] = { "reject-prerouting", probe_reject_prerouting,
					"the kernel cannot reject in prerouting (5.9)" },
	[FEATURE_UNDO_TRANSLATION] = { "undo-translation", probe_undo_translation,
				       "the kernel cannot write back a destination from before a translation (4.17)" },
	[FEATURE_POSTROUTING_IIF] = { "postrouting-iif", probe_postrouting_iif,
				      "the kernel does not know the input device in postrouting (5.7)" },
	[FEATURE_LIMIT] = { "limit", probe_limit, "the kernel cannot limit a rate" },
	[FEATURE_LOG] = { "log", probe_log, "the kernel has no nflog" },
	[FEATURE_ROUTING_RULES] = { "routing-rules", NULL, "the kernel has no IPv4 routing rules" },
	[FEATURE_ROUTING_RULES_IPV6] = { "routing-rules-ipv6", NULL, "the kernel has no IPv6 routing rules" },
	[FEATURE_SOCKET_CGROUP] = { "socket-cgroup", probe_socket_cgroup,
				    "the kernel cannot match the cgroup of a sender (5.13)" },
	[FEATURE_BRIDGE] = { "bridge", probe_bridge, "the kernel has no bridge tables" },
	[FEATURE_CGROUP_EBPF] = { "cgroup-ebpf", NULL,
				  "the host has no cgroup2, or a kernel without BPF or its type information" },
	[FEATURE_CGROUP_TRACING] = { "cgroup-tracing", NULL, "" }, /* found out by loading */
};

const char *imds_feature_name(enum imds_feature f)
{
	return rows[f].name;
}

const char *imds_feature_lack(const struct imds_features *f, enum imds_feature which)
{
	if (f->forced_off[which])
		return "turned off by --assume-feature";
	return which == FEATURE_CGROUP_EBPF && f->cgroup_lack[0] ? f->cgroup_lack : rows[which].lack;
}

int imds_features_assume(struct imds_features *f, const char *text, struct diag *d)
{
	char names[256] = "";

	for (size_t i = 0; i < _FEATURE_MAX; i++) {
		size_t n = strlen(names);

		if (text[0] == '-' && strcmp(text + 1, rows[i].name) == 0) {
			f->have[i] = false;
			f->forced_off[i] = true;
			return 0;
		}
		(void)snprintf(names + n, sizeof(names) - n, " -%s", rows[i].name);
	}
	return diag_fail(d, -EINVAL, "--assume-feature", "\"%.40s\" is not one of%s", text, names);
}

void imds_features_all(struct imds_features *f)
{
	for (size_t i = 0; i < _FEATURE_MAX; i++)
		f->have[i] = !f->forced_off[i];
	f->on_host = true;
}

static int probe_tables(struct imds_features *f, struct nl_socket *nft)
{
	struct nft_table *tables[_FEATURE_MAX];
	int errors[_FEATURE_MAX], r = 0;
	enum imds_feature which[_FEATURE_MAX];
	size_t n = 0;

	/* Dormant, they harm nobody: what cannot be removed now is left to the next start. */
	(void)!nft_remove_leftovers(nft, PROBE_TABLE "_", NULL);
	for (size_t i = 0; i < _FEATURE_MAX; i++) {
		char name[NFT_NAME_SIZE];

		if (!rows[i].build || f->forced_off[i])
			continue;
		/* Another process may be asking at the same time. */
		(void)snprintf(name, sizeof(name), PROBE_TABLE "_%u_%zu", nl_portid(nft), i);
		tables[n] = nft_table_new(NFPROTO_INET, name);
		if (!tables[n]) {
			r = -ENOMEM;
			break;
		}
		rows[i].build(tables[n]);
		which[n++] = i;
	}
	if (r == 0)
		r = nft_try(nft, tables, n, errors, NULL);
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			f->have[which[i]] = errors[i] == 0;
		(void)nft_table_free(tables[i]);
	}
	return r;
}

static void presume_tables(struct imds_features *f)
{
	for (size_t i = 0; i < _FEATURE_MAX; i++)
		f->have[i] = rows[i].build && !f->forced_off[i];
}

/* Not asked is not answered with no: a daemon would go without the layer for as long as it lives. */
static bool starved(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

static int probe_routing(struct nl_socket *route, int family, bool *ret)
{
	_cleanup_(freep) struct routing_rule *rules = NULL;
	size_t n;
	int r;

	r = routing_rules_read(route, family, &rules, &n, NULL);
	if (starved(r))
		return r;
	/* Where IPv6 is off the kernel answers with no rules at all; every real table has some. */
	*ret = r == 0 && n > 0;
	return 0;
}

/* Linux 5.14; absent from bookworm's headers. The machine's first network namespace has cookie 1. */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static bool on_host(void)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat own, host;
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);

	if (stat("/proc/self/ns/net", &own) < 0)
		return false;
	if (stat("/proc/1/ns/net", &host) == 0)
		return own.st_ino == host.st_ino && own.st_dev == host.st_dev;
	/* Without CAP_SYS_PTRACE the first process may not be looked at. */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) == 0 && cookie == 1;
}

static int probe_cgroup_ebpf(bool *ret)
{
	char root[PATH_MAX];
	int r = bpf_prepare(NULL);

	if (r == 0)
		r = cgroup_mount(root, NULL);
	if (starved(r))
		return r;
	*ret = r == 0;
	return 0;
}

int imds_features_probe(struct imds_features *f, struct nl_socket *nft, struct nl_socket *route,
			struct diag *d)
{
	int r = 0;

	f->on_host = on_host();
	if (!nft)
		presume_tables(f);
	else
		r = probe_tables(f, nft);
	if (r == -EPERM)
		return diag_fail(d, r, NULL, "CAP_NET_ADMIN is needed; run as root");
	if (r < 0)
		return diag_errno(d, r, "nftables", "cannot ask the kernel");
	if (!f->forced_off[FEATURE_CGROUP_EBPF]) {
		r = probe_cgroup_ebpf(&f->have[FEATURE_CGROUP_EBPF]);
		if (r < 0)
			return diag_errno(d, r, "bpf", "cannot ask the kernel");
	}
	if (!f->forced_off[FEATURE_ROUTING_RULES])
		r = probe_routing(route, AF_INET, &f->have[FEATURE_ROUTING_RULES]);
	if (r == 0 && !f->forced_off[FEATURE_ROUTING_RULES_IPV6])
		r = probe_routing(route, AF_INET6, &f->have[FEATURE_ROUTING_RULES_IPV6]);
	return r < 0 ? diag_errno(d, r, "routing rules", "cannot ask the kernel") : 0;
}
