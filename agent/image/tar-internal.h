/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The two parsers below the tar walker: the 512-byte header and the records of an extended header.
 */
#include "batten/base/parse.h"
#include "batten/image/tar.h"

enum tar_format { TAR_V7, TAR_USTAR, TAR_STAR, TAR_GNU };

#define TAR_MODE_AT 100
#define TAR_MODE_SIZE 8
#define TAR_CHECKSUM_AT 148
#define TAR_CHECKSUM_SIZE 8

struct tar_header {
	enum tar_format format;
	char type;
	uint64_t mode, uid, gid, size;
	char name[256 + 1]; /* prefix joined */
	char link[100 + 1];
	bool sparse_more; /* type S: an extension block follows */
};

/* The map of a GNU sparse member, as far as it was read: one piece of contents behind the other. */
struct tar_sparse {
	uint64_t sum, end; /* bytes of contents; where the last piece ends in the file */
	bool ended;	   /* an entry was empty */
};

#define TAR_SPARSE_AT 386 /* of a header's entries */
#define TAR_SPARSE_IN_HEADER 4
#define TAR_SPARSE_IN_BLOCK 21

/* The next @n entries. Return: 0, or -EBADMSG for what readers understand in different ways. */
int tar_sparse_read(struct tar_sparse *s, const uint8_t *entries, size_t n);

/*
 * tar_header_parse - read and check one block that is not all zeros
 * @where: for the diag
 * Return: 0 or -EBADMSG
 */
int tar_header_parse(const uint8_t block[static TAR_BLOCK], struct tar_header *ret,
		     const char *where, struct diag *d);

/*
 * tar_header_clear - the same block with mode bits cleared and the checksum moved by as much
 * @bits: TAR_SETUID, TAR_SETGID or both; those that are not set change nothing
 */
void tar_header_clear(uint8_t block[static TAR_BLOCK], unsigned int bits);

bool tar_block_is_zero(const uint8_t block[static TAR_BLOCK]);

/* One "LENGTH KEY=VALUE\n" record. */
struct tar_record {
	struct slice whole, key, value;
};

/*
 * tar_record_next - take the next record off @left
 * Return: 1, 0 at the end, or -EBADMSG for what Go would not accept, or would read in another way
 */
int tar_record_next(struct slice *left, struct tar_record *ret, const char *where, struct diag *d);

enum tar_xattr { TAR_XATTR_OTHER, TAR_XATTR_CAPS, TAR_XATTR_OVERRIDE };

/* What attribute a record sets. @ret_base64: the value is encoded (bsdtar's spelling) */
enum tar_xattr tar_record_xattr(const struct tar_record *r, bool *ret_base64);

/* Writes a comment of the same length over a record. */
void tar_record_blank(const struct tar_record *r, char *out);

/*
 * tar_override_mode - where the octal mode stands in "uid:gid:mode[:type]"
 * Return: 0 or -EBADMSG
 */
int tar_override_mode(struct slice value, struct slice *ret_digits, unsigned int *ret_mode);

/* Clears @bits in a run of octal digits, in place. */
void tar_octal_clear(char *digits, size_t n, unsigned int bits);

/* Decodes base64 (padding optional). Return: bytes written to @out, or -EBADMSG. */
int tar_base64(struct slice in, uint8_t *out, size_t size);

/*
 * tar_path_clean - absolute, lexically cleaned
 * @out: at least strlen(@in) + 2 bytes
 */
void tar_path_clean(const char *in, char *out);
