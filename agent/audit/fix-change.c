/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Changes: looked at, made, unmade, written down. Making one that is made already is harmless, and so is
 * unmaking; that is what lets a transaction be taken up again after a crash.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/fix-internal.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"

#define MAX_VALUE 4096 /* bytes of a file below /proc/sys or /sys */

static const char *const kind_names[_CHANGE_KIND_MAX] = {
	[CHANGE_NODE] = "file", [CHANGE_VALUE] = "value", [CHANGE_UNIT] = "unit",
	[CHANGE_GUARD] = "guard", [CHANGE_WATCH] = "watch", [CHANGE_SWARM] = "swarm",
	[CHANGE_PACKAGE] = "package",
};

static const char *const node_names[_SNAPSHOT_KIND_MAX] = {
	[SNAPSHOT_ABSENT] = "absent", [SNAPSHOT_FILE] = "file", [SNAPSHOT_LINK] = "link",
	[SNAPSHOT_DIRECTORY] = "directory", [SNAPSHOT_OTHER] = "other",
};

void change_done(struct change *c)
{
	free(c->path);
	free(c->from);
	free(c->to);
	snapshot_done(&c->before);
	snapshot_done(&c->after);
	*c = (struct change){ 0 };
}

bool change_is_empty(const struct change *c)
{
	return c->kind == CHANGE_NODE ? snapshot_equal(&c->before, &c->after) : strcmp(c->from, c->to) == 0;
}

/* ---- looking -----------------------------------------------------------------------------------*/

/* The directory of a node, and its name in there. Return: a descriptor or a negative errno. */
static int open_parent(struct fix *f, const char *path, const char **ret_name, struct diag *d)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(freep) char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);
	int fd;

	if (!dir)
		return -ENOMEM;
	fd = root_open(&f->root, *dir ? dir : "/", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return diag_errno(d, fd, path, "cannot open its directory");
	*ret_name = slash ? slash + 1 : path;
	return fd;
}

static int look_at_node(struct fix *f, const struct change *c, struct diag *d)
{
	_cleanup_(snapshot_done) struct snapshot now = { 0 };
	_cleanup_(fd_closep) int dir = -1;
	const char *name = "";
	int r;

	dir = open_parent(f, c->path, &name, NULL);
	if (dir < 0 && dir != -ENOENT)
		return diag_errno(d, dir, c->path, "cannot open its directory");
	r = dir < 0 ? 0 : snapshot_take(&now, dir, name, FIX_MAX_FILE, d);
	if (r < 0)
		return r;
	if (snapshot_equal(&now, &c->before))
		return CHANGE_BEFORE;
	if (snapshot_equal(&now, &c->after))
		return CHANGE_AFTER;
	return snapshot_between(&now, &c->before, &c->after) ? CHANGE_HALF : CHANGE_FOREIGN;
}

static int read_value(struct fix *f, const char *path, char **ret, struct diag *d)
{
	_cleanup_(fd_closep) int fd = root_open(&f->root, path, O_RDONLY);
	int r = fd < 0 ? fd : fd_read_all(fd, MAX_VALUE, ret, &(size_t){ 0 });

	return r < 0 ? diag_errno(d, r, path, "cannot be read") : 0;
}

static bool same_value(const char *a, const char *b)
{
	struct slice x = slice_trim(slice_of(a)), y = slice_trim(slice_of(b));

	return x.n == y.n && memcmp(x.p, y.p, x.n) == 0;
}

static int look_at_value(struct fix *f, const struct change *c, struct diag *d)
{
	_cleanup_(freep) char *now = NULL;
	int r = read_value(f, c->path, &now, d);

	if (r < 0 || !now)
		return r < 0 ? r : -ENOMEM;
	return same_value(now, c->from) ? CHANGE_BEFORE : same_value(now, c->to) ? CHANGE_AFTER : CHANGE_FOREIGN;
}

static int look_at_swarm(struct fix *f, const struct change *c, struct diag *d)
{
	struct docker_swarm now;
	int r = f->host->swarm(f->host->data, SWARM_LOOK, NULL, &now, d);

	/* Another swarm is another node: the one that was meant is gone. */
	return r < 0 ? r : now.member && strcmp(now.node, c->path) == 0 ? CHANGE_BEFORE : CHANGE_AFTER;
}

static int look_at_package(struct fix *f, const struct change *c, struct diag *d)
{
	struct package now;
	int r = f->host->package(f->host->data, PACKAGE_LOOK, c->path, NULL, -1, &now, d);

	return r < 0			       ? r :
	       strcmp(now.installed, c->from) == 0 ? CHANGE_BEFORE :
	       strcmp(now.installed, c->to) == 0   ? CHANGE_AFTER :
						     CHANGE_FOREIGN;
}

int change_look(struct fix *f, const struct change *c, struct diag *d)
{
	bool on = false;
	int r;

	switch (c->kind) {
	case CHANGE_NODE:
		return look_at_node(f, c, d);
	case CHANGE_VALUE:
		return look_at_value(f, c, d);
	case CHANGE_UNIT:
		r = f->host->unit_active(f->host->data, c->path, &on, d);
		return r < 0 ? r : on == (strcmp(c->to, "active") == 0) ? CHANGE_AFTER : CHANGE_BEFORE;
	case CHANGE_GUARD:
		r = f->host->guard_is_on(f->host->guard_data, &on, d);
		return r < 0 ? r : on == (strcmp(c->to, "on") == 0) ? CHANGE_AFTER : CHANGE_BEFORE;
	case CHANGE_SWARM:
		return look_at_swarm(f, c, d);
	case CHANGE_PACKAGE:
		return look_at_package(f, c, d);
	case CHANGE_WATCH:
	default:
		/* A rule that is there already is no error when it is added, nor one that is gone when removed. */
		return CHANGE_HALF;
	}
}

/* ---- doing -------------------------------------------------------------------------------------*/

/* The name that a new object has at first. Return: 0 or a negative errno. */
static int temporary_name(char *buf, size_t size, const char *name)
{
	int n = snprintf(buf, size, ".%s.batten-fix", name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static void remove_temporary(struct fix *f, const char *path)
{
	_cleanup_(fd_closep) int dir = -1;
	char temporary[NAME_MAX + 1];
	const char *name = "";

	dir = open_parent(f, path, &name, NULL);
	if (dir >= 0 && temporary_name(temporary, sizeof(temporary), name) == 0)
		(void)unlinkat(dir, temporary, 0);
}

static int put_node(struct fix *f, const struct change *c, bool forward, struct diag *d)
{
	_cleanup_(fd_closep) int dir = -1;
	char temporary[NAME_MAX + 1];
	const char *name = "";
	int r;

	dir = open_parent(f, c->path, &name, d);
	if (dir < 0)
		return dir;
	r = temporary_name(temporary, sizeof(temporary), name);
	return r < 0 ? r : snapshot_put(forward ? &c->after : &c->before, dir, name, temporary, d);
}

static int write_value(struct fix *f, const char *path, const char *text, struct diag *d)
{
	_cleanup_(fd_closep) int there = root_open(&f->root, path, O_PATH), fd = -1;
	char link[32];
	int r;

	if (there < 0)
		return diag_errno(d, there, path, "cannot open");
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", there);
	fd = open(link, O_WRONLY | O_TRUNC | O_CLOEXEC);
	r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	return r < 0 ? diag_errno(d, r, path, "the kernel does not take \"%.*s\"", (int)strcspn(text, "\n"), text) : 0;
}

/* Once set, these stay until the next boot. */
static bool stays_until_boot(const char *path)
{
	return strstr(path, "/kexec_load_disabled") != NULL;
}

int change_do(struct fix *f, const struct change *c, bool forward, struct diag *d)
{
	const char *to = forward ? c->to : c->from;
	int state = change_look(f, c, d), r;

	if (state < 0)
		return state;
	/* What a crash left between its making and its naming. */
	if (c->kind == CHANGE_NODE && !forward)
		remove_temporary(f, c->path);
	if (state == (forward ? CHANGE_AFTER : CHANGE_BEFORE))
		return 0;
	if (state == CHANGE_FOREIGN)
		return diag_fail(d, -ESTALE, c->path, "was changed by somebody else since; it stays as it is");
	switch (c->kind) {
	case CHANGE_NODE:
		return put_node(f, c, forward, d);
	case CHANGE_VALUE:
		r = write_value(f, c->path, to, d);
		return !forward && r < 0 && stays_until_boot(c->path) ? 0 : r;
	case CHANGE_UNIT:
		return f->host->unit(f->host->data, c->path, strcmp(to, "active") == 0 ? "start" : "stop", d);
	case CHANGE_GUARD:
		return f->host->guard(f->host->guard_data, strcmp(to, "on") == 0, d);
	case CHANGE_SWARM:
		return forward ? f->host->swarm(f->host->data, SWARM_LEAVE, c->path, &(struct docker_swarm){ 0 }, d) :
				 diag_fail(d, -ENOTRECOVERABLE, NULL, "this host is out of the swarm, and nobody can undo that");
	case CHANGE_PACKAGE:
		/* Whoever comes after a crash waits at the lock for what goes on without us. */
		return f->host->package(f->host->data, forward ? PACKAGE_UPDATE : PACKAGE_DOWNGRADE, c->path, to, f->lock, NULL, d);
	case CHANGE_WATCH:
	default:
		return f->host->watch(f->host->data, c->path, strcmp(to, "on") == 0, d);
	}
}

/* ---- in words ----------------------------------------------------------------------------------*/

static void describe_node(const struct change *c, struct bytes *out)
{
	const struct snapshot *a = &c->before, *b = &c->after;

	bytes_printf(out, "%s", c->path);
	if (a->kind == SNAPSHOT_ABSENT && b->kind == SNAPSHOT_LINK)
		bytes_printf(out, ": new link to %s", b->data);
	else if (a->kind == SNAPSHOT_ABSENT)
		bytes_printf(out, ": new %s", node_names[b->kind]);
	else if (b->kind == SNAPSHOT_ABSENT)
		bytes_printf(out, ": removed");
	else if (a->n != b->n || (a->n > 0 && memcmp(a->data, b->data, a->n) != 0))
		bytes_printf(out, ": edited");
	if (a->kind == SNAPSHOT_ABSENT || b->kind == SNAPSHOT_ABSENT)
		return;
	if (a->uid != b->uid || a->gid != b->gid)
		bytes_printf(out, ": owner %u:%u becomes %u:%u", a->uid, a->gid, b->uid, b->gid);
	if (a->mode != b->mode)
		bytes_printf(out, ": mode %04o becomes %04o", a->mode, b->mode);
	if (a->n_attributes > b->n_attributes)
		bytes_printf(out, ": access control list removed");
}

void change_describe(const struct change *c, struct bytes *out)
{
	if (c->kind == CHANGE_NODE)
		describe_node(c, out);
	else if (c->kind == CHANGE_GUARD)
		bytes_printf(out, "the metadata guard: %s", c->to);
	else if (c->kind == CHANGE_WATCH)
		bytes_printf(out, "the kernel's audit watches %s", c->path);
	else if (c->kind == CHANGE_SWARM)
		bytes_printf(out, "swarm node %s, %s, leaves; it cannot be undone: only docker swarm join, with a token of a "
			     "manager, makes this host a node again", c->path, c->from);
	else
		bytes_printf(out, "%s: %.*s becomes %s", c->path, (int)strcspn(c->from, "\n"), c->from, c->to);
}

/* ---- written down ------------------------------------------------------------------------------*/

static json_t *bytes_json(const char *data, size_t n)
{
	_cleanup_(freep) char *text = malloc(4 * ((n + 2) / 3) + 1);

	if (!text)
		return NULL;
	(void)EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)(data ? data : ""), (int)n);
	return json_string(text);
}

/* @ret: freed by the caller, with a NUL behind @ret_n bytes */
static int bytes_from_json(const json_t *j, char **ret, size_t *ret_n)
{
	const char *text = json_string_value(j);
	size_t n = text ? json_string_length(j) : 1;
	_cleanup_(freep) char *data = malloc(n / 4 * 3 + 1);
	int length;

	if (!data)
		return -ENOMEM;
	length = n % 4 == 0 ? EVP_DecodeBlock((unsigned char *)data, (const unsigned char *)text, (int)n) : -1;
	if (length < 0)
		return -EBADMSG;
	for (size_t i = n; i > 0 && text[i - 1] == '='; i--)
		length--;
	data[length] = '\0';
	*ret_n = (size_t)length;
	*ret = take_ptr(data);
	return 0;
}

static json_t *snapshot_json(const struct snapshot *s)
{
	json_t *j, *list;

	if (s->kind == SNAPSHOT_ABSENT)
		return json_pack("{s:s}", "kind", node_names[s->kind]);
	j = json_pack("{s:s, s:i, s:I, s:I, s:o*}", "kind", node_names[s->kind], "mode", (int)s->mode, "uid",
		      (json_int_t)s->uid, "gid", (json_int_t)s->gid, "data", s->data ? bytes_json(s->data, s->n) : NULL);
	list = json_array();
	for (size_t i = 0; i < s->n_attributes; i++)
		(void)json_array_append_new(list, json_pack("{s:s, s:o}", "name", s->attributes[i].name, "value",
							    bytes_json(s->attributes[i].value, s->attributes[i].n)));
	if (json_object_set_new(j, "attributes", list) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static int snapshot_from_json(struct snapshot *ret, const json_t *j)
{
	const char *kind = json_string_value(json_object_get(j, "kind"));
	_cleanup_(snapshot_done) struct snapshot s = { 0 };
	const json_t *data = json_object_get(j, "data"), *v;
	int k = 0, r = 0;
	size_t i;

	while (k < _SNAPSHOT_KIND_MAX && !(kind && strcmp(kind, node_names[k]) == 0))
		k++;
	if (k == _SNAPSHOT_KIND_MAX)
		return -EBADMSG;
	s.kind = (enum snapshot_kind)k;
	s.mode = (mode_t)json_integer_value(json_object_get(j, "mode"));
	s.uid = (uid_t)json_integer_value(json_object_get(j, "uid"));
	s.gid = (gid_t)json_integer_value(json_object_get(j, "gid"));
	if (data)
		r = bytes_from_json(data, &s.data, &s.n);
	else if (s.kind == SNAPSHOT_FILE || s.kind == SNAPSHOT_LINK)
		r = -EBADMSG;
	json_array_foreach(json_object_get(j, "attributes"), i, v) {
		const char *name = json_string_value(json_object_get(v, "name"));
		_cleanup_(freep) char *value = NULL;
		size_t n = 0;

		if (r >= 0)
			r = name ? bytes_from_json(json_object_get(v, "value"), &value, &n) : -EBADMSG;
		if (r >= 0)
			r = snapshot_add_attribute(&s, name, value, n);
	}
	if (r < 0)
		return r;
	*ret = s;
	s = (struct snapshot){ 0 };
	return 0;
}

json_t *change_to_json(const struct change *c)
{
	if (c->kind == CHANGE_NODE)
		return json_pack("{s:s, s:s, s:o, s:o}", "kind", kind_names[c->kind], "path", c->path, "before",
				 snapshot_json(&c->before), "after", snapshot_json(&c->after));
	return json_pack("{s:s, s:s, s:s, s:s}", "kind", kind_names[c->kind], "path", c->path, "before", c->from, "after",
			 c->to);
}

int change_from_json(struct change *ret, const json_t *j, struct diag *d)
{
	const char *kind = json_string_value(json_object_get(j, "kind")), *path = json_string_value(json_object_get(j, "path"));
	const json_t *before = json_object_get(j, "before"), *after = json_object_get(j, "after");
	struct change c = { 0 };
	int k = 0, r = 0;

	while (k < _CHANGE_KIND_MAX && !(kind && strcmp(kind, kind_names[k]) == 0))
		k++;
	if (k == _CHANGE_KIND_MAX || !path)
		return diag_fail(d, -EBADMSG, NULL, "holds a change that this batten does not know");
	c.kind = (enum change_kind)k;
	c.path = strdup(path);
	if (c.kind == CHANGE_NODE) {
		r = snapshot_from_json(&c.before, before);
		if (r >= 0)
			r = snapshot_from_json(&c.after, after);
	} else if (json_is_string(before) && json_is_string(after)) {
		c.from = strdup(json_string_value(before));
		c.to = strdup(json_string_value(after));
		r = c.from && c.to ? 0 : -ENOMEM;
	} else {
		r = -EBADMSG;
	}
	if (r >= 0 && !c.path)
		r = -ENOMEM;
	if (r < 0) {
		change_done(&c);
		return r == -EBADMSG ? diag_fail(d, r, NULL, "holds a change that makes no sense") : r;
	}
	*ret = c;
	return 0;
}
