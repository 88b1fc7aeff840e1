/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A window on untrusted bytes. Every take compares with what is left, and a take that fails moves
 * nothing.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "batten/base/macros.h"

struct cursor {
	const uint8_t *p, *end;
};

static inline void cursor_init(struct cursor *c, const void *data, size_t n)
{
	c->p = data;
	c->end = c->p + n;
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

/* Take @n bytes. Return: 0, or -EBADMSG when fewer are left. */
static inline int cursor_take(struct cursor *c, size_t n, const uint8_t **ret)
{
	if (n > cursor_left(c))
		return -EBADMSG;
	*ret = c->p;
	c->p += n;
	return 0;
}

static inline int cursor_skip(struct cursor *c, size_t n)
{
	const uint8_t *p;

	return cursor_take(c, n, &p);
}

/* A child window over the next @n bytes, for a nested value. */
static inline int cursor_sub(struct cursor *c, size_t n, struct cursor *ret)
{
	const uint8_t *p;
	int r = cursor_take(c, n, &p);

	if (r < 0)
		return r;
	cursor_init(ret, p, n);
	return 0;
}

static inline int cursor_u8(struct cursor *c, uint8_t *ret)
{
	const uint8_t *p;
	int r = cursor_take(c, 1, &p);

	if (r < 0)
		return r;
	*ret = p[0];
	return 0;
}

/* Big-endian and little-endian numbers at any alignment. */
#define CURSOR_NUMBER(name, type, expr)                                                            \
	static inline int name(struct cursor *c, type *ret)                                        \
	{                                                                                          \
		const uint8_t *p;                                                                  \
		int r = cursor_take(c, sizeof(type), &p);                                          \
                                                                                                   \
		if (r < 0)                                                                         \
			return r;                                                                  \
		*ret = (type)(expr);                                                               \
		return 0;                                                                          \
	}
CURSOR_NUMBER(cursor_u16be, uint16_t, (p[0] << 8) | p[1])
CURSOR_NUMBER(cursor_u16le, uint16_t, (p[1] << 8) | p[0])
CURSOR_NUMBER(cursor_u32be, uint32_t,
	      ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3])
CURSOR_NUMBER(cursor_u32le, uint32_t,
	      ((uint32_t)p[3] << 24) | ((uint32_t)p[2] << 16) | ((uint32_t)p[1] << 8) | p[0])
#undef CURSOR_NUMBER
