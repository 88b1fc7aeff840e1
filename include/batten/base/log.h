/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Log events: an id, a sentence that belongs to the id, and key/value pairs. They become journal
 * fields when standard error is the journal's, and one line of text otherwise. Foreign text is
 * escaped. Only the function that decides not to return an error may log it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#include "batten/base/macros.h"

struct log_message {
	const char *id;	  /* MESSAGE_ID: 32 hexadecimal digits */
	const char *text; /* the sentence, without the values */
};

enum log_target {
	LOG_TARGET_AUTO, /* the journal when standard error is connected to it */
	LOG_TARGET_TEXT,
	LOG_TARGET_JOURNAL,
};

/* @max_level: LOG_ERR … LOG_DEBUG; what is less urgent is dropped */
void log_init(enum log_target target, int max_level);
void log_set_level(int max_level);

/*
 * log_event - write one event
 * @level: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG
 * @m:     a constant
 * ...:    key, value, key, value: NUL-terminated strings; keys are [a-z_]; a NULL value leaves the
 *         pair out
 */
#define log_event(level, m, ...) log_event_pairs(level, m, ##__VA_ARGS__, (const char *)0)
void log_event_pairs(int level, const struct log_message *m, ...) _sentinel_;

/*
 * A bound on what outsiders can make us write: @burst events each @interval_ms, and a count of
 * what was held back.
 */
struct log_limit {
	uint64_t interval_ms;
	unsigned int burst;
	uint64_t window_start_ms; /* private, as are the next two */
	unsigned int used;
	uint64_t held_back;
};

/*
 * log_limit_allow - may one more be written now?
 * @ret_held_back: how many were held back since the last yes; written only when the answer is yes
 */
bool log_limit_allow(struct log_limit *l, uint64_t now_ms, uint64_t *ret_held_back);
