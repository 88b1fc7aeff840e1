/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host's kernel switches: what the running kernel says under /proc/sys, not what a file in
 * sysctl.d hopes for. Each switch is a row with the range of good values.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/controls/host.h"
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/base/parse.h"

struct sysctl_rule {
	const char *path; /* below /proc/sys */
	uint64_t min, max;
};

static const struct sysctl_rule kernel_rules[] = {
	{ "kernel/kptr_restrict", 1, 2 },
	{ "kernel/dmesg_restrict", 1, 1 },
	{ "kernel/randomize_va_space", 2, 2 },
	{ "kernel/yama/ptrace_scope", 1, 3 },
	{ "kernel/kexec_load_disabled", 1, 1 },
	{ "kernel/perf_event_paranoid", 2, 4 },
	{ "kernel/sysrq", 0, 0 },
	{ "fs/suid_dumpable", 0, 0 },
	{ "fs/protected_hardlinks", 1, 1 },
	{ "fs/protected_symlinks", 1, 1 },
	{ "fs/protected_fifos", 1, 2 },
	{ "fs/protected_regular", 1, 2 },
};

/* "all" holds for every interface that does not loosen it; the kernel joins the two itself. */
static const struct sysctl_rule network_rules[] = {
	{ "net/ipv4/conf/all/accept_redirects", 0, 0 },
	{ "net/ipv4/conf/default/accept_redirects", 0, 0 },
	{ "net/ipv6/conf/all/accept_redirects", 0, 0 },
	{ "net/ipv6/conf/default/accept_redirects", 0, 0 },
	{ "net/ipv4/conf/all/secure_redirects", 0, 0 },
	{ "net/ipv4/conf/all/send_redirects", 0, 0 },
	{ "net/ipv4/conf/default/send_redirects", 0, 0 },
	{ "net/ipv4/conf/all/accept_source_route", 0, 0 },
	{ "net/ipv4/conf/default/accept_source_route", 0, 0 },
	{ "net/ipv6/conf/all/accept_source_route", 0, 0 },
	{ "net/ipv4/conf/all/rp_filter", 1, 2 },
	{ "net/ipv4/conf/all/log_martians", 1, 1 },
	{ "net/ipv4/icmp_echo_ignore_broadcasts", 1, 1 },
	{ "net/ipv4/icmp_ignore_bogus_error_responses", 1, 1 },
	{ "net/ipv4/tcp_syncookies", 1, 1 },
};

/* What a network card may have for itself: "all" does not take it back, and "default" is for those that come later. */
static const struct sysctl_rule card_rules[] = {
	{ "net/ipv4/conf/%s/send_redirects", 0, 0 },
	{ "net/ipv6/conf/%s/accept_redirects", 0, 0 },
};

/* Return: 0 and the value, or -ENOENT when this kernel has no such switch. */
static int read_switch(struct audit *a, const char *path, uint64_t *ret)
{
	const char *text = facts_line(a->facts, arena_printf(&a->arena, "/proc/sys/%s", path));

	return text ? parse_u64(slice_of(text), 0, UINT64_MAX, ret) : -ENOENT;
}

/* /proc/sys/a/b as sysctl(8) writes it, a.b. */
static const char *dotted(struct audit *a, const char *path)
{
	char name[128];

	(void)snprintf(name, sizeof(name), "%s", path);
	for (char *p = name; *p; p++)
		if (*p == '/')
			*p = '.';
	return arena_strdup(&a->arena, name);
}

static void check_rule(struct audit *a, const struct sysctl_rule *rule)
{
	struct subject s = audit_subject(a, SUBJECT_SETTING, dotted(a, rule->path));
	uint64_t value;

	if (read_switch(a, rule->path, &value) < 0) {
		audit_not_applicable(a, &s, "this kernel has no %s", s.name);
	} else if (value < rule->min || value > rule->max) {
		if (rule->min == rule->max)
			audit_fail(a, &s, "%s is %llu, wanted %llu", s.name, (unsigned long long)value,
				   (unsigned long long)rule->min);
		else
			audit_fail(a, &s, "%s is %llu, wanted %llu to %llu", s.name, (unsigned long long)value,
				   (unsigned long long)rule->min, (unsigned long long)rule->max);
	} else {
		audit_pass(a, &s, "%s is %llu", s.name, (unsigned long long)value);
	}
}

static bool same_switch(const char *path, const char *dots)
{
	while (*path && (*path == *dots || (*path == '/' && *dots == '.') || *path == '%')) {
		if (*path == '%') { /* "%s" is a card */
			path += 2;
			dots += strcspn(dots, ".");
			continue;
		}
		path++;
		dots++;
	}
	return *path == *dots;
}

bool kernel_switch_value(const char *name, char *ret, size_t size)
{
	/*
	 * Where it is not the lowest of the good values: BPF's 1 can be taken back by nobody before the next
	 * boot; strict reverse-path filtering loses what comes back through another interface of the instance.
	 */
	static const struct {
		const char *name, *value;
	} others[] = {
		{ "kernel.unprivileged_bpf_disabled", "2" },
		{ "kernel.core_pattern", "|/bin/false" },
		{ "net.ipv4.conf.all.rp_filter", "2" },
		{ "net.ipv4.ip_forward", "1" },
	};
	static const struct {
		const struct sysctl_rule *rules;
		size_t n;
	} lists[] = { { kernel_rules, ARRAY_SIZE(kernel_rules) },
		      { network_rules, ARRAY_SIZE(network_rules) },
		      { card_rules, ARRAY_SIZE(card_rules) } };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strcmp(others[i].name, name) != 0)
			continue;
		(void)snprintf(ret, size, "%s", others[i].value);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (size_t k = 0; k < lists[i].n; k++) {
			if (!same_switch(lists[i].rules[k].path, name))
				continue;
			(void)snprintf(ret, size, "%llu", (unsigned long long)lists[i].rules[k].min);
			return true;
		}
	}
	return false;
}

int check_unprivileged_bpf(struct audit *a, const struct control *c, const struct subject *s)
{
	uint64_t value;

	if (read_switch(a, "kernel/unprivileged_bpf_disabled", &value) < 0)
		audit_not_applicable(a, s, "this kernel has no bpf() for unprivileged users");
	else if (value == 0)
		audit_fail(a, s, "kernel.unprivileged_bpf_disabled is 0");
	else
		audit_pass(a, s, "kernel.unprivileged_bpf_disabled is %llu", (unsigned long long)value);
	return 0;
}

/* A core dump may carry a task's secrets: a program or a directory of the host's is to take it, or nobody at all. */
static void check_core_pattern(struct audit *a)
{
	struct subject s = audit_subject(a, SUBJECT_SETTING, "kernel.core_pattern");
	const char *text = facts_line(a->facts, "/proc/sys/kernel/core_pattern");

	if (!text)
		audit_not_applicable(a, &s, "this kernel has no kernel.core_pattern");
	else if (text[0] == '|' || text[0] == '/' || strcmp(text, "") == 0)
		audit_pass(a, &s, "kernel.core_pattern is \"%s\"", text);
	else
		audit_fail_as(a, &s, SEV_LOW, "kernel.core_pattern is \"%s\": dumps land in whatever directory "
			      "a process works in", text);
}

/* "none [integrity] confidentiality": the word in brackets holds. */
static void check_lockdown(struct audit *a)
{
	struct subject s = audit_subject(a, SUBJECT_SETTING, "lockdown");
	const char *text = facts_line(a->facts, "/sys/kernel/security/lockdown");

	if (!text)
		audit_not_applicable(a, &s, "this kernel has no lockdown");
	else if (strstr(text, "[none]"))
		audit_fail_as(a, &s, SEV_LOW, "kernel lockdown is off: root can change the running kernel");
	else
		audit_pass(a, &s, "kernel lockdown: %s", text);
}

int check_kernel_switches(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *text;
	size_t n;

	if (facts_read(a->facts, "/proc/sys/kernel/randomize_va_space", &text, &n) < 0) {
		audit_not_applicable(a, s, "/proc/sys is not there");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kernel_rules); i++)
		check_rule(a, &kernel_rules[i]);
	check_core_pattern(a);
	check_lockdown(a);
	return 0;
}

/* Only what is amiss: cards come and go. Containers' ends of veth and their bridges are Docker's. */
static void check_cards(struct audit *a)
{
	const char *const *names;
	int n = facts_list(a->facts, "/sys/class/net", &names);

	for (int i = 0; i < n; i++) {
		if (strchr(names[i], '.') || !facts_exists(a->facts, arena_printf(&a->arena, "/sys/class/net/%s/device", names[i])))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(card_rules); k++) {
			bool v6 = strncmp(card_rules[k].path, "net/ipv6/", 9) == 0;
			const char *last = strrchr(card_rules[k].path, '/') + 1;
			const char *top = arena_printf(&a->arena, "net/ipv%d/conf/%s", v6 ? 6 : 4, names[i]);
			struct subject s = audit_subject(a, SUBJECT_SETTING, dotted(a, arena_printf(&a->arena, "%s/%s", top, last)));
			uint64_t value, routes;

			if (read_switch(a, arena_printf(&a->arena, "%s/%s", top, last), &value) < 0 || value == 0)
				continue;
			/* A router listens to no redirects. */
			if (v6 && read_switch(a, arena_printf(&a->arena, "%s/forwarding", top), &routes) == 0 && routes > 0)
				continue;
			audit_fail(a, &s, "%s is %llu, wanted 0: what \"all\" and \"default\" have does not reach it", s.name,
				   (unsigned long long)value);
		}
	}
}

int check_network_switches(struct audit *a, const struct control *c, const struct subject *s)
{
	struct subject forward = audit_subject(a, SUBJECT_SETTING, "net.ipv4.ip_forward");
	uint64_t value;

	if (read_switch(a, "net/ipv4/ip_forward", &value) < 0) {
		audit_not_applicable(a, s, "no IPv4 on this host");
		return 0;
	}
	if (value != 1 && facts_source(a->facts, SOURCE_DOCKER, NULL) == SOURCE_OK)
		audit_fail_as(a, &forward, SEV_HIGH, "net.ipv4.ip_forward is 0: bridge-mode containers have no network; "
			      "benchmarks for hosts without containers ask for this");
	for (size_t i = 0; i < ARRAY_SIZE(network_rules); i++)
		check_rule(a, &network_rules[i]);
	check_cards(a);
	return 0;
}
