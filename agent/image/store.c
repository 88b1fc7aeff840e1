/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Archives and directories as one thing. Of an archive only the headers are read; contents are
 * skipped until somebody asks for them.
 */
#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/image/tar.h"
#include "image/tar-internal.h"

static int add(struct store *s, const char *name, const struct store_entry *e, struct diag *d)
{
	struct store_entry *grown;

	s->n_bytes += sizeof(*e) + strlen(name) + (e->link ? strlen(e->link) : 0);
	if (s->n_bytes > STORE_MAX_BYTES)
		return diag_fail(d, -E2BIG, s->name, "names of files of more than %d bytes together", STORE_MAX_BYTES);
	if ((s->n & (s->n - 1)) == 0) {
		grown = reallocarray(s->entries, s->n ? 2 * (size_t)s->n : 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->entries = grown;
	}
	s->entries[s->n] = *e;
	s->entries[s->n].name = strdup(name);
	s->n++;
	return s->entries[s->n - 1].name ? 0 : -ENOMEM;
}

/* The target of a link in the directory of @path, never outside the top. */
static int resolve(const char *path, const char *target, char **ret)
{
	_cleanup_(freep) char *joined = NULL, *clean = NULL;
	const char *slash = strrchr(path, '/');

	if (asprintf(&joined, "%.*s/%s", target[0] == '/' ? 0 : (int)(slash - path), path, target) <
	    0) {
		joined = NULL;
		return -ENOMEM;
	}
	clean = malloc(strlen(joined) + 2);
	if (!clean)
		return -ENOMEM;
	tar_path_clean(joined, clean);
	*ret = strdup(clean + 1);
	return *ret ? 0 : -ENOMEM;
}

static int on_member(void *arg, const struct tar_member *m, struct diag *d)
{
	struct store *s = arg;
	struct store_entry e = { .type = STORE_OTHER,
				 .head = m->offset,
				 .data = m->data,
				 .size = m->size,
				 .end = m->end };
	int r;

	s->tail = m->end;
	if (m->kind == TAR_LINK)
		return diag_fail(d, -EBADMSG, s->name,
				 "%s is a hard link, which no image archive contains", m->path + 1);
	if (m->kind == TAR_FILE)
		e.type = STORE_FILE;
	if (m->kind == TAR_SYMLINK) {
		e.type = STORE_LINK;
		r = resolve(m->path, m->link, &e.link);
		if (r < 0)
			return r;
	}
	r = add(s, m->path + 1, &e, d);
	if (r < 0)
		free(e.link);
	return r;
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct store_entry *entries = arg;
	const uint32_t *x = a, *y = b;

	return strcmp(entries[*x].name, entries[*y].name);
}

static int sort(struct store *s, struct diag *d)
{
	s->sorted = calloc(MAX(s->n, 1U), sizeof(*s->sorted));
	if (!s->sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++)
		s->sorted[i] = i;
	qsort_r(s->sorted, s->n, sizeof(*s->sorted), by_name, s->entries);
	for (uint32_t i = 1; i < s->n; i++) {
		const struct store_entry *a = &s->entries[s->sorted[i - 1]],
					 *b = &s->entries[s->sorted[i]];

		/* Directories may be listed twice; of files one would hide the other. */
		if (strcmp(a->name, b->name) == 0 &&
		    (a->type != STORE_OTHER || b->type != STORE_OTHER))
			return diag_fail(d, -EBADMSG, s->name,
					 "%s is there twice; readers disagree about it", a->name);
	}
	return 0;
}

static int read_headers(struct store *s, struct diag *d)
{
	static const struct tar_handler handler = { .member = on_member };
	_cleanup_(tar_walker_freep) struct tar_walker *w = tar_walker_new(&handler, s, s->name);
	uint8_t buf[16384];
	uint64_t at = 0;
	int r = w ? 0 : -ENOMEM;

	while (r >= 0 && at < s->size) {
		uint64_t skip = MIN(tar_walker_skippable(w), s->size - at);
		ssize_t k;

		if (skip > 0) {
			tar_walker_skip(w, skip);
			at += skip;
			continue;
		}
		k = fd_pread(s->fd, buf, MIN(sizeof(buf), (size_t)TAR_BLOCK), (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return diag_errno(d, k < 0 ? -errno : -EIO, s->name, "cannot read");
		r = tar_walker_feed(w, buf, (size_t)k, d);
		at += (uint64_t)k;
	}
	if (r >= 0)
		r = tar_walker_finish(w, d);
	if (r < 0)
		return r;
	/* A layer may end as it likes; of an image a cut at the end of a file would go unseen, and a
	 * daemon's export that failed has words behind it. */
	if (!tar_walker_ended(w))
		return diag_fail(d, -EBADMSG, s->name, "the archive is cut short: its end is missing");
	if (tar_walker_has_trailer(w))
		return diag_fail(d, -EBADMSG, s->name, "something stands behind the end of the archive");
	return 0;
}

int store_open_archive(struct store *ret, int fd, const char *name, struct diag *d)
{
	struct store s = { .archive = true, .fd = fd, .name = strdup(name) };
	struct stat st;
	int r;

	if (!s.name)
		r = -ENOMEM;
	else if (fstat(fd, &st) < 0)
		r = diag_errno(d, -errno, name, "cannot stat");
	else if (!S_ISREG(st.st_mode))
		r = diag_fail(d, -EINVAL, name, "is not a regular file");
	else if (st.st_size == 0)
		r = diag_fail(d, -EBADMSG, name, "is empty; an image archive is needed");
	else {
		s.size = (uint64_t)st.st_size;
		r = read_headers(&s, d);
	}
	if (r >= 0)
		r = sort(&s, d);
	if (r < 0)
		store_done(&s);
	else
		*ret = s;
	return r;
}

/* ---- directories ---------------------------------------------------------------------------- */

int store_open_below(int top, const char *name)
{
	_cleanup_(fd_closep) int at = -1;

	for (;;) {
		size_t n = strcspn(name, "/");
		char part[256];
		int next;

		if (n >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, name, n);
		part[n] = '\0';
		next = openat(at < 0 ? top : at, part,
			      O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
				      (name[n] ? O_DIRECTORY : 0));
		if (next < 0)
			return -errno;
		if (!name[n])
			return next;
		(void)fd_close(at);
		at = next;
		name += n + 1;
	}
}

static int open_file(const struct store *s, const char *name, struct diag *d)
{
	int fd;

	if (s->open)
		return s->open(s->open_arg, name, d);
	fd = store_open_below(s->fd, name);
	return fd < 0 ? diag_errno(d, fd, name, "cannot open") : fd;
}

/* Files of one directory; @depth 0 is the top, 1 is blobs, 2 an algorithm's. */
static int list(struct store *s, int fd, const char *prefix, unsigned int depth, struct diag *d)
{
	DIR *dir = fdopendir(fd);
	int r = 0;

	if (!dir) {
		r = -errno;
		(void)fd_close(fd);
		return diag_errno(d, r, s->name, "cannot read the directory");
	}
	rewinddir(dir); /* a duplicate has the place of its original */
	for (struct dirent *e; r >= 0 && (e = readdir(dir));) {
		_cleanup_(freep) char *path = NULL;
		struct store_entry entry = { .type = STORE_FILE };
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		if (asprintf(&path, "%s%s", prefix, e->d_name) < 0) {
			path = NULL;
			r = -ENOMEM;
		} else if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			r = diag_errno(d, -errno, path, "cannot stat");
		} else if (S_ISREG(st.st_mode)) {
			entry.size = (uint64_t)st.st_size;
			r = depth == 1 ? 0 : add(s, path, &entry, d);
		} else if (S_ISDIR(st.st_mode) &&
			   (depth == 1 || (depth == 0 && strcmp(path, "blobs") == 0))) {
			_cleanup_(freep) char *below = NULL;
			int sub = open_file(s, path, d);

			if (sub < 0) {
				r = sub;
			} else if (asprintf(&below, "%s/", path) < 0) {
				below = NULL;
				(void)fd_close(sub);
				r = -ENOMEM;
			} else {
				r = list(s, sub, below, depth + 1, d);
			}
		} else if (S_ISLNK(st.st_mode)) {
			r = diag_fail(d, -EINVAL, path,
				      "is a symbolic link; a layout holds its own blobs");
		}
	}
	(void)closedir(dir);
	return r;
}

int store_open_directory(struct store *ret, int fd, const char *name, store_open_fn *open, void *arg,
			 struct diag *d)
{
	struct store s = { .fd = fd, .open = open, .open_arg = arg, .name = strdup(name) };
	int r, top;

	top = s.name ? fcntl(s.fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (!s.name)
		r = -ENOMEM;
	else if (top < 0)
		r = diag_errno(d, -errno, name, "cannot open the layout");
	else
		r = list(&s, top, "", 0, d);
	if (r >= 0)
		r = sort(&s, d);
	if (r < 0)
		store_done(&s);
	else
		*ret = s;
	return r;
}

void store_done(struct store *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		free(s->entries[i].name);
		free(s->entries[i].link);
	}
	free(s->entries);
	free(s->sorted);
	free(s->name);
	s->fd = fd_close(s->fd);
	*s = (struct store){ .fd = -1 };
}

static uint32_t lookup(const struct store *s, const char *name)
{
	uint32_t low = 0, high = s->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int order = strcmp(s->entries[s->sorted[mid]].name, name);

		if (order == 0)
			return s->sorted[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return STORE_NONE;
}

uint32_t blob_store_find(const struct store *s, const char *name)
{
	uint32_t i = lookup(s, name);

	if (i != STORE_NONE && s->entries[i].type == STORE_LINK)
		i = lookup(s, s->entries[i].link);
	return i != STORE_NONE && s->entries[i].type == STORE_FILE ? i : STORE_NONE;
}

int store_range(const struct store *s, uint32_t index, int *ret_fd, uint64_t *ret_offset,
		struct diag *d)
{
	const struct store_entry *e = &s->entries[index];
	struct stat st;
	int fd;

	if (s->archive) {
		fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return diag_errno(d, -errno, s->name, "cannot duplicate its descriptor");
		*ret_fd = fd;
		*ret_offset = e->data;
		return 0;
	}
	fd = open_file(s, e->name, d);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size) {
		(void)fd_close(fd);
		return diag_fail(d, -EIO, e->name, "changed while it was being read");
	}
	*ret_fd = fd;
	*ret_offset = 0;
	return 0;
}

int store_read(const struct store *s, uint32_t index, size_t max_bytes, char **ret, size_t *ret_n,
	       struct diag *d)
{
	const struct store_entry *e = &s->entries[index];
	_cleanup_(fd_closep) int fd = -1;
	_cleanup_(freep) char *data = NULL;
	uint64_t offset = 0;
	int r;

	if (e->size > max_bytes)
		return diag_fail(d, -EFBIG, e->name, "is larger than the limit of %zu bytes",
				 max_bytes);
	r = store_range(s, index, &fd, &offset, d);
	if (r < 0)
		return r;
	data = malloc(e->size + 1);
	if (!data)
		return -ENOMEM;
	for (size_t n = 0; n < e->size;) {
		ssize_t k = fd_pread(fd, data + n, e->size - n, (off_t)(offset + n));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return diag_errno(d, k < 0 ? -errno : -EIO, e->name, "cannot read");
		n += (size_t)k;
	}
	data[e->size] = '\0';
	*ret_n = e->size;
	*ret = take_ptr(data);
	return 0;
}
