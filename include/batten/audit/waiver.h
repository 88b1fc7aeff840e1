/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Waivers: findings that somebody accepts for a while. A waived control still runs; its failure is
 * shown as waived. An expired waiver no longer waives, and both it and one that nothing needs are
 * findings themselves.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"

#define DEFAULT_WAIVERS "/etc/batten/waivers.json"

struct audit;
struct finding;
struct waivers;

/*
 * waivers_load - schema batten.waivers/1
 * @optional: a missing file is an empty list
 * Return: 0; -ENOENT; -EINVAL with file and number of the entry; -ENOMEM
 */
int waivers_load(struct waivers **ret, const char *path, bool optional, struct diag *d) _must_check_;

/* The same out of memory. @file: for messages and findings. */
int waivers_parse(struct waivers **ret, const json_t *j, const char *file, struct diag *d) _must_check_;

struct waivers *waivers_free(struct waivers *w);
DEFINE_CLEANUP(struct waivers *, waivers_free)

/*
 * waivers_apply - turn a failed finding into a waived one when a waiver in force covers it
 * @now: seconds since the epoch; a waiver holds to the end of its day, UTC
 */
void waivers_apply(struct waivers *w, struct finding *f, int64_t now);

/* Reports what is expired or unused; after all controls ran. */
void waivers_report(struct waivers *w, struct audit *a);
