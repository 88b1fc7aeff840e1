/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "batten/base/arena.h"
#include "batten/base/macros.h"

bool is_gzip(const char *data, size_t n);

/*
 * unpack_text - what a small gzip file holds, all its members, with a NUL behind it
 * @ret: in the arena
 * Return: 0; -EBADMSG when it is none; -EFBIG when more than @max_bytes come out; -ENOMEM
 */
int unpack_text(struct arena *arena, const char *data, size_t n, size_t max_bytes, const char **ret, size_t *ret_n) _must_check_;
