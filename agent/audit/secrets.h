/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Credentials in text, by typed patterns rather than by suspicious words: a value must look like
 * what it is said to be. Callers print the rule and the place, never the value.
 */
#include <stddef.h>

#include "batten/base/arena.h"
#include "batten/base/parse.h"

/*
 * secret_in_variable - does NAME=VALUE hold a credential?
 * Return: the rule that says so ("AWS secret access key"), or NULL
 */
const char *secret_in_variable(const char *name, const char *value);

/* The same for free text of @n bytes (a line of a script, a build step). */
const char *secret_in_text(const char *text, size_t n);

/*
 * secret_in_assignments - the next NAME=VALUE in a line of a script or in a build step that says by its name
 * that it holds one; shapes are secret_in_text()'s business
 * @rest:     what was not looked at yet; with a rule it begins behind the "=" afterwards
 * @arena:    for the name; NULL when nobody wants it
 * @ret_name: the variable, when there is a rule
 */
const char *secret_in_assignments(struct slice *rest, struct arena *arena, const char **ret_name);
