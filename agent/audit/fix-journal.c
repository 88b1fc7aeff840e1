/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The journal: a directory, a lock, and one file for each transaction, replaced as a whole whenever its
 * state changes. An id begins with the time, so that the order of names is the order of deeds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/fix-internal.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"

#define MAX_ENTRY_BYTES (64 * 1024 * 1024) /* of one transaction with its files */
#define SCHEMA "batten.fix-journal/1"

static const char *const state_names[_ENTRY_STATE_MAX] = {
	[ENTRY_STARTED] = "started", [ENTRY_APPLIED] = "applied", [ENTRY_UNDONE] = "undone",
	[ENTRY_FAILED] = "failed", [ENTRY_INTERRUPTED] = "interrupted",
};

/* ---- opening -----------------------------------------------------------------------------------*/

/* Makes every directory of the path; those that are there keep their mode. */
static int make_directories(char *path, struct diag *d)
{
	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return diag_errno(d, -errno, path, "cannot make the directory of the journal");
		*p = c;
		if (c == '\0')
			return 0;
	}
}

static int lock(struct fix *f, const struct fix_options *o, struct diag *d)
{
	f->lock = openat(f->state, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock < 0)
		return diag_errno(d, -errno, f->state_name, "cannot make the lock");
	if (flock(f->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK && o->dont_wait)
		return diag_fail(d, -EBUSY, f->state_name, "another batten fix is at work");
	if (errno == EWOULDBLOCK && o->waiting)
		o->waiting();
	while (flock(f->lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return diag_errno(d, -errno, f->state_name, "cannot lock");
	return 0;
}

int fix_open(struct fix **ret, const struct fix_options *o, struct diag *d)
{
	_cleanup_(fix_freep) struct fix *f = calloc(1, sizeof(*f));
	struct stat st;
	int r;

	if (!f)
		return -ENOMEM;
	f->root = (struct root)ROOT_NONE;
	f->state = f->lock = -1;
	f->host = o->host;
	r = root_init(&f->root, o->root, d);
	if (r < 0)
		return r;
	if (o->state_dir)
		f->state_name = strdup(o->state_dir);
	else if (asprintf(&f->state_name, "%s" FIX_STATE_DIR, f->root.name) < 0)
		f->state_name = NULL;
	if (!f->state_name)
		return -ENOMEM;
	r = make_directories(f->state_name, d);
	if (r < 0)
		return r;
	f->state = open(f->state_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (f->state < 0 || fstat(f->state, &st) < 0)
		return diag_errno(d, -errno, f->state_name, "cannot open the journal");
	/* Files are in it as they were, secrets and all. */
	if ((st.st_mode & 077) || st.st_uid != geteuid())
		return diag_fail(d, -EPERM, f->state_name, "is open to others than its user; chmod it to 0700");
	r = lock(f, o, d);
	if (r < 0)
		return r;
	*ret = take_ptr(f);
	return 0;
}

struct fix *fix_free(struct fix *f)
{
	if (!f)
		return NULL;
	fd_close(f->lock);
	fd_close(f->state);
	root_done(&f->root);
	free(f->state_name);
	free(f);
	return NULL;
}

/* ---- entries -----------------------------------------------------------------------------------*/

struct entry *entry_free(struct entry *e)
{
	if (!e)
		return NULL;
	for (size_t i = 0; i < e->n_changes; i++)
		change_done(&e->changes[i]);
	free(e->changes);
	json_decref(e->proof);
	free(e);
	return NULL;
}

int entry_new(struct entry **ret, struct fix *f, const char *control, struct fix_plan *p)
{
	_cleanup_(entry_freep) struct entry *e = calloc(1, sizeof(*e));
	struct timespec now;
	struct tm tm;
	struct stat st;
	char name[80], when[24];

	if (!e)
		return -ENOMEM;
	(void)snprintf(e->control, sizeof(e->control), "%s", control);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	do {
		(void)gmtime_r(&now.tv_sec, &tm);
		(void)strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm);
		(void)snprintf(e->id, sizeof(e->id), "%s.%03ld-%s", when, now.tv_nsec / 1000000, control);
		(void)strftime(e->time, sizeof(e->time), "%Y-%m-%dT%H:%M:%SZ", &tm);
		(void)snprintf(name, sizeof(name), "%s.json", e->id);
		now.tv_nsec += 1000000;
		if (now.tv_nsec >= 1000000000) {
			now.tv_nsec -= 1000000000;
			now.tv_sec++;
		}
	} while (fstatat(f->state, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
	e->kicks = p->kicks;
	e->changes = take_ptr(p->changes);
	e->n_changes = p->n_changes;
	p->n_changes = 0;
	*ret = take_ptr(e);
	return 0;
}

int entry_set_proof(struct entry *e, const char *result, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	json_t *j;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	j = json_pack("{s:s, s:o}", "result", result, "reason", json_text(text));
	if (!j)
		return -ENOMEM;
	json_decref(e->proof);
	e->proof = j;
	return 0;
}

static bool has_change(const struct entry *e, enum change_kind kind)
{
	for (size_t i = 0; i < e->n_changes; i++)
		if (e->changes[i].kind == kind)
			return true;
	return false;
}

bool entry_is_final(const struct entry *e)
{
	return has_change(e, CHANGE_SWARM);
}

bool entry_is_found_out(const struct entry *e)
{
	return has_change(e, CHANGE_PACKAGE);
}

static json_t *entry_whole(const struct entry *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < e->n_changes; i++)
		if (json_array_append_new(list, change_to_json(&e->changes[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:O?, s:o}", "schema", SCHEMA, "id", e->id, "time", e->time,
			 "control", e->control, "state", state_names[e->state], "kicks", (int)e->kicks, "proof", e->proof,
			 "changes", list);
}

int entry_store(struct fix *f, const struct entry *e, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = entry_whole(e);
	size_t n;
	_cleanup_(freep) char *text = json_line(j, &n);
	struct diag why = { 0 };
	char name[80];
	int r;

	if (!text)
		return -ENOMEM;
	(void)snprintf(name, sizeof(name), "%s.json", e->id);
	r = file_replace(f->state, name, text, n, 0600, &why);
	explicit_bzero(text, n);
	return r < 0 ? diag_fail(d, r, f->state_name, "the journal cannot be written: %s", why.what) : 0;
}

static int entry_parse(const json_t *j, struct entry **ret, struct diag *d)
{
	_cleanup_(entry_freep) struct entry *e = calloc(1, sizeof(*e));
	const char *schema = NULL, *id = NULL, *when = NULL, *control = NULL, *state = NULL;
	const json_t *list = NULL, *v;
	int kicks = 0, k = 0, r;
	size_t i;

	if (!e)
		return -ENOMEM;
	/* jansson's unpacking does not change what it reads. */
	if (json_unpack((json_t *)j, "{s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "schema", &schema, "id", &id, "time", &when,
			"control", &control, "state", &state, "kicks", &kicks, "changes", &list) < 0 ||
	    strcmp(schema, SCHEMA) != 0)
		return diag_fail(d, -EBADMSG, NULL, "is no entry of this journal");
	while (k < _ENTRY_STATE_MAX && strcmp(state, state_names[k]) != 0)
		k++;
	if (k == _ENTRY_STATE_MAX || strlen(id) >= sizeof(e->id))
		return diag_fail(d, -EBADMSG, NULL, "is in no state that this batten knows");
	(void)snprintf(e->id, sizeof(e->id), "%s", id);
	(void)snprintf(e->time, sizeof(e->time), "%s", when);
	(void)snprintf(e->control, sizeof(e->control), "%s", control);
	e->state = (enum entry_state)k;
	e->kicks = (unsigned int)kicks;
	e->proof = json_incref(json_object_get(j, "proof"));
	e->changes = calloc(json_array_size(list) + 1, sizeof(*e->changes));
	if (!e->changes)
		return -ENOMEM;
	json_array_foreach(list, i, v) {
		r = change_from_json(&e->changes[i], v, d);
		if (r < 0)
			return r;
		e->n_changes++;
	}
	*ret = take_ptr(e);
	return 0;
}

int entry_load(struct fix *f, const char *id, struct entry **ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	_cleanup_(freep) char *text = NULL;
	struct diag why = { 0 };
	char name[80];
	size_t n;
	int r;

	if (strchr(id, '/') || snprintf(name, sizeof(name), "%s.json", id) >= (int)sizeof(name))
		return diag_fail(d, -ENOENT, id, "no such fix; see `batten fix --history`");
	r = file_read(f->state, name, MAX_ENTRY_BYTES, &text, &n, &why);
	if (r == -ENOENT)
		return diag_fail(d, r, id, "no such fix; see `batten fix --history`");
	if (r >= 0)
		r = json_parse(text, n, name, &j, &why);
	if (r >= 0)
		r = entry_parse(j, ret, &why);
	return r < 0 ? diag_fail(d, r, id, "%s", why.what[0] ? why.what : strerror(-r)) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void entry_list_free(char **ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(ids[i]);
	free(ids);
}

int entry_list(struct fix *f, char ***ret, size_t *ret_n, struct diag *d)
{
	int fd = openat(f->state, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char **ids = NULL;
	size_t n = 0;

	if (!dir) {
		r = diag_errno(d, -errno, f->state_name, "cannot be listed");
		fd_close(fd);
		return r;
	}
	for (struct dirent *e; r >= 0 && (e = readdir(dir));) {
		size_t length = strlen(e->d_name);
		char **grown;

		/* A temporary file begins with a dot. */
		if (e->d_name[0] == '.' || length < 6 || strcmp(e->d_name + length - 5, ".json") != 0)
			continue;
		grown = reallocarray(ids, n + 1, sizeof(*ids));
		if (grown) {
			ids = grown;
			ids[n] = strndup(e->d_name, length - 5);
		}
		if (!grown || !ids[n])
			r = -ENOMEM;
		else
			n++;
	}
	(void)closedir(dir);
	if (r < 0) {
		entry_list_free(ids, n);
		return r;
	}
	if (n > 0)
		qsort(ids, n, sizeof(*ids), by_name);
	*ret = ids;
	*ret_n = n;
	return 0;
}

json_t *entry_json(const struct entry *e)
{
	json_t *files = json_array();

	for (size_t i = 0; i < e->n_changes; i++) {
		struct bytes b = { 0 };

		change_describe(&e->changes[i], &b);
		(void)json_array_append_new(files, json_pack("{s:s, s:o}", "path", e->changes[i].path, "change",
							     json_text(b.data ? b.data : "")));
		bytes_done(&b);
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:O?, s:o*}", "id", e->id, "time", e->time, "control", e->control, "state",
			 e->state == ENTRY_STARTED ? "interrupted" : state_names[e->state], "files", files, "proof", e->proof,
			 "final", entry_is_final(e) ? json_true() : NULL);
}

int fix_history(struct fix *f, json_t **ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *list = json_array();
	char **ids = NULL;
	size_t n = 0;
	int r = entry_list(f, &ids, &n, d);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++) {
		_cleanup_(entry_freep) struct entry *e = NULL;

		r = entry_load(f, ids[i], &e, d);
		if (e && json_array_append_new(list, entry_json(e)) < 0)
			r = -ENOMEM;
	}
	entry_list_free(ids, n);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:O}", "schema", "batten.fix/1", "fixes", list);
	return *ret ? 0 : -ENOMEM;
}
