/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Three numbers; what follows them (a release candidate, a distribution's mark) does not count.
 */
#include "audit/version.h"

#include <stddef.h>

bool version_parse(const char *text, struct version *ret)
{
	*ret = (struct version){ 0 };
	if (*text == 'v')
		text++;
	if (*text < '0' || *text > '9')
		return false;
	for (size_t i = 0; i < 3; i++) {
		while (*text >= '0' && *text <= '9' && ret->part[i] < 100000000)
			ret->part[i] = ret->part[i] * 10 + (unsigned int)(*text++ - '0');
		if (*text != '.')
			break;
		text++;
	}
	return true;
}

int version_compare(const struct version *a, const struct version *b)
{
	for (size_t i = 0; i < 3; i++)
		if (a->part[i] != b->part[i])
			return a->part[i] < b->part[i] ? -1 : 1;
	return 0;
}

bool version_before(const char *text, const char *floor)
{
	struct version a, b;

	return version_parse(text, &a) && version_parse(floor, &b) && version_compare(&a, &b) < 0;
}
