/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * dockerd's command line out of /proc and its daemon.json.
 */
#include "audit/daemon-settings.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "batten/base/parse.h"
#include "batten/host/go-values.h"

#define MAX_ARGUMENTS 256
#define MAX_SOCKETS 16

/* Any program may take the name: one of root's, outside of every container, is the likelier. */
static const struct process_facts *find_dockerd(struct facts *f)
{
	const struct process_facts *list, *found = NULL;
	unsigned int best = 0;

	for (size_t i = 0, n = facts_processes(f, &list); i < n; i++) {
		unsigned int rank = 1 + (list[i].uid[1] == 0) + 2 * !container_id_in_cgroup(list[i].cgroup);

		if (strcmp(list[i].name, "dockerd") != 0 || rank <= best)
			continue;
		found = &list[i];
		best = rank;
	}
	return found;
}

static int read_arguments(struct facts *f, struct daemon_settings *s)
{
	const char **list = arena_alloc(&f->arena, (MAX_ARGUMENTS + 1) * sizeof(*list));
	const char *text;
	size_t n, count = 0;

	if (!list)
		return -ENOMEM;
	s->arguments = list;
	if (!s->process ||
	    facts_process_read(f, s->process->pid, "cmdline", &text, &n) < 0)
		return 0;
	for (const char *p = text; p < text + n && count < MAX_ARGUMENTS; p += strlen(p) + 1)
		if (p != text)
			list[count++] = p;
	return 0;
}

const char *daemon_argument(const struct daemon_settings *s, const char *name, size_t nth)
{
	size_t n = strlen(name);

	for (const char *const *p = s->arguments; *p; p++) {
		const char *word = *p + strspn(*p, "-");

		if (word == *p || strncmp(word, name, n) != 0 || (word[n] != '=' && word[n] != '\0'))
			continue;
		if (nth-- > 0)
			continue;
		if (word[n] == '=')
			return word + n + 1;
		return p[1] && p[1][0] != '-' ? p[1] : "true";
	}
	return NULL;
}

bool daemon_switch(const struct daemon_settings *s, const char *name, bool fallback)
{
	const json_t *file = json_object_get(s->json, name);
	const char *text, *last = NULL;
	bool value;

	/* Of several the last one holds. */
	for (size_t i = 0; (text = daemon_argument(s, name, i)); i++)
		last = text;
	if (last)
		return go_parse_bool(slice_of(last), &value) == 0 ? value : fallback;
	return json_is_boolean(file) ? json_is_true(file) : fallback;
}

/* Field 22 of /proc/PID/stat counts from boot in clock ticks; the name before may hold anything. */
static int64_t start_time(struct facts *f, pid_t pid)
{
	const char *stat = facts_line(f, arena_printf(&f->arena, "/proc/%d/stat", pid));
	const char *text, *boot;
	const char *p = stat ? strrchr(stat, ')') : NULL;
	uint64_t ticks, btime;

	if (!p || facts_read(f, "/proc/stat", &text, NULL) < 0)
		return 0;
	for (int field = 2; field < 22 && p; field++)
		p = strchr(p + 1, ' ');
	boot = strstr(text, "btime ");
	if (!p || !boot || parse_u64((struct slice){ p + 1, strcspn(p + 1, " ") }, 0, INT64_MAX, &ticks) < 0 ||
	    parse_u64((struct slice){ boot + 6, strcspn(boot + 6, "\n") }, 0, INT64_MAX, &btime) < 0)
		return 0;
	return (int64_t)(btime + ticks / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void read_file(struct facts *f, struct daemon_settings *s)
{
	const char *named = daemon_argument(s, "config-file", 0), *text;
	struct diag d = { 0 };
	struct stat st;
	json_t *j;
	size_t n;
	int r;

	s->file = named ? named : "/etc/docker/daemon.json";
	r = facts_read(f, s->file, &text, &n);
	if (r == -ENOENT)
		return;
	if (r < 0) {
		s->file_error = strerror(-r);
		return;
	}
	if (facts_stat(f, s->file, true, &st) == 0)
		s->file_changed = st.st_mtime;
	/* An empty file sets nothing, and of a key that stands there twice the last one holds: so dockerd has it. */
	j = slice_trim((struct slice){ text, n }).n == 0 ? json_object() : json_loadb(text, n, 0, NULL);
	if (!j && json_parse(text, n, s->file, &j, &d) < 0) {
		s->file_error = arena_strdup(&f->arena, d.what);
		return;
	}
	f->daemon_json = j;
	s->json = j;
}

/* Adds the path of "unix://PATH" when it is none of the usual ones. */
static void add_socket(struct facts *f, const char **list, size_t *n, const char *url)
{
	const char *path = url && strncmp(url, "unix://", 7) == 0 ? url + 7 : url;

	if (!path || path[0] != '/' || *n == MAX_SOCKETS)
		return;
	if (strncmp(path, "/var/run/", 9) == 0)
		path += strlen("/var");
	if (strcmp(path, "/run/docker.sock") != 0 && strcmp(path, "/run/containerd/containerd.sock") != 0)
		list[(*n)++] = arena_strdup(&f->arena, path);
}

int daemon_sockets(struct facts *f, const char *const **ret)
{
	const struct daemon_settings *s;
	const char **list, *text;
	const json_t *v;
	size_t n = 0, i;
	int r;

	if (!f->daemon_sockets) {
		r = daemon_settings(f, &s);
		if (r < 0)
			return r;
		list = arena_alloc(&f->arena, (MAX_SOCKETS + 1) * sizeof(*list));
		if (!list)
			return -ENOMEM;
		for (size_t k = 0; (text = daemon_argument(s, "H", k)); k++)
			add_socket(f, list, &n, text);
		for (size_t k = 0; (text = daemon_argument(s, "host", k)); k++)
			add_socket(f, list, &n, text);
		add_socket(f, list, &n, daemon_argument(s, "containerd", 0));
		json_array_foreach(json_object_get(s->json, "hosts"), i, v) {
			add_socket(f, list, &n, json_string_value(v));
		}
		f->daemon_sockets = list;
	}
	*ret = f->daemon_sockets;
	return 0;
}

int daemon_settings(struct facts *f, const struct daemon_settings **ret)
{
	struct daemon_settings *s;
	int r;

	if (!f->daemon) {
		s = arena_alloc(&f->arena, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->process = find_dockerd(f);
		r = read_arguments(f, s);
		if (r < 0)
			return r;
		read_file(f, s);
		if (s->process)
			s->started = start_time(f, s->process->pid);
		f->daemon = s;
	}
	*ret = f->daemon;
	return 0;
}
