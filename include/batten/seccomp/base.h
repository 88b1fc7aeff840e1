/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The calls that every program must be able to make, Docker's default to compare with, and what
 * calls are good for.
 */
#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/profile.h"

/* Calls that each profile must allow, and those that any program may come to need at any time. */
struct must_row {
	const char *name, *why;
	bool must; /* without it no program ends or returns from a signal */
};
const struct must_row *must_nth(unsigned int i);

/* Docker's default for the context. */
int docker_default_profile(const struct profile_context *context, struct profile **ret) _must_check_;

/* What denying a call stops, or NULL; dies never. */
const char *call_note(const char *name);
