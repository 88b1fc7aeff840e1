/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files named by digest in a directory of their own. The lock is on the directory, for a daemon and
 * a command may store at the same time.
 */
#include "batten/seccomp/observation-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_HEX 64
#define FILE_PREFIX "sha256-"
#define SUFFIX ".json"
#define MIN_SHORT_DIGEST 12
#define DIRECTORY_MODE 0700

/* "sha256-<64 hex>.json" → digest; false for files that are not ours. */
static bool digest_of_file(const char *file, char ret[static 128])
{
	size_t n = strlen(file);

	if (n != strlen(FILE_PREFIX) + DIGEST_HEX + strlen(SUFFIX) ||
	    strncmp(file, FILE_PREFIX, strlen(FILE_PREFIX)) != 0 || strcmp(file + n - strlen(SUFFIX), SUFFIX) != 0)
		return false;
	(void)snprintf(ret, 128, DIGEST_PREFIX "%.*s", DIGEST_HEX, file + strlen(FILE_PREFIX));
	return true;
}

int observation_store_path(const char *dir, const char *digest, char ret[static PATH_MAX], struct diag *d)
{
	const char *hex = digest + strlen(DIGEST_PREFIX);

	if (strncmp(digest, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) != 0 || strlen(hex) != DIGEST_HEX ||
	    strspn(hex, "0123456789abcdef") != DIGEST_HEX)
		return diag_fail(d, -EINVAL, digest, "is no image digest (sha256: and 64 hexadecimal digits)");
	if (snprintf(ret, PATH_MAX, "%s/" FILE_PREFIX "%s" SUFFIX, dir, hex) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int make_directory(const char *dir, struct diag *d)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s", dir);
	for (char *p = path + 1;; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, DIRECTORY_MODE) < 0 && errno != EEXIST)
			return diag_errno(d, -errno, path, "cannot make the directory");
		*p = was;
		if (was == '\0')
			return 0;
	}
}

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * Keeps the store bounded, with its lock held: what a writer that was killed left behind goes, and so
 * does the file that was written longest ago, also a damaged one, when one more would be too many.
 */
static void make_room(const char *dir, bool for_one_more)
{
	char oldest[NAME_MAX + 1] = "";
	struct timespec oldest_time = { 0 };
	DIR *list = opendir(dir);
	struct dirent *e;
	unsigned int n = 0;

	while (list && (e = readdir(list))) {
		struct stat st;

		if (begins_with(e->d_name, "." FILE_PREFIX))
			(void)unlinkat(dirfd(list), e->d_name, 0);
		if (!begins_with(e->d_name, FILE_PREFIX) ||
		    fstatat(dirfd(list), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (n++ == 0 || st.st_mtim.tv_sec < oldest_time.tv_sec) {
			oldest_time = st.st_mtim;
			(void)snprintf(oldest, sizeof(oldest), "%s", e->d_name);
		}
	}
	if (list && for_one_more && n >= MAX_STORED)
		(void)unlinkat(dirfd(list), oldest, 0);
	if (list)
		(void)closedir(list);
}

int observation_store_merge(const char *dir, const char *digest, const struct observation *o, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *all = NULL;
	_cleanup_(fd_closep) int lock = -1;
	char path[PATH_MAX], aside[PATH_MAX + 8];
	struct diag why = { 0 };
	int r;

	r = observation_store_path(dir, digest, path, d);
	if (r == 0)
		r = make_directory(dir, d);
	if (r < 0)
		return r;
	lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return diag_errno(d, -errno, dir, "cannot lock");
	r = observation_read(path, &all, &why);
	make_room(dir, r == -ENOENT);
	if (r == -ENOENT) {
		all = observation_new();
	} else if (r == -EINVAL || r == -EBADMSG || r == -EFBIG) {
		(void)snprintf(aside, sizeof(aside), "%s.bad", path);
		(void)rename(path, aside);
		(void)diag_fail(d, 0, path, "was damaged and is set aside as .bad: %s", why.what);
		all = observation_new();
	} else if (r < 0) {
		return diag_fail(d, r, why.where, "%s", why.what);
	}
	if (!all)
		return -ENOMEM;
	r = observation_merge(all, o, d);
	if (r == 0)
		r = labels_add(&all->digests, digest);
	return r < 0 ? r : observation_write(all, path, d);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int observation_store_each(const char *dir, int (*fn)(void *userdata, const char *digest, const struct observation *o),
	       void *userdata, struct diag *d)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, by_name), r = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : diag_errno(d, -errno, dir, "cannot read");
	for (int i = 0; i < n; i++) {
		_cleanup_(observation_freep) struct observation *o = NULL;
		char digest[128], path[PATH_MAX];

		if (r == 0 && digest_of_file(names[i]->d_name, digest) && observation_store_path(dir, digest, path, NULL) == 0) {
			r = observation_read(path, &o, d);
			if (r == 0)
				r = fn(userdata, digest, o);
		}
		free(names[i]);
	}
	free(names);
	return r;
}

struct search {
	const char *name;
	struct observation *found;
	unsigned int n;
};

static bool fits(const struct search *s, const char *digest, const struct observation *o)
{
	const char *hex = digest + strlen(DIGEST_PREFIX);

	if (strcmp(s->name, digest) == 0 || strcmp(s->name, hex) == 0)
		return true;
	if (strlen(s->name) >= MIN_SHORT_DIGEST && strncmp(hex, s->name, strlen(s->name)) == 0)
		return true;
	for (size_t i = 0; i < o->images.n; i++)
		if (strcmp(o->images.v[i], s->name) == 0)
			return true;
	return false;
}

static int look(void *userdata, const char *digest, const struct observation *o)
{
	struct search *s = userdata;

	if (!fits(s, digest, o))
		return 0;
	s->n++;
	if (!s->found)
		s->found = observation_new();
	return s->found ? observation_merge(s->found, o, NULL) : -ENOMEM;
}

int observation_store_find(const char *dir, const char *name, struct observation **ret, struct diag *d)
{
	struct search s = { .name = name };
	int r = observation_store_each(dir, look, &s, d);

	if (r == 0 && s.n == 0)
		r = diag_fail(d, -ENOENT, name, "neither a file nor an image that was observed (batten seccomp list)");
	else if (r == 0 && s.n > 1)
		r = diag_fail(d, -EEXIST, name, "%u images fit; name one by its digest", s.n);
	if (r < 0) {
		s.found = observation_free(s.found);
		return r;
	}
	*ret = s.found;
	return 0;
}
