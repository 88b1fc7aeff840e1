/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * OCSF knows a finding by its uid, our fingerprint, which containers of one task definition share:
 * the first creates it, the last closes it, all others update it.
 */
#include "daemon/finding-event.h"

#include <stdio.h>

#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"

static const struct log_message msg_new = { "c3d9e5f7ab1b4d8eaf4a6b8c0d2e3f33", "finding is new" };
static const struct log_message msg_gone = { "d4eaf608bc2c4e9fb05b7c9d1e3f4044", "finding is gone" };

static const struct log_message msg_unjudged = { "6b1f0c83d95e4a27b0c41d7e92a8f536", "cannot be judged and is left out" };
static const struct log_message msg_judged = { "0e57d2a946bc4f1883fa6c05be719d24", "is left out no more" };

enum { ACTIVITY_CREATE = 1, ACTIVITY_UPDATE = 2, ACTIVITY_CLOSE = 3 };

static void set_text(json_t *j, const char *key, const char *value)
{
	if (value[0])
		json_object_set_new(j, key, json_text(value));
}

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

void finding_event(struct event_log *log, enum life_step step, const struct life_finding *f, size_t others)
{
	const char *state = step == LIFE_NEW ? "new" : "gone", *status = f->drift ? "drift" : "fail";
	int activity = others > 0 ? ACTIVITY_UPDATE : step == LIFE_NEW ? ACTIVITY_CREATE : ACTIVITY_CLOSE;
	const char *container = f->container_id[0] ? f->name : "";
	char message[400];
	json_t *j;

	(void)snprintf(message, sizeof(message), "%s %s%s, %s: %.80s: %.200s", f->control->id, state,
		       f->drift ? " (drift)" : "", severity_name(f->severity), f->name, f->control->title);
	j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:s, s:i, s:o}", "kind", "finding", "state", state,
		      "control", f->control->id, "severity", severity_name(f->severity), "status", status, "subject",
		      subject_kind_name(f->kind), "name", json_text(f->name), "count", 1, "certainty", "certain",
		      "activity_id", activity, "message", json_text(message));
	if (j) {
		set_text(j, "container", container);
		set_text(j, "container_id", f->container_id);
		set_text(j, "task_arn", f->task_arn);
		set_text(j, "family", f->family);
		set_text(j, "image", f->image);
		set_text(j, "evidence", f->evidence);
		set_text(j, "fingerprint", f->fingerprint);
		json_object_set_new(j, "since", json_integer((json_int_t)f->since));
	}
	event_log_add(log, j);
	log_event(step == LIFE_NEW && f->severity >= SEV_HIGH ? LOG_WARNING : LOG_NOTICE,
		  step == LIFE_NEW ? &msg_new : &msg_gone, "control", f->control->id, "severity",
		  severity_name(f->severity), "status", status, "subject", subject_kind_name(f->kind), "name",
		  or_null(f->name), "container_id", or_null(f->container_id), "task_arn", or_null(f->task_arn), "family",
		  or_null(f->family), "image", or_null(f->image), "evidence", or_null(f->evidence), "fingerprint",
		  f->fingerprint, "ocsf_class", "2003", "ocsf_activity", U64S((uint64_t)activity));
}

void finding_event_unjudged(struct event_log *log, enum life_step step, json_t *event)
{
	bool left_out = step == LIFE_NEW;
	const struct log_message *m = left_out ? &msg_unjudged : &msg_judged;
	const char *name = json_string_value(json_object_get(event, "name"));
	const char *evidence = json_string_value(json_object_get(event, "evidence"));

	if (!name || !evidence) {
		json_decref(event);
		return;
	}
	log_event(left_out ? LOG_WARNING : LOG_NOTICE, m, "name", name, "evidence", evidence);
	(void)json_object_update_new(event, json_pack("{s:s, s:s, s:s, s:i, s:s, s:i, s:o}", "kind", "finding", "state",
						      left_out ? "new" : "gone", "status", "unknown", "count", 1, "certainty", "certain",
						      "activity_id", left_out ? ACTIVITY_CREATE : ACTIVITY_CLOSE, "message",
						      json_sprintf("%s %s: %s", name, m->text, evidence)));
	event_log_add(log, event);
}
