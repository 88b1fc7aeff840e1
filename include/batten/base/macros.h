/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The small vocabulary that every file uses: ownership by attribute, moves that can be searched
 * for, and contracts that compilers check.
 */
#include <stddef.h>
#include <stdlib.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _must_check_ __attribute__((warn_unused_result))
#define _sentinel_ __attribute__((sentinel))

/* Defines fnp() for _cleanup_() out of a destructor that takes NULL and returns NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline void fn##p(type *p)                                                          \
	{                                                                                          \
		if (*p)                                                                            \
			*p = fn(*p);                                                               \
	}

/* Moves a pointer out of an owned variable, which is NULL afterwards. */
#define take_ptr(x)                                                                                \
	({                                                                                         \
		__typeof__(x) *_take_p = &(x), _take_v = *_take_p;                                 \
		*_take_p = NULL;                                                                   \
		_take_v;                                                                           \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _min_a = (a);                                                        \
		__typeof__(b) _min_b = (b);                                                        \
		_min_a < _min_b ? _min_a : _min_b;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _max_a = (a);                                                        \
		__typeof__(b) _max_b = (b);                                                        \
		_max_a > _max_b ? _max_a : _max_b;                                                 \
	})

/* For _cleanup_(freep): memory from malloc() and its relatives. */
static inline void freep(void *p)
{
	free(*(void **)p);
}
