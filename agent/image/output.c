/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An archive keeps its members' order and headers; where a name holds the digest of something that
 * changed the new digest takes its place, which is as long, and a new size goes into the header.
 */
#include "image/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "image/keeper.h"
#include "image/layer-internal.h"
#include "image/tar-internal.h"

#define AT_SIZE 124
#define MAX_OCTAL_SIZE 077777777777ULL

/* What a file consists of in the new image. */
struct content {
	bool changed;
	const char *data; /* a document, or: */
	int fd;           /* a layer */
	uint64_t offset, size;
};

static struct content content_of(const struct model *m, uint32_t entry)
{
	const struct store_entry *e = &m->store->entries[entry];

	for (uint32_t i = 0; i < m->n_docs; i++)
		if (m->docs[i].entry == entry && m->docs[i].changed)
			return (struct content){ true, m->docs[i].new_text.data, -1, 0,
						 m->docs[i].new_text.n };
	for (uint32_t i = 0; i < m->n_layers; i++)
		if (m->layers[i].entry == entry && m->layers[i].result.changed)
			return (struct content){ true, NULL, m->layers[i].new_fd, 0,
						 m->layers[i].result.new_size };
	return (struct content){ false, NULL, -1, 0, e->size };
}

static int write_content(const struct content *c, int to, const char *name, struct diag *d)
{
	if (c->data)
		return layer_write(to, c->data, c->size, name, d);
	return layer_copy(c->fd, c->offset, c->size, to, name, d);
}

static void set_checksum(uint8_t *b)
{
	unsigned int sum = 0;

	memset(b + TAR_CHECKSUM_AT, ' ', TAR_CHECKSUM_SIZE);
	for (unsigned int i = 0; i < TAR_BLOCK; i++)
		sum += b[i];
	(void)snprintf((char *)b + TAR_CHECKSUM_AT, 7, "%06o", sum & 0777777);
}

static void set_size(uint8_t *b, uint64_t size)
{
	char text[12];

	if (size > MAX_OCTAL_SIZE) {
		memset(b + AT_SIZE, 0, 12);
		b[AT_SIZE] = 0x80;
		for (int i = 0; i < 8; i++)
			b[AT_SIZE + 11 - i] = (uint8_t)(size >> 8 * i);
		return;
	}
	(void)snprintf(text, sizeof(text), "%011llo", (unsigned long long)size);
	memcpy(b + AT_SIZE, text, sizeof(text));
}

/*
 * A size in a record of an extended header counts more than the header's own: the record becomes a
 * comment. Return: false when it is too short for that.
 */
static bool drop_extended_size(uint8_t *headers, size_t n)
{
	size_t at = 0;

	while (at < n) {
		struct tar_record rec;
		struct tar_header h;
		struct slice left;
		char blank[64];

		/* They were read before, when the archive was opened. */
		if (tar_header_parse(headers + at, &h, NULL, NULL) < 0)
			return false;
		at += TAR_BLOCK;
		left.p = (char *)headers + at;
		left.n = MIN((size_t)h.size, n - at);
		while (h.type == 'x' && tar_record_next(&left, &rec, NULL, NULL) > 0) {
			if (!slice_eq(rec.key, "size"))
				continue;
			if (rec.whole.n < strlen("nn comment=\n") || rec.whole.n > sizeof(blank))
				return false;
			tar_record_blank(&rec, blank);
			memcpy(headers + (rec.whole.p - (char *)headers), blank, rec.whole.n);
		}
		at += (h.size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
	return true;
}

/* @headers: all of a member's, the last block being its own */
static int edit_headers(const struct model *m, uint8_t *headers, size_t n, const struct content *c,
			const struct store_entry *e, struct diag *d)
{
	/* Names are looked at field by field: the next field's digits must not lengthen them. */
	static const struct {
		size_t at, n;
	} fields[] = { { 0, 100 }, { 157, 100 }, { 345, 155 } };
	uint8_t *last = headers + n - TAR_BLOCK;
	bool resized = c->changed && c->size != e->size;

	if (resized && !drop_extended_size(headers, n - TAR_BLOCK))
		return diag_fail(d, -EOPNOTSUPP, e->name,
				 "its size stands in an extended header that cannot be changed; pack "
				 "the archive again, with tar for one");
	(void)model_renamed(m, (char *)headers, n - TAR_BLOCK);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		(void)model_renamed(m, (char *)last + fields[i].at, fields[i].n);
	if (resized)
		set_size(last, c->size);
	set_checksum(last);
	return 0;
}

static int read_at(int fd, void *buf, size_t n, uint64_t at)
{
	for (size_t have = 0; have < n;) {
		ssize_t k = fd_pread(fd, (char *)buf + have, n - have, (off_t)(at + have));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		have += (size_t)k;
	}
	return 0;
}

static int archive_member(const struct model *m, uint32_t entry, int to, struct diag *d)
{
	static const uint8_t zeros[TAR_BLOCK];
	const struct store_entry *e = &m->store->entries[entry];
	struct content c = content_of(m, entry);
	_cleanup_(freep) uint8_t *headers = NULL;
	_cleanup_(freep) uint8_t *before = NULL;
	size_t n = (size_t)(e->data - e->head);
	int r;

	headers = malloc(n);
	before = malloc(n);
	if (!headers || !before)
		return -ENOMEM;
	r = read_at(m->store->fd, headers, n, e->head);
	if (r < 0)
		return diag_errno(d, r, m->store->name, "cannot read");
	memcpy(before, headers, n);
	r = edit_headers(m, headers, n, &c, e, d);
	if (r < 0)
		return r;
	/* A header whose checksum alone was spelled otherwise stays as it was. */
	if (!c.changed && (memcmp(headers, before, n - TAR_BLOCK) == 0) &&
	    memcmp(headers + n - TAR_BLOCK, before + n - TAR_BLOCK, TAR_CHECKSUM_AT) == 0 &&
	    memcmp(headers + n - TAR_BLOCK + 156, before + n - TAR_BLOCK + 156, TAR_BLOCK - 156) ==
		    0)
		return layer_copy(m->store->fd, e->head, MIN(e->end, m->store->size) - e->head, to,
				  m->store->name, d);
	r = layer_write(to, headers, n, m->store->name, d);
	if (r < 0)
		return r;
	if (!c.changed)
		return layer_copy(m->store->fd, e->data, MIN(e->end, m->store->size) - e->data, to,
				  m->store->name, d);
	r = write_content(&c, to, e->name, d);
	return r < 0 ? r : layer_write(to, zeros, -c.size & (TAR_BLOCK - 1), m->store->name, d);
}

int output_archive(const struct model *m, int fd, uint64_t *ret_size, struct diag *d)
{
	const struct store *s = m->store;
	_cleanup_(freep) bool *used = NULL;
	bool changed = false;
	off_t size;
	int r = 0;

	for (uint32_t i = 0; i < m->n_docs; i++)
		changed |= m->docs[i].changed;
	if (!changed) {
		r = layer_copy(s->fd, 0, s->size, fd, s->name, d);
	} else {
		used = model_used(m);
		if (!used)
			return -ENOMEM;
		for (uint32_t i = 0; i < s->n && r >= 0; i++)
			r = used[i] ? archive_member(m, i, fd, d) : 0;
		if (r >= 0 && s->tail < s->size)
			r = layer_copy(s->fd, s->tail, s->size - s->tail, fd, s->name, d);
	}
	size = r < 0 ? 0 : lseek(fd, 0, SEEK_CUR);
	if (size < 0)
		return diag_errno(d, -errno, s->name, "cannot write");
	*ret_size = (uint64_t)size;
	return r;
}

static int directory_file(const struct model *m, uint32_t entry, const struct keeper *k, struct diag *d)
{
	_cleanup_(freep) char *path = strdup(m->store->entries[entry].name);
	_cleanup_(fd_closep) int to = -1, from = -1;
	struct content c = content_of(m, entry);
	int r;

	if (!path)
		return -ENOMEM;
	(void)model_renamed(m, path, strlen(path));
	to = keeper_create(k, path, d);
	if (to < 0)
		return to;
	if (!c.changed) {
		r = store_range(m->store, entry, &from, &c.offset, d);
		if (r < 0)
			return r;
		c.fd = from;
	}
	r = write_content(&c, to, path, d);
	if (r >= 0 && fsync(to) < 0)
		r = diag_errno(d, -errno, path, "cannot sync");
	return r;
}

int output_directory(const struct model *m, const struct keeper *k, struct diag *d)
{
	_cleanup_(freep) bool *used = model_used(m);
	int r = used ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < m->store->n && r >= 0; i++)
		if (used[i] && m->store->entries[i].type == STORE_FILE)
			r = directory_file(m, i, k, d);
	return r;
}
