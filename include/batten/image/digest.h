/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * SHA-256, the one digest that every runtime accepts for images.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "batten/base/macros.h"
#include "batten/base/parse.h"

#define DIGEST_SIZE 32
#define DIGEST_HEX_SIZE 65  /* with the NUL */
#define DIGEST_TEXT_SIZE 72 /* "sha256:", hex and NUL */

struct digest {
	uint8_t bytes[DIGEST_SIZE];
};

static inline bool digest_eq(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

void digest_hex(const struct digest *d, char ret[static DIGEST_HEX_SIZE]);
void digest_text(const struct digest *d, char ret[static DIGEST_TEXT_SIZE]);

/* 64 lower-case hexadecimal digits. Return: 0 or -EINVAL. */
int digest_from_hex(struct slice hex, struct digest *ret);
/* The same behind "sha256:". Return: 0; -EINVAL malformed; -EOPNOTSUPP another algorithm. */
int digest_from_text(struct slice text, struct digest *ret);

/* A running sum. */
struct digester;
struct digester *digester_new(void); /* NULL on no memory */
struct digester *digester_free(struct digester *s);
DEFINE_CLEANUP(struct digester *, digester_free)
void digester_add(struct digester *s, const void *data, size_t n);
/* The same bytes to two sums that are not one; where it can be, for little more than the price of one. */
void digester_add_both(struct digester *a, struct digester *b, const void *data, size_t n);
/* @to goes on from where @from is. */
void digester_copy(struct digester *to, const struct digester *from);
/* The sum; @s starts again. Return: 0 or -EIO when the library failed anywhere before. */
int digester_end(struct digester *s, struct digest *ret) _must_check_;

int digest_of(const void *data, size_t n, struct digest *ret) _must_check_;
