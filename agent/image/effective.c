/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The view of all layers together, for the names that matter. The workers left hashes of all names
 * of each layer in files; here the names of some findings and of the directories above them are
 * looked up in these, so that memory depends on findings, and on a batch of them only.
 *
 * In doubt a finding is effective: one that a hard link refers to, one that is a hard link, and one
 * below a symbolic link, where the path in the archive is not the path of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "image/run.h"

#define BATCH 4096
#define MAX_NAMES (BATCH * 16)

enum role { ROLE_SELF, ROLE_ABOVE };

struct watched {
	uint64_t hash;
	uint32_t layer, finding;
	enum role role;
};

struct batch {
	struct watched *names;
	size_t n;
	uint8_t **view;   /* per layer */
	uint8_t **pinned; /* the same shape: hidden or not, it stays effective */
};

int finding_reader_init(struct finding_reader *r, int fd)
{
	int copy;

	*r = (struct finding_reader){ 0 };
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	r->file = copy < 0 ? NULL : fdopen(copy, "r");
	return r->file ? 0 : -errno;
}

static void drop_now(struct finding_reader *r)
{
	free(r->now.path);
	free(r->now.link);
	free(r->now.caps);
	r->now = (struct finding){ 0 };
}

static int read_some(struct finding_reader *r, size_t n, void *ret)
{
	char *data = calloc(1, n + 1);

	if (!data)
		return -ENOMEM;
	*(void **)ret = data;
	return fread(data, 1, n, r->file) == n ? 0 : -EIO;
}

int finding_reader_next(struct finding_reader *r)
{
	int e;

	drop_now(r);
	if (fread(&r->now.f, sizeof(r->now.f), 1, r->file) != 1)
		return ferror(r->file) ? -EIO : 0;
	/* Workers are confined because they may be subverted: what they say is checked. */
	if (r->now.f.n_path > TAR_MAX_HEADERS || r->now.f.n_link > TAR_MAX_HEADERS ||
	    r->now.f.n_caps > 64)
		return -EIO;
	e = read_some(r, r->now.f.n_path, &r->now.path);
	if (e >= 0)
		e = read_some(r, r->now.f.n_link, &r->now.link);
	if (e >= 0)
		e = read_some(r, r->now.f.n_caps, &r->now.caps);
	return e < 0 ? e : 1;
}

void finding_reader_done(struct finding_reader *r)
{
	drop_now(r);
	if (r->file)
		(void)fclose(r->file);
	r->file = NULL;
}

static int by_hash(const void *a, const void *b)
{
	const struct watched *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void see(struct batch *b, const struct watched *w, uint32_t layer, uint64_t kind)
{
	uint8_t *hidden = &b->view[w->layer][w->finding],
		*pinned = &b->pinned[w->layer][w->finding];
	bool above = layer > w->layer;

	switch (kind) {
	case NAME_LINKED:
		*pinned |= w->role == ROLE_SELF;
		break;
	case NAME_SYMLINK:
		*pinned |= w->role == ROLE_ABOVE && !above;
		*hidden |= above;
		break;
	case NAME_WHITEOUT:
	case NAME_OTHER:
		*hidden |= above;
		break;
	case NAME_DIR:
		*hidden |= above && w->role == ROLE_SELF;
		break;
	case NAME_OPAQUE:
		*hidden |= above && w->role == ROLE_ABOVE;
		break;
	default:
		*pinned = 1;
	}
}

static int see_layer(struct batch *b, const struct worker_task *t, uint32_t layer)
{
	struct worker_name buf[1024];
	off_t at = 0;
	ssize_t n;

	while ((n = fd_pread(t->names_fd, buf, sizeof(buf), at)) > 0) {
		at += n;
		for (size_t i = 0; i < (size_t)n / sizeof(buf[0]); i++) {
			size_t low = 0, high = b->n;

			while (low < high) {
				size_t mid = low + (high - low) / 2;

				if (b->names[mid].hash < buf[i].hash)
					low = mid + 1;
				else
					high = mid;
			}
			for (; low < b->n && b->names[low].hash == buf[i].hash; low++)
				see(b, &b->names[low], layer, buf[i].kind);
		}
	}
	return n < 0 ? -errno : 0;
}

static int look_up(struct batch *b, const struct worker_task *tasks, const uint32_t *layers,
		   uint32_t n_layers)
{
	int r = 0;

	qsort(b->names, b->n, sizeof(*b->names), by_hash);
	for (uint32_t i = 0; i < n_layers && r >= 0; i++)
		r = layers[i] == STORE_NONE ? 0 : see_layer(b, &tasks[layers[i]], i);
	b->n = 0;
	return r;
}

/* @path: absolute and clean */
static void watch(struct batch *b, const char *path, uint32_t layer, uint32_t finding)
{
	size_t n = strlen(path);

	b->names[b->n++] = (struct watched){ worker_hash(path, n), layer, finding, ROLE_SELF };
	while (n > 0 && b->n < MAX_NAMES) {
		while (n > 0 && path[--n] != '/')
			;
		b->names[b->n++] =
			(struct watched){ worker_hash(path, n), layer, finding, ROLE_ABOVE };
	}
}

static size_t depth(const char *path)
{
	size_t n = 2;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static int grow(uint8_t **p, uint32_t n)
{
	uint8_t *grown;

	if (n & (n - 1))
		return 0;
	grown = realloc(*p, n ? 2 * (size_t)n : 1);
	if (!grown)
		return -ENOMEM;
	*p = grown;
	return 0;
}

static int batch_layer(struct batch *b, const struct worker_task *tasks, const uint32_t *layers,
		       uint32_t n_layers, uint32_t layer, uint32_t *n_findings)
{
	struct finding_reader reader;
	uint32_t i = 0;
	int r;

	r = finding_reader_init(&reader, tasks[layers[layer]].findings_fd);
	while (r >= 0 && (r = finding_reader_next(&reader)) > 0) {
		const struct finding *f = &reader.now;

		r = grow(&b->view[layer], i);
		if (r >= 0)
			r = grow(&b->pinned[layer], i);
		if (r < 0)
			break;
		b->view[layer][i] = 0;
		/* A path deeper than a batch is none that a kernel takes; it stays effective. */
		b->pinned[layer][i] = f->f.kind == TAR_LINK || f->f.kind == TAR_GLOBAL ||
				      depth(f->path) > MAX_NAMES;
		if (b->n + depth(f->path) > MAX_NAMES)
			r = look_up(b, tasks, layers, n_layers);
		if (r >= 0 && !b->pinned[layer][i])
			watch(b, f->path, layer, i);
		i++;
	}
	finding_reader_done(&reader);
	*n_findings = i;
	return r;
}

int effective_view(const struct worker_task *tasks, const uint32_t *layers, uint32_t n_layers,
		   uint8_t **ret, struct diag *d)
{
	struct batch b = { .names = calloc(MAX_NAMES, sizeof(*b.names)), .view = ret };
	_cleanup_(freep) uint32_t *n = calloc(MAX(n_layers, 1U), sizeof(*n));
	int r = 0;

	b.pinned = calloc(MAX(n_layers, 1U), sizeof(*b.pinned));
	if (!b.names || !b.pinned || !n)
		r = -ENOMEM;
	for (uint32_t i = 0; i < n_layers && r >= 0; i++)
		r = layers[i] == STORE_NONE ? 0
					    : batch_layer(&b, tasks, layers, n_layers, i, &n[i]);
	if (r >= 0)
		r = look_up(&b, tasks, layers, n_layers);
	for (uint32_t i = 0; i < n_layers && r >= 0; i++)
		for (uint32_t k = 0; k < n[i]; k++)
			ret[i][k] = !ret[i][k] || b.pinned[i][k];
	for (uint32_t i = 0; b.pinned && i < n_layers; i++)
		free(b.pinned[i]);
	free(b.pinned);
	free(b.names);
	return r < 0 ? diag_errno(d, r, NULL, "cannot put the layers together") : 0;
}
