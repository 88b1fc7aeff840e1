/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host's system: what it is made of, how old it is, and whether it is what was installed.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/controls/host.h"
#include "audit/mounts.h"
#include "audit/rpm-database.h"
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/base/fd.h"

#define DAY (24 * 60 * 60)
#define MAX_PROGRAMS 32

/* ---- the root file system ----------------------------------------------------------------------*/

static bool verity_is_used(struct audit *a)
{
	const char *const *names;
	int n = facts_list(a->facts, "/sys/block", &names);

	for (int i = 0; i < n; i++) {
		const char *uuid = facts_line(a->facts, arena_printf(&a->arena, "/sys/block/%s/dm/uuid", names[i]));

		if (uuid && strncmp(uuid, "CRYPT-VERITY-", 13) == 0)
			return true;
	}
	return false;
}

static bool root_is_immutable(struct audit *a, const struct mount **ret)
{
	struct mount *list;
	int n = mounts_read(a->facts, 1, &list);

	*ret = n > 0 ? mounts_at(list, (size_t)n, "/") : NULL;
	if (!*ret)
		return false;
	return mount_option((*ret)->options, "ro") || mount_option((*ret)->super_options, "ro") ||
	       strcmp((*ret)->type, "erofs") == 0 || strcmp((*ret)->type, "squashfs") == 0;
}

int check_immutable_root(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct mount *root;
	bool immutable = root_is_immutable(a, &root);

	if (!root)
		audit_not_applicable(a, s, "the host's mount table has no /");
	else if (immutable)
		audit_pass(a, s, "/ is %s, read-only%s", root->type, verity_is_used(a) ? ", with verity on the host" : "");
	else
		audit_fail(a, s, "/ is %s, writable", root->type);
	return 0;
}

int check_container_storage(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *top = facts_json_string(facts_docker(a->facts, "info"), "DockerRootDir", "/var/lib/docker");
	const struct mount *best = NULL;
	struct mount *list;
	int n = mounts_read(a->facts, 1, &list);

	for (int i = 0; i < n; i++)
		if (path_within(top, list[i].point) && (!best || strlen(list[i].point) >= strlen(best->point)))
			best = &list[i];
	if (!best)
		audit_unknown(a, s, "the host's mount table cannot be read");
	else if (strcmp(best->point, "/") == 0)
		audit_fail(a, s, "%s lies on the root file system: containers can fill it", top);
	else
		audit_pass(a, s, "%s lies on %s", top, best->point);
	return 0;
}

/* ---- SELinux -----------------------------------------------------------------------------------*/

int check_selinux(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *enforce = facts_line(a->facts, "/sys/fs/selinux/enforce");
	const char *apparmor = facts_line(a->facts, "/sys/module/apparmor/parameters/enabled");

	if (enforce && strcmp(enforce, "1") == 0)
		audit_pass(a, s, "SELinux enforces");
	else if (enforce)
		audit_fail(a, s, "SELinux is loaded and only records what it would refuse");
	else if (apparmor && apparmor[0] == 'Y')
		audit_not_applicable(a, s, "this host uses AppArmor; see CTR-13");
	else
		audit_fail(a, s, "neither SELinux nor AppArmor is active");
	return 0;
}

/* ---- age and updates ---------------------------------------------------------------------------*/

/* cloud-init leaves a mark for each step that it does once in an instance's life. */
static time_t first_boot(struct audit *a)
{
	static const char directory[] = "/var/lib/cloud/instance/sem";
	const char *const *names;
	time_t oldest = 0;
	int n = facts_list(a->facts, directory, &names);

	for (int i = 0; i < n; i++) {
		struct stat st;

		if (facts_stat(a->facts, arena_printf(&a->arena, "%s/%s", directory, names[i]), false, &st) == 0 &&
		    (oldest == 0 || st.st_mtime < oldest))
			oldest = st.st_mtime;
	}
	return oldest;
}

int check_age(struct audit *a, const struct control *c, const struct subject *s)
{
	int64_t most = (int64_t)audit_parameter(a, "instance-max-age-days", 14), days;
	time_t since = first_boot(a);

	if (since == 0) {
		audit_not_applicable(a, s, "no mark of cloud-init tells when this instance began");
		return 0;
	}
	days = (a->options.now - since) / DAY;
	if (days > most)
		audit_fail(a, s, "this instance is %lld days old, wanted at most %lld", (long long)days, (long long)most);
	else
		audit_pass(a, s, "this instance is %lld days old", (long long)days);
	return 0;
}

/*
 * What the distribution's own daily look left behind. The package database itself is not read: an
 * answer would take seconds, and a stale list of advisories would make it a wrong one.
 */
static const struct {
	const char *path;
	const char *pending[3]; /* any of these words: updates wait */
} update_notes[] = {
	{ "/var/lib/update-motd/motd", { "needed for security", "newer release of \"Amazon Linux\"", "needed for security" } },
	{ "/run/motd.d/10-update", { "needed for security", "newer release of \"Amazon Linux\"", "needed for security" } },
	{ "/var/lib/update-notifier/updates-available", { "are security updates", "is a security update",
							   "are standard security updates" } },
};

/* "0 of these updates are security updates." is no update. */
static bool is_none(const char *text, const char *found)
{
	while (found > text && found[-1] != '\n')
		found--;
	return found[0] == '0' && found[1] == ' ';
}

/* The day (YYYY-MM-DD) after which nobody mends this system any more, as it says itself; NULL when it does not. */
static const char *support_end(struct audit *a)
{
	static const char key[] = "\nSUPPORT_END=";
	const char *text, *p;

	if (facts_read(a->facts, "/etc/os-release", &text, NULL) < 0 &&
	    facts_read(a->facts, "/usr/lib/os-release", &text, NULL) < 0)
		return NULL;
	p = strstr(text, key);
	if (!p)
		return NULL;
	p += strlen(key);
	p += strspn(p, "\"'");
	return strspn(p, "0123456789-") == 10 ? arena_strndup(&a->arena, p, 10) : NULL;
}

static const char *day_text(struct audit *a, int64_t t)
{
	time_t seconds = (time_t)t;
	char text[16] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	return arena_strdup(&a->arena, text);
}

int check_updates(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *end = support_end(a);
	const struct mount *root;

	/* Days written so compare as text. */
	if (end && strcmp(day_text(a, a->options.now), end) > 0) {
		audit_fail(a, s, "this system was supported until %s: nothing is mended any more", end);
		return 0;
	}

	if (facts_live(a->facts) && root_is_immutable(a, &root)) {
		audit_not_applicable(a, s, "an immutable image is replaced, not updated; see HST-05");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(update_notes); i++) {
		const char *text;
		struct stat st;

		if (facts_read(a->facts, update_notes[i].path, &text, NULL) < 0 ||
		    facts_stat(a->facts, update_notes[i].path, true, &st) < 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(update_notes[i].pending); k++) {
			const char *found = strstr(text, update_notes[i].pending[k]);

			if (!found || is_none(text, found))
				continue;
			audit_fail(a, s, "%s says that security updates or a newer release wait", update_notes[i].path);
			return 0;
		}
		if (a->options.now - st.st_mtime > 7 * DAY)
			audit_unknown(a, s, "%s is %lld days old", update_notes[i].path,
				      (long long)(a->options.now - st.st_mtime) / DAY);
		else
			audit_pass(a, s, "%s, written by the distribution, names none", update_notes[i].path);
		return 0;
	}
	audit_unknown(a, s, "the distribution left no note about pending updates, and its list of them is not kept here");
	return 0;
}

/* Compares every number in two kernel releases: 6.1.140-154.222.amzn2023. */
static int compare_releases(const char *x, const char *y)
{
	for (;;) {
		unsigned long p = 0, q = 0;

		x += strcspn(x, "0123456789");
		y += strcspn(y, "0123456789");
		if (!*x || !*y)
			return *x ? 1 : *y ? -1 : 0;
		while (*x >= '0' && *x <= '9')
			p = p * 10 + (unsigned long)(*x++ - '0');
		while (*y >= '0' && *y <= '9')
			q = q * 10 + (unsigned long)(*y++ - '0');
		if (p != q)
			return p < q ? -1 : 1;
	}
}

int check_kernel(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *running = facts_line(a->facts, "/proc/sys/kernel/osrelease"), *newest = NULL;
	const char *const *names;
	int n = facts_list(a->facts, "/lib/modules", &names);

	for (int i = 0; i < n; i++) {
		struct stat st;

		/* A directory that a removed package left behind has no list of modules. */
		if (facts_stat(a->facts, arena_printf(&a->arena, "/lib/modules/%s/modules.dep", names[i]), true,
			      &st) == 0 &&
		    (!newest || compare_releases(names[i], newest) > 0))
			newest = names[i];
	}
	if (!running || !newest)
		audit_not_applicable(a, s, "no kernel is installed in /lib/modules");
	else if (compare_releases(running, newest) < 0)
		audit_fail(a, s, "%s runs, %s is installed: a reboot is due", running, newest);
	else
		audit_pass(a, s, "%s runs, and nothing newer is installed", running);
	return 0;
}

/* ---- the runtime's binaries --------------------------------------------------------------------*/

static const char *const runtime_names[] = { "dockerd", "containerd", "containerd-shim", "amazon-ecs-init", "runc" };

static bool is_runtime(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(runtime_names); i++)
		if (strncmp(name, runtime_names[i], MIN(strlen(runtime_names[i]), (size_t)15)) == 0)
			return true;
	return false;
}

/* The digest (MD5) that a Debian package noted for the file, or NULL. */
static const char *debian_digest(struct audit *a, const char *path)
{
	static const char *const packages[] = { "docker.io", "docker-ce", "containerd", "containerd.io", "runc",
						"moby-engine", "moby-containerd", "moby-runc", "amazon-ecs-init" };

	for (size_t i = 0; i < ARRAY_SIZE(packages); i++) {
		const char *text, *found;

		if (facts_read(a->facts, arena_printf(&a->arena, "/var/lib/dpkg/info/%s.md5sums", packages[i]), &text, NULL) < 0)
			continue;
		found = strstr(text, arena_printf(&a->arena, "  %s\n", path + 1));
		if (found && found - text >= 32)
			return arena_strndup(&a->arena, found - 32, 32);
	}
	return NULL;
}

/*
 * What the file is to be, by whichever database knows.
 * Return: 0; -ENOENT no package holds it; another negative errno with the reason when nobody can say
 */
static int packaged_digest(struct audit *a, const char *path, struct rpm_owner *ret, const char **ret_reason)
{
	const char *md5 = debian_digest(a, path);
	int r;

	if (md5) {
		*ret = (struct rpm_owner){ "its package", md5, "md5" };
		return 0;
	}
	r = rpm_owner_of(a->facts, path, ret, ret_reason);
	/* Debian's hosts may have rpm too, with an empty database: it says nothing about theirs. */
	if (r == -ENOENT && facts_exists(a->facts, "/var/lib/dpkg/status"))
		r = -ENODATA;
	if (r == -ENODATA)
		*ret_reason = "no package list here tells its digest";
	return r;
}

static const char *digest_of(struct audit *a, const char *path, const char *algorithm)
{
	_cleanup_(fd_closep) int fd = facts_file(a->facts, path, O_RDONLY);
	unsigned char buf[65536], digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	char text[2 * EVP_MAX_MD_SIZE + 1] = "";
	unsigned int n_digest = 0;
	ssize_t n = -1;

	if (fd >= 0 && context && EVP_DigestInit_ex(context, EVP_get_digestbyname(algorithm), NULL) == 1) {
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			if (EVP_DigestUpdate(context, buf, (size_t)n) != 1)
				break;
		if (n == 0 && EVP_DigestFinal_ex(context, digest, &n_digest) == 1)
			for (unsigned int i = 0; i < n_digest; i++)
				(void)snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
	}
	EVP_MD_CTX_free(context);
	return text[0] ? arena_strdup(&a->arena, text) : NULL;
}

/* Hashing 100 MB of Docker takes longer than a whole audit: only when this control is asked for. */
static bool may_hash(const struct audit *a)
{
	return a->options.thorough;
}

/* Programs that were judged already: a hundred shims run one file, which is hashed once. */
struct judged {
	const char *paths[MAX_PROGRAMS];
	size_t n;
};

static bool was_judged(struct judged *j, const char *path)
{
	for (size_t i = 0; i < j->n; i++)
		if (strcmp(j->paths[i], path) == 0)
			return true;
	if (j->n < MAX_PROGRAMS)
		j->paths[j->n++] = path;
	return false;
}

static void judge_file(struct audit *a, const char *path, struct evidence *bad, struct evidence *unproved)
{
	const char *real, *reason;
	struct rpm_owner owner;
	int r = packaged_digest(a, path, &owner, &reason);

	if (r == -ENOENT) {
		evidence_add(bad, "%s belongs to no package", path);
		return;
	}
	if (r < 0) {
		evidence_add(unproved, "%s: %s", path, reason);
		return;
	}
	if (!may_hash(a)) {
		evidence_add(unproved, "%s is compared when asked for by --area host", path);
		return;
	}
	real = digest_of(a, path, owner.algorithm);
	if (!real)
		evidence_add(unproved, "%s cannot be read", path);
	else if (strcmp(real, owner.digest) != 0)
		evidence_add(bad, "%s is not the file of %s", path, owner.package);
}

static void judge_binary(struct audit *a, const struct process_facts *p, struct judged *judged, struct evidence *bad,
			 struct evidence *unproved)
{
	static const char deleted[] = " (deleted)";
	const char *path = facts_process_link(a->facts, p->pid, "exe");
	size_t n = path ? strlen(path) : 0;

	if (!path)
		evidence_add(unproved, "%s (process %d) cannot be looked at", p->name, p->pid);
	else if (n > sizeof(deleted) && strcmp(path + n - (sizeof(deleted) - 1), deleted) == 0)
		evidence_add(bad, "%s (process %d) runs a file that was replaced or removed", p->name, p->pid);
	else if (!was_judged(judged, path))
		judge_file(a, path, bad, unproved);
}

int check_binaries(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct process_facts *list;
	struct evidence bad = { 0 }, unproved = { 0 };
	struct judged judged = { 0 };
	size_t n = facts_processes(a->facts, &list), n_runtime = 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_runtime(list[i].name) || list[i].uid[1] != 0)
			continue;
		n_runtime++;
		judge_binary(a, &list[i], &judged, &bad, &unproved);
	}
	if (n_runtime == 0)
		audit_not_applicable(a, s, "no container runtime runs");
	else if (bad.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&bad));
	else if (unproved.n_parts > 0)
		audit_unknown(a, s, "%s", evidence_text(&unproved));
	else
		audit_pass(a, s, "%zu processes of the runtime run the files of their packages", n_runtime);
	return 0;
}

/* ---- kernel audit, time, agents ----------------------------------------------------------------*/

size_t kernel_audit_unwatched(struct audit *a, const char *const **ret)
{
	static const char *const wanted[] = { "/usr/bin/dockerd", "/usr/bin/containerd", "/usr/bin/runc", "/usr/sbin/dockerd",
					      "/usr/sbin/runc", "/run/docker.sock", "/etc/docker", "/var/lib/docker", "/etc/ecs", "/var/lib/ecs" };
	const json_t *watches = json_object_get(facts_document(a->facts, SOURCE_AUDIT), "watches"), *v;
	const char **list = arena_alloc(&a->arena, sizeof(wanted));
	bool one_bin = facts_link(a->facts, "/usr/sbin") != NULL; /* of merged directories one name is enough */
	size_t n = 0, i;

	for (size_t k = 0; list && k < ARRAY_SIZE(wanted); k++) {
		bool found = false;
		struct stat st;

		/* What this host does not have needs no watch. */
		if (facts_stat(a->facts, wanted[k], true, &st) < 0 || (one_bin && path_within(wanted[k], "/usr/sbin")))
			continue;
		json_array_foreach(watches, i, v) {
			const char *path = json_string_value(v);

			found |= path && path_within(wanted[k], strncmp(path, "/var/run/", 9) == 0 ? path + 4 : path);
		}
		if (!found)
			list[n++] = wanted[k];
	}
	*ret = list;
	return n;
}

int check_kernel_audit(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *doc = facts_document(a->facts, SOURCE_AUDIT);
	const char *const *unwatched;
	struct evidence e = { 0 };
	size_t n;

	if (facts_json_int(doc, "enabled", 0) == 0) {
		audit_fail(a, s, "the kernel's audit is off");
		return 0;
	}
	if (facts_json_int(doc, "lost", 0) > 0)
		evidence_add(&e, "%lld records were lost", (long long)facts_json_int(doc, "lost", 0));
	n = kernel_audit_unwatched(a, &unwatched);
	for (size_t i = 0; i < n; i++)
		evidence_add(&e, "%s is not watched", unwatched[i]);
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "on, and the container runtime is watched");
	return 0;
}

static bool runs(struct audit *a, const char *name)
{
	const struct process_facts *list;

	for (size_t i = 0, n = facts_processes(a->facts, &list); i < n; i++)
		if (strncmp(list[i].name, name, 15) == 0)
			return true;
	return false;
}

int check_time_and_agents(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *vendor = facts_line(a->facts, "/sys/class/dmi/id/sys_vendor");
	bool ec2 = vendor && strcmp(vendor, "Amazon EC2") == 0;
	int clock = facts_clock(a->facts);

	if (clock < 0) {
		audit_not_applicable(a, s, "the kernel does not tell about its clock");
		return 0;
	}
	if (clock == 0)
		audit_fail(a, s, "nobody keeps the clock right: the kernel calls it unsynchronised");
	else if (ec2 && !runs(a, "amazon-ssm-agent"))
		audit_fail(a, s, "the clock is kept right, but the SSM agent does not run");
	else
		audit_pass(a, s, "the clock is kept right%s", ec2 ? ", and the SSM agent runs" : "");
	return 0;
}
