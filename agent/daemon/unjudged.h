/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Containers and images whose data ended who judged them. They are left out of all runs, and named, until
 * Docker tells of them anew or they are gone.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "batten/audit/facts.h"
#include "daemon/event-log.h"

#define UNJUDGED_MAX 64

struct unjudged {
	struct unjudged_one {
		char id[FACTS_NOTE_BYTES];
		char name[256], reason[256];
		uint64_t since_us; /* CLOCK_MONOTONIC */
	} list[UNJUDGED_MAX];
	size_t n;
	struct event_log *log; /* borrowed */
};

/* NULL when it is judged. */
const struct unjudged_one *unjudged_find(const struct unjudged *u, const char *id);

/*
 * unjudged_add - leave one out, and say so
 * @id: of a container, or "sha256:…" of an image; one that is not left out yet
 * Return: 0, or -E2BIG when there is no room
 */
int unjudged_add(struct unjudged *u, const char *id, const char *name, const char *why) _must_check_;

/* It is to be judged again, or is gone. */
void unjudged_forget(struct unjudged *u, const char *id);

/* In words, "" when there is none. */
void unjudged_trouble(const struct unjudged *u, char *buf, size_t size);

/* [{subject, name, container_id | image_id, evidence}] */
json_t *unjudged_status(const struct unjudged *u);
