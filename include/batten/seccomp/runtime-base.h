/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What container runtimes call between loading the filter and executing the workload, by runtime,
 * version and no-new-privileges (with it the filter comes last, and much less is needed). The data
 * ships in profiles/; what measure-runtime measured on this host is read beside it.
 */
#include <stdbool.h>

#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"
#include "batten/seccomp/observation.h"

#define RUNTIME_BASE_DIRECTORY "/var/lib/batten/seccomp/runtime"
#define RUNTIME_VERSION_SIZE 32

struct runtime_choice {
	const char *name;    /* "runc", "crun", or "any" for all that are known */
	const char *version; /* "1.1.5"; NULL: all, for a profile that outlives the runtime's next update */
	bool nnp;	     /* for containers with no-new-privileges only */
};

/*
 * runtime_base_add - add what a runtime needs, as calls of PHASE_RUNTIME
 * A version that nobody measured lies between two: what either needs is taken.
 * Return: 0; -EINVAL for a runtime that nobody measured
 */
int runtime_base_add(const struct runtime_choice *choice, enum abi machine, struct observation *into,
		     struct diag *d) _must_check_;

/*
 * host_needs_add - add what a container host needs besides the images that were observed
 * The ECS agent, ECS Exec, health checks: they run under dockerd's seccomp-profile too.
 * @phase: noted with each call
 */
int host_needs_add(enum abi machine, unsigned int phase, struct observation *into) _must_check_;

/* Of these, the calls of containers that hold a capability. The result of @fn ends the walk when it is not 0. */
int host_needs_each_capable(int (*fn)(void *userdata, const char *capability, const char *name), void *userdata)
	_must_check_;

/*
 * The versions known of a runtime that @choice->version lies between, which may be it: twice the same then; ""
 * where there is none.
 */
void runtime_base_between(const struct runtime_choice *choice, char ret_from[static RUNTIME_VERSION_SIZE],
			  char ret_to[static RUNTIME_VERSION_SIZE]);

/* As strcmp() would, of the numbers with dots that versions begin with: 1.1.15+ds1 is after 1.1.5. */
int runtime_version_order(const char *a, const char *b);

/*
 * runtime_base_json - measurements in the form that is kept and ships
 * @measured: of PHASE_RUNTIME what counts, [1] with no-new-privileges, [0] without
 * @where:    for people: on what they were made
 */
json_t *runtime_base_json(const char *name, const char *version, const char *where,
			  const struct observation *const measured[static 2]);
