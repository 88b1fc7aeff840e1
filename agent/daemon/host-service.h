/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The host in the daemon's loop: containers as they come and go, exceptions that follow them, the
 * cgroup layer's rows, and who tried.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/daemon/settings.h"
#include "daemon/audit-service.h"
#include "daemon/event-log.h"
#include "daemon/guard-service.h"

struct host_service;

/*
 * host_service_new - follow Docker
 * @guard, @log, @audit: the caller's; outlive the service. The guard, not configured yet, is told what
 *                       was open when the last daemon ended.
 * @runtime_dir:         where that is remembered
 * The cgroup layer is followed from the first host_service_configure() on. Docker need not be there. Return: 0 or a negative errno: -EINVAL for a bad socket, -EBADMSG for a
 * broken file of exceptions.
 */
int host_service_new(struct host_service **ret, sd_event *event, const struct settings *s,
		     struct guard_service *guard, struct event_log *log, struct audit_service *audit,
		     const char *runtime_dir, struct diag *d) _must_check_;
struct host_service *host_service_free(struct host_service *s);
DEFINE_CLEANUP(struct host_service *, host_service_free)

/* Takes new exceptions of the configuration, and looks at a cgroup layer that was made anew. */
void host_service_configure(struct host_service *s, const struct settings *settings);

/* An operator has unblocked; host_service_configure() takes it back. */
void host_service_unblocked(struct host_service *s);

/* The guard was changed or mended: tests it, if that is asked for. */
void host_service_changed(struct host_service *s);

/* Adds what is known of the tasks to a batten.imds-status/1. */
void host_service_status(const struct host_service *s, json_t *status);

/* {followed, reason?, containers, exceptions} */
json_t *host_service_docker(const struct host_service *s);
/* {state: active|degraded|off, reason?} of the observer */
json_t *host_service_seccomp(const struct host_service *s);
/* Stores what is observed but not stored yet. */
int host_service_store_observed(struct host_service *s, struct diag *d) _must_check_;

/* Exceptions at run time, kept in the state directory. */
int host_service_allow(struct host_service *s, const char *rule, const char *by, struct diag *d) _must_check_;
int host_service_disallow(struct host_service *s, const char *rule, struct diag *d) _must_check_;

/* {"schema": "batten.imds-allow/1", "allow": [{rule, by, since, containers: []}]}; NULL on no memory. */
json_t *host_service_exceptions(const struct host_service *s);

/* batten.seccomp-shadow/1. Return: 0; -EOPNOTSUPP when nothing is observed */
int host_service_shadow(struct host_service *s, json_t **ret, struct diag *d) _must_check_;
