/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Services of the host's service manager, over D-Bus: no child process, and the answer is the job's own.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

/*
 * unit_do - start, stop or restart a service and wait until that is done
 * @verb: "start", "stop", "restart", "reload"
 * Return: 0 or a negative errno: -ENOENT no such unit, -EHOSTDOWN no service manager answers, -ETIMEDOUT,
 *         -EIO the job failed (the reason says how it ended)
 */
int unit_do(const char *unit, const char *verb, uint64_t timeout_ms, struct diag *d) _must_check_;

/* Is it active? Return: 0 or a negative errno as above; a unit that is not known is not active. */
int unit_is_active(const char *unit, bool *ret, struct diag *d) _must_check_;
