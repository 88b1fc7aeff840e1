/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * One target's four attempts, in the process that was made for them.
 */
#include "batten/imds/probe.h"

/* Tries from where this process stands. Never fails: what goes wrong is an outcome. */
void probe_here(struct probe_try tries[static PROBE_TRIES], uint64_t timeout_ms);

/* All four with the same outcome. */
void probe_all(struct probe_try tries[static PROBE_TRIES], enum probe_outcome outcome, int error);
