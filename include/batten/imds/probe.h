/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Who can reach the metadata service, tried and not derived: from inside each namespace and group,
 * both versions, both families, all at once. Each target has a short-lived process of its own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define PROBE_TRIES 4 /* two families, two versions */
#define PROBE_MAX_TARGETS 4096
#define PROBE_TIMEOUT_MS 100

enum probe_outcome {
	PROBE_TIMEOUT,	 /* no answer in time, or a connection that nobody speaks on */
	PROBE_BLOCKED,	 /* refused: see the errno */
	PROBE_NO_ROUTE,	 /* the namespace has no way there */
	PROBE_REACHABLE, /* the service answered, whatever it said */
	PROBE_FAILED,	 /* could not be tried: see the errno */
	_PROBE_OUTCOME_MAX,
};

struct probe_try {
	int family;	  /* AF_INET, AF_INET6 */
	unsigned int version; /* 1 or 2 */
	enum probe_outcome outcome;
	int error;  /* positive errno, or 0 */
	int status; /* HTTP status, or 0 */
	uint64_t latency_us;
};

struct probe_target {
	int netns;	    /* descriptor of the network namespace, or -1 for our own */
	const char *cgroup; /* directory of the group to try from, or NULL for our own */
	struct probe_try tries[PROBE_TRIES]; /* result */
};

/*
 * imds_probe - try them all
 * @timeout_ms: for each target, from its start; all run at the same time
 * @tell:       descriptor to which each process writes "pid NUMBER" and a newline before it tries; or -1
 * Return: 0, or a negative errno when nothing could be started. The caller has made sure that the
 *         addresses may be contacted at all: see imds_on_ec2().
 */
int imds_probe(struct probe_target *targets, size_t n, uint64_t timeout_ms, int tell, struct diag *d) _must_check_;

const char *probe_outcome_name(enum probe_outcome o);

struct imds_config;
struct exceptions;
struct container;

/*
 * imds_may_reach - is this container meant to reach the service?
 * @stored: exceptions beside the configuration's
 */
bool imds_may_reach(const struct imds_config *config, const struct exceptions *stored, const struct container *c);

/*
 * imds_on_ec2 - does the firmware say that this is an EC2 instance?
 * @sys: where sysfs is mounted; NULL for /sys
 */
bool imds_on_ec2(const char *sys);
