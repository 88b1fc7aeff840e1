/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A tar stream read as container runtimes read it (they use Go's archive/tar), in pieces of any
 * size and without its contents, and the same-length edits that take privileges out of it.
 *
 * A privilege that we misread would be a false "clean". So whatever Go, GNU tar, bsdtar and Python
 * would read differently is refused, unless the difference cannot concern names, modes,
 * capabilities or where a member ends.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define TAR_BLOCK 512

/* All headers of one member together, long names and records included; also what a caller must be
 * able to hold back while a decision is open. */
#define TAR_MAX_HEADERS (1024 * 1024)

enum tar_kind {
	TAR_FILE,
	TAR_LINK, /* hard link */
	TAR_SYMLINK,
	TAR_DEVICE,
	TAR_DIR,
	TAR_FIFO,
	TAR_GLOBAL, /* a global extended header: no file; path is "/" */
};

enum tar_mode_bits {
	TAR_SETUID = 04000,
	TAR_SETGID = 02000,
};

/* One member; pointers die when the handler returns. */
struct tar_member {
	enum tar_kind kind;
	const char *path; /* absolute, cleaned: no ".", "..", "//" and no slash at the end */
	const char
		*link; /* target: cleaned like a path for a hard link, raw for a symlink, else "" */
	unsigned int mode; /* 12 bits: the header's mode and that of override_stat */
	uint64_t uid, gid;
	uint64_t offset;     /* of the first byte that belongs to it, extended headers included */
	uint64_t data, size; /* offset and length of the contents as stored */
	uint64_t end;        /* behind the padding */
	bool copy;	     /* no member: what a table of contents says about one */
	bool has_caps;
	const uint8_t *caps; /* value of security.capability, NULL when it cannot be read */
	size_t n_caps;
};

/* What a handler wants to leave the stream. */
enum tar_verdict {
	TAR_KEEP = 0,
	TAR_STRIP_SETUID = 1,
	TAR_STRIP_SETGID = 2,
	TAR_STRIP_CAPS = 4,
	TAR_REMOVE = 8,
};

struct tar_handler {
	/* Return: a set of enum tar_verdict, or a negative errno that ends the walk. */
	int (*member)(void *arg, const struct tar_member *m, struct diag *d);
	/* The @n bytes at @offset become @bytes. In ascending order; NULL when nothing is edited.
	 */
	int (*replace)(void *arg, uint64_t offset, const void *bytes, size_t n);
	/* The bytes from @from up to @to leave. May reach behind what has been fed. */
	int (*remove)(void *arg, uint64_t from, uint64_t to);
};

struct tar_walker;

/* @name: for the diag: which stream this is; copied. Return: NULL on no memory. */
struct tar_walker *tar_walker_new(const struct tar_handler *h, void *arg, const char *name);
struct tar_walker *tar_walker_free(struct tar_walker *w);
DEFINE_CLEANUP(struct tar_walker *, tar_walker_free)

/*
 * tar_walker_feed - the next bytes
 * Return: 0 or a negative errno: -EBADMSG malformed or ambiguous, -E2BIG over TAR_MAX_HEADERS,
 *         -ENOMEM, or what the handler returned. The walker cannot be used after a failure.
 */
int tar_walker_feed(struct tar_walker *w, const void *data, size_t n, struct diag *d) _must_check_;

/* The stream has ended. Return: 0, or -EBADMSG when it ended inside something. */
int tar_walker_finish(struct tar_walker *w, struct diag *d) _must_check_;

/* Every edit below this offset has been reported. */
uint64_t tar_walker_settled(const struct tar_walker *w);

/* How many of the next bytes are contents that may be skipped instead of fed. */
uint64_t tar_walker_skippable(const struct tar_walker *w);
void tar_walker_skip(struct tar_walker *w, uint64_t n);

/* True when the two blocks of zeros were met that end an archive; readers can do without. */
bool tar_walker_ended(const struct tar_walker *w);

/* True when something other than zeros followed the end marker: kept, but no reader sees it. */
bool tar_walker_has_trailer(const struct tar_walker *w);
