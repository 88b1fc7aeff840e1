/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the seccomp commands take: observations by file or from the daemon's store.
 */
#include "batten/seccomp/observation.h"
#include "cli/command.h"

/* The option that names the store, and its value. */
#define STATE_OPTION { "state", 0, "DIR", "where observations are kept instead of /var/lib/batten/seccomp", false }
const char *seccomp_state(const struct invocation *inv);

/* Adds what one argument names: a file, "-", or in the store an image by name or digest, or a container of it. */
int seccomp_input_add(const struct invocation *inv, const char *name, struct observation *into, struct diag *d)
	_must_check_;

/* The union of what the arguments from @first on name. */
int seccomp_input_load(const struct invocation *inv, unsigned int first, struct observation **ret, struct diag *d)
	_must_check_;

/* The union of all that is stored; *ret_n images. */
int seccomp_load_host(const struct invocation *inv, struct observation **ret, size_t *ret_n, struct diag *d)
	_must_check_;
