/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The database is one of SQLite, whose library is on every host that has rpm: it is opened when it is
 * needed, so that nothing depends on it. Only its table of file names is searched; the header that it
 * points at says the rest.
 */
#include "audit/rpm-database.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/facts-internal.h"
#include "audit/rpm-header.h"
#include "batten/base/fd.h"

#define LIBRARY "libsqlite3.so.0"
#define MAX_SAME_NAME 1000 /* files of one name, as README */

/* As much of sqlite3.h as we use; its ABI is frozen. */
#define SQLITE_OK 0
#define SQLITE_ROW 100
#define SQLITE_DONE 101
#define SQLITE_OPEN_READONLY 0x01
#define SQLITE_OPEN_URI 0x40

struct sqlite {
	void *library, *db, *query;
	int (*open_v2)(const char *name, void **db, int flags, const char *vfs);
	int (*close)(void *db);
	int (*busy_timeout)(void *db, int ms);
	int (*prepare_v2)(void *db, const char *sql, int n, void **query, const char **rest);
	int (*bind_text)(void *query, int index, const char *text, int n, void (*destroy)(void *));
	int (*step)(void *query);
	long long (*column_int64)(void *query, int column);
	const void *(*column_blob)(void *query, int column);
	int (*column_bytes)(void *query, int column);
	int (*finalize)(void *query);
};

static void sqlite_done(struct sqlite *q)
{
	if (q->query)
		(void)q->finalize(q->query);
	if (q->db)
		(void)q->close(q->db);
	if (q->library)
		(void)dlclose(q->library);
	*q = (struct sqlite){ 0 };
}

static int sqlite_load(struct sqlite *q)
{
	const struct {
		const char *name;
		void *target;
	} symbols[] = {
		{ "sqlite3_open_v2", &q->open_v2 },	      { "sqlite3_close", &q->close },
		{ "sqlite3_busy_timeout", &q->busy_timeout }, { "sqlite3_prepare_v2", &q->prepare_v2 },
		{ "sqlite3_bind_text", &q->bind_text },	      { "sqlite3_step", &q->step },
		{ "sqlite3_column_int64", &q->column_int64 }, { "sqlite3_column_blob", &q->column_blob },
		{ "sqlite3_column_bytes", &q->column_bytes }, { "sqlite3_finalize", &q->finalize },
	};

	q->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!q->library)
		return -ENOPKG;
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *found = dlsym(q->library, symbols[i].name);

		if (!found)
			return -ENOPKG;
		memcpy(symbols[i].target, &found, sizeof(found)); /* ISO C has no cast for it */
	}
	return 0;
}

/*
 * Reading changes nothing: a database without a journal is opened as one that cannot change, for
 * SQLite would make the journal's files to look into it.
 */
static int open_database(struct facts *f, struct sqlite *q)
{
	static const char *const paths[] = { "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite" };
	_cleanup_(fd_closep) int fd = -1;
	char name[64];
	int r = -ENODATA;

	for (size_t i = 0; i < ARRAY_SIZE(paths) && fd < 0; i++) {
		struct stat journal;
		bool quiet = facts_stat(f, arena_printf(&f->arena, "%s-wal", paths[i]), true, &journal) < 0 ||
			     journal.st_size == 0;

		fd = facts_file(f, paths[i], O_RDONLY);
		if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
			return fd;
		(void)snprintf(name, sizeof(name), "file:/proc/self/fd/%d?mode=ro%s", fd, quiet ? "&immutable=1" : "");
	}
	if (fd < 0)
		return r;
	r = sqlite_load(q);
	if (r < 0)
		return r;
	if (q->open_v2(name, &q->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK)
		return -EIO;
	(void)q->busy_timeout(q->db, (int)f->deadline_ms);
	return 0;
}

/* Is it the file at @path? Some packages name it by a directory that is a link today: /bin/x for /usr/bin/x. */
static bool is_at(const struct rpm_file *file, const char *path)
{
	size_t n = strlen(path);

	return n == file->directory.n + file->name.n && memcmp(path, file->directory.p, file->directory.n) == 0 &&
	       memcmp(path + file->directory.n, file->name.p, file->name.n) == 0;
}

static int take_owner(struct facts *f, const struct rpm_file *file, struct rpm_owner *ret)
{
	ret->package = arena_printf(&f->arena, "%.*s-%.*s-%.*s", (int)file->package.n, file->package.p,
				    (int)file->version.n, file->version.p, (int)file->release.n, file->release.p);
	ret->digest = arena_strndup(&f->arena, file->digest.p, file->digest.n);
	ret->algorithm = file->algorithm;
	return f->arena.error;
}

static int search(struct facts *f, struct sqlite *q, const char *path, struct rpm_owner *ret)
{
	static const char sql[] = "SELECT b.idx, p.blob FROM Basenames b JOIN Packages p ON p.hnum = b.hnum WHERE b.key = ?";
	const char *base = strrchr(path, '/') + 1;
	int step;

	if (q->prepare_v2(q->db, sql, -1, &q->query, NULL) != SQLITE_OK ||
	    q->bind_text(q->query, 1, base, -1, NULL) != SQLITE_OK)
		return -EBADMSG;
	for (int i = 0; (step = q->step(q->query)) == SQLITE_ROW && i < MAX_SAME_NAME; i++) {
		long long index = q->column_int64(q->query, 0);
		struct slice header = { q->column_blob(q->query, 1), (size_t)q->column_bytes(q->query, 1) };
		struct rpm_file file;
		int r;

		if (!header.p || index < 0 || index > UINT32_MAX)
			return -EBADMSG;
		r = rpm_header_file(header, (uint32_t)index, &file);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && is_at(&file, path))
			return take_owner(f, &file, ret);
	}
	return step == SQLITE_DONE ? -ENOENT : -EBADMSG;
}

int rpm_owner_of(struct facts *f, const char *path, struct rpm_owner *ret, const char **ret_reason)
{
	_cleanup_(sqlite_done) struct sqlite q = { 0 };
	int r = path[0] == '/' ? open_database(f, &q) : -ENOENT;

	if (r >= 0)
		r = search(f, &q, path, ret);
	*ret_reason = r == -ENOPKG ? "the library " LIBRARY " that reads rpm's database is not here" :
		      r == -EBADMSG || r == -ENOTSUP ? "rpm's database holds what is not understood" :
						       "rpm's database cannot be read";
	return r;
}
