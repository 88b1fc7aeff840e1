/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What protects this host now, as batten.status/1, and the same as numbers for Prometheus. Both are
 * made of the same document, whoever asked for it: a daemon of itself, or a command without one.
 */
#include <jansson.h>
#include <stdio.h>

#include "batten/base/bytes.h"
#include "batten/base/diag.h"

/*
 * The parts of a status; NULL where there is nothing to say. References are taken over.
 * @daemon: {running, pid, started, version}; @guard: batten.imds-status/1; @audit: see
 * audit_service_status(); @docker: {followed, reason?, containers, exceptions}; @seccomp: {state,
 * reason?}; @process: {resident_bytes, cpu_seconds, open_descriptors}; @loop: {buckets:
 * [[MICROSECONDS, N]], sum_us, count}; @attempts: {ipv4, ipv6}; @metrics: {textfile, reason?}
 */
struct status_parts {
	json_t *daemon, *guard, *audit, *docker, *seccomp, *process, *loop, *attempts, *metrics;
};

/* The document: the parts, what of them is degraded, and what they come to. NULL on no memory. */
json_t *status_assemble(struct status_parts *p);

/*
 * status_add_observed - the images that were observed, out of the store
 * @directory: the store; one that does not exist is empty
 * Reads every observation: nothing for the daemon's loop. Return: 0 or a negative errno
 */
int status_add_observed(json_t *status, const char *directory, struct diag *d) _must_check_;

/* The findings that an earlier daemon kept, for a status without one. NULL when there is nothing. */
json_t *status_kept_findings(const char *state_dir);

/* For people. Return: 0 or -ENOMEM */
int status_print(const json_t *status, FILE *f) _must_check_;

/* In Prometheus' text format, version 0.0.4. */
void status_metrics(const json_t *status, struct bytes *b);
