/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Memory that lives as long as one piece of work and is freed whole. Nothing in it is freed alone.
 */
#include <stdarg.h>
#include <stddef.h>

#include "batten/base/macros.h"

struct arena {
	struct arena_block *blocks; /* newest first; private */
	int error;		    /* 0, or -ENOMEM once anything could not be had */
};

/* Frees everything; the arena is empty and usable afterwards. */
void arena_done(struct arena *a);

/* Zeroed and aligned for any type. Return: NULL on no memory, which also sets @a->error. */
void *arena_alloc(struct arena *a, size_t n);

/* Copies. They return "" instead of NULL on no memory, so that text can be printed unchecked. */
const char *arena_strdup(struct arena *a, const char *s);
const char *arena_strndup(struct arena *a, const char *s, size_t n);
const char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
const char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) _printf_(2, 0);
