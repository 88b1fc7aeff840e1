/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Which containers may reach the metadata service: "container:NAME", "family:NAME", "image:REF" (as
 * it was asked for, or its sha256 digest) or "label:KEY=VALUE". Names that ECS gives come from
 * Docker's labels alone, which ECS writes last; nothing that a task can say of itself counts.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/config.h"
#include "batten/base/diag.h"
#include "batten/host/container.h"

#define EXCEPTION_SIZE 256
#define MAX_EXCEPTIONS 64
#define EXCEPTIONS_FILE "imds-allow.json" /* in the state directory */

struct exception {
	char rule[EXCEPTION_SIZE]; /* "family:web" */
	char by[64];		   /* who added it: "configuration", or a name */
	int64_t since;		   /* seconds since 1970; 0 for the configuration's */
};

struct exceptions {
	struct exception items[MAX_EXCEPTIONS];
	size_t n;
};

/* Is that a rule? Return: 0 or -EINVAL with words. */
int exception_check(struct slice rule, struct diag *d) _must_check_;

bool exception_matches(const struct exception *e, const struct container *c);
const struct exception *exceptions_match(const struct exceptions *l, const struct container *c);

/* Is the rule one of them? */
bool exceptions_has(const struct exceptions *l, const char *rule);

/* Return: 0, -EINVAL, -EEXIST, or -E2BIG beyond MAX_EXCEPTIONS */
int exceptions_add(struct exceptions *l, const char *rule, const char *by, int64_t since,
		   struct diag *d) _must_check_;
/* Return: 0, or -ENOENT */
int exceptions_remove(struct exceptions *l, const char *rule, struct diag *d) _must_check_;

/*
 * The file that keeps what was added at run time. A missing file is an empty list.
 * Return: 0 or a negative errno; -EBADMSG names what is wrong in it
 */
int exceptions_load(struct exceptions *ret, const char *path, struct diag *d) _must_check_;
int exceptions_save(const struct exceptions *l, const char *path, struct diag *d) _must_check_;

/* For the configuration: rules separated by commas, into a struct exceptions. */
int config_parse_exceptions(const struct config_key *k, struct slice v, void *target, struct diag *d);
