/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The format: two numbers (entries, bytes of data), the entries (tag, type, offset, count), the data.
 * All numbers are big-endian. Strings end in NUL and stand one after another.
 */
#include "audit/rpm-header.h"

#include <errno.h>
#include <string.h>

#include "batten/base/cursor.h"

#define MAX_ENTRIES 65536
#define ENTRY_BYTES 16

enum {
	TAG_NAME = 1000,
	TAG_VERSION = 1001,
	TAG_RELEASE = 1002,
	TAG_FILEDIGESTS = 1035,
	TAG_DIRINDEXES = 1116,
	TAG_BASENAMES = 1117,
	TAG_DIRNAMES = 1118,
	TAG_FILEDIGESTALGO = 5011,
};

enum { TYPE_INT32 = 4, TYPE_STRING = 6, TYPE_STRING_ARRAY = 8 };

struct header {
	struct cursor entries, data;
};

static int open_header(struct header *h, struct slice bytes)
{
	struct cursor c;
	uint32_t n, n_data;

	cursor_init(&c, bytes.p, bytes.n);
	if (cursor_u32be(&c, &n) < 0 || cursor_u32be(&c, &n_data) < 0 || n > MAX_ENTRIES ||
	    cursor_sub(&c, (size_t)n * ENTRY_BYTES, &h->entries) < 0 || cursor_sub(&c, n_data, &h->data) < 0)
		return -EBADMSG;
	return 0;
}

/* The data of a tag from its offset on. Return: 0, -ENOENT, -EBADMSG. */
static int find_tag(const struct header *h, uint32_t tag, uint32_t type, struct cursor *ret, uint32_t *ret_count)
{
	struct cursor entries = h->entries;

	while (cursor_left(&entries) > 0) {
		uint32_t entry[4];

		for (size_t i = 0; i < 4; i++)
			if (cursor_u32be(&entries, &entry[i]) < 0)
				return -EBADMSG;
		if (entry[0] != tag)
			continue;
		*ret = h->data;
		*ret_count = entry[3];
		return entry[1] != type || cursor_skip(ret, entry[2]) < 0 ? -EBADMSG : 0;
	}
	return -ENOENT;
}

/* Number @index of a tag's strings. */
static int find_string(const struct header *h, uint32_t tag, uint32_t type, uint32_t index, struct slice *ret)
{
	struct cursor c;
	uint32_t count;
	int r = find_tag(h, tag, type, &c, &count);

	if (r < 0)
		return r;
	if (index >= count)
		return -ENOENT;
	for (uint32_t i = 0;; i++) {
		const uint8_t *text = c.p, *end = memchr(c.p, '\0', cursor_left(&c));

		if (!end || cursor_skip(&c, (size_t)(end - text) + 1) < 0)
			return -EBADMSG;
		*ret = (struct slice){ (const char *)text, (size_t)(end - text) };
		if (i == index)
			return 0;
	}
}

static int find_number(const struct header *h, uint32_t tag, uint32_t index, uint32_t *ret)
{
	struct cursor c;
	uint32_t count;
	int r = find_tag(h, tag, TYPE_INT32, &c, &count);

	if (r < 0)
		return r;
	if (index >= count)
		return -ENOENT;
	return cursor_skip(&c, (size_t)index * sizeof(uint32_t)) < 0 || cursor_u32be(&c, ret) < 0 ? -EBADMSG : 0;
}

/* Numbers of RFC 4880, as rpm uses them. */
static const char *algorithm_name(uint32_t number)
{
	switch (number) {
	case 1:
		return "md5";
	case 2:
		return "sha1";
	case 8:
		return "sha256";
	case 9:
		return "sha384";
	case 10:
		return "sha512";
	default:
		return NULL;
	}
}

int rpm_header_file(struct slice header, uint32_t index, struct rpm_file *ret)
{
	uint32_t directory, algorithm = 1; /* of headers that name none */
	struct rpm_file f = { 0 };
	struct header h;
	int r;

	r = open_header(&h, header);
	if (r >= 0)
		r = find_string(&h, TAG_BASENAMES, TYPE_STRING_ARRAY, index, &f.name);
	if (r >= 0)
		r = find_number(&h, TAG_DIRINDEXES, index, &directory);
	if (r >= 0)
		r = find_string(&h, TAG_DIRNAMES, TYPE_STRING_ARRAY, directory, &f.directory);
	if (r >= 0)
		r = find_string(&h, TAG_FILEDIGESTS, TYPE_STRING_ARRAY, index, &f.digest);
	if (r >= 0)
		r = find_string(&h, TAG_NAME, TYPE_STRING, 0, &f.package);
	if (r >= 0)
		r = find_string(&h, TAG_VERSION, TYPE_STRING, 0, &f.version);
	if (r >= 0)
		r = find_string(&h, TAG_RELEASE, TYPE_STRING, 0, &f.release);
	if (r < 0)
		return r;
	r = find_number(&h, TAG_FILEDIGESTALGO, 0, &algorithm);
	if (r < 0 && r != -ENOENT)
		return r;
	f.algorithm = algorithm_name(algorithm);
	if (!f.algorithm)
		return -ENOTSUP;
	if (f.digest.n == 0)
		return -ENOENT;
	*ret = f;
	return 0;
}
