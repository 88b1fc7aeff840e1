/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/* The words of the format, shared by its reader and its writer. */
#include "batten/seccomp/args.h"
#include "batten/seccomp/observation.h"
#include "batten/seccomp/profile.h"

extern const char *const profile_actions[_ACTION_MAX];
extern const char *const profile_ops[_OP_MAX];

/* Do the conditions (includes, excludes) of a rule in Docker's dialect hold? */
bool profile_rule_applies(const json_t *rule, const struct profile_context *context);

bool profile_rule_names(const struct profile_rule *r, const char *name);
/* The one value of a call's arguments that a rule is about. Return: whether that is how the rule compares them */
bool profile_rule_value(const struct profile_rule *r, const struct arg_rule *args, struct arg_value *ret);
