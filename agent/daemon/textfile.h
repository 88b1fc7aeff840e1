/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The metrics in a file for node_exporter's textfile collector, replaced whole, four times a minute.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/base/macros.h"
#include "batten/daemon/settings.h"

struct textfile;

/* @status: makes the document of the moment; NULL on no memory. Return: 0 or -ENOMEM */
int textfile_new(struct textfile **ret, sd_event *event, json_t *(*status)(void *user), void *user) _must_check_;
struct textfile *textfile_free(struct textfile *t);
DEFINE_CLEANUP(struct textfile *, textfile_free)

/* Writes to [metrics] textfile from now on, or no more; the first time soon. */
void textfile_configure(struct textfile *t, const struct settings *s);

/* {textfile, reason?}, NULL when none is written */
json_t *textfile_status(const struct textfile *t);
