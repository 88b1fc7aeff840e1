/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Stripping an image of Docker's store on request, in a worker. One at a time.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct strip_service;

/* @done: called when a worker has ended, and who waits should ask again. Return: 0 or -ENOMEM */
int strip_service_new(struct strip_service **ret, sd_event *event, void (*done)(void *user), void *user) _must_check_;
struct strip_service *strip_service_free(struct strip_service *s);
DEFINE_CLEANUP(struct strip_service *, strip_service_free)

/*
 * strip_service_ask - start it, or tell how it ended
 * @request: {token, source, destination, rules: [TEXT, …]}; the token is the asker's own, and the same
 *           when it asks again. Rules are the command's long options: "dirs", "keep=GLOB", …
 * @docker:  URL or ""
 * @ret:     {notes: [], old_name?, digest?, changed, stripped, removed, kept, n_changed, n_layers}
 * Return: 0; 1 while it goes on; -EBUSY for another's; -EINVAL for what may not be asked; or why
 *         stripping failed
 */
int strip_service_ask(struct strip_service *s, const json_t *request, const char *docker, json_t **ret,
		      struct diag *d) _must_check_;
