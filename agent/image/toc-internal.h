/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Tables of contents. eStargz and zstd:chunked repeat names, modes and attributes of a layer's
 * members in a JSON document behind them, and a reader that knows it believes the document, not the
 * tar. So it is read the way such a reader finds it.
 */
#include "batten/image/layer.h"

/* Told of every entry that has setuid, setgid or a capability. Return: 0 or a negative errno. */
typedef int toc_entry_fn(void *arg, const struct tar_member *m, struct diag *d);

enum toc_where {
	TOC_NONE,
	TOC_HERE,      /* it was read */
	TOC_ELSEWHERE, /* in another image: nothing can be said about it */
};

/*
 * toc_read - find and read the table of contents of a layer
 * @max_plain: more plain bytes than this are -EFBIG
 * Return: 0; -EBADMSG when the layer points to one that cannot be read; what @entry returned
 */
int toc_read(const struct layer_source *src, enum layer_compression compression, uint64_t max_plain,
	     toc_entry_fn *entry, void *arg, enum toc_where *ret, struct diag *d) _must_check_;

/* The document, in pieces of any size. */
struct toc_json;

struct toc_json *toc_json_new(toc_entry_fn *entry, void *arg);
struct toc_json *toc_json_free(struct toc_json *t);
DEFINE_CLEANUP(struct toc_json *, toc_json_free)

/* Return: 0 or what the entry function returned; what is no JSON is told at the end. */
int toc_json_feed(struct toc_json *t, const void *data, size_t n, struct diag *d) _must_check_;

/* True when it was one JSON object with a list of entries, whole. */
bool toc_json_whole(const struct toc_json *t);
