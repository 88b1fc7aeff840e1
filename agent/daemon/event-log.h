/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What happened lately, for `batten events`: the newest events in memory, and all of them in the
 * journal. Each has a number, so that a reader can go on where it was.
 */
#include <jansson.h>
#include <stdint.h>

#include "batten/base/macros.h"

#define EVENT_LOG_MAX 256
#define EVENT_LOG_PIECE 64

struct event_log;

struct event_log *event_log_new(void);
struct event_log *event_log_free(struct event_log *l);
DEFINE_CLEANUP(struct event_log *, event_log_free)

/*
 * event_log_add - remember an event; the oldest gives way
 * @event: batten.event/1 without "schema" and "time", which are set here; the log's from here on.
 *         NULL, for want of memory, is forgotten.
 */
void event_log_add(struct event_log *l, json_t *event);

/* Calls @added after each event from now on. */
void event_log_on_add(struct event_log *l, void (*added)(void *user), void *user);

/* The number that the next event will have. */
uint64_t event_log_next(const struct event_log *l);

/* Attempts to reach the metadata service since the start, by family: {ipv4: N, ipv6: N}. */
json_t *event_log_attempts(const struct event_log *l);

/*
 * event_log_since - those numbered @after and higher, the oldest first
 * Return: {"events": […], "next": NUMBER, "more": BOOL}, some at a time, for making them takes the
 * loop's time; NULL on no memory
 */
json_t *event_log_since(const struct event_log *l, uint64_t after);
