/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A ring of JSON lines. They are kept as text: a parsed document takes ten times the room.
 */
#include "daemon/event-log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batten/base/json.h"

#define MAX_LINE 2048 /* a longer event, which no source of ours makes, is not kept */

struct event_log {
	char *lines[EVENT_LOG_MAX]; /* of event n at n % EVENT_LOG_MAX */
	uint64_t next;
	uint64_t attempts[2]; /* IPv4, IPv6 */
	void (*added)(void *user);
	void *user;
};

struct event_log *event_log_new(void)
{
	return calloc(1, sizeof(struct event_log));
}

struct event_log *event_log_free(struct event_log *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < EVENT_LOG_MAX; i++)
		free(l->lines[i]);
	free(l);
	return NULL;
}

static json_t *now_text(void)
{
	struct timespec t;
	char text[40], whole[64];
	struct tm tm;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	(void)gmtime_r(&t.tv_sec, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(whole, sizeof(whole), "%s.%03ldZ", text, t.tv_nsec / 1000000);
	return json_string(whole);
}

/*
 * The Open Cybersecurity Schema Framework's class of each kind: 2003 a compliance finding, 2004 a
 * detection, 7002 and 7004 a file or a network remediated. Where the event says nothing better its
 * activity is "create" for what was found, and "restore" or "harden" for what was mended.
 */
static void classify(json_t *event)
{
	static const struct {
		const char *kind;
		int class, activity;
	} rows[] = {
		{ "finding", 2003, 1 },	    { "imds.road-open", 2003, 1 }, { "imds.blocked", 2004, 1 },
		{ "seccomp.new", 2004, 1 }, { "fix", 7002, 4 },		   { "imds.healed", 7004, 3 },
	};
	const char *kind = json_string_value(json_object_get(event, "kind"));

	for (size_t i = 0; kind && i < ARRAY_SIZE(rows); i++) {
		json_t *said = json_object_get(event, "activity_id");
		int activity = said ? (int)json_integer_value(said) : rows[i].activity;

		if (strcmp(rows[i].kind, kind) != 0)
			continue;
		json_object_set_new(event, "category_uid", json_integer(rows[i].class / 1000));
		json_object_set_new(event, "class_uid", json_integer(rows[i].class));
		json_object_set_new(event, "activity_id", json_integer(activity));
		json_object_set_new(event, "type_uid", json_integer(rows[i].class * 100 + activity));
	}
}

static void count_attempts(struct event_log *l, const json_t *event)
{
	const char *kind = json_string_value(json_object_get(event, "kind"));
	const char *destination = json_string_value(json_object_get(event, "destination"));

	if (kind && destination && strcmp(kind, "imds.blocked") == 0)
		l->attempts[strchr(destination, ':') != NULL] += (uint64_t)json_integer_value(json_object_get(event, "count"));
}

void event_log_on_add(struct event_log *l, void (*added)(void *user), void *user)
{
	l->added = added;
	l->user = user;
}

uint64_t event_log_next(const struct event_log *l)
{
	return l->next;
}

json_t *event_log_attempts(const struct event_log *l)
{
	return json_pack("{s:I, s:I}", "ipv4", (json_int_t)l->attempts[0], "ipv6", (json_int_t)l->attempts[1]);
}

void event_log_add(struct event_log *l, json_t *event)
{
	char *line;
	size_t n;

	if (!event)
		return;
	classify(event);
	count_attempts(l, event);
	json_object_set_new(event, "schema", json_string("batten.event/1"));
	json_object_set_new(event, "time", now_text());
	line = json_line(event, &n);
	json_decref(event);
	if (!line || n > MAX_LINE) {
		free(line);
		return;
	}
	free(l->lines[l->next % EVENT_LOG_MAX]);
	l->lines[l->next++ % EVENT_LOG_MAX] = line;
	if (l->added)
		l->added(l->user);
}

json_t *event_log_since(const struct event_log *l, uint64_t after)
{
	uint64_t first = l->next > EVENT_LOG_MAX ? l->next - EVENT_LOG_MAX : 0, n = MAX(first, after);
	uint64_t end = MIN(l->next, n + EVENT_LOG_PIECE);
	json_t *events = json_array();

	for (; n < end; n++)
		json_array_append_new(events, json_loads(l->lines[n % EVENT_LOG_MAX], 0, NULL));
	return json_pack("{s:o, s:I, s:b}", "events", events, "next", (json_int_t)n, "more", n < l->next);
}
