/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Worlds out of the fixtures of tests/golden/audit: a tree of files, and JSON for everything that answers.
 *
 * A world is made of "base" (a name in tests/golden/audit/base/, a list of names, or left out),
 * then the file's own "world", then the case, each laid over the one before as a JSON merge patch:
 *
 *   "live"       false for what --root sees (true by default)
 *   "files"      path: text, or {"text", "mode", "uid", "gid", "link", "dir", "socket", "mtime"};
 *                null removes
 *   "processes"  pid: {"name", "uid", "caps", "bound", "ambient", "nnp", "seccomp", "groups",
 *                "cgroup", "files": {name: text}, "links": {name: target}}
 *   "docker", "introspection", "rules", "imds"   what the source answers; left out: absent.
 *                Docker's "containers" and "images" are objects here, so that a case can patch one
 *   "agent_port" {"tried": N, "from": CONTAINER}: from how many tasks' namespaces the agent's port was tried
 *   "profile"    an audit profile
 *   "now"        seconds since the epoch
 *   "expect"     texts that must stand in the evidence of findings with the case's status
 *   "severity"   that one of them must have
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"

#define DIRECTORY "tests/golden/audit"
#define NOW 1790000000 /* 2026-09-21 */
#define OLD 1780000000 /* when files were last written, unless they say "mtime" */

static json_t *load(const char *directory, const char *name)
{
	char path[512];
	json_error_t e;
	json_t *j;

	(void)snprintf(path, sizeof(path), "%s/%s.json", directory, name);
	j = json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	if (!j)
		fail_msg("%s:%d: %s", path, e.line, e.text);
	return j;
}

/* RFC 7396. */
static void merge(json_t *target, json_t *patch)
{
	const char *key;
	json_t *v;

	json_object_foreach(patch, key, v)
	{
		json_t *old = json_object_get(target, key);

		if (json_is_null(v)) {
			json_object_del(target, key);
		} else if (json_is_object(v)) {
			if (!json_is_object(old)) {
				old = json_object();
				json_object_set_new(target, key, old);
			}
			merge(old, v);
		} else {
			json_object_set_new(target, key, json_deep_copy(v));
		}
	}
}

/* Lists that a case wants to change in one member are objects in the files. */
static void make_list(json_t *docker, const char *name)
{
	json_t *map = json_object_get(docker, name), *list, *v;
	const char *key;

	if (!json_is_object(map))
		return;
	list = json_array();
	json_object_foreach(map, key, v)
		json_array_append(list, v);
	json_object_set_new(docker, name, list);
}

static json_t *make_world(json_t *fixture, json_t *test)
{
	json_t *world = json_object(), *base = json_object_get(fixture, "base"), *name;
	size_t i;

	if (json_is_string(base)) {
		_cleanup_(json_freep) json_t *j = load(DIRECTORY "/base", json_string_value(base));

		merge(world, j);
	}
	json_array_foreach(base, i, name)
	{
		_cleanup_(json_freep) json_t *j = load(DIRECTORY "/base", json_string_value(name));

		merge(world, j);
	}
	merge(world, json_object_get(fixture, "world"));
	merge(world, test);
	make_list(json_object_get(world, "docker"), "containers");
	make_list(json_object_get(world, "docker"), "images");
	if (!json_object_get(world, "live"))
		json_object_set_new(world, "live", json_true());
	return world;
}

static void make_parents(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0)
			assert_int_equal(errno, EEXIST);
		*p = '/';
	}
}

static void make_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(a.sun_path));
	(void)memcpy(a.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void write_text(const char *path, const char *text, size_t n)
{
	_cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fd_write_all(fd, text, n), 0);
}

static void make_file(const char *root, const char *name, json_t *spec)
{
	const char *link = json_string_value(json_object_get(spec, "link"));
	const char *mode = json_string_value(json_object_get(spec, "mode"));
	json_t *text = json_is_string(spec) ? spec : json_object_get(spec, "text");
	json_t *mtime = json_object_get(spec, "mtime");
	struct timespec times[2] = { 0 };
	char path[1024];
	unsigned int bits;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	make_parents(path);
	if (link) {
		assert_int_equal(symlink(link, path), 0);
		return;
	}
	if (json_is_true(json_object_get(spec, "dir"))) {
		if (mkdir(path, 0755) < 0)
			assert_int_equal(errno, EEXIST);
	} else if (json_is_true(json_object_get(spec, "socket"))) {
		make_socket(path);
	} else {
		write_text(path, text ? json_string_value(text) : "", json_string_length(text));
	}
	if (mode) {
		assert_int_equal(sscanf(mode, "%o", &bits), 1);
		assert_int_equal(chmod(path, bits), 0);
	}
	assert_int_equal(chown(path, (uid_t)json_integer_value(json_object_get(spec, "uid")),
			       (gid_t)json_integer_value(json_object_get(spec, "gid"))), 0);
	if (mode && (bits & 06000))
		assert_int_equal(chmod(path, bits), 0); /* chown() took the bits away */
	times[0].tv_sec = times[1].tv_sec = mtime ? (time_t)json_integer_value(mtime) : OLD;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static const char *text_of(json_t *j, const char *key, const char *fallback)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : fallback;
}

static void make_process(const char *root, const char *pid, json_t *p)
{
	json_int_t uid = json_integer_value(json_object_get(p, "uid"));
	json_t *nnp = json_object_get(p, "nnp"), *seccomp = json_object_get(p, "seccomp"), *v;
	const char *caps = text_of(p, "caps", "0"), *key;
	char path[256], text[1024];
	int n;

	n = snprintf(text, sizeof(text),
		     "Name:\t%s\nPid:\t%s\nPPid:\t%lld\nUid:\t%lld\t%lld\t%lld\t%lld\nGroups:\t%s \n%sCapPrm:\t%s\n"
		     "CapEff:\t%s\nCapBnd:\t%s\nCapAmb:\t%s\nNoNewPrivs:\t%lld\nSeccomp:\t%lld\n",
		     text_of(p, "name", "app"), pid, json_integer_value(json_object_get(p, "ppid")), uid, uid, uid, uid,
		     text_of(p, "groups", ""), json_is_true(json_object_get(p, "kernel")) ? "" : "VmSize:\t1 kB\n", caps,
		     caps, text_of(p, "bound", caps), text_of(p, "ambient", "0"), json_integer_value(nnp),
		     seccomp ? json_integer_value(seccomp) : 0);
	(void)snprintf(path, sizeof(path), "%s/proc/%s/status", root, pid);
	make_parents(path);
	write_text(path, text, (size_t)n);
	(void)snprintf(path, sizeof(path), "%s/proc/%s/cgroup", root, pid);
	n = snprintf(text, sizeof(text), "0::%s\n", text_of(p, "cgroup", "/init.scope"));
	write_text(path, text, (size_t)n);
	json_object_foreach(json_object_get(p, "files"), key, v)
	{
		(void)snprintf(path, sizeof(path), "proc/%s/%s", pid, key);
		make_file(root, path, v);
	}
	json_object_foreach(json_object_get(p, "links"), key, v)
	{
		(void)snprintf(path, sizeof(path), "%s/proc/%s/%s", root, pid, key);
		make_parents(path);
		assert_int_equal(symlink(json_string_value(v), path), 0);
	}
}

static void make_tree(const char *root, json_t *world)
{
	const char *key;
	json_t *v;

	json_object_foreach(json_object_get(world, "processes"), key, v)
		make_process(root, key, v);
	json_object_foreach(json_object_get(world, "files"), key, v)
		make_file(root, key, v);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}
