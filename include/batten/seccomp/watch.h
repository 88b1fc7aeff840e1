/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Observing all containers of a host, as the daemon does: the observer, who is who, and the store.
 * One descriptor to poll, one call on a timer, one call when a container runs or has ended (the
 * calls of host_watch_calls). What was seen is stored now and then and whenever a container ends,
 * so a crash costs minutes of watching and nothing that was stored.
 */
#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"
#include "batten/host/container.h"
#include "batten/seccomp/observer.h"

struct seccomp_watch;

/* A first sight with its container; @container_id is NULL while nobody has told whose it is. */
typedef void (*seccomp_watch_callback)(void *userdata, const char *container_id, const struct observer_event *e);

/*
 * seccomp_watch_new - load the observer; containers made from here on are seen from their first task
 * @dir:      the store, see observation-store.h
 * @callback: may be NULL
 * Return: as observer_new()
 */
int seccomp_watch_new(struct seccomp_watch **ret, const char *dir, seccomp_watch_callback callback, void *userdata,
		      struct diag *d) _must_check_;
/* Stores everything first, as far as that is possible. */
struct seccomp_watch *seccomp_watch_free(struct seccomp_watch *w);
DEFINE_CLEANUP(struct seccomp_watch *, seccomp_watch_free)

/* What this kernel and host allowed for, in words: "by cgroup, storage by task". */
const char *seccomp_watch_means(const struct seccomp_watch *w);

/* Readable when seccomp_watch_dispatch() has something to do; call it every 10 s besides. */
int seccomp_watch_fd(const struct seccomp_watch *w);
/* Return: 0, or why something could not be stored (it is tried again); words in @d. */
int seccomp_watch_dispatch(struct seccomp_watch *w, struct diag *d) _must_check_;

/*
 * seccomp_watch_runs - a container runs, or something about it changed
 * Calling it again for the same container does nothing. Return: 0; -E2BIG when too many are watched
 */
int seccomp_watch_runs(struct seccomp_watch *w, const struct container *c, struct diag *d) _must_check_;

/* A container has ended: what it did is stored and it is forgotten. Unknown ones are no error. */
int seccomp_watch_ended(struct seccomp_watch *w, const char *container_id, struct diag *d) _must_check_;

/*
 * seccomp_watch_over - a container ran, and was over before seccomp_watch_runs() could be called for it
 * @c: its id, image and digest are enough. What was seen of it from its first task on is stored, soon; at once
 *     by seccomp_watch_store().
 * Return: 0, also when nothing was seen of it; -ENOMEM
 */
int seccomp_watch_over(struct seccomp_watch *w, const struct container *c, struct diag *d) _must_check_;

/*
 * seccomp_watch_shadow - try a profile on all containers: count what it would deny, and deny nothing
 * @path: a profile for all of them; a directory, where each container's is the file that is named by
 *        the digest of its image (sha256-HEX.json); NULL: none. What was counted before is forgotten.
 * Return: as observer_shadow(); a negative errno with words, -EINVAL for a bad profile: nothing has changed,
 *         or, for a directory, the image that @d names goes without
 */
int seccomp_watch_shadow(struct seccomp_watch *w, const char *path, struct diag *d) _must_check_;

/* {"schema", "profile"?, "images": [{"image", "digest", "denied": [{"call", "abi", "count"}]}]} */
json_t *seccomp_watch_shadow_json(struct seccomp_watch *w);

/* Stores what all watched containers have done so far. */
int seccomp_watch_store(struct seccomp_watch *w, struct diag *d) _must_check_;
