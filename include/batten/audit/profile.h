/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Audit profiles: which controls count, how much, and with which limits. A profile is a JSON file
 * (schema batten.audit-profile/1) that ships in profiles/ or is the user's own:
 *
 *   { "schema": "batten.audit-profile/1", "name": "ecs", "title": "…",
 *     "controls": ["CTR-*", "HST-01"],          shell patterns over ids
 *     "severity": {"HST-03": "high"},           instead of the catalogue's
 *     "parameters": {"image-max-age-days": 90},  whole numbers
 *     "lists": {"registries": ["*.dkr.ecr.*.amazonaws.com"]} }   shell patterns
 */
#include <stdint.h>

#include "batten/audit/control.h"
#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"

struct audit_profile;

/*
 * audit_profile_load - find and read one
 * @name: a path when it contains a slash; else /etc/batten/profiles/audit-NAME.json, then the
 *        directories that ship with the program, found from where the program stands
 * Return: 0; -ENOENT, -EINVAL with the place in the file; -ENOMEM
 */
int audit_profile_load(struct audit_profile **ret, const char *name, struct diag *d) _must_check_;

/* The same out of memory; for tests. @file: for the diag. */
int audit_profile_parse(struct audit_profile **ret, const json_t *j, const char *file,
			struct diag *d) _must_check_;

struct audit_profile *audit_profile_free(struct audit_profile *p);
DEFINE_CLEANUP(struct audit_profile *, audit_profile_free)

const char *audit_profile_name(const struct audit_profile *p);
const char *audit_profile_title(const struct audit_profile *p);
bool audit_profile_has(const struct audit_profile *p, const char *control_id);
enum severity audit_profile_severity(const struct audit_profile *p, const struct control *c);
uint64_t audit_profile_parameter(const struct audit_profile *p, const char *name, uint64_t fallback);
const json_t *audit_profile_list(const struct audit_profile *p, const char *name);
