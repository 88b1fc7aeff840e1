/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The walker: a state machine over 512-byte blocks. A member is a run of extended headers, the
 * header itself, and contents that are counted but never kept. Extended headers are kept until the
 * header that they belong to is known, for the decision about a capability needs the name.
 */
#include "batten/image/tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/bytes.h"
#include "image/tar-internal.h"

/* One extended header that waits for its member. */
struct extended {
	struct bytes body;
	uint64_t offset; /* of the body in the stream */
	bool present;
};

/* What the records of an 'x' header say, as far as it concerns us. */
struct overrides {
	struct slice path, link, size, sparse_name;
	bool has_path, has_link, has_size, has_sparse_name, has_sparse_version, has_sparse_map;
	bool has_caps, has_mode;
	unsigned int mode;
};

struct tar_walker {
	struct tar_handler handler;
	void *arg;
	char name[128];
	uint64_t pos;     /* of the next byte to come */
	uint64_t first;   /* where the member begins whose headers are being collected */
	uint64_t skip;    /* contents and padding still to come */
	uint64_t padding; /* how much of that is padding */
	uint64_t body_left, padding_left; /* of the extended header that is being collected */
	struct extended pax, global, long_name, long_link;
	struct extended *collecting;
	struct tar_header header; /* of a sparse member, while its map is being read */
	struct tar_sparse sparse;
	uint64_t header_at;
	bool in_sparse_map, pax_seen;
	unsigned int n_zero;
	bool ended, trailer;
	size_t n_headers; /* bytes of headers of this member */
	uint8_t block[TAR_BLOCK];
	size_t n_block;
	uint8_t header_block[TAR_BLOCK];
	uint8_t caps[64];
	struct bytes path, link;
};

struct tar_walker *tar_walker_new(const struct tar_handler *h, void *arg, const char *name)
{
	struct tar_walker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->handler = *h;
	w->arg = arg;
	(void)snprintf(w->name, sizeof(w->name), "%s", name);
	return w;
}

struct tar_walker *tar_walker_free(struct tar_walker *w)
{
	if (!w)
		return NULL;
	bytes_done(&w->pax.body);
	bytes_done(&w->global.body);
	bytes_done(&w->long_name.body);
	bytes_done(&w->long_link.body);
	bytes_done(&w->path);
	bytes_done(&w->link);
	free(w);
	return NULL;
}

static int refuse(const struct tar_walker *w, struct diag *d, uint64_t at, const char *what)
{
	return diag_fail(d, -EBADMSG, w->name, "at byte %llu: %s", (unsigned long long)at, what);
}

static void forget_headers(struct tar_walker *w)
{
	struct extended *const all[] = { &w->pax, &w->global, &w->long_name, &w->long_link };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		all[i]->present = false;
		all[i]->body.n = 0;
	}
	w->n_headers = 0;
}

/* ---- extended headers --------------------------------------------------------------------- */

static int once(const struct tar_walker *w, bool *seen, struct slice *to,
		const struct tar_record *r, struct diag *d)
{
	if (*seen)
		return refuse(w, d, w->header_at, "an extended header says the same thing twice");
	if (r->value.n == 0 || memchr(r->value.p, '\0', r->value.n))
		return refuse(w, d, w->header_at,
			      "an extended header holds an empty or broken value");
	*seen = true;
	*to = r->value;
	return 0;
}

static int take_record(struct tar_walker *w, const struct tar_record *r, struct overrides *o,
		       struct tar_member *m, struct diag *d)
{
	struct slice digits;
	unsigned int mode;
	bool base64;
	int n;

	if (slice_eq(r->key, "path"))
		return once(w, &o->has_path, &o->path, r, d);
	if (slice_eq(r->key, "linkpath"))
		return once(w, &o->has_link, &o->link, r, d);
	if (slice_eq(r->key, "size"))
		return once(w, &o->has_size, &o->size, r, d);
	if (slice_eq(r->key, "GNU.sparse.name"))
		return once(w, &o->has_sparse_name, &o->sparse_name, r, d);
	if (slice_eq(r->key, "GNU.sparse.major") || slice_eq(r->key, "GNU.sparse.minor")) {
		/* Of another version Go takes neither the map nor the name. */
		if (r->value.n != 1 || (r->value.p[0] != '0' && r->value.p[0] != '1'))
			return refuse(w, d, w->header_at, "a sparse map of an unknown version");
	}
	o->has_sparse_version |= slice_eq(r->key, "GNU.sparse.major");
	o->has_sparse_map |= slice_eq(r->key, "GNU.sparse.map");
	switch (tar_record_xattr(r, &base64)) {
	case TAR_XATTR_CAPS:
		/* An empty value deletes the attribute, for those who know that rule. */
		m->has_caps = o->has_caps = true;
		n = (int)MIN(r->value.n, sizeof(w->caps));
		if (base64)
			n = tar_base64(r->value, w->caps, sizeof(w->caps));
		else
			memcpy(w->caps, r->value.p, (size_t)n);
		if (n < 0)
			return 0;
		m->caps = w->caps;
		m->n_caps = (size_t)n;
		return 0;
	case TAR_XATTR_OVERRIDE:
		if (base64 || tar_override_mode(r->value, &digits, &mode) < 0)
			return refuse(w, d, w->header_at,
				      "an override_stat attribute cannot be read");
		o->has_mode = true;
		o->mode |= mode;
		return 0;
	default:
		return 0;
	}
}

static int read_records(struct tar_walker *w, const struct extended *x, struct overrides *o,
			struct tar_member *m, struct diag *d)
{
	struct slice left = { x->body.data, x->body.n };
	struct tar_record rec;
	int r;

	while ((r = tar_record_next(&left, &rec, w->name, d)) > 0) {
		r = take_record(w, &rec, o, m, d);
		if (r < 0)
			return r;
	}
	return r;
}

static int edit_record(struct tar_walker *w, const struct extended *x, const struct tar_record *rec,
		       int verdict)
{
	uint64_t at = x->offset + (uint64_t)(rec->whole.p - x->body.data);
	_cleanup_(freep) char *copy = NULL;
	struct slice digits;
	unsigned int mode, bits = 0;
	bool base64;

	switch (tar_record_xattr(rec, &base64)) {
	case TAR_XATTR_CAPS:
		if (!(verdict & TAR_STRIP_CAPS))
			return 0;
		copy = malloc(rec->whole.n);
		if (!copy)
			return -ENOMEM;
		tar_record_blank(rec, copy);
		return w->handler.replace(w->arg, at, copy, rec->whole.n);
	case TAR_XATTR_OVERRIDE:
		bits |= verdict & TAR_STRIP_SETUID ? TAR_SETUID : 0;
		bits |= verdict & TAR_STRIP_SETGID ? TAR_SETGID : 0;
		if (tar_override_mode(rec->value, &digits, &mode) < 0 || !(mode & bits))
			return 0;
		copy = strndup(digits.p, digits.n);
		if (!copy)
			return -ENOMEM;
		tar_octal_clear(copy, digits.n, bits);
		return w->handler.replace(w->arg, at + (uint64_t)(digits.p - rec->whole.p), copy,
					  digits.n);
	default:
		return 0;
	}
}

static int edit_records(struct tar_walker *w, const struct extended *x, int verdict)
{
	struct slice left = { x->body.data, x->body.n };
	struct tar_record rec;
	int r;

	if (!x->present)
		return 0;
	while ((r = tar_record_next(&left, &rec, w->name, NULL)) > 0) {
		r = edit_record(w, x, &rec, verdict);
		if (r < 0)
			return r;
	}
	return r;
}

static int edit_header(struct tar_walker *w, int verdict)
{
	uint8_t block[TAR_BLOCK];
	unsigned int bits = 0;
	size_t i, n;
	int r = 0;

	bits |= verdict & TAR_STRIP_SETUID ? TAR_SETUID : 0;
	bits |= verdict & TAR_STRIP_SETGID ? TAR_SETGID : 0;
	memcpy(block, w->header_block, TAR_BLOCK);
	tar_header_clear(block, bits);
	for (i = 0; i < TAR_BLOCK && r >= 0; i += n) {
		for (n = 0; i + n < TAR_BLOCK && block[i + n] != w->header_block[i + n]; n++)
			;
		if (n > 0)
			r = w->handler.replace(w->arg, w->header_at + i, block + i, n);
		n = MAX(n, (size_t)1);
	}
	return r;
}

/* A global header concerns no member. Go hands it out as an entry of its own, others apply it. */
static int global_header(struct tar_walker *w, struct diag *d)
{
	struct tar_member m = {
		.kind = TAR_GLOBAL,
		.path = "/",
		.link = "",
		.offset = w->first,
		.data = w->global.offset,
		.size = w->global.body.n,
		.end = w->pos,
	};
	struct overrides o = { 0 };
	int r;

	r = read_records(w, &w->global, &o, &m, d);
	if (r < 0)
		return r;
	if (o.has_path || o.has_link || o.has_size || o.has_sparse_name || o.has_sparse_version ||
	    o.has_sparse_map)
		return refuse(w, d, w->header_at,
			      "a global header with names or sizes; readers disagree about it");
	m.mode = o.mode;
	if (m.has_caps || m.mode) {
		r = w->handler.member(w->arg, &m, d);
		if (r > 0 && w->handler.replace)
			r = edit_records(w, &w->global, r);
		if (r < 0)
			return r;
	}
	forget_headers(w);
	return 0;
}

static bool any_pending(const struct tar_walker *w)
{
	return w->pax.present || w->long_name.present || w->long_link.present;
}

static int begin_extended(struct tar_walker *w, const struct tar_header *h, struct diag *d)
{
	struct extended *x = h->type == 'x'   ? &w->pax
			     : h->type == 'g' ? &w->global
			     : h->type == 'L' ? &w->long_name
					      : &w->long_link;

	if (x->present || (h->type == 'g' && any_pending(w)))
		return refuse(
			w, d, w->header_at,
			"two extended headers in a row; readers disagree about which one counts");
	w->n_headers += h->size + 2 * TAR_BLOCK;
	if (h->size > TAR_MAX_HEADERS || w->n_headers > TAR_MAX_HEADERS)
		return diag_fail(d, -E2BIG, w->name,
				 "at byte %llu: extended headers of more than %d bytes",
				 (unsigned long long)w->header_at, TAR_MAX_HEADERS);
	if (!any_pending(w))
		w->first = w->header_at;
	w->pax_seen |= h->type == 'x' || h->type == 'g';
	x->present = true;
	x->offset = w->header_at + TAR_BLOCK;
	x->body.n = 0;
	w->collecting = x;
	w->body_left = h->size;
	w->padding_left = -h->size & (TAR_BLOCK - 1);
	return bytes_reserve(&x->body, h->size);
}

static int end_extended(struct tar_walker *w, struct diag *d)
{
	struct extended *x = w->collecting;
	const char *text = x->body.data;

	w->collecting = NULL;
	if (x == &w->global)
		return global_header(w, d);
	if (x == &w->pax)
		return 0;
	/* A long name ends at its NUL; what stands behind it would be seen by some. */
	for (size_t i = text ? strnlen(text, x->body.n) : x->body.n; i < x->body.n; i++)
		if (text[i] != '\0')
			return refuse(w, d, w->header_at, "bytes behind the end of a long name");
	return 0;
}

/* ---- members -------------------------------------------------------------------------------- */

static int kind_of(struct tar_walker *w, const struct tar_header *h, const char *path,
		   enum tar_kind *ret, struct diag *d)
{
	size_t n = strlen(path);
	bool slash = n > 0 && path[n - 1] == '/';

	switch (h->type) {
	case '\0':
		*ret = slash ? TAR_DIR : TAR_FILE;
		/* Then the contents follow for some readers and not for others. */
		if (slash && h->size > 0)
			return refuse(w, d, w->header_at,
				      "a directory with contents; readers disagree about it");
		return 0;
	case '0':
	case '7':
	case 'S':
		if (slash)
			return refuse(
				w, d, w->header_at,
				"a file whose name ends in a slash; readers disagree about it");
		*ret = TAR_FILE;
		return 0;
	case '1':
		*ret = TAR_LINK;
		return 0;
	case '2':
		*ret = TAR_SYMLINK;
		return 0;
	case '3':
	case '4':
		*ret = TAR_DEVICE;
		return 0;
	case '5':
		*ret = TAR_DIR;
		return 0;
	case '6':
		*ret = TAR_FIFO;
		return 0;
	default:
		return diag_fail(d, -EBADMSG, w->name,
				 "at byte %llu: a member of unknown type 0x%02x",
				 (unsigned long long)w->header_at, (uint8_t)h->type);
	}
}

/* Where the contents end is what readers must agree about before anything else. */
static int size_of(struct tar_walker *w, const struct tar_header *h, const struct overrides *o,
		   enum tar_kind kind, uint64_t *ret, struct diag *d)
{
	uint64_t size = h->size;

	if (o->has_size && parse_u64(o->size, 0, INT64_MAX / 2, &size) < 0)
		return refuse(w, d, w->header_at, "the size in an extended header is malformed");
	if (kind == TAR_FILE) {
		*ret = size;
		return 0;
	}
	if (size > 0 && (kind != TAR_LINK || w->pax_seen))
		return refuse(
			w, d, w->header_at,
			"a link, directory or device with contents; readers disagree about it");
	*ret = 0;
	return 0;
}

static int set_text(struct bytes *b, const char *raw, size_t n, bool clean)
{
	_cleanup_(freep) char *copy = strndup(raw, n);
	int r;

	if (!copy)
		return -ENOMEM;
	b->n = 0;
	r = bytes_reserve(b, n + 2);
	if (r < 0)
		return r;
	if (clean)
		tar_path_clean(copy, b->data);
	else
		memcpy(b->data, copy, strlen(copy) + 1);
	return 0;
}

static struct slice long_text(const struct extended *x)
{
	const char *text = x->body.data ? x->body.data : "";

	return (struct slice){ text, strnlen(text, x->body.n) };
}

static int member(struct tar_walker *w, struct diag *d)
{
	const struct tar_header *h = &w->header;
	struct tar_member m = { .uid = h->uid, .gid = h->gid, .data = w->pos, .offset = w->first };
	struct slice path = slice_of(h->name), link = slice_of(h->link);
	struct overrides o = { 0 };
	int r;

	if (w->pax.present) {
		r = read_records(w, &w->pax, &o, &m, d);
		if (r < 0)
			return r;
	}
	if ((o.has_path && w->long_name.present) || (o.has_link && w->long_link.present))
		return refuse(w, d, w->header_at,
			      "a name given in two ways; readers disagree about it");
	if (o.has_sparse_name && !o.has_sparse_version && !o.has_sparse_map)
		return refuse(w, d, w->header_at, "a sparse name without a sparse map");
	if (o.has_path)
		path = o.path;
	if (o.has_sparse_name)
		path = o.sparse_name;
	if (o.has_link)
		link = o.link;
	if (w->long_name.present)
		path = long_text(&w->long_name);
	if (w->long_link.present)
		link = long_text(&w->long_link);
	r = set_text(&w->path, path.p, path.n, false);
	if (r >= 0)
		r = kind_of(w, h, w->path.data, &m.kind, d);
	if (r >= 0)
		r = size_of(w, h, &o, m.kind, &m.size, d);
	if (r >= 0)
		r = set_text(&w->path, path.p, path.n, true);
	if (r >= 0)
		r = set_text(&w->link, m.kind == TAR_LINK || m.kind == TAR_SYMLINK ? link.p : "",
			     m.kind == TAR_LINK || m.kind == TAR_SYMLINK ? link.n : 0,
			     m.kind == TAR_LINK);
	if (r < 0)
		return r;
	m.path = w->path.data;
	m.link = w->link.data;
	m.mode = (unsigned int)(h->mode & 07777) | (o.has_mode ? o.mode : 0);
	w->padding = -m.size & (TAR_BLOCK - 1);
	w->skip = m.size + w->padding;
	m.end = m.data + w->skip;
	r = w->handler.member(w->arg, &m, d);
	if (r < 0)
		return r;
	if (r & TAR_REMOVE) {
		r = w->handler.remove(w->arg, m.offset, m.end);
	} else if (r > 0 && w->handler.replace) {
		int verdict = r;

		r = edit_records(w, &w->pax, verdict);
		if (r >= 0)
			r = edit_header(w, verdict);
	}
	if (r < 0)
		return r;
	forget_headers(w);
	return 0;
}

/* Whether another block of entries follows, how many bytes they stand for: readers must find the same end. */
static int sparse_map(struct tar_walker *w, const uint8_t *entries, size_t n, bool more, struct diag *d)
{
	if (tar_sparse_read(&w->sparse, entries, n) < 0 || (more && w->sparse.ended) ||
	    (!more && w->sparse.sum != w->header.size))
		return refuse(w, d, w->header_at, "a sparse map that readers disagree about");
	w->in_sparse_map = more;
	return more ? 0 : member(w, d);
}

static int sparse_map_block(struct tar_walker *w, const uint8_t *b, struct diag *d)
{
	w->n_headers += TAR_BLOCK;
	if (w->n_headers > TAR_MAX_HEADERS)
		return diag_fail(d, -E2BIG, w->name,
				 "at byte %llu: a sparse map of more than %d bytes",
				 (unsigned long long)w->header_at, TAR_MAX_HEADERS);
	return sparse_map(w, b, TAR_SPARSE_IN_BLOCK, b[24 * TAR_SPARSE_IN_BLOCK] != 0, d);
}

static int header_block(struct tar_walker *w, const uint8_t *b, struct diag *d)
{
	struct tar_header h;
	char where[192];
	int r;

	w->header_at = w->pos - TAR_BLOCK;
	(void)snprintf(where, sizeof(where), "%s: at byte %llu", w->name,
		       (unsigned long long)w->header_at);
	r = tar_header_parse(b, &h, where, d);
	if (r < 0)
		return r;
	if (h.type == 'x' || h.type == 'g' || h.type == 'L' || h.type == 'K') {
		r = begin_extended(w, &h, d);
		return r < 0 || w->body_left > 0 ? r : end_extended(w, d);
	}
	if (!any_pending(w))
		w->first = w->header_at;
	memcpy(w->header_block, b, TAR_BLOCK);
	w->header = h;
	w->sparse = (struct tar_sparse){ 0 };
	return h.type == 'S' ? sparse_map(w, b + TAR_SPARSE_AT, TAR_SPARSE_IN_HEADER, h.sparse_more, d)
			     : member(w, d);
}

static int take_block(struct tar_walker *w, const uint8_t *b, struct diag *d)
{
	if (w->in_sparse_map)
		return sparse_map_block(w, b, d);
	if (tar_block_is_zero(b)) {
		if (any_pending(w))
			return refuse(w, d, w->pos - TAR_BLOCK,
				      "the stream ends behind an extended header");
		w->ended = ++w->n_zero == 2;
		return 0;
	}
	if (w->n_zero > 0)
		return refuse(w, d, w->pos - TAR_BLOCK,
			      "data behind a single block of zeros; readers disagree about it");
	return header_block(w, b, d);
}

/* ---- the stream ----------------------------------------------------------------------------- */

/* Takes as much as belongs to the extended header that is being collected. */
static int collect(struct tar_walker *w, const uint8_t *p, size_t n, size_t *ret_used,
		   struct diag *d)
{
	size_t body = (size_t)MIN((uint64_t)n, w->body_left), padding;

	*ret_used = n;
	bytes_append(&w->collecting->body, p, body);
	if (w->collecting->body.error)
		return w->collecting->body.error;
	w->body_left -= body;
	padding = (size_t)MIN((uint64_t)(n - body), w->padding_left);
	w->padding_left -= padding;
	w->pos += body + padding;
	*ret_used = body + padding;
	return w->body_left + w->padding_left == 0 ? end_extended(w, d) : 0;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int tar_walker_feed(struct tar_walker *w, const void *data, size_t n, struct diag *d)
{
	const uint8_t *p = data;
	int r;

	while (n > 0) {
		size_t used;

		if (w->ended) {
			w->trailer |= !w->trailer && !all_zero(p, n);
			w->pos += n;
			return 0;
		}
		if (w->skip > 0) {
			used = (size_t)MIN((uint64_t)n, w->skip);
			tar_walker_skip(w, used);
			r = 0;
		} else if (w->collecting) {
			r = collect(w, p, n, &used, d);
		} else {
			used = MIN(n, TAR_BLOCK - w->n_block);
			memcpy(w->block + w->n_block, p, used);
			w->n_block += used;
			w->pos += used;
			r = 0;
			if (w->n_block == TAR_BLOCK) {
				w->n_block = 0;
				r = take_block(w, w->block, d);
			}
		}
		if (r < 0)
			return r;
		p += used;
		n -= used;
	}
	return 0;
}

int tar_walker_finish(struct tar_walker *w, struct diag *d)
{
	if (w->ended)
		return 0;
	/* Padding behind the last contents may be missing for every reader, contents may not. */
	if (w->skip > w->padding || w->collecting || w->n_block > 0 || w->in_sparse_map ||
	    any_pending(w))
		return refuse(w, d, w->pos, "the tar stream is cut short");
	return 0;
}

uint64_t tar_walker_settled(const struct tar_walker *w)
{
	if (any_pending(w) || w->in_sparse_map || w->collecting)
		return w->first;
	return w->pos - w->n_block;
}

uint64_t tar_walker_skippable(const struct tar_walker *w)
{
	return w->skip;
}

void tar_walker_skip(struct tar_walker *w, uint64_t n)
{
	w->skip -= n;
	w->pos += n;
}

bool tar_walker_ended(const struct tar_walker *w)
{
	return w->ended;
}

bool tar_walker_has_trailer(const struct tar_walker *w)
{
	return w->trailer;
}
