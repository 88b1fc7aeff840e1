/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The files that an image consists of, wherever they stand: members of an archive, or of an OCI
 * layout directory. Nothing is extracted; a file is a range of a descriptor.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define STORE_MAX_BYTES (2 * 1024 * 1024) /* of memory, for entries and their names: some 30,000 files at most */
#define STORE_NONE UINT32_MAX

enum store_type { STORE_FILE, STORE_LINK, STORE_OTHER };

struct store_entry {
	char *name; /* relative, cleaned */
	enum store_type type;
	char *link; /* where a symbolic link points: relative to the top, cleaned; NULL beside one
		     */
	uint64_t head, data, size, end; /* of an archive's member; a directory has size alone */
};

/* Opens what stands at a place in a layout. Return: a descriptor or a negative errno. */
typedef int store_open_fn(void *arg, const char *name, struct diag *d);

struct store {
	char *name;   /* for people */
	bool archive; /* else a directory */
	int fd;
	store_open_fn *open; /* of a directory, for those who may open nothing themselves; or NULL */
	void *open_arg;
	uint64_t size;               /* of the archive */
	uint64_t tail;               /* where the last member ends */
	struct store_entry *entries; /* as they stand in the archive */
	uint32_t *sorted;            /* indexes by name */
	uint32_t n;
	size_t n_bytes; /* what they take */
};

/*
 * store_open_archive - read the headers of an archive
 * @fd: a regular file, owned by the store afterwards, also on failure
 * Return: 0 or a negative errno: -EBADMSG for anything that is no tar or names one thing twice
 */
int store_open_archive(struct store *ret, int fd, const char *name, struct diag *d) _must_check_;

/*
 * store_open_directory - an OCI layout: the files at its top, and blobs/ALGORITHM/NAME
 * @fd:   the directory, owned by the store afterwards, also on failure
 * @open: opens what is in it, as long as the store lives; NULL: openat()
 * Return: 0 or a negative errno; symbolic links are refused
 */
int store_open_directory(struct store *ret, int fd, const char *name, store_open_fn *open, void *arg,
			 struct diag *d) _must_check_;

/* Down through the directories below @top, none of which may be a link. Return: a descriptor or a negative errno. */
int store_open_below(int top, const char *name);

void store_done(struct store *s);

/* By name, through one symbolic link. Return: index of a file, or STORE_NONE. */
uint32_t blob_store_find(const struct store *s, const char *name);

/*
 * store_range - where a file's contents stand
 * @ret_fd: owned by the caller
 */
int store_range(const struct store *s, uint32_t index, int *ret_fd, uint64_t *ret_offset,
		struct diag *d) _must_check_;

/* The contents. Return: 0; -EFBIG over @max_bytes; or a negative errno. */
int store_read(const struct store *s, uint32_t index, size_t max_bytes, char **ret, size_t *ret_n,
	       struct diag *d) _must_check_;
