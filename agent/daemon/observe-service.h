/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Observing the containers' system calls in the daemon's loop, when [seccomp] observe = yes. Every
 * function takes NULL for "not observing".
 */
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/host/container.h"
#include "batten/seccomp/watch.h"

struct observe_service;

/*
 * News (see observer_event) and what a profile on trial would deny.
 * @held_back: as many before this one were held back, for there were too many
 */
typedef void (*observe_callback)(void *user, const char *container_id, const struct observer_event *e,
				 uint64_t held_back);

/*
 * observe_service_new - load the observer and store what it sees
 * @state_dir: its store is the folder "seccomp" in there
 * Return: 0 or a negative errno: -EPERM, -EOPNOTSUPP where the kernel cannot
 */
int observe_service_new(struct observe_service **ret, sd_event *event, const char *state_dir,
			observe_callback callback, void *user, struct diag *d) _must_check_;

/* Stores everything first. */
struct observe_service *observe_service_free(struct observe_service *s);
DEFINE_CLEANUP(struct observe_service *, observe_service_free)

/* Return: 0, or why something could not be stored */
int observe_service_store(struct observe_service *s, struct diag *d) _must_check_;

void observe_service_runs(struct observe_service *s, const struct container *c);
/* It ran, and was over before it could be told. */
void observe_service_over(struct observe_service *s, const struct container *c);
void observe_service_ended(struct observe_service *s, const char *container_id);

/* Tries a profile, or those of a directory; "" for none. The same again changes nothing. See seccomp_watch_shadow(). */
int observe_service_shadow(struct observe_service *s, const char *path, struct diag *d) _must_check_;

/* See seccomp_watch_shadow_json(); NULL when nothing is observed. */
json_t *observe_service_shadow_json(struct observe_service *s);
