/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The ECS agent's introspection port, plain HTTP on 127.0.0.1:51678.
 */
#include <jansson.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

/*
 * introspect_get - one question
 * @path:        /v1/metadata, /v1/tasks
 * @deadline_ms: on CLOCK_MONOTONIC
 * Return: 0, or why there is no answer: -ECONNREFUSED, -ETIMEDOUT, -EPROTO…
 */
int introspect_get(const char *path, uint64_t deadline_ms, json_t **ret, struct diag *d) _must_check_;

/*
 * introspect_ask - connect and send one question; never waits
 * Return: a descriptor from which introspect_read() reads; -EAGAIN when the connection does not stand at
 *         once; or why there will be no answer
 */
int introspect_ask(const char *path) _must_check_;

/* introspect_read - the answer, from a descriptor that is closed in any case. Return: as introspect_get() */
int introspect_read(int fd, uint64_t deadline_ms, json_t **ret, struct diag *d) _must_check_;

/*
 * introspect_port_answers - does whoever listens there speak HTTP?
 * @address: host byte order
 * Return: 1; 0 when nobody answers or not with HTTP
 */
int introspect_port_answers(uint32_t address, uint16_t port, uint64_t deadline_ms);
