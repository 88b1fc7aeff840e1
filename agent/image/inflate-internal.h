/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A deflate decoder that knows where it is: to the bit in its input, and token by token when asked.
 * What a library decoder hides is what patching a stream needs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define INFLATE_WINDOW 32768
#define INFLATE_SLACK 288 /* bytes behind the limit that a run may write */
#define INFLATE_STORED_MAX 65535

#define LITLEN_BITS 11
#define DIST_BITS 9
#define LITLEN_ENTRIES 2400 /* more than 288 symbols of up to 15 bits can need */
#define DIST_ENTRIES 640

#define INFLATE_IN 65536
#define INFLATE_IN_SLACK 64

enum inflate_block { BLOCK_STORED, BLOCK_FIXED, BLOCK_DYNAMIC };

/* Sees the compressed bytes once each, in order, as they are read. */
typedef void inflate_input_fn(void *arg, const uint8_t *data, size_t n);

struct inflate {
	int fd;
	uint64_t begin, size; /* the range of the file that is read */
	inflate_input_fn *on_input;
	void *on_input_arg;
	const char *name;

	uint64_t loaded; /* bytes of the range that have been read */
	uint64_t buf_at; /* place in the range of buf[0] */
	size_t filled;
	bool eof;
	const uint8_t *p;
	uint64_t bits;
	unsigned int n_bits;

	enum inflate_block type;
	bool final;
	uint64_t header_bit, body_bit; /* where the block's header and its first token stand */
	size_t stored_left;
	bool block_done;

	uint8_t lens[320]; /* code lengths of the block: literals and lengths, then distances */
	unsigned int n_litlen, n_dist;
	bool tables_fixed; /* the tables are those of the fixed codes */
	uint32_t litlen[LITLEN_ENTRIES];
	uint32_t dist[DIST_ENTRIES];
	uint8_t buf[INFLATE_IN + INFLATE_IN_SLACK];
};

struct inflate_token {
	uint64_t bit, bit_end;
	unsigned int length;   /* 1 for a literal */
	unsigned int distance; /* 0 for a literal */
	uint8_t literal;
	bool end; /* end of block */
};

/* Starts on @size bytes at @begin of @fd. @name is for diags and must outlive @z. */
void inflate_init(struct inflate *z, int fd, uint64_t begin, uint64_t size, const char *name);

/* Where the next bit to be decoded stands, counted from the range's beginning. */
uint64_t inflate_bit(const struct inflate *z);

/* Goes on decoding elsewhere; input that is read again is not shown to on_input. */
int inflate_seek(struct inflate *z, uint64_t bit, struct diag *d) _must_check_;

/* Whole bytes of the range, at a byte boundary. -EBADMSG when they are not there. */
int inflate_bytes(struct inflate *z, void *ret, size_t n, struct diag *d) _must_check_;
void inflate_align(struct inflate *z);
/* True when all input has been decoded. */
int inflate_at_end(struct inflate *z, bool *ret, struct diag *d) _must_check_;

/* Reads a block's header: type, final, tables or length. */
int inflate_block_begin(struct inflate *z, struct diag *d) _must_check_;

/*
 * inflate_run - decode tokens of the current block
 * @out:      buffer; history stands before @at
 * @lowest:   first index of @out that a match may refer to
 * @at:       where to write; moved
 * @limit:    stop at or soon behind it; INFLATE_SLACK bytes behind it must be writable
 * Return: 0 (z->block_done tells why it stopped), or a negative errno
 */
int inflate_run(struct inflate *z, uint8_t *out, size_t lowest, size_t *at, size_t limit,
		struct diag *d) _must_check_;

/* The next token of a block that has codes. */
int inflate_token(struct inflate *z, struct inflate_token *ret, struct diag *d) _must_check_;
