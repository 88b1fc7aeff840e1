/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Words to the service manager (sd_notify(3)), without ever waiting for it in the loop: what it does
 * not take at once is said again later. libsystemd's own functions wait, and a manager that is busy
 * would keep the guard from being healed.
 */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "batten/base/macros.h"

struct notifier;

/* Also says "alive" as often as $WATCHDOG_USEC asks. Without a manager nothing is ever said. */
int notifier_new(struct notifier **ret, sd_event *event) _must_check_;
struct notifier *notifier_free(struct notifier *n);
DEFINE_CLEANUP(struct notifier *, notifier_free)

/* @state: assignments, a line each. Lost only when much more than usual is said while nobody listens. */
void notifier_say(struct notifier *n, const char *state);

/*
 * notifier_store - give the manager a descriptor to keep, and wait until it has read so
 * @name:       FDNAME
 * @timeout_ms: for all of it
 * Return: true when the manager has it
 */
bool notifier_store(struct notifier *n, int fd, const char *name, uint64_t timeout_ms) _must_check_;
