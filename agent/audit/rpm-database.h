/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * rpm's database, read without librpm: which package holds a file, and with which digest.
 */
#include "batten/audit/facts.h"

struct rpm_owner {
	const char *package;		/* name-version-release */
	const char *digest, *algorithm; /* hexadecimal; as OpenSSL calls it */
};

/*
 * rpm_owner_of - look a file up by its path
 * @ret:        strings live as long as the facts
 * @ret_reason: why not, for every error but the first two; a literal
 * Return: 0; -ENOENT no package holds a regular file of that path; -ENODATA there is no such
 *         database here; another negative errno when it cannot be read
 */
int rpm_owner_of(struct facts *f, const char *path, struct rpm_owner *ret, const char **ret_reason) _must_check_;
