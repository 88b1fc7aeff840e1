/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The facts of a run: one slot for each source, filled at first use by its loader or by a test's
 * stand-in, and files of the tree read through root.h so that nothing in it leads outside.
 */
#include "batten/audit/facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "audit/cgroup-limit.h"
#include "audit/ecs-settings.h"
#include "audit/facts-internal.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/base/parse.h"

#define DEFAULT_DEADLINE_MS 3000
#define MAX_FILE_BYTES (1024 * 1024)
#define MAX_NAMES 65536

static int source_files_load(struct facts *f, json_t **ret, struct diag *d)
{
	return 0; /* the root is open since facts_open() */
}

static const source_loader loaders[_SOURCE_MAX] = {
	[SOURCE_FILES] = source_files_load,
	[SOURCE_PROC] = source_proc_load,
	[SOURCE_DOCKER] = source_docker_load,
	[SOURCE_INTROSPECTION] = source_introspection_load,
	[SOURCE_RULES] = source_rules_load,
	[SOURCE_AUDIT] = source_audit_load,
	[SOURCE_IMDS] = source_imds_load,
};

int facts_open(struct facts **ret, const struct facts_options *o, struct diag *d)
{
	_cleanup_(facts_freep) struct facts *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->root = (struct root)ROOT_NONE;
	f->proc_fd = -1;
	f->empty = json_object();
	if (!f->empty)
		return -ENOMEM;
	r = root_init(&f->root, o->root, d);
	if (r < 0)
		return r;
	f->deadline_ms = o->deadline_ms ? o->deadline_ms : DEFAULT_DEADLINE_MS;
	f->stand_in = o->stand_in;
	f->known_docker = o->known_docker;
	f->askers = o->askers;
	f->left_out = o->left_out;
	f->note = o->note;
	f->subject = "";
	f->live = f->stand_in ? json_is_true(json_object_get(f->stand_in, "live")) : f->root.live;
	if (o->user_data) {
		r = file_read(AT_FDCWD, o->user_data, MAX_FILE_BYTES, &f->user_data, &f->n_user_data, d);
		if (r < 0)
			return r;
	}
	if (o->docker)
		f->docker_url = arena_strdup(&f->arena, o->docker);
	if (f->arena.error < 0)
		return f->arena.error;
	*ret = take_ptr(f);
	return 0;
}

struct facts *facts_free(struct facts *f)
{
	if (!f)
		return NULL;
	for (int i = 0; i < _SOURCE_MAX; i++)
		json_decref(f->sources[i].document);
	if (f->user_data)
		explicit_bzero(f->user_data, f->n_user_data);
	free(f->user_data);
	json_decref(f->empty);
	json_decref(f->daemon_json);
	json_decref(f->agent_containers);
	ecs_settings_done(f->ecs);
	cgroup_limits_done(f->cgroup_limits);
	fd_close(f->proc_fd);
	root_done(&f->root);
	arena_done(&f->arena);
	free(f);
	return NULL;
}

/* A test's answer for the source, or -ENOENT. */
static int load_stand_in(struct facts *f, enum source s, json_t **ret, struct diag *d)
{
	json_t *j = json_object_get(f->stand_in, source_name(s));
	const char *error = json_string_value(json_object_get(j, "error"));

	if (s == SOURCE_FILES || s == SOURCE_PROC)
		return loaders[s](f, ret, d);
	if (!j)
		return diag_fail(d, -ENOENT, NULL, "no %s on this host", source_name(s));
	if (error)
		return diag_fail(d, -EIO, NULL, "%s", error);
	*ret = json_incref(j);
	return 0;
}

static int load(struct facts *f, enum source s, json_t **ret, struct diag *d)
{
	if (f->stand_in)
		return load_stand_in(f, s, ret, d);
	if (s == SOURCE_DOCKER && f->known_docker) {
		*ret = json_incref((json_t *)f->known_docker);
		return 0;
	}
	if (!loaders[s])
		return diag_fail(d, -ENOSYS, NULL, "this build cannot examine %s", source_name(s));
	return loaders[s](f, ret, d);
}

enum source_state facts_source(struct facts *f, enum source s, const char **ret_reason)
{
	struct source_slot *slot = &f->sources[s];
	unsigned int touched = f->touched | NEEDS(s);

	if (slot->state == SOURCE_UNOPENED) {
		struct diag d = { 0 };
		int r = load(f, s, &slot->document, &d);

		slot->state = r == 0 ? SOURCE_OK : r == -ENOENT ? SOURCE_ABSENT : SOURCE_FAILED;
		if (r < 0)
			slot->reason = arena_printf(&f->arena, "%s%s%s", d.where, d.where[0] ? ": " : "",
						    d.what[0] ? d.what : strerror(-r));
	}
	/* What opening it took is no business of who asked. */
	f->touched = touched;
	if (ret_reason)
		*ret_reason = slot->reason;
	return slot->state;
}

uint64_t facts_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const char *facts_subject(struct facts *f, const char *id)
{
	const char *before = f->subject;

	f->subject = id;
	if (f->note)
		(void)snprintf(f->note, FACTS_NOTE_BYTES, "%s", id);
	return before;
}

bool facts_live(const struct facts *f)
{
	return f->live;
}

struct arena *facts_arena(struct facts *f)
{
	return &f->arena;
}

const char *facts_user_data(const struct facts *f, size_t *ret_n)
{
	*ret_n = f->n_user_data;
	return f->user_data;
}

unsigned int facts_touched(const struct facts *f)
{
	return f->touched;
}

/* What is asked for by path belongs to the source that a change of it would come from. */
static void touch_path(struct facts *f, const char *path)
{
	bool proc = strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0;

	f->touched |= proc ? NEEDS_PROC : NEEDS_FILES;
}

int facts_stat(struct facts *f, const char *path, bool follow, struct stat *ret)
{
	touch_path(f, path);
	return root_stat(&f->root, path, follow, ret);
}

int facts_file(struct facts *f, const char *path, int flags)
{
	touch_path(f, path);
	return root_open(&f->root, path, flags);
}

const json_t *facts_document(struct facts *f, enum source s)
{
	return facts_source(f, s, NULL) == SOURCE_OK ? f->sources[s].document : NULL;
}

int facts_read(struct facts *f, const char *path, const char **ret, size_t *ret_n)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r;

	touch_path(f, path);
	r = root_read(&f->root, path, MAX_FILE_BYTES, &text, &n, NULL);
	if (r < 0)
		return r;
	*ret = arena_strndup(&f->arena, text, n);
	if (ret_n)
		*ret_n = n;
	return f->arena.error;
}

static const char *read_line(struct facts *f, const char *path)
{
	struct slice s;
	const char *text;
	size_t n;

	if (facts_read(f, path, &text, &n) < 0)
		return NULL;
	s = slice_trim((struct slice){ text, n });
	return arena_strndup(&f->arena, s.p, s.n);
}

/* Switches of the kernel are asked for once by each container's check. */
const char *facts_line(struct facts *f, const char *path)
{
	struct known_line *k = f->known_lines;
	bool keep = strncmp(path, "/sys/", 5) == 0;

	touch_path(f, path);
	while (keep && k->path && strcmp(k->path, path) != 0)
		k++;
	if (!keep || k == f->known_lines + MAX_KNOWN)
		return read_line(f, path);
	if (!k->path) {
		k->line = read_line(f, path);
		k->path = arena_strdup(&f->arena, path);
	}
	return k->line;
}

bool facts_exists(struct facts *f, const char *path)
{
	struct known_path *k = f->known_paths;
	struct stat st;

	touch_path(f, path);
	while (k->path && strcmp(k->path, path) != 0)
		k++;
	if (k == f->known_paths + MAX_KNOWN)
		return root_stat(&f->root, path, true, &st) == 0;
	if (!k->path) {
		k->exists = root_stat(&f->root, path, true, &st) == 0;
		k->path = arena_strdup(&f->arena, path);
	}
	return k->exists;
}

const char *facts_link(struct facts *f, const char *path)
{
	_cleanup_(fd_closep) int fd = facts_file(f, path, O_PATH | O_NOFOLLOW);
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = readlinkat(fd, "", text, sizeof(text));
	return n < 0 ? NULL : arena_strndup(&f->arena, text, (size_t)n);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int facts_list(struct facts *f, const char *path, const char *const **ret)
{
	_cleanup_(fd_closep) int fd = facts_file(f, path, O_RDONLY | O_DIRECTORY);
	_cleanup_(freep) const char **names = NULL;
	const char **kept;
	size_t n = 0, size = 0;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)fd_take(&fd);
	for (struct dirent *e; (e = readdir(dir)) && n < MAX_NAMES;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (n == size) {
			const char **grown = reallocarray(names, size ? size * 2 : 64, sizeof(*names));

			if (!grown) {
				f->arena.error = -ENOMEM;
				break;
			}
			names = grown;
			size = size ? size * 2 : 64;
		}
		names[n++] = arena_strdup(&f->arena, e->d_name);
	}
	(void)closedir(dir);
	kept = arena_alloc(&f->arena, (n + 1) * sizeof(*kept));
	if (f->arena.error < 0)
		return f->arena.error;
	if (n > 0) {
		qsort(names, n, sizeof(*names), by_name);
		memcpy(kept, names, n * sizeof(*kept));
	}
	*ret = kept;
	return (int)n;
}

int facts_clock(struct facts *f)
{
	const json_t *stand_in = json_object_get(f->stand_in, "clock");
	struct timex t = { 0 };

	if (f->stand_in)
		return stand_in ? json_is_true(stand_in) : -1;
	return f->live && adjtimex(&t) >= 0 ? !(t.status & STA_UNSYNC) : -1;
}

const json_t *facts_docker(struct facts *f, const char *what)
{
	return json_object_get(facts_document(f, SOURCE_DOCKER), what);
}

const json_t *facts_introspection(struct facts *f, const char *what)
{
	return json_object_get(facts_document(f, SOURCE_INTROSPECTION), what);
}
