/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Only what has a life is told: what failed, and what could not be examined.
 */
#include "daemon/audit-worker.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/audit/life.h"
#include "batten/audit/profile.h"
#include "batten/audit/waiver.h"
#include "batten/base/core-dump.h"
#include "batten/base/json.h"

/* The little of `docker info` that judging one container takes. */
static const char *const info_members[] = { "SecurityOptions", "DockerRootDir" };

static int print_and_free(int out, json_t *j)
{
	_cleanup_(json_freep) json_t *owned = j;

	return owned ? json_print_line(out, owned) : -ENOMEM;
}

static json_t *known_docker(const struct audit_request *q)
{
	json_t *list = json_array(), *info = q->docker_info ? json_incref((json_t *)q->docker_info) : json_object();
	const char *id;
	json_t *text, *inspect;

	json_object_foreach(q->containers, id, text) {
		if (json_parse_answer(json_string_value(text), json_string_length(text), "container", &inspect, NULL) == 0)
			json_array_append_new(list, inspect);
	}
	return json_pack("{s:o, s:{}, s:o, s:{}, s:[], s:{}}", "info", info, "version", "containers", list,
			 "execs", "images", "image_details");
}

static int tell_docker(struct facts *f, int out)
{
	json_t *some = json_object();
	const json_t *info;

	if (!(facts_touched(f) & NEEDS_DOCKER))
		return json_decref(some), 0;
	info = facts_docker(f, "info");
	for (size_t i = 0; i < ARRAY_SIZE(info_members); i++)
		json_object_set(some, info_members[i], json_object_get(info, info_members[i]));
	return info ? print_and_free(out, json_pack("{s:o}", "docker", some)) : (json_decref(some), 0);
}

static int tell(const struct audit *a, int out)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < a->n_findings; i++) {
		const struct finding *f = &a->findings[i];

		if (f->status == STATUS_FAIL || f->status == STATUS_DRIFT || f->status == STATUS_UNKNOWN)
			r = print_and_free(out, life_finding_json(f));
	}
	return r;
}

/*
 * The unit keeps the daemon and its workers away from every address but localhost: a try from here
 * would call the service blocked, whoever can reach it. `batten audit` tries.
 */
static bool contacts_imds(const char *id)
{
	return control_find(id, NULL)->needs & NEEDS_IMDS;
}

static int run(const struct audit_request *q, int out, struct diag *d)
{
	_cleanup_(audit_profile_freep) struct audit_profile *profile = NULL;
	_cleanup_(waivers_freep) struct waivers *waivers = NULL;
	_cleanup_(json_freep) json_t *known = NULL;
	_cleanup_(facts_freep) struct facts *facts = NULL;
	const char *ids[MAX_CONTROLS + 1], *selected[MAX_CONTROLS + 1];
	struct facts_options fo = { .docker = q->docker[0] ? q->docker : NULL };
	struct audit_options options = { .control_ids = selected, .now = (int64_t)time(NULL) };
	struct audit a = { 0 };
	size_t n = 0;
	int r;

	r = audit_profile_load(&profile, q->config->profile, d);
	if (r >= 0)
		r = waivers_load(&waivers, q->config->waivers, true, d);
	if (r >= 0 && q->containers) {
		known = known_docker(q);
		fo.known_docker = known;
		r = known ? 0 : -ENOMEM;
	}
	if (r >= 0)
		r = facts_open(&facts, &fo, d);
	if (r < 0)
		return r;
	/* Naming a control runs it whatever the profile says: the profile's choice is made here. */
	control_mask_ids(&q->controls, ids);
	for (const char **id = ids; *id; id++)
		if (audit_profile_has(profile, *id) && !contacts_imds(*id))
			selected[n++] = *id;
	selected[n] = NULL;
	options.profile = profile;
	options.waivers = waivers;
	r = audit_run(&a, facts, &options);
	if (r >= 0)
		r = tell(&a, out);
	if (r >= 0 && !q->containers)
		r = tell_docker(facts, out);
	audit_done(&a);
	return r;
}

int audit_worker_run(const struct audit_request *q, int out)
{
	struct diag d = { 0 };
	int r, told;

	core_dump_without_memory();
	r = run(q, out, &d);
	if (r >= 0)
		return 0;
	told = print_and_free(out, json_pack("{s:o}", "error", json_sprintf("%s%s%s", d.where, d.where[0] ? ": " : "",
									     d.what[0] ? d.what : strerror(-r))));
	(void)told;
	return r;
}
