/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * An object of the file system as a value: what stands under a name, with its bytes, mode, owner and
 * extended attributes. It can be taken, compared, changed and put back, so that "before" and "after"
 * of a change are two values of one kind. Putting a file or a link is one rename(): whoever looks, and
 * a machine that dies, finds the old object or the new one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

enum snapshot_kind {
	SNAPSHOT_ABSENT,
	SNAPSHOT_FILE,
	SNAPSHOT_LINK,
	SNAPSHOT_DIRECTORY, /* without what is in it */
	SNAPSHOT_OTHER,	    /* a socket, a device…: only its mode, owner and attributes */
	_SNAPSHOT_KIND_MAX,
};

struct snapshot_attribute {
	char *name;
	char *value;
	size_t n;
};

struct snapshot {
	enum snapshot_kind kind;
	mode_t mode; /* permission bits; 0 for a link */
	uid_t uid;
	gid_t gid;
	char *data; /* a file's bytes or a link's text; owned, NUL behind the last byte */
	size_t n;
	struct snapshot_attribute *attributes; /* owned, in the order of their names */
	size_t n_attributes;
};

/*
 * snapshot_take - look at what stands under a name; a link is not followed
 * @dirfd:     its directory, or AT_FDCWD
 * @name:      for AT_FDCWD any path
 * @max_bytes: a larger file is -EFBIG
 * Return: 0, also when there is nothing, or a negative errno
 */
int snapshot_take(struct snapshot *ret, int dirfd, const char *name, size_t max_bytes,
		  struct diag *d) _must_check_;

/* Frees what it holds; it is of kind SNAPSHOT_ABSENT afterwards. */
void snapshot_done(struct snapshot *s);

int snapshot_copy(struct snapshot *ret, const struct snapshot *s) _must_check_;
/* Puts other bytes in. Return: 0 or -ENOMEM. */
int snapshot_set_data(struct snapshot *s, const void *data, size_t n) _must_check_;
/* Takes an attribute out; harmless when it is not there. */
void snapshot_drop_attribute(struct snapshot *s, const char *name);
int snapshot_add_attribute(struct snapshot *s, const char *name, const void *value, size_t n) _must_check_;
bool snapshot_equal(const struct snapshot *a, const struct snapshot *b);

/*
 * Is @s what a change from @a to @b leaves when it is cut short? A file or a link is one of the two;
 * mode, owner and attributes of anything else are set one after another.
 */
bool snapshot_between(const struct snapshot *s, const struct snapshot *a, const struct snapshot *b);

/*
 * snapshot_put - make what stands under a name what the snapshot says, durably
 * @dirfd:     the directory of @name; both are names in it, without a slash
 * @temporary: the name that the new object has before it has its own; what stands there is removed
 * Return: 0 or a negative errno: -ENOTEMPTY for a directory that should go, -ENXIO for a socket or device
 *         that should come. On failure a file or link under @name is what it was, and nothing has
 *         the temporary name.
 */
int snapshot_put(const struct snapshot *s, int dirfd, const char *name, const char *temporary,
		 struct diag *d) _must_check_;
