/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * New descriptions for changed layers, from the bottom up: configurations name layers, manifests
 * name both, indexes name manifests. Digests are of one length, so a document changes in a few
 * stretches and keeps every other byte. What would lie about the new image is taken out.
 */
#include "image/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HISTORY_COMMENT "setuid, setgid and file capabilities removed"

static bool has_prefix(struct slice s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* ---- what became of what -------------------------------------------------------------------- */

/* @ret_size: size of the new blob or document; untouched for a diff_id */
static bool renamed(const struct model *m, const struct digest *old, struct digest *ret,
		    uint64_t *ret_size)
{
	for (uint32_t i = 0; i < m->n_docs; i++) {
		if (m->docs[i].changed && digest_eq(old, &m->docs[i].digest)) {
			*ret = m->docs[i].new_digest;
			*ret_size = m->docs[i].new_text.n;
			return true;
		}
	}
	for (uint32_t i = 0; i < m->n_layers; i++) {
		const struct layer_result *l = &m->layers[i].result;

		if (l->changed && digest_eq(old, &l->old_blob)) {
			*ret = l->new_blob;
			*ret_size = l->new_size;
			return true;
		}
	}
	for (uint32_t i = 0; i < m->n_layers; i++) {
		const struct layer_result *l = &m->layers[i].result;

		if (l->changed && digest_eq(old, &l->old_diff)) {
			*ret = l->new_diff;
			return true;
		}
	}
	return false;
}

unsigned int model_renamed(const struct model *m, char *text, size_t n)
{
	unsigned int count = 0;

	for (size_t i = 0, run = 0; i <= n; i++) {
		struct digest old, new;
		char hex[DIGEST_HEX_SIZE];
		uint64_t size;

		if (i < n &&
		    ((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
			run++;
			continue;
		}
		if (run == 64 && digest_from_hex((struct slice){ text + i - 64, 64 }, &old) == 0 &&
		    renamed(m, &old, &new, &size)) {
			digest_hex(&new, hex);
			memcpy(text + i - 64, hex, 64);
			count++;
		}
		run = 0;
	}
	return count;
}

static int finish(struct model *m, struct model_doc *doc, struct span_edits *e)
{
	bool any = e->n > 0;
	int r;

	doc->settled = true;
	r = span_apply(e, &doc->spans, &doc->new_text);
	if (r < 0 || !any)
		return r;
	doc->changed = true;
	return digest_of(doc->new_text.data, doc->new_text.n, &doc->new_digest);
}

/* ---- configurations ------------------------------------------------------------------------- */

static bool is_build_cache(void *arg, uint32_t at)
{
	return slice_eq(span_key(arg, at), "moby.buildkit.cache.v0");
}

static bool is_base_name(void *arg, uint32_t at)
{
	return has_prefix(span_key(arg, at), "org.opencontainers.image.base.");
}

/* The number of entries that stand for a layer. */
static int count_history(const struct span_doc *doc, uint32_t history, unsigned int *ret,
			 struct diag *d)
{
	unsigned int n = 0;

	for (uint32_t i = span_first(doc, history); i; i = span_next(doc, i)) {
		uint32_t empty;
		int r = span_get(doc, i, "empty_layer", SPAN_BOOL, &empty, d);

		if (r < 0)
			return r;
		n += r == 0 || doc->text[doc->values[empty].from] == 'f';
	}
	*ret = n;
	return 0;
}

/* One more entry, with the image's own time: the clock would make every run another image. */
static int add_history(const struct span_doc *doc, unsigned int n_layers, struct span_edits *e,
		       struct diag *d)
{
	_cleanup_(freep) char *entry = NULL;
	uint32_t history, created;
	unsigned int n;
	struct slice time = { "", 0 };
	int r;

	r = span_get(doc, 0, "history", SPAN_ARRAY, &history, d);
	if (r <= 0)
		return r;
	r = count_history(doc, history, &n, d);
	if (r < 0 || n != n_layers)
		return r;
	r = span_get(doc, 0, "created", SPAN_STRING, &created, d);
	if (r < 0)
		return r;
	if (r > 0)
		time = span_raw(doc, created);
	if (asprintf(&entry,
		     "{%s%.*s%s\"created_by\":\"batten image strip\",\"comment\":\"" HISTORY_COMMENT
		     "\",\"empty_layer\":true}",
		     r > 0 ? "\"created\":\"" : "", (int)time.n, time.p, r > 0 ? "\"," : "") < 0) {
		entry = NULL;
		return -ENOMEM;
	}
	span_append(e, doc, history, entry);
	return 0;
}

/* Labels that promise something about layers below. */
static int drop_labels(const struct span_doc *doc, struct span_edits *e, struct diag *d)
{
	uint32_t config, labels;
	int r;

	r = span_get(doc, 0, "config", SPAN_OBJECT, &config, d);
	if (r > 0)
		r = span_get(doc, config, "Labels", SPAN_OBJECT, &labels, d);
	if (r > 0)
		span_drop(e, doc, labels, is_base_name, (void *)(uintptr_t)doc);
	return r;
}

static int rewrite_config(struct model *m, struct model_doc *doc, struct diag *d)
{
	struct span_edits e = { 0 };
	const struct span_doc *spans = &doc->spans;
	uint32_t rootfs, ids;
	unsigned int n = 0;
	int r;

	r = span_need(spans, 0, "rootfs", SPAN_OBJECT, &rootfs, d);
	if (r >= 0)
		r = span_get(spans, rootfs, "diff_ids", SPAN_ARRAY, &ids, d);
	if (r <= 0)
		return r;
	for (uint32_t i = span_first(spans, ids); i; i = span_next(spans, i), n++) {
		char text[DIGEST_TEXT_SIZE];
		struct digest old, new;
		uint64_t size;

		if (digest_from_text(span_raw(spans, i), &old) < 0 ||
		    !renamed(m, &old, &new, &size))
			continue;
		digest_text(&new, text);
		span_set(&e, spans, i, text);
	}
	r = 0;
	if (e.n > 0) {
		span_drop(&e, spans, 0, is_build_cache, (void *)(uintptr_t)spans);
		r = drop_labels(spans, &e, d);
		/* A child's history must be its parent's and one entry more: then none may be
		 * added. */
		if (r >= 0 && !m->has_parents)
			r = add_history(spans, n, &e, d);
	}
	if (r < 0) {
		span_edits_done(&e);
		return r;
	}
	return finish(m, doc, &e);
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static bool is_data(void *arg, uint32_t at)
{
	return slice_eq(span_key(arg, at), "data");
}

/* Notes about a blob that are not true of its successor. */
static bool is_stale(void *arg, uint32_t at)
{
	static const char *const prefixes[] = {
		"containerd.io/distribution.source.",
		"containerd.io/snapshot/stargz/",
		"io.containers.estargz.",
		"io.github.containers.zstd-chunked.",
		"io.containers.zstd-chunked.",
	};
	struct slice key = span_key(arg, at);

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (has_prefix(key, prefixes[i]))
			return true;
	return false;
}

/* Digest and size of a descriptor whose blob has changed. Return: 1 changed, 0 not, negative errno.
 */
static int edit_descriptor(struct model *m, const struct span_doc *doc, uint32_t at,
			   struct span_edits *e, struct diag *d)
{
	uint32_t digest, size, annotations, diff;
	char text[DIGEST_TEXT_SIZE], number[U64_TEXT_SIZE];
	struct digest old, new;
	uint64_t n = 0;
	int r;

	r = span_need(doc, at, "digest", SPAN_STRING, &digest, d);
	if (r >= 0)
		r = span_need(doc, at, "size", SPAN_NUMBER, &size, d);
	if (r < 0)
		return r;
	if (digest_from_text(span_raw(doc, digest), &old) < 0 || !renamed(m, &old, &new, &n))
		return 0;
	digest_text(&new, text);
	span_set(e, doc, digest, text);
	span_set(e, doc, size, u64_text(number, n));
	span_drop(e, doc, at, is_data, (void *)(uintptr_t)doc);
	r = span_get(doc, at, "annotations", SPAN_OBJECT, &annotations, d);
	if (r <= 0)
		return r < 0 ? r : 1;
	span_drop(e, doc, annotations, is_stale, (void *)(uintptr_t)doc);
	r = span_get(doc, annotations, "containerd.io/uncompressed", SPAN_STRING, &diff, d);
	if (r > 0 && digest_from_text(span_raw(doc, diff), &old) == 0 &&
	    renamed(m, &old, &new, &n)) {
		digest_text(&new, text);
		span_set(e, doc, diff, text);
	}
	return r < 0 ? r : 1;
}

static int rewrite_manifest(struct model *m, struct model_doc *doc, struct diag *d)
{
	struct span_edits e = { 0 };
	const struct span_doc *spans = &doc->spans;
	uint32_t config, layers = 0, annotations;
	int r;

	r = span_need(spans, 0, "config", SPAN_OBJECT, &config, d);
	if (r >= 0)
		r = span_need(spans, 0, "layers", SPAN_ARRAY, &layers, d);
	if (r >= 0)
		r = edit_descriptor(m, spans, config, &e, d);
	for (uint32_t i = r < 0 ? 0 : span_first(spans, layers); i && r >= 0;
	     i = span_next(spans, i))
		r = edit_descriptor(m, spans, i, &e, d);
	if (r >= 0 && e.n > 0)
		r = span_get(spans, 0, "annotations", SPAN_OBJECT, &annotations, d);
	else if (r >= 0)
		r = 0;
	if (r > 0)
		span_drop(&e, spans, annotations, is_base_name, (void *)(uintptr_t)spans);
	if (r < 0) {
		span_edits_done(&e);
		return r;
	}
	return finish(m, doc, &e);
}

/* ---- indexes -------------------------------------------------------------------------------- */

struct index_job {
	struct model *m;
	struct model_doc *doc;
	bool keep_attestations, top, any_changed;
	struct diag *d;
	int error;
};

static bool changed_manifest(const struct model *m, struct slice text, bool with_algorithm)
{
	struct digest digest;

	if ((with_algorithm ? digest_from_text(text, &digest) : digest_from_hex(text, &digest)) < 0)
		return false;
	for (uint32_t i = 0; i < m->n_docs; i++)
		if (m->docs[i].changed && digest_eq(&digest, &m->docs[i].digest))
			return true;
	return false;
}

/* A statement about an image that has changed: it would be wrong, or its signature broken. */
static int is_statement(struct index_job *j, uint32_t at, uint32_t child)
{
	const struct span_doc *doc = &j->doc->spans;
	uint32_t annotations, v, subject;
	int r;

	if (child != STORE_NONE && j->m->docs[child].kind == DOC_MANIFEST) {
		const struct span_doc *own = &j->m->docs[child].spans;

		r = span_get(own, 0, "subject", SPAN_OBJECT, &subject, j->d);
		if (r > 0)
			r = span_need(own, subject, "digest", SPAN_STRING, &v, j->d);
		else if (r == 0)
			v = 0;
		if (r < 0)
			return r;
		if (v && changed_manifest(j->m, span_raw(own, v), true))
			return 1;
	}
	r = span_get(doc, at, "annotations", SPAN_OBJECT, &annotations, j->d);
	if (r <= 0)
		return r;
	r = span_get(doc, annotations, "vnd.docker.reference.digest", SPAN_STRING, &v, j->d);
	if (r < 0 || (r > 0 && changed_manifest(j->m, span_raw(doc, v), true)))
		return r;
	r = span_get(doc, annotations, "org.opencontainers.image.ref.name", SPAN_STRING, &v, j->d);
	if (r < 0)
		return r;
	/* cosign's tags: sha256-HEX.sig, .att, .sbom */
	if (r > 0) {
		struct slice tag = span_raw(doc, v);

		if (has_prefix(tag, "sha256-") && tag.n > 71 && tag.p[71] == '.' &&
		    changed_manifest(j->m, (struct slice){ tag.p + 7, 64 }, false))
			return 1;
	}
	for (uint32_t i = span_first(doc, annotations); i && j->any_changed; i = span_next(doc, i))
		if (slice_eq(span_key(doc, i), "dev.cosignproject.cosign/sigs") ||
		    slice_eq(span_key(doc, i), "dev.cosignproject.cosign/atts"))
			return 1;
	return 0;
}

static uint32_t position(const struct span_doc *doc, uint32_t list, uint32_t at)
{
	uint32_t n = 0;

	for (uint32_t i = span_first(doc, list); i && i != at; i = span_next(doc, i))
		n++;
	return n;
}

/* span_drop() asks once per element, in order; notes are made here. */
static bool drop_element(void *arg, uint32_t at)
{
	struct index_job *j = arg;
	const struct span_doc *doc = &j->doc->spans;
	uint32_t list, n, child;
	char text[DIGEST_TEXT_SIZE];
	int r;

	r = span_get(doc, 0, "manifests", SPAN_ARRAY, &list, j->d);
	if (r <= 0 || j->error < 0)
		return false;
	n = position(doc, list, at);
	child = n < j->doc->n_children ? j->doc->children[n] : STORE_NONE;
	if (j->top && j->m->tag && child == STORE_NONE)
		return true;
	r = is_statement(j, at, child);
	if (r < 0)
		j->error = r;
	if (r <= 0)
		return false;
	memcpy(text, "?", 2);
	if (child != STORE_NONE)
		digest_text(&j->m->docs[child].digest, text);
	model_note(j->m, "%s: %s speaks of an image that has changed: %s", doc->name, text,
		   j->keep_attestations ? "kept, as asked; it is about the old one" : "left out");
	if (j->keep_attestations)
		return false;
	j->doc->children[n] = STORE_NONE;
	return true;
}

static int rewrite_index(struct model *m, struct model_doc *doc, bool keep_attestations,
			 struct diag *d)
{
	struct index_job j = { .m = m, .doc = doc, .keep_attestations = keep_attestations, .d = d };
	const struct span_doc *spans = &doc->spans;
	struct span_edits e = { 0 };
	uint32_t list, n = 0;
	bool *before;
	int r;

	r = span_get(spans, 0, "manifests", SPAN_ARRAY, &list, d);
	if (r <= 0)
		return r;
	j.top = m->index != STORE_NONE && doc == &m->docs[m->index];
	for (uint32_t i = 0; i < doc->n_children; i++)
		j.any_changed |=
			doc->children[i] != STORE_NONE && m->docs[doc->children[i]].changed;
	before = calloc(MAX(doc->n_children, 1U), sizeof(*before));
	if (!before)
		return -ENOMEM;
	for (uint32_t i = 0; i < doc->n_children; i++)
		before[i] = doc->children[i] != STORE_NONE;
	span_drop(&e, spans, list, drop_element, &j);
	r = j.error;
	for (uint32_t i = span_first(spans, list); i && r >= 0; i = span_next(spans, i), n++)
		if (n < doc->n_children && before[n] && doc->children[n] != STORE_NONE)
			r = edit_descriptor(m, spans, i, &e, d);
	free(before);
	if (r < 0) {
		span_edits_done(&e);
		return r;
	}
	return finish(m, doc, &e);
}

/* Children first. The depth was bounded while loading. */
static int settle_index(struct model *m, uint32_t index, const struct rewrite_options *o,
			struct diag *d)
{
	int r = 0;

	if (m->docs[index].settled)
		return 0;
	m->docs[index].settled = true;
	for (uint32_t i = 0; i < m->docs[index].n_children && r >= 0; i++) {
		uint32_t child = m->docs[index].children[i];

		if (child != STORE_NONE && m->docs[child].kind == DOC_INDEX)
			r = settle_index(m, child, o, d);
	}
	return r < 0 ? r : rewrite_index(m, &m->docs[index], o->keep_attestations, d);
}

/* ---- Docker's description ------------------------------------------------------------------- */

/* Every name in it is made of digests; sizes stand beside them in LayerSources alone. */
static void rename_strings(struct model *m, const struct span_doc *doc, struct span_edits *e)
{
	for (uint32_t i = 0; i < doc->n_values; i++) {
		const struct span *v = &doc->values[i];
		const uint32_t places[2][2] = { { v->key_from, v->key_to }, { v->from, v->to } };

		for (int k = 0; k < 2; k++) {
			uint32_t from = places[k][0], to = places[k][1];
			_cleanup_(freep) char *copy = NULL;

			if (to - from < 66 || (k == 1 && v->type != SPAN_STRING))
				continue;
			copy = strndup(doc->text + from, to - from);
			if (!copy)
				e->error = -ENOMEM;
			else if (model_renamed(m, copy, to - from) > 0)
				span_replace(e, from, to, copy, to - from);
		}
	}
}

static int edit_sources(struct model *m, const struct span_doc *doc, uint32_t image,
			struct span_edits *e, struct diag *d)
{
	uint32_t sources, digest, size;
	int r;

	r = span_get(doc, image, "LayerSources", SPAN_OBJECT, &sources, d);
	for (uint32_t i = r > 0 ? span_first(doc, sources) : 0; i && r >= 0;
	     i = span_next(doc, i)) {
		char number[U64_TEXT_SIZE];
		struct digest old, new;
		uint64_t n = UINT64_MAX;

		r = span_need(doc, i, "digest", SPAN_STRING, &digest, d);
		if (r >= 0)
			r = span_need(doc, i, "size", SPAN_NUMBER, &size, d);
		if (r >= 0 && digest_from_text(span_raw(doc, digest), &old) == 0 &&
		    renamed(m, &old, &new, &n) && n != UINT64_MAX)
			span_set(e, doc, size, u64_text(number, n));
	}
	return r;
}

static int rewrite_docker(struct model *m, uint32_t index, struct diag *d)
{
	struct model_doc *doc = &m->docs[index];
	struct span_edits e = { 0 };
	int r = 0;

	rename_strings(m, &doc->spans, &e);
	for (uint32_t i = doc->kind == DOC_DOCKER ? span_first(&doc->spans, 0) : 0; i && r >= 0;
	     i = span_next(&doc->spans, i))
		r = edit_sources(m, &doc->spans, i, &e, d);
	if (r < 0) {
		span_edits_done(&e);
		return r;
	}
	return finish(m, doc, &e);
}

int model_rewrite(struct model *m, const struct rewrite_options *o, struct diag *d)
{
	int r = 0;

	for (uint32_t i = 0; i < m->n_docs && r >= 0; i++)
		if (m->docs[i].kind == DOC_CONFIG)
			r = rewrite_config(m, &m->docs[i], d);
	for (uint32_t i = 0; i < m->n_docs && r >= 0; i++)
		if (m->docs[i].kind == DOC_MANIFEST)
			r = rewrite_manifest(m, &m->docs[i], d);
	if (r >= 0 && m->index != STORE_NONE)
		r = settle_index(m, m->index, o, d);
	if (r >= 0 && m->docker != STORE_NONE)
		r = rewrite_docker(m, m->docker, d);
	if (r >= 0 && m->repositories != STORE_NONE)
		r = rewrite_docker(m, m->repositories, d);
	return r;
}

static void use(const struct model *m, uint32_t doc, bool *used)
{
	const struct model_doc *x = &m->docs[doc];

	used[x->entry] = true;
	for (uint32_t i = 0; i < x->n_refs; i++)
		used[x->refs[i]] = true;
	for (uint32_t i = 0; i < x->n_children; i++)
		if (x->children[i] != STORE_NONE && (!used[m->docs[x->children[i]].entry]))
			use(m, x->children[i], used);
}

bool *model_used(const struct model *m)
{
	static const char blobs[] = "blobs/";
	bool *used = calloc(MAX(m->store->n, 1U), sizeof(*used));

	if (!used)
		return NULL;
	if (m->index != STORE_NONE)
		use(m, m->index, used);
	if (m->docker != STORE_NONE)
		use(m, m->docker, used);
	/* What is no blob is nobody's to drop. */
	for (uint32_t i = 0; i < m->store->n; i++)
		used[i] |= m->store->entries[i].type != STORE_FILE ||
			   strncmp(m->store->entries[i].name, blobs, strlen(blobs)) != 0;
	return used;
}
