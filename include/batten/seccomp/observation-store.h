/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * One observation per image digest, in files that are replaced atomically: what a reader or a crash
 * finds is a whole observation. Storing merges, so nothing known is ever lost by a restart.
 */
#include <limits.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/observation.h"

#define STORE_DIRECTORY "/var/lib/batten/seccomp"
#define MAX_STORED 1024 /* images; the one that was seen longest ago makes room */

/*
 * observation_store_merge - add to what is kept for an image
 * @dir:    made when it is missing
 * @digest: "sha256:…"
 * A file that cannot be read any more is set aside as NAME.bad and said in @d; the new one is kept.
 * Return: 0 or a negative errno; on failure what was kept stays as it was
 */
int observation_store_merge(const char *dir, const char *digest, const struct observation *o, struct diag *d) _must_check_;

/*
 * observation_store_path - the name of an image's file: DIR/sha256-HEX.json
 * Return: 0; -EINVAL for what is no digest; -ENAMETOOLONG
 */
int observation_store_path(const char *dir, const char *digest, char ret[static PATH_MAX], struct diag *d)
	_must_check_;

/*
 * observation_store_each - walk what is kept, in the order of the names
 * @fn: its result ends the walk when it is not 0; the observation dies with the call
 * Return: 0, the result of @fn, or a negative errno; a store that does not exist is empty
 */
int observation_store_each(const char *dir, int (*fn)(void *userdata, const char *digest, const struct observation *o),
	       void *userdata, struct diag *d) _must_check_;

/*
 * observation_store_find - by digest, by its beginning (12 digits at least) or by the name of an image
 * Return: 0; -ENOENT; -EEXIST when several fit
 */
int observation_store_find(const char *dir, const char *name, struct observation **ret, struct diag *d) _must_check_;
