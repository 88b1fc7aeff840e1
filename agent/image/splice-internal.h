/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Writes a changed copy of a range of a file: stretches of the original, to the bit, between pieces
 * that are new. The copy is hashed on its way.
 */
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/image/digest.h"

#define SPLICE_BUFFER 65536

struct splice {
	int in_fd, out_fd;
	uint64_t begin, size; /* the original: a range of in_fd */
	uint64_t in_bit;      /* the next bit of it that has not been copied or left out */
	uint64_t acc;         /* bits that fill no byte yet */
	unsigned int n_acc;
	uint64_t n_written; /* bytes handed to out_fd */
	struct digester *sum;
	const char *name;
	size_t n_out;
	uint8_t in[SPLICE_BUFFER + 16], out[SPLICE_BUFFER + 16];
};

/* @out_fd: written from its present offset on. Borrows the descriptors and @name. */
int splice_init(struct splice *s, int in_fd, uint64_t begin, uint64_t size, int out_fd,
		const char *name);
void splice_done(struct splice *s);

/* Copies the original up to @bit. */
int splice_copy_to(struct splice *s, uint64_t bit, struct diag *d) _must_check_;

/* Leaves out the original up to @bit. */
void splice_skip_to(struct splice *s, uint64_t bit);

/* Copies bits of the original from elsewhere; the place of copying does not move. */
int splice_copy_again(struct splice *s, uint64_t from_bit, uint64_t to_bit,
		      struct diag *d) _must_check_;

/* @n: up to 32 bits, the first to be written is the lowest */
int splice_put(struct splice *s, uint32_t bits, unsigned int n, struct diag *d) _must_check_;

/* Zero bits up to the next byte. */
int splice_align(struct splice *s, struct diag *d) _must_check_;
int splice_bytes(struct splice *s, const void *data, size_t n, struct diag *d) _must_check_;

/* Writes what is left. @ret_size: bytes of the copy. */
int splice_end(struct splice *s, struct digest *ret_sum, uint64_t *ret_size,
	       struct diag *d) _must_check_;
