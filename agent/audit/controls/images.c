/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The images that containers here run: what they say of themselves, how they were built, and what
 * lies in their layers where the storage driver lets us look.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/controls/containers.h"
#include "audit/controls/controls.h"
#include "audit/controls/ecs-agent.h"
#include "audit/image-scan.h"
#include "audit/secrets.h"
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/base/parse.h"

#define DAY (24 * 60 * 60)

/* ---- layers ------------------------------------------------------------------------------------*/

/* Return: 1 with the scan, 0 after reporting why there is none, or a negative errno. */
static int get_scan(struct audit *a, const struct subject *s, const struct image_scan **ret)
{
	int r = image_scan(a, s->image_facts, ret);

	if (r < 0)
		return r;
	if ((*ret)->unknown)
		audit_unknown(a, s, "%s", (*ret)->unknown);
	return (*ret)->unknown == NULL;
}

/* Files of one kind that a container would see, but for those that the profile lists by path or by what they are. */
static int check_hits(struct audit *a, const struct subject *s, enum image_hit_kind kind, const char *list)
{
	const struct image_scan *scan;
	struct evidence e = { 0 };
	int r = get_scan(a, s, &scan);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < scan->n_hits; i++) {
		const struct image_hit *h = &scan->hits[i];

		if (h->kind != kind || !h->effective || audit_listed(a, list, kind == HIT_TOOL ? h->what : h->path))
			continue;
		if (kind == HIT_TOOL)
			evidence_add(&e, "%s", h->path);
		else
			evidence_add(&e, "%s (%s)", h->path, h->what);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "none among %zu files", scan->n_files);
	return 0;
}

static int check_privileged_files(struct audit *a, const struct control *c, const struct subject *s)
{
	return check_hits(a, s, HIT_PRIVILEGE, "privileged-files");
}

static int check_tools(struct audit *a, const struct control *c, const struct subject *s)
{
	return check_hits(a, s, HIT_TOOL, "image-tools");
}

/* Accounts with uid 0 beside root, and passwords that are empty. */
static void judge_accounts(struct audit *a, const struct image_scan *scan, struct evidence *e)
{
	const char *passwd = image_read(a->facts, scan, "/etc/passwd"), *shadow = image_read(a->facts, scan, "/etc/shadow");

	for (const char *p = passwd ? passwd : ""; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		char name[64], uid[16];

		if (sscanf(p, "%63[^:\n]:%*[^:\n]:%15[0-9]:", name, uid) == 2 && strcmp(uid, "0") == 0 &&
		    strcmp(name, "root") != 0)
			evidence_add(e, "/etc/passwd: %s has uid 0", name);
	}
	for (const char *p = shadow ? shadow : ""; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t n = strcspn(p, ":\n");

		if (p[n] == ':' && p[n + 1] == ':')
			evidence_add(e, "/etc/shadow: %.*s has an empty password", (int)MIN(n, (size_t)63), p);
	}
}

static int check_secret_files(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct image_scan *scan;
	struct evidence e = { 0 };
	int r = get_scan(a, s, &scan);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < scan->n_hits; i++) {
		const struct image_hit *h = &scan->hits[i];

		if (h->kind == HIT_SECRET && !audit_listed(a, "files-without-secrets", h->path))
			evidence_add(&e, "%s holds a credential (%s)%s", h->path, h->what,
				     h->effective ? "" : ", hidden by a later layer but still in the image");
	}
	judge_accounts(a, scan, &e);
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "none in %zu layers", scan->n_layers);
	return 0;
}

/* ---- configuration and history -----------------------------------------------------------------*/

static bool uid_of(const char *passwd, const char *name, size_t n, bool *ret_root)
{
	for (const char *p = passwd; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		const char *uid;

		if (strncmp(p, name, n) != 0 || p[n] != ':')
			continue;
		uid = p + n + 1;
		uid += strcspn(uid, ":\n");
		*ret_root = strncmp(uid, ":0:", 3) == 0;
		return true;
	}
	return false;
}

static int check_user(struct audit *a, const struct control *c, const struct subject *s)
{
	const char *user = facts_json_string(s->image_facts->inspect, "Config.User", ""), *passwd;
	size_t n = strcspn(user, ":");
	const struct image_scan *scan;
	bool root = false;
	uint64_t uid;
	int r;

	if (!s->image_facts->inspect) {
		audit_unknown(a, s, "Docker did not describe it");
		return 0;
	}
	if (n == 0) {
		audit_fail(a, s, "it names no user, so that it starts as root");
		return 0;
	}
	if (user_is_root(user)) {
		audit_fail(a, s, "it starts as \"%.*s\", which is root", (int)n, user);
		return 0;
	}
	if (parse_u64((struct slice){ user, n }, 0, UINT32_MAX, &uid) == 0) {
		audit_pass(a, s, "it starts as user %llu", (unsigned long long)uid);
		return 0;
	}
	r = image_scan(a, s->image_facts, &scan);
	if (r < 0)
		return r;
	passwd = scan->unknown ? NULL : image_read(a->facts, scan, "/etc/passwd");
	if (!passwd)
		audit_unknown(a, s, "it starts as \"%.*s\", by name, and its /etc/passwd cannot be read: %s", (int)n, user,
			      scan->unknown ? scan->unknown : "there is none");
	else if (!uid_of(passwd, user, n, &root))
		audit_pass(a, s, "it starts as \"%.*s\", whom its /etc/passwd does not know: Docker refuses to", (int)n, user);
	else if (root)
		audit_fail(a, s, "it starts as \"%.*s\", which is user 0 in its /etc/passwd", (int)n, user);
	else
		audit_pass(a, s, "it starts as \"%.*s\"", (int)n, user);
	return 0;
}

/* Arguments of the build stand before the step, "|1 TOKEN=…", and stay there. */
static const char *rule_of_step(struct audit *a, const char *step)
{
	const char *rule = secret_in_text(step, strlen(step)), *variable;
	struct slice rest = slice_of(step);

	if (rule)
		return rule;
	do
		rule = secret_in_assignments(&rest, &a->arena, &variable);
	while (rule && audit_listed(a, "variables-without-secrets", variable));
	return rule;
}

static int check_config_secrets(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *inspect = s->image_facts->inspect, *v;
	struct evidence e = { 0 };
	const char *name;
	json_t *label;
	size_t i;

	if (!inspect) {
		audit_unknown(a, s, "Docker did not describe it");
		return 0;
	}
	json_array_foreach(facts_json(inspect, "Config.Env"), i, v) {
		const char *text = json_string_value(v), *equals = text ? strchr(text, '=') : NULL, *variable, *rule;

		if (!equals)
			continue;
		variable = arena_strndup(&a->arena, text, (size_t)(equals - text));
		rule = secret_in_variable(variable, equals + 1);
		if (rule && !audit_listed(a, "variables-without-secrets", variable))
			evidence_add(&e, "variable %s holds a credential (%s)", variable, rule);
	}
	json_object_foreach((json_t *)facts_json(inspect, "Config.Labels"), name, label) {
		const char *text = json_string_value(label), *rule = text ? secret_in_variable(name, text) : NULL;

		if (rule)
			evidence_add(&e, "label %s holds a credential (%s)", name, rule);
	}
	json_array_foreach(s->image_facts->history, i, v) {
		const char *rule = rule_of_step(a, facts_json_string(v, "CreatedBy", ""));

		if (rule)
			evidence_add(&e, "build step %zu holds a credential (%s)", i + 1, rule);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "none in variables, labels and build steps");
	return 0;
}

/* "| sh" and "|bash -s", but no "| sha256sum -c". */
static bool pipes_to_shell(const char *step)
{
	for (const char *p = strchr(step, '|'); p; p = strchr(p + 1, '|')) {
		const char *word = p + 1 + strspn(p + 1, " ");
		size_t n = strcspn(word, " \t\n;&|)\"'");

		if ((n == 2 && strncmp(word, "sh", n) == 0) || (n == 4 && strncmp(word, "bash", n) == 0))
			return true;
	}
	return false;
}

static void judge_step(struct evidence *e, size_t number, const char *step)
{
	/* "yum update" is no such thing: it installs what is new. */
	bool update = strstr(step, "apt-get update") || strstr(step, "apt update") || strstr(step, "apk update");

	if (strstr(step, "ADD http://") || strstr(step, "ADD https://"))
		evidence_add(e, "build step %zu adds a file from the network unseen", number);
	if (update && !strstr(step, "install") && !strstr(step, "apk add") && !strstr(step, "upgrade"))
		evidence_add(e, "build step %zu updates package lists without installing: the next step may use an old one",
			     number);
	if (strstr(step, "sudo "))
		evidence_add(e, "build step %zu uses sudo", number);
	if ((strstr(step, "curl ") || strstr(step, "wget ")) && pipes_to_shell(step))
		evidence_add(e, "build step %zu runs a script straight from the network", number);
}

static int check_history(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *v;
	struct evidence e = { 0 };
	size_t i;

	if (!s->image_facts->history) {
		audit_unknown(a, s, "Docker did not tell its history");
		return 0;
	}
	json_array_foreach(s->image_facts->history, i, v) {
		judge_step(&e, i + 1, facts_json_string(v, "CreatedBy", ""));
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "%zu build steps", json_array_size(s->image_facts->history));
	return 0;
}

/* "ghcr.io/x/y:1": only a dot, a port or "localhost" makes the first word a registry's name. */
static const char *registry_of(struct audit *a, const char *reference)
{
	size_t n = strcspn(reference, "/@");
	const char *first = arena_strndup(&a->arena, reference, n);

	if (reference[n] != '/' || !(strpbrk(first, ".:") || strcmp(first, "localhost") == 0))
		return "docker.io";
	return first;
}

static int check_origin(struct audit *a, const struct control *c, const struct subject *s)
{
	/* Only a registry gives a digest; a name can be given to anything. Docker below 24 says "<none>@<none>". */
	const char *found = facts_json_find(s->image_facts->summary, "RepoDigests", "");
	const char *digest = found && strncmp(found, "<none>", 6) != 0 ? found : NULL;
	const char *registry = digest ? registry_of(a, digest) : NULL;
	int64_t created = facts_json_int(s->image_facts->summary, "Created", 0);
	/* Who builds so that the result is the same each time sets the clock to 0, or to nothing at all. */
	int64_t days = created > 0 ? (a->options.now - created) / DAY : 0;
	int64_t most = (int64_t)audit_parameter(a, "image-max-age-days", 90);
	struct evidence e = { 0 };

	if (audit_has_list(a, "registries") && !(registry && audit_listed(a, "registries", registry)))
		evidence_add(&e, "it comes from %s", registry ? registry : "nowhere: it was built or loaded here");
	if (days > most)
		evidence_add(&e, "it is %lld days old", (long long)days);
	if (strlen(s->name) > 7 && strcmp(s->name + strlen(s->name) - 7, ":latest") == 0)
		evidence_add(&e, "it is called \"latest\"");
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else if (created > 0)
		audit_pass(a, s, "%lld days old%s%s", (long long)days, registry ? ", from " : "", registry ? registry : "");
	else
		audit_pass(a, s, "it does not say when it was built%s%s", registry ? ", from " : "", registry ? registry : "");
	return 0;
}

static int check_pile(struct audit *a, const struct control *c, const struct subject *s)
{
	uint64_t most = audit_parameter(a, "unused-images-max", 10);
	const struct container_facts *agent = facts_agent(a->facts);
	const struct image_facts *list;
	struct evidence e = { 0 };
	size_t n = facts_images(a->facts, &list), n_unused = 0;

	for (size_t i = 0; i < n; i++)
		n_unused += !list[i].in_use && a->options.now - facts_json_int(list[i].summary, "Created", 0) > DAY;
	if (n == 0) {
		audit_not_applicable(a, s, "there is no image");
		return 0;
	}
	if (agent && ecs_agent_is_told(agent, "ECS_DISABLE_IMAGE_CLEANUP"))
		evidence_add(&e, "the agent's image cleanup is off");
	if (n_unused > most)
		evidence_add(&e, "%zu of %zu images are used by no container", n_unused, n);
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "%zu of %zu images are used by no container", n_unused, n);
	return 0;
}

#define IMAGE(row_id) .id = row_id, .each = SUBJECT_IMAGE
#define IN_BUILD "in the image's build"

static const struct control controls[] = {
	{
		IMAGE("IMG-01"),
		.title = "No file in an image raises privileges",
		.means = "A setuid, setgid or capability-bearing program makes more of whoever runs it.",
		.remedy = "chmod a-s " IN_BUILD ", or list the path as \"privileged-files\" in the profile",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_DOCKER | NEEDS_FILES,
		.cis_docker = "4.8",
		.nist = "4.1.2",
		.check = check_privileged_files,
	},
	{
		IMAGE("IMG-02"),
		.title = "No shell, package manager or download tool is in an image",
		.means = "Whoever gets in finds his tools already there.",
		.remedy = "build on a distroless or scratch image, or list the tools as \"image-tools\" in the profile",
		.severity = SEV_LOW,
		.needs = NEEDS_DOCKER | NEEDS_FILES,
		.cis_docker = "4.3",
		.nist = "4.1.2",
		.check = check_tools,
	},
	{
		IMAGE("IMG-03"),
		.title = "Every image starts as a user other than root",
		.means = "Whoever starts it without thinking starts it as root.",
		.remedy = "USER with a number above 0 " IN_BUILD,
		.severity = SEV_MEDIUM,
		.needs = NEEDS_DOCKER,
		.also = NEEDS_FILES,
		.cis_docker = "4.1",
		.fsbp = "ECS.20",
		.pci_dss = "7.2.2",
		.nist = "4.1.2",
		.check = check_user,
	},
	{
		IMAGE("IMG-04"),
		.title = "No image carries credentials in its variables, labels or build steps",
		.means = "Everybody who may pull the image has them, for as long as the image exists.",
		.remedy = "use build secrets " IN_BUILD " and \"secrets\" in the task definition; then change the credential",
		.severity = SEV_HIGH,
		.needs = NEEDS_DOCKER,
		.cis_docker = "4.10",
		.pci_dss = "8.6.2",
		.nist = "4.1.4",
		.check = check_config_secrets,
	},
	{
		IMAGE("IMG-05"),
		.title = "No layer of an image holds a file with credentials",
		.means = "A file that a later step removes is still in the layer before.",
		.remedy = "build in stages and copy only what runs; then change the credential",
		.severity = SEV_HIGH,
		.needs = NEEDS_DOCKER | NEEDS_FILES,
		.cis_docker = "4.10",
		.pci_dss = "8.6.2",
		.nist = "4.1.4",
		.check = check_secret_files,
	},
	{
		IMAGE("IMG-06"),
		.title = "Images are built from what was looked at",
		.means = "What the network served on the day of the build is in the image, and nobody can tell what it was.",
		.remedy = "COPY files with a checksum; update and install in one step " IN_BUILD,
		.severity = SEV_LOW,
		.needs = NEEDS_DOCKER,
		.cis_docker = "4.7, 4.9, 4.11",
		.nist = "4.1.2",
		.check = check_history,
	},
	{
		IMAGE("IMG-07"),
		.title = "Images are recent and from approved registries",
		.means = "Faults that others have mended are still in it, or nobody answers for where it came from.",
		.remedy = "rebuild on a current base and push to the registry that the profile lists under \"registries\"",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_DOCKER,
		.cis_docker = "4.2, 4.4",
		.nist = "4.1.5, 4.2.2",
		.check = check_origin,
	},
	{
		.id = "IMG-08",
		.title = "Images that nobody runs do not pile up",
		.means = "Old images are started by mistake, and the disk fills.",
		.remedy = "unset ECS_DISABLE_IMAGE_CLEANUP; ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP=true for images outside ECS",
		.severity = SEV_LOW,
		.needs = NEEDS_DOCKER,
		.mendable = true,
		.cis_docker = "6.1",
		.nist = "4.2.2",
		.check = check_pile,
	},
};

CONTROL_SET(image_controls, AREA_IMAGES);
