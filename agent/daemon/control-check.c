/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Nothing of a request reaches a method before its row has allowed it.
 */
#include "daemon/control-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/file.h"
#include "batten/host/container.h"

#define MAX_CGROUP_BYTES 65536

static bool has_type(const json_t *value, json_type type)
{
	return type == JSON_TRUE ? json_is_boolean(value) : json_typeof(value) == type;
}

static const char *type_word(json_type type)
{
	return type == JSON_STRING ? "a string" : type == JSON_INTEGER ? "a number" : type == JSON_ARRAY ? "a list" : "true or false";
}

static const struct control_argument *argument_of(const struct control_method *m, const char *name)
{
	for (const struct control_argument *a = m->arguments; a < m->arguments + CONTROL_MAX_ARGUMENTS && a->name; a++)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

static int check_arguments(const struct control_method *m, const json_t *request, struct diag *d)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)request, name, value) {
		const struct control_argument *a = argument_of(m, name);

		if (strcmp(name, "method") == 0)
			continue;
		if (!a)
			return diag_fail(d, -EINVAL, m->name, "takes no \"%.40s\"", name);
		if (!has_type(value, a->type))
			return diag_fail(d, -EINVAL, m->name, "wants %s as \"%s\"", type_word(a->type), a->name);
	}
	for (const struct control_argument *a = m->arguments; a < m->arguments + CONTROL_MAX_ARGUMENTS && a->name; a++)
		if (a->required && !json_object_get(request, a->name))
			return diag_fail(d, -EINVAL, m->name, "wants \"%s\"", a->name);
	return 0;
}

static char *groups_of(pid_t pid)
{
	char path[32], *text = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	return file_read_proc(AT_FDCWD, path, MAX_CGROUP_BYTES, &text, NULL) < 0 ? NULL : text;
}

/*
 * Does a container's id stand in its groups' names that does not stand in our own? One that cannot
 * be looked at is taken for a container.
 */
static bool is_contained(pid_t pid)
{
	_cleanup_(freep) char *theirs = pid > 0 ? groups_of(pid) : NULL, *ours = groups_of(getpid());
	const char *p = theirs;

	if (!theirs)
		return true;
	while (*p) {
		size_t n = strspn(p, "0123456789abcdef");
		char id[CONTAINER_ID_SIZE];

		if (n == sizeof(id) - 1) {
			memcpy(id, p, n);
			id[n] = '\0';
			if (!ours || !strstr(ours, id))
				return true;
		}
		p += n > 0 ? n : 1;
	}
	return false;
}

int control_check(const struct control_method *methods, const json_t *request, pid_t pid,
		  const struct control_method **ret, struct diag *d)
{
	const char *name = json_string_value(json_object_get(request, "method"));
	const struct control_method *m = methods;
	int r;

	while (name && m->name && strcmp(m->name, name) != 0)
		m++;
	if (!name || !m->name)
		return diag_fail(d, -EINVAL, NULL, "unknown method");
	r = check_arguments(m, request, d);
	if (r < 0)
		return r;
	if (m->right == CONTROL_CHANGE && is_contained(pid))
		return diag_fail(d, -EPERM, m->name, "a container may look and change nothing");
	*ret = m;
	return 0;
}
