/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Audit profiles: JSON, read strictly. An id that matches no control and a member that we do not
 * know are errors, for a profile that silently does less is worse than none.
 */
#include "batten/audit/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/audit/audit.h"
#include "batten/base/file.h"

#define MAX_PROFILE_BYTES (256 * 1024)
#define SCHEMA "batten.audit-profile/1"

struct audit_profile {
	json_t *document;
};

struct audit_profile *audit_profile_free(struct audit_profile *p)
{
	if (!p)
		return NULL;
	json_decref(p->document);
	free(p);
	return NULL;
}

static bool matches_any_control(const char *pattern)
{
	for (size_t i = 0; i < n_control_sets; i++)
		for (size_t k = 0; k < control_sets[i]->n_controls; k++)
			if (fnmatch(pattern, control_sets[i]->controls[k].id, 0) == 0)
				return true;
	return false;
}

static int check_controls(const json_t *list, const char *file, struct diag *d)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return diag_fail(d, -EINVAL, file, "\"controls\" is to be a list of ids or patterns, as [\"CTR-*\"]");
	json_array_foreach(list, i, v) {
		const char *pattern = json_string_value(v);

		if (!pattern || !matches_any_control(pattern))
			return diag_fail(d, -EINVAL, file, "controls[%zu]: no control is called \"%s\"; see `batten audit --list`",
					 i, pattern ? pattern : "");
	}
	return 0;
}

static int check_severities(json_t *map, const char *file, struct diag *d)
{
	enum severity s;
	const char *id;
	json_t *v;

	json_object_foreach(map, id, v) {
		if (!control_find(id, NULL))
			return diag_fail(d, -EINVAL, file, "severity: no control is called \"%s\"", id);
		if (!json_is_string(v) || severity_parse(json_string_value(v), &s) < 0)
			return diag_fail(d, -EINVAL, file, "severity of %s: use info, low, medium, high or critical", id);
	}
	return 0;
}

/* What the checks ask for. A name that none of them knows would change nothing, and nobody would notice. */
static const char *const parameters[] = {
	"image-max-age-days", "image-scan-ms", "instance-max-age-days", "lowest-port", "net-raw-is-a-finding", "restart-max",
	"unused-images-max", NULL,
};
static const char *const lists[] = {
	"containers-outside-ecs", "docker-programs", "docker-users", "ecs-drop-ins", "files-without-secrets", "image-tools",
	"listeners", "privileged-files", "published-ports", "registries", "variables-without-secrets", NULL,
};

static bool is_known(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

static int check_parameters(json_t *map, const char *file, struct diag *d)
{
	const char *name;
	json_t *v;

	json_object_foreach(map, name, v) {
		if (!is_known(parameters, name))
			return diag_fail(d, -EINVAL, file, "no parameter is called \"%s\"", name);
		if (!json_is_integer(v) || json_integer_value(v) < 0)
			return diag_fail(d, -EINVAL, file, "parameter %s: use a whole number", name);
	}
	return 0;
}

static int check_lists(json_t *map, const char *file, struct diag *d)
{
	const char *name;
	const json_t *word;
	json_t *v;
	size_t i;

	json_object_foreach(map, name, v) {
		if (!is_known(lists, name))
			return diag_fail(d, -EINVAL, file, "no list is called \"%s\"", name);
		if (!json_is_array(v))
			return diag_fail(d, -EINVAL, file, "list %s: use a list of words or patterns", name);
		json_array_foreach(v, i, word) {
			if (!json_is_string(word))
				return diag_fail(d, -EINVAL, file, "list %s: entry %zu is no text", name, i);
		}
	}
	return 0;
}

static int check_members(json_t *j, const char *file, struct diag *d)
{
	static const struct {
		const char *name;
		json_type type;
		bool required;
	} members[] = {
		{ "schema", JSON_STRING, true },      { "name", JSON_STRING, true },
		{ "title", JSON_STRING, true },	      { "controls", JSON_ARRAY, true },
		{ "severity", JSON_OBJECT, false },   { "parameters", JSON_OBJECT, false },
		{ "lists", JSON_OBJECT, false },
	};
	const char *name;
	json_t *v;

	json_object_foreach(j, name, v) {
		size_t i = 0;

		while (i < ARRAY_SIZE(members) && strcmp(members[i].name, name) != 0)
			i++;
		if (i == ARRAY_SIZE(members))
			return diag_fail(d, -EINVAL, file, "unknown member \"%s\"", name);
		if (json_typeof(v) != members[i].type)
			return diag_fail(d, -EINVAL, file, "member \"%s\" is of the wrong type", name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (members[i].required && !json_object_get(j, members[i].name))
			return diag_fail(d, -EINVAL, file, "member \"%s\" is missing", members[i].name);
	if (strcmp(json_string_value(json_object_get(j, "schema")), SCHEMA) != 0)
		return diag_fail(d, -EINVAL, file, "\"schema\" is to be \"" SCHEMA "\"");
	return 0;
}

int audit_profile_parse(struct audit_profile **ret, const json_t *j, const char *file, struct diag *d)
{
	_cleanup_(audit_profile_freep) struct audit_profile *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	if (!json_is_object(j))
		return diag_fail(d, -EINVAL, file, "a profile is a JSON object");
	p->document = json_incref((json_t *)j);
	r = check_members(p->document, file, d);
	if (r >= 0)
		r = check_controls(json_object_get(j, "controls"), file, d);
	if (r >= 0)
		r = check_severities(json_object_get(j, "severity"), file, d);
	if (r >= 0)
		r = check_parameters(json_object_get(j, "parameters"), file, d);
	if (r >= 0)
		r = check_lists(json_object_get(j, "lists"), file, d);
	if (r < 0)
		return r;
	*ret = take_ptr(p);
	return 0;
}

/* Directory of our own executable, so that a build finds the tree's profiles and a package its own. */
static int own_directory(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static int read_named(const char *name, char *path, size_t size, char **ret, size_t *ret_n, struct diag *d)
{
	static const char *const places[] = { "../share/batten/profiles", "../profiles" };
	char own[PATH_MAX];
	int r;

	if (strchr(name, '/')) {
		(void)snprintf(path, size, "%s", name);
		return file_read(AT_FDCWD, path, MAX_PROFILE_BYTES, ret, ret_n, d);
	}
	(void)snprintf(path, size, "/etc/batten/profiles/audit-%s.json", name);
	r = file_read(AT_FDCWD, path, MAX_PROFILE_BYTES, ret, ret_n, NULL);
	if (r != -ENOENT || own_directory(own, sizeof(own)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(places) && r == -ENOENT; i++) {
		(void)snprintf(path, size, "%s/%s/audit-%s.json", own, places[i], name);
		r = file_read(AT_FDCWD, path, MAX_PROFILE_BYTES, ret, ret_n, NULL);
	}
	return r;
}

int audit_profile_load(struct audit_profile **ret, const char *name, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	_cleanup_(freep) char *text = NULL;
	char path[2 * PATH_MAX];
	size_t n;
	int r;

	r = read_named(name, path, sizeof(path), &text, &n, d);
	if (r == -ENOENT)
		return diag_fail(d, r, name, "no such profile; ecs, cis-docker and managed-instances ship with batten");
	if (r < 0)
		return diag_errno(d, r, path, "cannot read the profile");
	r = json_parse(text, n, path, &j, d);
	if (r < 0)
		return r;
	return audit_profile_parse(ret, j, path, d);
}

const char *audit_profile_name(const struct audit_profile *p)
{
	return json_string_value(json_object_get(p->document, "name"));
}

const char *audit_profile_title(const struct audit_profile *p)
{
	return json_string_value(json_object_get(p->document, "title"));
}

bool audit_profile_has(const struct audit_profile *p, const char *control_id)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(p->document, "controls"), i, v) {
		if (fnmatch(json_string_value(v), control_id, 0) == 0)
			return true;
	}
	return false;
}

enum severity audit_profile_severity(const struct audit_profile *p, const struct control *c)
{
	const json_t *v = json_object_get(json_object_get(p->document, "severity"), c->id);
	enum severity s;

	return v && severity_parse(json_string_value(v), &s) == 0 ? s : c->severity;
}

uint64_t audit_profile_parameter(const struct audit_profile *p, const char *name, uint64_t fallback)
{
	const json_t *v = json_object_get(json_object_get(p->document, "parameters"), name);

	return v ? (uint64_t)json_integer_value(v) : fallback;
}

const json_t *audit_profile_list(const struct audit_profile *p, const char *name)
{
	return json_object_get(json_object_get(p->document, "lists"), name);
}

static const json_t *list_of(const struct audit *a, const char *name)
{
	return a->options.profile ? audit_profile_list(a->options.profile, name) : NULL;
}

bool audit_has_list(const struct audit *a, const char *name)
{
	return list_of(a, name) != NULL;
}

bool audit_listed(const struct audit *a, const char *name, const char *word)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list_of(a, name), i, v) {
		if (fnmatch(json_string_value(v), word, 0) == 0)
			return true;
	}
	return false;
}
