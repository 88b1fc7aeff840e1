/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who a container's processes are and what they may do, as the kernel says for every one of them:
 * `docker exec` and later forks may differ from what the container was started with.
 */
#include <cap-ng.h>
#include <errno.h>
#include <string.h>

#include "audit/controls/containers.h"
#include "audit/image-scan.h"

/* CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT
 * MKNOD AUDIT_WRITE SETFCAP: what Docker gives when nobody asks for more. */
#define DOCKER_CAPABILITIES 0xa80425fbull
#define MASK(capability) (1ull << (capability))

bool container_has_process(struct audit *a, const struct subject *s)
{
	if (s->container->n_processes > 0)
		return true;
	if (s->container->pid == 0 && facts_json_true(s->container->inspect, "State.Restarting"))
		audit_unknown(a, s, "it has no process now: Docker restarts it again and again");
	else
		audit_unknown(a, s, "none of its processes is visible in /proc");
	return false;
}

/* What pid 1 could give away at most: every capability that this kernel knows. */
static uint64_t all_capabilities(struct audit *a)
{
	const struct process_facts *init = facts_process(a->facts, 1);

	return init && init->cap_bounding ? init->cap_bounding : (1ull << 38) - 1;
}

static bool is_host_user_namespace(struct audit *a, const char *link)
{
	const char *host, *ours;

	facts_host_namespaces(a->facts, "user", &host, &ours);
	return (host && strcmp(host, link) == 0) || (ours && strcmp(ours, link) == 0);
}

/* In a user namespace that was made inside: capabilities there are none over the container, nor over the host. */
static bool is_nested(struct audit *a, const struct container_facts *c, const struct process_facts *p)
{
	const json_t *info = facts_docker(a->facts, "info");
	const char *own = facts_process_link(a->facts, p->pid, "ns/user"), *first;

	if (!own || is_host_user_namespace(a, own))
		return false;
	/* Docker makes one only when it was told to remap users, or is in one itself. */
	if (!facts_json_find(info, "SecurityOptions", "name=userns") && !facts_json_find(info, "SecurityOptions", "name=rootless"))
		return true;
	first = facts_process_link(a->facts, c->processes[0]->pid, "ns/user");
	return first && strcmp(own, first) != 0;
}

int check_not_privileged(struct audit *a, const struct control *c, const struct subject *s)
{
	uint64_t all = all_capabilities(a);

	if (s->container->privileged) {
		audit_fail(a, s, "started with --privileged");
		return 0;
	}
	if (!container_has_process(a, s))
		return 0;
	for (size_t i = 0; i < s->container->n_processes; i++) {
		const struct process_facts *p = s->container->processes[i];

		if ((p->cap_effective & all) == all && (all & ~DOCKER_CAPABILITIES) &&
		    !is_nested(a, s->container, p)) {
			audit_fail(a, s, "process %d (%s) holds every capability", p->pid, p->name);
			return 0;
		}
	}
	audit_pass(a, s, "not privileged");
	return 0;
}

static void add_names(struct evidence *e, const char *what, uint64_t mask)
{
	char text[600] = "";
	size_t n = 0;

	for (unsigned int i = 0; i < 64 && n < sizeof(text) - 32; i++) {
		const char *name = mask & MASK(i) ? capng_capability_to_name(i) : NULL;

		if (mask & MASK(i))
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", name ? name : "unknown");
	}
	evidence_add(e, "%s%s", what, text);
}

int check_capabilities(struct audit *a, const struct control *c, const struct subject *s)
{
	uint64_t bounding = 0, effective = 0, ambient = 0, any;
	struct evidence e = { 0 };

	if (!container_has_process(a, s))
		return 0;
	for (size_t i = 0; i < s->container->n_processes; i++) {
		const struct process_facts *p = s->container->processes[i];

		if ((p->cap_bounding | p->cap_effective | p->cap_ambient) & ~DOCKER_CAPABILITIES && is_nested(a, s->container, p))
			continue;
		bounding |= p->cap_bounding;
		effective |= p->cap_effective;
		ambient |= p->cap_ambient;
	}
	any = bounding | effective | ambient;
	if (any & ~DOCKER_CAPABILITIES) {
		if (effective & ~DOCKER_CAPABILITIES)
			add_names(&e, "effective:", effective & ~DOCKER_CAPABILITIES);
		if (bounding & ~DOCKER_CAPABILITIES & ~effective)
			add_names(&e, "within reach:", bounding & ~DOCKER_CAPABILITIES & ~effective);
		if (ambient & ~DOCKER_CAPABILITIES)
			add_names(&e, "ambient:", ambient & ~DOCKER_CAPABILITIES);
		audit_fail(a, s, "%s", evidence_text(&e));
	} else if (any & MASK(CAP_NET_RAW) && audit_parameter(a, "net-raw-is-a-finding", 0)) {
		audit_fail_as(a, s, SEV_LOW, "net_raw: it can forge packets on its bridge, and AF_PACKET frames pass below the "
					     "metadata guard's cgroup programs");
	} else {
		audit_pass(a, s, "%d capabilities, all of Docker's default set%s", __builtin_popcountll(any),
			   any & MASK(CAP_NET_RAW) ? "; net_raw among them, and with it AF_PACKET" : "");
	}
	return 0;
}

int check_not_root(struct audit *a, const struct control *c, const struct subject *s)
{
	struct evidence e = { 0 };

	if (!container_has_process(a, s))
		return 0;
	for (size_t i = 0; i < s->container->n_processes; i++) {
		const struct process_facts *p = s->container->processes[i];

		if (p->uid[0] == 0 || p->uid[1] == 0 || p->uid[2] == 0)
			evidence_add(&e, "process %d (%s) is root on the host too", p->pid, p->name);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "%zu process%s, none root; the first is uid %u", s->container->n_processes,
			   s->container->n_processes == 1 ? "" : "es", s->container->processes[0]->uid[0]);
	return 0;
}

static bool allows(const char *action)
{
	return strcmp(action, "SCMP_ACT_ALLOW") == 0 || strcmp(action, "SCMP_ACT_LOG") == 0;
}

bool seccomp_profile_allows_all(const char *text, size_t n)
{
	_cleanup_(json_freep) json_t *j = json_loadb(text, n, 0, NULL);
	const json_t *v;
	size_t i;

	if (!allows(facts_json_string(j, "defaultAction", "")))
		return false;
	json_array_foreach(json_object_get(j, "syscalls"), i, v) {
		if (!allows(facts_json_string(v, "action", "")))
			return false;
	}
	return true;
}

const char *seccomp_default_allows_all(struct audit *a)
{
	const char *option = facts_json_find(facts_docker(a->facts, "info"), "SecurityOptions", "name=seccomp");
	const char *profile = option ? strstr(option, "profile=") : NULL, *text;
	size_t n;

	if (profile && profile[8] == '/' && facts_read(a->facts, profile + 8, &text, &n) == 0 &&
	    seccomp_profile_allows_all(text, n))
		return profile + 8;
	return NULL;
}

/* "seccomp={...}": the text of the profile that it was started with. NULL: the daemon's, unless it is privileged. */
static const char *own_profile(const struct container_facts *c)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(c->host_config, "SecurityOpt"), i, v) {
		const char *text = json_string_value(v);

		if (text && (strncmp(text, "seccomp=", 8) == 0 || strncmp(text, "seccomp:", 8) == 0))
			return text + 8;
	}
	return NULL;
}

int check_seccomp(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *own = own_profile(s->container), *inherited;
	struct evidence e = { 0 };

	if (!container_has_process(a, s))
		return 0;
	for (size_t i = 0; i < s->container->n_processes; i++) {
		const struct process_facts *p = s->container->processes[i];

		if (p->seccomp < 0) {
			audit_unknown(a, s, "this kernel does not tell about seccomp");
			return 0;
		}
		if (p->seccomp != 2)
			evidence_add(&e, "process %d (%s) runs with Seccomp: %d", p->pid, p->name, p->seccomp);
	}
	inherited = own || s->container->privileged ? NULL : seccomp_default_allows_all(a);
	if (own && seccomp_profile_allows_all(own, strlen(own)))
		evidence_add(&e, "the profile that it was started with allows every system call");
	if (inherited)
		evidence_add(&e, "it has no profile of its own, and the daemon's, %s, allows every system call", inherited);
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "a filter is loaded in each of %zu processes", s->container->n_processes);
	return 0;
}

/* Does its image hold a program that gives privileges? What was put into it since counts too, and is not seen. */
static bool nothing_to_gain(struct audit *a, const struct container_facts *c)
{
	const struct image_facts *list;
	const struct image_scan *scan = NULL;

	for (size_t i = 0, n = facts_images(a->facts, &list); i < n; i++)
		if (strcmp(list[i].id, c->image_id) == 0 && image_scan(a, &list[i], &scan) < 0)
			return false;
	if (!scan || scan->unknown)
		return false;
	for (size_t i = 0; i < scan->n_hits; i++)
		if (scan->hits[i].kind == HIT_PRIVILEGE && scan->hits[i].effective)
			return false;
	return true;
}

int check_no_new_privs(struct audit *a, const struct control *c, const struct subject *s)
{
	struct evidence e = { 0 };

	if (!container_has_process(a, s))
		return 0;
	for (size_t i = 0; i < s->container->n_processes; i++) {
		const struct process_facts *p = s->container->processes[i];

		if (p->no_new_privs == 0)
			evidence_add(&e, "process %d (%s) may gain privileges", p->pid, p->name);
	}
	if (e.n_parts + e.n_left_out > 0 && nothing_to_gain(a, s->container))
		audit_fail_as(a, s, SEV_LOW, "%s; no program in its image is setuid, setgid or has capabilities",
			      evidence_text(&e));
	else if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "no_new_privs holds in each of %zu processes", s->container->n_processes);
	return 0;
}

/* "profile (mode)" of AppArmor or "user:role:type:level" of SELinux. */
static bool confined(const char *label)
{
	const char *colon = strchr(label, ':');

	if (colon) {
		const char *type = strchr(colon + 1, ':');
		size_t n = type ? strcspn(type + 1, ":") : 0;

		if (!type || (n == 5 && strncmp(type + 1, "spc_t", n) == 0) ||
		    (n == 12 && strncmp(type + 1, "unconfined_t", n) == 0))
			return false;
		return strchr(type + 1 + n, 'c') != NULL; /* a pair of categories keeps containers apart */
	}
	/* A profile may be loaded to complain, or to do nothing at all: its mode counts, not its name. */
	return strcmp(label, "unconfined") != 0 && !strstr(label, "(complain)") && !strstr(label, "(unconfined)") &&
	       !strstr(label, "(mixed)");
}

/* What every process of it is confined by. @ret_label: of the first, or of one that is not confined. */
static bool all_confined(struct audit *a, const struct container_facts *c, const char **ret_label)
{
	*ret_label = NULL;
	for (size_t i = 0; i < c->n_processes; i++) {
		const char *text, *label;
		int r = facts_process_read(a->facts, c->processes[i]->pid, "attr/current", &text, NULL);

		if (r == -EACCES || r == -EPERM) {
			*ret_label = NULL; /* one that cannot be seen may be any */
			return true;
		}
		if (r < 0 || !text[0])
			continue; /* it ended */
		label = arena_strndup(&a->arena, text, strcspn(text, "\n"));
		if (!*ret_label || !confined(label))
			*ret_label = label;
		if (!confined(label))
			return false;
	}
	return true;
}

int check_lsm(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *enforce = facts_line(a->facts, "/sys/fs/selinux/enforce");
	const char *apparmor = facts_line(a->facts, "/sys/module/apparmor/parameters/enabled");
	const char *label;
	bool good;

	if (!enforce && !(apparmor && apparmor[0] == 'Y')) {
		audit_not_applicable(a, s, "no AppArmor and no SELinux on this host; see HST-04");
		return 0;
	}
	if (!container_has_process(a, s))
		return 0;
	good = all_confined(a, s->container, &label);
	if (!label)
		audit_unknown(a, s, "cannot read /proc/%d/attr/current", s->container->processes[0]->pid);
	else if (!good)
		audit_fail(a, s, "its label is \"%s\"", label);
	else if (enforce && strchr(label, ':') && strcmp(enforce, "1") != 0)
		audit_fail(a, s, "its label is \"%s\", but SELinux does not enforce", label);
	else
		audit_pass(a, s, "its label is \"%s\"", label);
	return 0;
}
