/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include <jansson.h>
#include <stddef.h>

/*
 * json_decode - plain JSON, which is nearly all that programs write, in half of jansson's time
 * Return: an object or a list, owned by the caller; NULL for whatever is not plain, or not JSON, or
 *         without memory: jansson is to read it then, and to judge
 */
json_t *json_decode(const char *text, size_t n);
