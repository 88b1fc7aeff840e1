/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A growing buffer. One failed append makes the buffer stay failed, so that a writer of many
 * pieces checks once, at the end.
 */
#include <stddef.h>
#include <stdint.h>

#include "batten/base/macros.h"

struct bytes {
	char *data; /* owned; NUL-terminated whenever not NULL */
	size_t n;   /* bytes used, without the NUL */
	size_t size;
	int error; /* 0, or the first negative errno */
};

/* Frees the memory; the buffer is empty and usable afterwards. */
void bytes_done(struct bytes *b);

void bytes_append(struct bytes *b, const void *data, size_t n);
void bytes_append_str(struct bytes *b, const char *s);
void bytes_printf(struct bytes *b, const char *fmt, ...) _printf_(2, 3);

/* Makes room for @n more bytes. Return: 0 or -ENOMEM. */
int bytes_reserve(struct bytes *b, size_t n) _must_check_;

/*
 * bytes_take - move the memory out
 * @ret: NUL-terminated, freed by the caller; never NULL on success, also when nothing was written
 * Return: 0, or the first error of any append. @b is empty afterwards either way.
 */
int bytes_take(struct bytes *b, char **ret, size_t *ret_n) _must_check_;
