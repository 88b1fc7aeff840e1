/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading the descriptions. Nothing is believed on its word: a document's digest is computed before
 * it is read, a descriptor's size is compared with the file's.
 */
#include "image/model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/fd.h"
#include "image/tar-internal.h"

#define REF_NAME "org.opencontainers.image.ref.name"

void model_note(struct model *m, const char *fmt, ...)
{
	/* Not reallocarray(): gcc 12 takes one that failed for a free. */
	char **grown = realloc(m->notes, (m->n_notes + 1) * sizeof(*grown));
	va_list ap;

	if (!grown)
		return;
	m->notes = grown;
	va_start(ap, fmt);
	if (vasprintf(&grown[m->n_notes], fmt, ap) >= 0)
		m->n_notes++;
	va_end(ap);
}

static int add_ref(struct model_doc *doc, uint32_t entry)
{
	uint32_t *grown = reallocarray(doc->refs, doc->n_refs + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	doc->refs = grown;
	grown[doc->n_refs++] = entry;
	return 0;
}

static int add_child(struct model_doc *doc, uint32_t child)
{
	uint32_t *grown = reallocarray(doc->children, doc->n_children + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	doc->children = grown;
	grown[doc->n_children++] = child;
	return 0;
}

/* ---- documents ------------------------------------------------------------------------------ */

/* @expected: the digest that it must have, or NULL. @ret_known: it was loaded before. */
static int load_doc(struct model *m, uint32_t entry, enum doc_kind kind,
		    const struct digest *expected, uint32_t *ret, bool *ret_known, struct diag *d)
{
	const char *name = m->store->entries[entry].name;
	struct model_doc doc = { .kind = kind, .entry = entry }, *grown;
	size_t n;
	int r;

	for (uint32_t i = 0; i < m->n_docs; i++) {
		if (m->docs[i].entry != entry)
			continue;
		if (m->docs[i].kind != kind)
			return diag_fail(d, -EBADMSG, name,
					 "is described as two kinds of document");
		if (expected && !digest_eq(expected, &m->docs[i].digest))
			return diag_fail(d, -EBADMSG, name,
					 "has another digest than a description says");
		*ret = i;
		*ret_known = true;
		return 0;
	}
	if (m->n_docs == MODEL_MAX_DOCS)
		return diag_fail(d, -E2BIG, m->store->name,
				 "more than %d manifests and configurations", MODEL_MAX_DOCS);
	r = store_read(m->store, entry, MIN((size_t)SPAN_MAX_TEXT, (MODEL_MAX_BYTES - m->n_bytes) / 2),
		       &doc.text, &n, d);
	if (r >= 0)
		r = digest_of(doc.text, n, &doc.digest);
	if (r >= 0 && expected && !digest_eq(expected, &doc.digest))
		r = diag_fail(d, -EBADMSG, name, "has another digest than a description says");
	if (r >= 0)
		r = span_parse(doc.text, n, name, &doc.spans, d);
	if (r >= 0) {
		m->n_bytes += 2 * n + doc.spans.n_values * sizeof(*doc.spans.values);
		if (m->n_bytes > MODEL_MAX_BYTES)
			r = diag_fail(d, -E2BIG, name, "with it manifests and configurations take more than %d bytes",
				      MODEL_MAX_BYTES);
	}
	grown = r < 0 ? NULL : reallocarray(m->docs, m->n_docs + 1, sizeof(*grown));
	if (!grown) {
		span_doc_done(&doc.spans);
		free(doc.text);
		return r < 0 ? r : -ENOMEM;
	}
	m->docs = grown;
	grown[m->n_docs] = doc;
	*ret = m->n_docs++;
	*ret_known = false;
	return 0;
}

/* A descriptor: whose digest it is, and where the file stands. @ret_entry: STORE_NONE: not here */
static int descriptor(struct model *m, const struct span_doc *doc, uint32_t at, struct digest *ret,
		      uint32_t *ret_entry, struct diag *d)
{
	char name[sizeof("blobs/sha256/") + DIGEST_HEX_SIZE];
	uint32_t digest, size;
	uint64_t n;
	int r;

	r = span_need(doc, at, "digest", SPAN_STRING, &digest, d);
	if (r >= 0)
		r = span_need(doc, at, "size", SPAN_NUMBER, &size, d);
	if (r >= 0)
		r = span_u64(doc, size, &n, d);
	if (r < 0)
		return r;
	r = digest_from_text(span_raw(doc, digest), ret);
	if (r == -EOPNOTSUPP)
		return diag_fail(d, r, doc->name,
				 "a digest is not SHA-256, the only kind that every runtime takes");
	if (r < 0)
		return diag_fail(d, -EBADMSG, doc->name, "a digest is malformed");
	memcpy(name, "blobs/sha256/", 13);
	digest_hex(ret, name + 13);
	*ret_entry = blob_store_find(m->store, name);
	if (*ret_entry != STORE_NONE && m->store->entries[*ret_entry].size != n)
		return diag_fail(d, -EBADMSG, name, "has %llu bytes, but %s says %llu",
				 (unsigned long long)m->store->entries[*ret_entry].size, doc->name,
				 (unsigned long long)n);
	return 0;
}

/* A string member, or "" when it is not there. */
static int text_of(const struct span_doc *doc, uint32_t at, const char *key, char **ret,
		   struct diag *d)
{
	uint32_t v;
	int r = span_get(doc, at, key, SPAN_STRING, &v, d);

	if (r < 0)
		return r;
	if (r > 0)
		return span_string(doc, v, ret, d);
	*ret = strdup("");
	return *ret ? 0 : -ENOMEM;
}

/* @ret: NULL or empty when it is not there */
static int annotation(const struct span_doc *doc, uint32_t at, const char *key, char **ret,
		      struct diag *d)
{
	uint32_t v;
	int r = span_get(doc, at, "annotations", SPAN_OBJECT, &v, d);

	return r > 0 ? text_of(doc, v, key, ret, d) : r;
}

/* ---- layers and images ---------------------------------------------------------------------- */

static int add_layer(struct model *m, uint32_t entry, uint32_t *ret, struct diag *d)
{
	static const char blobs[] = "blobs/sha256/";
	const char *name = m->store->entries[entry].name;
	struct model_layer layer = { .entry = entry, .new_fd = -1 }, *grown;

	for (uint32_t i = 0; i < m->n_layers; i++) {
		if (m->layers[i].entry == entry) {
			*ret = i;
			return 0;
		}
	}
	if (m->n_layers == MODEL_MAX_LAYERS)
		return diag_fail(d, -E2BIG, m->store->name, "more than %d layers",
				 MODEL_MAX_LAYERS);
	if (strncmp(name, blobs, strlen(blobs)) == 0)
		layer.named = digest_from_hex(slice_of(name + strlen(blobs)), &layer.name) == 0;
	grown = reallocarray(m->layers, m->n_layers + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	m->layers = grown;
	grown[m->n_layers] = layer;
	*ret = m->n_layers++;
	return 0;
}

/* An empty image whose diff_ids come from its configuration. */
static int add_image(struct model *m, const char *name, uint32_t config, uint32_t manifest,
		     struct model_image **ret, struct diag *d)
{
	const struct span_doc *doc = &m->docs[config].spans;
	struct model_image image = { .config = config, .manifest = manifest }, *grown;
	uint32_t rootfs, ids, n = 0;
	int r;

	r = span_need(doc, 0, "rootfs", SPAN_OBJECT, &rootfs, d);
	if (r < 0)
		return r;
	r = span_get(doc, rootfs, "diff_ids", SPAN_ARRAY, &ids, d);
	if (r < 0)
		return r;
	for (uint32_t i = r > 0 ? span_first(doc, ids) : 0; i; i = span_next(doc, i))
		n++;
	for (uint32_t i = 0; i < m->n_images; i++)
		image.again |= m->images[i].config == config;
	image.name = strdup(name);
	image.diff_ids = calloc(MAX(n, 1U), sizeof(*image.diff_ids));
	image.layers = calloc(MAX(n, 1U), sizeof(*image.layers));
	grown = reallocarray(m->images, m->n_images + 1, sizeof(*grown));
	if (grown)
		m->images = grown;
	if (!grown || !image.name || !image.diff_ids || !image.layers)
		r = -ENOMEM;
	for (uint32_t i = n > 0 ? span_first(doc, ids) : 0; i && r >= 0; i = span_next(doc, i)) {
		if (doc->values[i].type != SPAN_STRING ||
		    digest_from_text(span_raw(doc, i), &image.diff_ids[image.n_layers++]) < 0)
			r = diag_fail(d, -EBADMSG, doc->name, "diff_ids must be SHA-256 digests");
	}
	if (r < 0) {
		free(image.name);
		free(image.diff_ids);
		free(image.layers);
		return r;
	}
	grown[m->n_images] = image;
	*ret = &grown[m->n_images++];
	return 0;
}

/* The last one has no layer of a file system: an attestation in an image's clothes. */
static void forget_image(struct model *m)
{
	struct model_image *image = &m->images[--m->n_images];

	free(image->name);
	free(image->diff_ids);
	free(image->layers);
}

enum layer_type { TYPE_LAYER, TYPE_FOREIGN, TYPE_ENCRYPTED, TYPE_UNKNOWN };

static enum layer_type layer_type_of(const char *media_type)
{
	static const struct {
		const char *prefix;
		enum layer_type type;
	} rows[] = {
		{ "application/vnd.oci.image.layer.nondistributable.v1.tar", TYPE_FOREIGN },
		{ "application/vnd.docker.image.rootfs.foreign.diff.tar", TYPE_FOREIGN },
		{ "application/vnd.oci.image.layer.v1.tar", TYPE_LAYER },
		{ "application/vnd.docker.image.rootfs.diff.tar", TYPE_LAYER },
	};
	static const char *const ends[] = { "", "+gzip", "+zstd", ".gzip", ".zstd" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].prefix), k = strlen(media_type);

		if (strncmp(media_type, rows[i].prefix, n) != 0)
			continue;
		if (k >= 10 && strcmp(media_type + k - 10, "+encrypted") == 0)
			return TYPE_ENCRYPTED;
		for (size_t j = 0; j < ARRAY_SIZE(ends); j++)
			if (strcmp(media_type + n, ends[j]) == 0)
				return rows[i].type;
	}
	return TYPE_UNKNOWN;
}

/* "OFFSET:LENGTH:PLAIN_LENGTH:TYPE". @ret_size: 0 when no annotation is there */
static int toc_position(const struct span_doc *doc, uint32_t at, uint64_t *ret_at, uint64_t *ret_size,
			struct diag *d)
{
	static const char *const keys[] = { "io.github.containers.zstd-chunked.manifest-position",
					    "io.containers.zstd-chunked.manifest-position" };
	uint64_t n[2] = { 0 };

	*ret_size = 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		_cleanup_(freep) char *text = NULL;
		int r = annotation(doc, at, keys[i], &text, d);
		const char *p = text;

		if (r < 0)
			return r;
		if (!text || !*text)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(n); k++) {
			struct slice digits = { p, strcspn(p, ":") };

			if (parse_u64(digits, k, INT64_MAX, &n[k]) < 0 || p[digits.n] != ':')
				return diag_fail(d, -EBADMSG, doc->name, "%s is malformed", keys[i]);
			p += digits.n + 1;
		}
		if (*ret_size > 0 && (*ret_at != n[0] || *ret_size != n[1]))
			return diag_fail(d, -EBADMSG, doc->name,
					 "a layer's annotations point to two tables of contents");
		*ret_at = n[0];
		*ret_size = n[1];
	}
	return 0;
}

static int manifest_layer(struct model *m, uint32_t doc_index, uint32_t at, uint32_t *ret,
			  struct diag *d)
{
	struct model_doc *doc = &m->docs[doc_index];
	_cleanup_(freep) char *type = NULL;
	struct model_layer *layer;
	uint64_t toc_at = 0, toc_size = 0;
	struct digest digest;
	uint32_t entry = STORE_NONE;
	enum layer_type kind;
	int r;

	r = text_of(&doc->spans, at, "mediaType", &type, d);
	if (r >= 0)
		r = descriptor(m, &doc->spans, at, &digest, &entry, d);
	if (r >= 0 && entry != STORE_NONE)
		r = add_ref(doc, entry);
	if (r < 0)
		return r;
	kind = layer_type_of(type);
	*ret = STORE_NONE;
	if (kind == TYPE_ENCRYPTED)
		return diag_fail(d, -EOPNOTSUPP, doc->spans.name,
				 "an encrypted layer cannot be read; decrypt the image first");
	if (strncmp(type, "application/vnd.in-toto", strlen("application/vnd.in-toto")) == 0)
		return 0;
	if (kind == TYPE_FOREIGN || kind == TYPE_UNKNOWN) {
		model_note(m, "%s: a layer of type \"%s\" was left alone", doc->spans.name, type);
		return 0;
	}
	if (entry == STORE_NONE)
		return diag_fail(d, -EBADMSG, doc->spans.name,
				 "names a layer that is not in the image");
	r = toc_position(&doc->spans, at, &toc_at, &toc_size, d);
	if (r >= 0)
		r = add_layer(m, entry, ret, d);
	if (r < 0 || toc_size == 0)
		return r;
	layer = &m->layers[*ret];
	if (layer->toc_size > 0 && (layer->toc_at != toc_at || layer->toc_size != toc_size))
		return diag_fail(d, -EBADMSG, doc->spans.name,
				 "a layer's annotations point to two tables of contents");
	layer->toc_at = toc_at;
	layer->toc_size = toc_size;
	return 0;
}

static int load_manifest(struct model *m, uint32_t index, const char *name, struct diag *d)
{
	const struct span_doc *doc = &m->docs[index].spans;
	_cleanup_(freep) char *type = NULL;
	uint32_t config, layers, entry = STORE_NONE, config_doc, n = 0, other;
	struct model_image *image;
	struct digest digest;
	bool known, ours = false;
	int r;

	r = span_get(doc, 0, "manifests", SPAN_ARRAY, &other, d);
	if (r > 0)
		return diag_fail(d, -EBADMSG, doc->name,
				 "is a manifest and an index at the same time");
	if (r >= 0)
		r = span_need(doc, 0, "config", SPAN_OBJECT, &config, d);
	if (r >= 0)
		r = span_need(doc, 0, "layers", SPAN_ARRAY, &layers, d);
	if (r >= 0)
		r = text_of(doc, config, "mediaType", &type, d);
	if (r >= 0)
		r = descriptor(m, doc, config, &digest, &entry, d);
	if (r >= 0 && entry != STORE_NONE)
		r = add_ref(&m->docs[index], entry);
	if (r < 0)
		return r;
	if (strcmp(type, "application/vnd.oci.image.config.v1+json") != 0 &&
	    strcmp(type, "application/vnd.docker.container.image.v1+json") != 0) {
		/* An artifact: a signature, a chart. Its blobs belong to it, and to nobody's file
		 * system. */
		for (uint32_t i = span_first(doc, layers); i && r >= 0; i = span_next(doc, i)) {
			r = descriptor(m, doc, i, &digest, &entry, d);
			if (r >= 0 && entry != STORE_NONE)
				r = add_ref(&m->docs[index], entry);
		}
		return r;
	}
	if (entry == STORE_NONE)
		return diag_fail(d, -EBADMSG, doc->name,
				 "names a configuration that is not in the image");
	r = load_doc(m, entry, DOC_CONFIG, &digest, &config_doc, &known, d);
	if (r >= 0)
		r = add_image(m, name, config_doc, index, &image, d);
	if (r < 0)
		return r;
	doc = &m->docs[index].spans;
	for (uint32_t i = span_first(doc, layers); i; i = span_next(doc, i), n++) {
		if (n == image->n_layers)
			break;
		r = manifest_layer(m, index, i, &image->layers[n], d);
		if (r < 0)
			return r;
		ours |= image->layers[n] != STORE_NONE;
		if (!span_next(doc, i) && n + 1 == image->n_layers) {
			if (!ours)
				forget_image(m);
			return 0;
		}
	}
	if (!span_first(doc, layers) && image->n_layers == 0)
		return 0;
	return diag_fail(d, -EBADMSG, doc->name,
			 "has another number of layers than its configuration has diff_ids");
}

static int load_index(struct model *m, uint32_t index, const char *name, unsigned int depth,
		      struct diag *d);

static int load_element(struct model *m, uint32_t index, uint32_t at, const char *name,
			unsigned int depth, struct diag *d)
{
	const struct span_doc *doc = &m->docs[index].spans;
	_cleanup_(freep) char *type = NULL, *ref = NULL, *own = NULL, *full = NULL;
	uint32_t entry = STORE_NONE, child = STORE_NONE;
	struct digest digest;
	bool is_index, known = false;
	int r;

	r = text_of(doc, at, "mediaType", &type, d);
	if (r >= 0)
		r = descriptor(m, doc, at, &digest, &entry, d);
	if (r >= 0)
		r = annotation(doc, at, REF_NAME, &ref, d);
	if (r >= 0)
		r = annotation(doc, at, "io.containerd.image.name", &full, d);
	if (r < 0)
		return r;
	if (depth == 0 && m->tag && strcmp(ref ? ref : "", m->tag) != 0)
		return add_child(&m->docs[index], STORE_NONE);
	is_index = strcmp(type, "application/vnd.oci.image.index.v1+json") == 0 ||
		   strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json") == 0;
	if (!is_index && strcmp(type, "application/vnd.oci.image.manifest.v1+json") != 0 &&
	    strcmp(type, "application/vnd.docker.distribution.manifest.v2+json") != 0) {
		model_note(m, "%s: an element of type \"%s\" was left alone", doc->name, type);
		r = entry == STORE_NONE ? 0 : add_ref(&m->docs[index], entry);
		return r < 0 ? r : add_child(&m->docs[index], STORE_NONE);
	}
	if (entry == STORE_NONE) {
		model_note(m, "%s: one of its platforms is not in the image", doc->name);
		return add_child(&m->docs[index], STORE_NONE);
	}
	own = strdup(full && *full ? full : ref && *ref ? ref : name);
	if (!own)
		return -ENOMEM;
	r = load_doc(m, entry, is_index ? DOC_INDEX : DOC_MANIFEST, &digest, &child, &known, d);
	if (r >= 0)
		r = add_child(&m->docs[index], child);
	if (r < 0 || known)
		return r;
	return is_index ? load_index(m, child, own, depth + 1, d) : load_manifest(m, child, own, d);
}

static int load_index(struct model *m, uint32_t index, const char *name, unsigned int depth,
		      struct diag *d)
{
	uint32_t list, other;
	int r;

	if (depth > MODEL_MAX_DEPTH)
		return diag_fail(d, -E2BIG, m->docs[index].spans.name,
				 "indexes nested deeper than %d", MODEL_MAX_DEPTH);
	r = span_get(&m->docs[index].spans, 0, "layers", SPAN_ARRAY, &other, d);
	if (r > 0)
		return diag_fail(d, -EBADMSG, m->docs[index].spans.name,
				 "is a manifest and an index at the same time");
	/* Docker 25 wrote null for an image without a name. */
	if (r >= 0)
		r = span_get(&m->docs[index].spans, 0, "manifests", SPAN_ARRAY, &list, d);
	if (r <= 0)
		return r;
	r = 0;
	for (uint32_t i = span_first(&m->docs[index].spans, list); i && r >= 0;
	     i = span_next(&m->docs[index].spans, i))
		r = load_element(m, index, i, name, depth, d);
	return r;
}

/* ---- Docker's description ------------------------------------------------------------------- */

static int find_path(struct model *m, const struct span_doc *doc, uint32_t at, uint32_t *ret,
		     struct diag *d)
{
	_cleanup_(freep) char *path = NULL, *clean = NULL;
	int r;

	r = span_string(doc, at, &path, d);
	if (r < 0)
		return r;
	clean = malloc(strlen(path) + 2);
	if (!clean)
		return -ENOMEM;
	tar_path_clean(path, clean);
	*ret = blob_store_find(m->store, clean + 1);
	if (*ret == STORE_NONE)
		return diag_fail(d, -EBADMSG, doc->name, "names %s, which is not in the image",
				 path);
	return 0;
}

/* The digest that is a file's name: "HEX.json", "sha256:HEX", "blobs/sha256/HEX". */
static bool digest_in_name(const char *path, struct digest *ret)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (strncmp(name, "sha256:", 7) == 0)
		name += 7;
	if (strlen(name) < 64 || (name[64] != '\0' && strcmp(name + 64, ".json") != 0))
		return false;
	return digest_from_hex((struct slice){ name, 64 }, ret) == 0;
}

static int docker_image(struct model *m, uint32_t at, struct diag *d)
{
	const struct span_doc *doc = &m->docs[m->docker].spans;
	_cleanup_(freep) char *name = NULL;
	uint32_t config, layers, tags, entry, config_doc = STORE_NONE, parent, n = 0;
	struct model_image *image;
	struct digest digest;
	bool known;
	int r;

	r = span_need(doc, at, "Config", SPAN_STRING, &config, d);
	if (r >= 0)
		r = span_need(doc, at, "Layers", SPAN_ARRAY, &layers, d);
	if (r >= 0)
		r = find_path(m, doc, config, &entry, d);
	if (r >= 0)
		r = add_ref(&m->docs[m->docker], entry);
	if (r >= 0)
		r = span_get(doc, at, "Parent", SPAN_STRING, &parent, d);
	if (r < 0)
		return r;
	m->has_parents |= r > 0 && span_raw(doc, parent).n > 0;
	r = span_get(doc, at, "RepoTags", SPAN_ARRAY, &tags, d);
	if (r < 0)
		return r;
	if (r > 0 && span_first(doc, tags))
		r = span_string(doc, span_first(doc, tags), &name, d);
	else
		r = (name = strdup("")) ? 0 : -ENOMEM;
	if (r >= 0)
		r = load_doc(m, entry, DOC_CONFIG,
			     digest_in_name(m->store->entries[entry].name, &digest) ? &digest
										    : NULL,
			     &config_doc, &known, d);
	if (r >= 0)
		r = add_image(m, name, config_doc, STORE_NONE, &image, d);
	if (r < 0)
		return r;
	doc = &m->docs[m->docker].spans;
	for (uint32_t i = span_first(doc, layers); i; i = span_next(doc, i), n++) {
		if (n == image->n_layers)
			return diag_fail(d, -EBADMSG, doc->name,
					 "has more layers than the configuration has diff_ids");
		r = find_path(m, doc, i, &entry, d);
		if (r >= 0)
			r = add_ref(&m->docs[m->docker], entry);
		if (r >= 0)
			r = add_layer(m, entry, &image->layers[n], d);
		if (r < 0)
			return r;
	}
	if (n != image->n_layers)
		return diag_fail(d, -EBADMSG, doc->name,
				 "has fewer layers than the configuration has diff_ids");
	return 0;
}

static int load_docker(struct model *m, uint32_t entry, struct diag *d)
{
	uint32_t repositories = blob_store_find(m->store, "repositories");
	bool known;
	int r;

	r = load_doc(m, entry, DOC_DOCKER, NULL, &m->docker, &known, d);
	if (r < 0)
		return r;
	if (m->docs[m->docker].spans.values[0].type != SPAN_ARRAY)
		return diag_fail(d, -EBADMSG, "manifest.json", "is not a list of images");
	for (uint32_t i = span_first(&m->docs[m->docker].spans, 0); i && r >= 0;
	     i = span_next(&m->docs[m->docker].spans, i))
		r = docker_image(m, i, d);
	if (r >= 0 && repositories != STORE_NONE)
		r = load_doc(m, repositories, DOC_REPOSITORIES, NULL, &m->repositories, &known, d);
	return r;
}

int model_load(struct model *m, const struct store *store, const char *tag, struct diag *d)
{
	uint32_t docker = blob_store_find(store, "manifest.json"),
		 index = blob_store_find(store, "index.json");
	bool known;
	int r = 0;

	*m = (struct model){ .store = store, .tag = tag };
	m->index = m->docker = m->repositories = STORE_NONE;
	if (docker == STORE_NONE && index == STORE_NONE)
		return diag_fail(
			d, -EINVAL, store->name,
			"holds neither manifest.json nor index.json: no image that is known");
	if (docker != STORE_NONE)
		r = load_docker(m, docker, d);
	if (r >= 0 && index != STORE_NONE)
		r = load_doc(m, index, DOC_INDEX, NULL, &m->index, &known, d);
	if (r >= 0 && index != STORE_NONE)
		r = load_index(m, m->index, "", 0, d);
	if (r < 0)
		return r;
	if (m->n_images == 0)
		return diag_fail(d, -EINVAL, store->name,
				 tag ? "holds no image named %s" : "holds no image%s",
				 tag ? tag : "");
	return 0;
}

void model_shed(struct model *m)
{
	for (uint32_t i = 0; i < m->n_docs; i++) {
		free(m->docs[i].text);
		m->docs[i].text = NULL;
		span_doc_done(&m->docs[i].spans);
		bytes_done(&m->docs[i].new_text);
	}
}

void model_done(struct model *m)
{
	model_shed(m);
	for (uint32_t i = 0; i < m->n_docs; i++) {
		free(m->docs[i].refs);
		free(m->docs[i].children);
	}
	for (uint32_t i = 0; i < m->n_layers; i++)
		m->layers[i].new_fd = fd_close(m->layers[i].new_fd);
	for (uint32_t i = 0; i < m->n_images; i++) {
		free(m->images[i].name);
		free(m->images[i].layers);
		free(m->images[i].diff_ids);
	}
	for (size_t i = 0; i < m->n_notes; i++)
		free(m->notes[i]);
	free(m->docs);
	free(m->layers);
	free(m->images);
	free(m->notes);
	*m = (struct model){ 0 };
}

/* Docker 25.0.0 wrote the layers of its OCI manifest in a wrong order; manifest.json had them
 * right. */
static bool described_otherwise(const struct model *m, const struct model_image *image)
{
	for (uint32_t i = 0; i < m->n_images; i++)
		if (m->images[i].config == image->config && m->images[i].manifest == STORE_NONE &&
		    image->manifest != STORE_NONE)
			return true;
	return false;
}

int model_verify(struct model *m, struct diag *d)
{
	for (uint32_t i = 0; i < m->n_layers; i++) {
		const struct model_layer *l = &m->layers[i];

		if (l->named && !digest_eq(&l->name, &l->result.old_blob))
			return diag_fail(d, -EBADMSG, m->store->entries[l->entry].name,
					 "the contents have another digest");
		if (l->result.has_toc && l->result.changed)
			model_note(m,
				   "%s: its table of contents for lazy pulling was taken out; it is a "
				   "plain layer now",
				   m->store->entries[l->entry].name);
		if (l->result.toc_elsewhere && !l->result.changed)
			model_note(m,
				   "%s: its table of contents for lazy pulling is in another image, "
				   "which was not looked into",
				   m->store->entries[l->entry].name);
	}
	for (uint32_t i = 0; i < m->n_images; i++) {
		const struct model_image *image = &m->images[i];

		for (uint32_t k = 0; k < image->n_layers; k++) {
			if (image->layers[k] == STORE_NONE ||
			    digest_eq(&image->diff_ids[k],
				      &m->layers[image->layers[k]].result.old_diff))
				continue;
			if (described_otherwise(m, image)) {
				model_note(
					m,
					"%s: the layers stand in another order than their diff_ids",
					m->docs[image->manifest].spans.name);
				break;
			}
			return diag_fail(d, -EBADMSG, m->docs[image->config].spans.name,
					 "diff_ids[%u] is not the digest of that layer", k);
		}
	}
	return 0;
}
