/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The kernel's randomness.
 */
#include <stddef.h>

#include "batten/base/macros.h"

/* Fills @to with @n bytes, at most 256. Return: 0 or a negative errno. */
int random_fill(void *to, size_t n) _must_check_;
