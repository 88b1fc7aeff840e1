/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * One package's header as rpm keeps it in its database: what files it holds, and their digests.
 */
#include "batten/base/macros.h"
#include "batten/base/parse.h"

struct rpm_file {
	struct slice directory; /* with a slash at its end; all point into the header */
	struct slice name, digest;
	struct slice package, version, release;
	const char *algorithm; /* as OpenSSL calls it; a literal */
};

/*
 * rpm_header_file - the file number @index of a header
 * Return: 0; -ENOENT when it has no such file or no digest for it (a link, a directory); -EBADMSG
 *         for what is no header; -ENOTSUP for a digest of an unknown kind
 */
int rpm_header_file(struct slice header, uint32_t index, struct rpm_file *ret) _must_check_;
