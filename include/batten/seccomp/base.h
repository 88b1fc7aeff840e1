/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What is needed besides what was observed: the runtimes' own calls with the filter in force, and
 * the calls that every program must be able to make. And Docker's default, to compare with.
 */
#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/observation.h"
#include "batten/seccomp/profile.h"

/* Where measure-runtime keeps what it measured; read before the data that ships. */
#define RUNTIME_BASE_DIRECTORY "/var/lib/batten/seccomp/runtime"

/*
 * runtime_base_add - add what a runtime needs, as calls of PHASE_RUNTIME
 * @runtime: "runc", "crun" or "any" for all that are known
 * All versions known are taken, with and without no-new-privileges: a profile outlives the
 * runtime's next update, and the calls are harmless.
 * Return: 0; -EINVAL for a runtime that nobody measured
 */
int runtime_base_add(const char *runtime, enum abi machine, struct observation *into, struct diag *d)
	_must_check_;

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
