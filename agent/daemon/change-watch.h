/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Who tells that something on the host changed: inotify for directories, netlink for the network.
 * Nothing is polled, and nothing is judged here.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/audit/changes.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct change_watch;

/* @changes: CHANGED(…) bits */
typedef void (*change_callback)(void *user, unsigned int changes);

/* Return: 0 or a negative errno; netlink must be there, directories need not. */
int change_watch_new(struct change_watch **ret, sd_event *event, change_callback callback, void *user,
		     struct diag *d) _must_check_;
struct change_watch *change_watch_free(struct change_watch *w);
DEFINE_CLEANUP(struct change_watch *, change_watch_free)

/*
 * change_watch_directory - tell when something in there changes
 * @path: absolute; one that does not exist is watched from the moment that it is made
 * @name: of the one file in there that counts; NULL: all of them
 * What is watched already is taken once. Return: 0, -ENOMEM, or -ENOSPC when the
 * kernel has no watch left
 */
int change_watch_directory(struct change_watch *w, const char *path, const char *name, enum change change,
			   struct diag *d) _must_check_;

/* [{path, file?, change, exists}]; NULL on no memory */
json_t *change_watch_status(const struct change_watch *w);
