/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Numbers and units out of text. Digits only: no sign, no blanks, no hexadecimal by accident.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "batten/base/macros.h"

/* A piece of somebody else's text; not NUL-terminated, dies with its owner. */
struct slice {
	const char *p;
	size_t n;
};

static inline struct slice slice_of(const char *s)
{
	return (struct slice){ s, strlen(s) };
}

static inline bool slice_eq(struct slice s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* Without leading and trailing blanks (space, tab, CR, LF). */
struct slice slice_trim(struct slice s);

/*
 * parse_u64 - decimal digits
 * Return: 0; -EINVAL for anything but digits (also for nothing); -ERANGE outside @min…@max.
 */
int parse_u64(struct slice s, uint64_t min, uint64_t max, uint64_t *ret) _must_check_;

/* yes/no, true/false, on/off, 1/0 in lower case, as our own configuration reads it. -EINVAL else. */
int parse_bool(struct slice s, bool *ret) _must_check_;

/*
 * parse_duration_ms - digits and a unit: ms, s, m, h
 * Return: 0; -EINVAL without a unit or with an unknown one; -ERANGE outside @min_ms…@max_ms.
 */
int parse_duration_ms(struct slice s, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms) _must_check_;

/* The decimal text of @v in the caller's buffer; U64S(v) brings a buffer of its own. */
#define U64_TEXT_SIZE 21
const char *u64_text(char buf[static U64_TEXT_SIZE], uint64_t v);
#define U64S(v) u64_text((char[U64_TEXT_SIZE]){ 0 }, (v))
