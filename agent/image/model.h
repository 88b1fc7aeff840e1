/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the files of an image say about each other: indexes, manifests, configurations and layers,
 * of the OCI description and of Docker's, which may both be there for one and the same image.
 */
#include "batten/base/span.h"
#include "batten/image/digest.h"
#include "batten/image/layer.h"
#include "image/store.h"

#define MODEL_MAX_DOCS 4096
#define MODEL_MAX_BYTES (8 * 1024 * 1024) /* of memory: texts, the new ones too, and their values */
#define MODEL_MAX_LAYERS 4096
#define MODEL_MAX_DEPTH 8

enum doc_kind {
	DOC_INDEX, /* index.json or an index that it names */
	DOC_MANIFEST,
	DOC_CONFIG,
	DOC_DOCKER,       /* manifest.json */
	DOC_REPOSITORIES, /* repositories */
};

struct model_doc {
	enum doc_kind kind;
	uint32_t entry; /* in the store */
	char *text;
	struct span_doc spans;
	struct digest digest;
	uint32_t *refs; /* entries that it names, configurations and blobs */
	uint32_t n_refs;
	uint32_t *children; /* of an index: a document per element, STORE_NONE for one that is not
			       ours */
	uint32_t n_children;
	/* what becomes of it */
	bool settled, changed;
	struct bytes new_text;
	struct digest new_digest;
};

struct model_layer {
	uint32_t entry;
	bool named; /* its file is named by a digest: */
	struct digest name;
	uint64_t toc_at, toc_size; /* as struct layer_source has them */
	struct layer_result result;
	int new_fd; /* the new blob, from its beginning; -1 when unchanged */
};

/* One image as one description gives it. */
struct model_image {
	char *name;
	uint32_t config, manifest; /* documents; manifest is STORE_NONE in Docker's description */
	uint32_t *layers; /* STORE_NONE: left alone (foreign, or of no kind that we know) */
	struct digest *diff_ids;
	uint32_t n_layers;
	bool again; /* another description of an image that came before */
};

struct model {
	const struct store *store;
	struct model_doc *docs;
	struct model_layer *layers;
	struct model_image *images;
	uint32_t n_docs, n_layers, n_images;
	uint32_t index, docker, repositories; /* documents, or STORE_NONE */
	size_t n_bytes; /* what they take */
	const char *tag; /* only this reference of index.json, or NULL */
	char **notes;    /* for people: what was left alone, dropped or tolerated */
	size_t n_notes;
	bool has_parents; /* images that name parent images in manifest.json */
};

/*
 * model_load - read every description in @store
 * @tag: the one image of an OCI layout that is meant, or NULL for all of them
 * Return: 0 or a negative errno: -EBADMSG contradictory or malformed, -EINVAL no image at all,
 *         -EOPNOTSUPP encrypted layers or another digest than SHA-256, -E2BIG over a limit
 */
int model_load(struct model *m, const struct store *store, const char *tag,
	       struct diag *d) _must_check_;
void model_done(struct model *m);
/* Forgets the texts: nothing will be asked any more but digests, results and notes. */
void model_shed(struct model *m);
void model_note(struct model *m, const char *fmt, ...) _printf_(2, 3);

/* After the layers were walked: are they what the descriptions say? */
int model_verify(struct model *m, struct diag *d) _must_check_;

struct rewrite_options {
	bool keep_attestations;
};

/* New documents for changed layers. */
int model_rewrite(struct model *m, const struct rewrite_options *o, struct diag *d) _must_check_;

/*
 * model_renamed - replace every 64-digit run that names something that changed, in place
 * Return: how many were replaced
 */
unsigned int model_renamed(const struct model *m, char *text, size_t n);

/* Entries that the new image still consists of: one flag per entry. NULL on no memory. */
bool *model_used(const struct model *m);
