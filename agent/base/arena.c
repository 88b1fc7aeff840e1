/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Blocks that grow downwards into a chain; an allocation larger than a block gets its own.
 */
#include "batten/base/arena.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (64 * 1024)
#define ALIGNMENT _Alignof(max_align_t)

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(max_align_t) unsigned char data[];
};

void arena_done(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;

		free(a->blocks);
		a->blocks = next;
	}
	a->error = 0;
}

static struct arena_block *new_block(struct arena *a, size_t n)
{
	size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
	struct arena_block *b;

	if (size > SIZE_MAX - sizeof(*b))
		return NULL;
	b = calloc(1, sizeof(*b) + size);
	if (!b)
		return NULL;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	void *p;

	if (n > SIZE_MAX - ALIGNMENT) {
		a->error = -ENOMEM;
		return NULL;
	}
	n = (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (!b || n > b->size - b->used)
		b = new_block(a, n);
	if (!b) {
		a->error = -ENOMEM;
		return NULL;
	}
	p = b->data + b->used;
	b->used += n;
	return p;
}

const char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;

	if (!p)
		return "";
	memcpy(p, s, n);
	return p;
}

const char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

/* Into what is left of the block, which most texts fit into, and for longer ones once more. */
const char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	struct arena_block *b = a->blocks;
	size_t left = b ? b->size - b->used : 0;
	char *p = left > 0 ? (char *)b->data + b->used : NULL;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(p, left, fmt, ap);
	if (n >= 0 && (size_t)n < left) {
		p = arena_alloc(a, (size_t)n + 1);
	} else {
		if (p)
			memset(p, 0, left); /* as whoever gets it next was told */
		p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
		if (p)
			(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	return p ? p : "";
}

const char *arena_printf(struct arena *a, const char *fmt, ...)
{
	const char *s;
	va_list ap;

	va_start(ap, fmt);
	s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}
