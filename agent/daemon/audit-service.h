/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The audit in the daemon's loop: what changes on the host is judged again, and findings come and go.
 */
#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "batten/audit/life.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/daemon/settings.h"
#include "batten/host/container.h"
#include "daemon/event-log.h"

struct audit_service;

/*
 * audit_service_new - begin: what an earlier life found is taken over, everything is judged once
 * @config_path: of the daemon; watched; outlives the service
 * @log: the caller's; outlives the service
 * Return: 0 or -ENOMEM. A state that cannot be read, a watch that cannot stand: said in the journal
 * and in the status, never a reason not to guard the host.
 */
int audit_service_new(struct audit_service **ret, sd_event *event, const struct settings *settings,
		      const char *config_path, struct event_log *log) _must_check_;

/* Keeps the findings for the next life. */
struct audit_service *audit_service_free(struct audit_service *s);
DEFINE_CLEANUP(struct audit_service *, audit_service_free)

/* Takes new settings and judges everything by them. */
void audit_service_configure(struct audit_service *s, const struct settings *settings);

/* @c runs, or something about it changed; with @c->inspect_text. */
void audit_service_runs(struct audit_service *s, const struct container *c);
void audit_service_ended(struct audit_service *s, const struct container *c);
/* Docker is followed, or not any more. */
void audit_service_docker(struct audit_service *s);

/* {state, reason?, profile, findings: {critical: N, …}, steps: {new, gone}, runs, failed_runs, last_run?, last_seconds?, unjudged: [], watches: []} */
json_t *audit_service_status(const struct audit_service *s);
