/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The writing half of gzip_patch(): takes a stream's parts in order and writes the changed copy.
 */
#include "image/deflate-codes.h"
#include "image/inflate-internal.h"
#include "image/splice-internal.h"
#include "image/stage-internal.h"

/* What an eStargz footer's field holds: 16 hexadecimal digits and "STARGZ". */
#define GZIP_STARGZ_SIZE 22

enum gzip_part_kind { PART_MEMBER, PART_BLOCK, PART_TRAILER };

/* A stretch of the compressed stream and the plain bytes that it stands for. */
struct gzip_part {
	enum gzip_part_kind kind;
	uint64_t bit, bit_end;
	uint64_t plain, plain_end;
	/* a part of a block */
	enum inflate_block type;
	bool begins, final;
	uint64_t header_bit, body_bit;
	/* a member's header: where its eStargz pointer stands, or 0 */
	uint64_t stargz_bit;
	/* a trailer */
	uint32_t crc;
};

struct gzip_patch {
	struct splice out;
	struct inflate *tokens; /* a second decoder, for the parts that are looked at again */
	bool writing;           /* an edit has been met */
	bool member_touched;    /* in this member */
	uint64_t final_bit;     /* the flag of the last block, UINT64_MAX when it was dealt with */
	uint64_t codes_bit; /* header of the block whose codes @tokens and @own have */
	struct deflate_codes own, fixed;
	uint32_t crc;           /* of the member's edited bytes */
	uint64_t n_plain;       /* how many these are */
	bool enabled;
	uint8_t *window; /* edited bytes of a part and what a match may reach before it */
};

/* @out_fd: -1 to write nothing */
int gzip_patch_init(struct gzip_patch *g, int in_fd, uint64_t begin, uint64_t size, int out_fd,
		    const char *name) _must_check_;
void gzip_patch_done(struct gzip_patch *g);

int gzip_patch_member(struct gzip_patch *g, const struct gzip_part *p, struct diag *d) _must_check_;

/* @old_crc: of the member's bytes before this part */
int gzip_patch_block(struct gzip_patch *g, const struct stage *s, const struct gzip_part *p,
		     uint32_t old_crc, struct diag *d) _must_check_;

/* Edited bytes, in order. */
void gzip_patch_sum(struct gzip_patch *g, const uint8_t *data, size_t n);

int gzip_patch_trailer(struct gzip_patch *g, const struct gzip_part *p,
		       struct diag *d) _must_check_;

/* Copies the rest. */
int gzip_patch_end(struct gzip_patch *g, struct digest *ret_sum, uint64_t *ret_size,
		   struct diag *d) _must_check_;
