/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The run: each selected control gets the sources that it needs, is called for each of its
 * subjects, and every finding gets its fingerprint, its severity and its waiver here and nowhere
 * else. A control whose source is missing is answered here; its check does not run.
 */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "audit/findings.h"
#include "batten/audit/facts.h"
#include "batten/audit/profile.h"
#include "batten/audit/waiver.h"

bool audit_selects(const struct audit_options *o, const struct control *c, enum area area)
{
	if (o->areas && !(o->areas & 1u << area))
		return false;
	if (o->sources && !(o->sources & control_sources(c)))
		return false;
	if (o->control_ids) {
		const char *const *id = o->control_ids;

		while (*id && strcmp(*id, c->id) != 0)
			id++;
		return *id != NULL; /* what is asked for by name is run, whatever the profile says */
	}
	return !o->profile || audit_profile_has(o->profile, c->id);
}

uint64_t audit_parameter(const struct audit *a, const char *name, uint64_t fallback)
{
	return a->options.profile ? audit_profile_parameter(a->options.profile, name, fallback) : fallback;
}

static const char *host_name(struct audit *a)
{
	const char *name = a->options.host ? NULL : facts_line(a->facts, "/etc/hostname");
	struct utsname u;

	if (a->options.host)
		return a->options.host;
	if (name && name[0])
		return arena_strdup(&a->arena, name);
	if (facts_live(a->facts) && uname(&u) == 0)
		return arena_strdup(&a->arena, u.nodename);
	return "unknown";
}

/* Answers for a control that cannot run. Return: true when it can. */
static bool sources_ready(struct audit *a, const struct control *c, const struct subject *host)
{
	if (!facts_live(a->facts) && (c->needs & NEEDS_LIVE)) {
		audit_not_applicable(a, host, "needs a running host; this is a tree of files");
		return false;
	}
	for (int s = 0; s < _SOURCE_MAX; s++) {
		enum source_state state;
		const char *reason;

		if (!(c->needs & NEEDS(s)))
			continue;
		state = facts_source(a->facts, (enum source)s, &reason);
		if (state == SOURCE_OK)
			continue;
		a->failed_sources |= NEEDS(s);
		if (state == SOURCE_ABSENT)
			audit_not_applicable(a, host, "%s", reason);
		else
			audit_unknown(a, host, "%s", reason);
		return false;
	}
	return true;
}

static int first_error(const struct audit *a)
{
	return a->error < 0 ? a->error : a->arena.error < 0 ? a->arena.error : facts_arena(a->facts)->error;
}

static void run_check(struct audit *a, const struct control *c, const struct subject *s)
{
	size_t before = a->n_findings;
	int r;

	(void)facts_subject(a->facts, s->container_id ? s->container_id : s->image_facts ? s->image_facts->id : "");
	r = c->check(a, c, s);
	if (r == -ENOMEM)
		a->error = r;
	else if (r < 0)
		audit_unknown(a, s, "%s", strerror(-r));
	else if (a->n_findings == before)
		audit_unknown(a, s, "the check came to no conclusion");
	/* Where memory ran out it stays written whose data that was. */
	if (first_error(a) == 0)
		(void)facts_subject(a->facts, "");
}

static struct subject container_subject(const struct container_facts *c)
{
	return (struct subject){
		.kind = SUBJECT_CONTAINER,
		.name = c->name,
		.container_id = c->id,
		.task_arn = c->task_arn,
		.family = c->family,
		.ecs_name = c->ecs_name,
		.image = c->image,
		.container = c,
	};
}

static void run_containers(struct audit *a, const struct control *c, const struct subject *host)
{
	const struct container_facts *list;
	size_t n = facts_containers(a->facts, &list);

	if (n == 0)
		audit_not_applicable(a, host, "no container runs");
	for (size_t i = 0; i < n && first_error(a) == 0; i++) {
		struct subject s = container_subject(&list[i]);

		if (list[i].unreadable)
			audit_unknown(a, &s, "%s", list[i].unreadable);
		else if (list[i].is_agent)
			audit_not_applicable(a, &s, "the ECS agent itself; see AGT-05");
		else if (list[i].is_platform)
			audit_not_applicable(a, &s, "made by ECS for itself");
		else
			run_check(a, c, &s);
	}
}

static void run_images(struct audit *a, const struct control *c, const struct subject *host)
{
	const struct image_facts *list;
	size_t n = facts_images(a->facts, &list), n_used = 0;

	/* What nobody runs is IMG-08's business. */
	for (size_t i = 0; i < n && first_error(a) == 0; i++) {
		struct subject s = {
			.kind = SUBJECT_IMAGE,
			.name = list[i].name,
			.image = list[i].name,
			.image_facts = &list[i],
		};

		if (!list[i].in_use)
			continue;
		n_used++;
		run_check(a, c, &s);
	}
	if (n_used == 0)
		audit_not_applicable(a, host, "no image is in use");
}

static void run_control(struct audit *a, const struct control *c, enum area area)
{
	struct subject host = { .kind = SUBJECT_HOST, .name = a->host };

	a->current = c;
	a->current_area = area;
	a->n_controls++;
	if (!sources_ready(a, c, &host))
		return;
	switch (c->each) {
	case SUBJECT_CONTAINER:
		run_containers(a, c, &host);
		break;
	case SUBJECT_IMAGE:
		run_images(a, c, &host);
		break;
	default:
		run_check(a, c, &host);
	}
}

int audit_run(struct audit *a, struct facts *facts, const struct audit_options *options)
{
	a->facts = facts;
	a->options = *options;
	a->started = options->now;
	a->host = host_name(a);
	for (size_t i = 0; i < n_control_sets; i++) {
		const struct control_set *set = control_sets[i];

		for (size_t k = 0; k < set->n_controls; k++)
			if (first_error(a) == 0 && audit_selects(options, &set->controls[k], set->area))
				run_control(a, &set->controls[k], set->area);
	}
	if (options->waivers)
		waivers_report(options->waivers, a);
	a->current = NULL;
	a->finished = MAX(options->now, (int64_t)time(NULL));
	a->error = first_error(a);
	return a->error;
}
