/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Both ends are Docker's store: the unit lets the daemon write nowhere else, and whoever wants a file
 * has the command. The result is kept until its asker comes for it or the next one starts.
 */
#include "daemon/strip-service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/daemon/priorities.h"
#include "batten/image/image.h"
#include "daemon/worker.h"

static const struct log_message msg_stripped = { "5c627e8fa34a45b738d3f47596c7c8cc", "image stripped" };

#define TIMEOUT_US 3600000000ull
#define PLACE "docker-daemon:"

struct strip_service {
	sd_event *event; /* referenced */
	void (*done)(void *user);
	void *user;
	struct worker *worker; /* NULL: none */
	json_t *request;       /* of the worker, or of the result */
	json_t *result;	       /* {error: N, what: TEXT}, or what @ret of the contract is */
	char docker[256];
};

static const char *text_of(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "";
}

/* ---- in the worker ---------------------------------------------------------------------------- */

static int take_rule(struct image_options *o, const char *rule, struct diag *d)
{
	if (strncmp(rule, "keep=", 5) == 0)
		return image_policy_keep(&o->policy, rule + 5, d);
	if (strncmp(rule, "remove=", 7) == 0)
		return image_policy_remove(&o->policy, rule + 7, d);
	if (strcmp(rule, "dirs") == 0)
		o->policy.dirs = true;
	else if (strcmp(rule, "keep-caps") == 0)
		o->policy.keep_caps = true;
	else if (strcmp(rule, "effective") == 0)
		o->effective_only = true;
	else if (strcmp(rule, "no-verify") == 0)
		o->no_verify = true;
	else if (strcmp(rule, "keep-attestations") == 0)
		o->keep_attestations = true;
	else
		return diag_fail(d, -EINVAL, rule, "is no rule");
	return 0;
}

static int strip(const struct strip_service *s, struct image_run **ret, struct diag *d)
{
	struct image_options o = {
		.source = text_of(s->request, "source"),
		.destination = text_of(s->request, "destination"),
		.docker_url = s->docker[0] ? s->docker : NULL,
	};
	const json_t *rule;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(s->request, "rules"), i, rule) {
		if (r >= 0)
			r = take_rule(&o, json_string_value(rule) ? json_string_value(rule) : "", d);
	}
	if (r >= 0)
		r = image_strip(&o, ret, d);
	image_policy_done(&o.policy);
	return r;
}

static json_t *result_of(const struct image_run *run)
{
	struct image_totals t = image_run_totals(run);
	json_t *notes = json_array(), *j;
	const char *note;

	for (size_t i = 0; (note = image_run_note(run, i)); i++)
		json_array_append_new(notes, json_text(note));
	j = json_pack("{s:o, s:b, s:I, s:I, s:I, s:i, s:i}", "notes", notes, "changed", t.changed, "stripped",
		      (json_int_t)t.stripped, "removed", (json_int_t)t.removed, "kept", (json_int_t)t.kept, "n_changed",
		      (int)t.n_changed, "n_layers", (int)t.n_layers);
	if (j && image_run_old_name(run))
		json_object_set_new(j, "old_name", json_text(image_run_old_name(run)));
	if (j && image_run_new_digest(run))
		json_object_set_new(j, "digest", json_text(image_run_new_digest(run)));
	return j;
}

static int run(void *user, int out)
{
	_cleanup_(image_run_freep) struct image_run *result = NULL;
	_cleanup_(json_freep) json_t *j = NULL;
	struct diag d = { 0 };
	int r = strip(user, &result, &d);

	j = r < 0 ? json_pack("{s:i, s:o}", "error", r, "what",
			      json_sprintf("%s%s%s", d.where, d.where[0] ? ": " : "", d.what[0] ? d.what : strerror(-r))) :
		    result_of(result);
	return j ? json_print_line(out, j) : -ENOMEM;
}

/* ---- in the daemon ----------------------------------------------------------------------------- */

static void on_line(void *user, const char *text, size_t n)
{
	struct strip_service *s = user;

	json_decref(s->result);
	s->result = NULL;
	if (json_parse(text, n, "worker", &s->result, NULL) < 0)
		s->result = NULL;
}

static void on_end(void *user, bool whole)
{
	struct strip_service *s = user;

	s->worker = worker_free(s->worker);
	if (!whole || !s->result) {
		json_decref(s->result);
		s->result = json_pack("{s:i, s:s}", "error", -EIO, "what", "the worker ended early");
	}
	log_event(LOG_NOTICE, &msg_stripped, "source", text_of(s->request, "source"), "destination",
		  text_of(s->request, "destination"), "digest",
		  text_of(s->result, "digest")[0] ? text_of(s->result, "digest") : NULL, "reason",
		  text_of(s->result, "what")[0] ? text_of(s->result, "what") : NULL);
	s->done(s->user);
}

static int start(struct strip_service *s, const json_t *request, const char *docker, struct diag *d)
{
	const struct worker_job job = {
		.run = run,
		.line = on_line,
		.end = on_end,
		.user = s,
		.timeout_us = TIMEOUT_US,
		.priority = PRIORITY_BACKGROUND,
		.background = true,
	};
	int r;

	if (strncmp(text_of(request, "source"), PLACE, strlen(PLACE)) != 0 ||
	    strncmp(text_of(request, "destination"), PLACE, strlen(PLACE)) != 0)
		return diag_fail(d, -EINVAL, "image strip", "the daemon strips from " PLACE " to " PLACE " alone");
	json_decref(s->request);
	json_decref(s->result);
	s->result = NULL;
	s->request = json_deep_copy(request);
	(void)snprintf(s->docker, sizeof(s->docker), "%s", docker);
	r = s->request ? worker_start(&s->worker, s->event, &job) : -ENOMEM;
	return r < 0 ? diag_errno(d, r, "image strip", "no worker") : 1;
}

int strip_service_ask(struct strip_service *s, const json_t *request, const char *docker, json_t **ret, struct diag *d)
{
	bool own = strcmp(text_of(s->request, "token"), text_of(request, "token")) == 0;
	int r;

	if (s->worker)
		return own ? 1 : diag_fail(d, -EBUSY, "image strip", "another image is being stripped");
	if (!own || !s->result)
		return start(s, request, docker, d);
	r = (int)json_integer_value(json_object_get(s->result, "error"));
	if (r < 0)
		(void)diag_fail(d, r, NULL, "%s", text_of(s->result, "what"));
	else
		*ret = json_incref(s->result);
	json_decref(s->result);
	s->result = NULL;
	return r;
}

int strip_service_new(struct strip_service **ret, sd_event *event, void (*done)(void *user), void *user)
{
	struct strip_service *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->done = done;
	s->user = user;
	*ret = s;
	return 0;
}

struct strip_service *strip_service_free(struct strip_service *s)
{
	if (!s)
		return NULL;
	s->worker = worker_free(s->worker);
	json_decref(s->request);
	json_decref(s->result);
	(void)sd_event_unref(s->event);
	free(s);
	return NULL;
}
