/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Version numbers, compared number by number: 1.10.0 is after 1.9.3.
 */
#include <stdbool.h>

struct version {
	unsigned int part[3];
};

/* Reads "v1.2.3-rc1+x": up to three numbers. Return: false when it begins with none. */
bool version_parse(const char *text, struct version *ret);

/* Less than, equal to or greater than 0, as strcmp(). */
int version_compare(const struct version *a, const struct version *b);

/* Is @text a version before @floor? False when @text is none. */
bool version_before(const char *text, const char *floor);
