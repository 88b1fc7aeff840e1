/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The proof of a change: the control is run again over fresh facts, and whoever answered before has to
 * answer still. What only a restart makes effective is pending; then the plan, made again, has to find
 * nothing left to do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit/facts-internal.h"
#include "audit/fix-internal.h"

#define RETRY_MS 100
#define SETTLE_MS 5000U /* until dockerd has read its file, or a service that was started shows up */

void failing_done(struct failing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct failing){ 0 };
}

static bool is_failing(const struct finding *f)
{
	return f->status == STATUS_FAIL || f->status == STATUS_DRIFT;
}

static bool names(const char *key, const struct finding *f)
{
	size_t n = strlen(subject_kind_name(f->subject.kind));

	return strncmp(key, subject_kind_name(f->subject.kind), n) == 0 && key[n] == ' ' &&
	       strcmp(key + n + 1, f->subject.name) == 0;
}

static bool failing_has(const struct failing *l, const struct finding *f)
{
	for (size_t i = 0; i < l->n; i++)
		if (names(l->v[i], f))
			return true;
	return false;
}

int failing_add(struct failing *l, const struct finding *f)
{
	char **grown = reallocarray(l->v, l->n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	l->v = grown;
	if (asprintf(&grown[l->n], "%s %s", subject_kind_name(f->subject.kind), f->subject.name) < 0)
		return -ENOMEM;
	l->n++;
	return 0;
}

int control_run(struct fix *f, const char *control_id, const struct fix_request *q, struct audit *a,
		struct facts **ret_facts, struct diag *d)
{
	const char *ids[] = { control_id, NULL };
	struct audit_options o = q->audit;
	int r = f->host->facts(f->host->data, ret_facts, d);

	o.areas = 0;
	o.control_ids = ids;
	o.now = o.now ? o.now : (int64_t)time(NULL);
	if (r >= 0)
		r = audit_run(a, *ret_facts, &o);
	a->options.control_ids = NULL; /* they end with this call */
	return r;
}

/* ---- who answers -------------------------------------------------------------------------------*/

const char *health_lost(struct fix *f, const json_t *before, unsigned int timeout_ms)
{
	static const struct {
		const char *key, *name;
	} rows[] = {
		{ "docker", "Docker" },
		{ "introspection", "the ECS agent's introspection port" },
		{ "credentials", "the credentials endpoint" },
	};
	uint64_t deadline = facts_now_ms() + timeout_ms;

	for (;;) {
		_cleanup_(json_freep) json_t *now = f->host->health(f->host->data);
		const char *lost = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(rows) && !lost; i++)
			if (json_is_true(json_object_get(before, rows[i].key)) &&
			    !json_is_true(json_object_get(now, rows[i].key)))
				lost = rows[i].name;
		if (!lost || facts_now_ms() >= deadline)
			return lost;
		(void)nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	}
}

/* "Still in it" counts only when Docker had time enough. */
int wait_for_swarm(struct fix *f, const struct entry *e, struct diag *d)
{
	uint64_t deadline = facts_now_ms() + DOCKER_SWARM_LEAVE_MS;
	struct tm began = { 0 };
	bool is_old = strptime(e->time, "%Y-%m-%dT%H:%M:%SZ", &began) &&
		      time(NULL) - timegm(&began) > DOCKER_SWARM_LEAVE_MS / 1000;
	int r;

	while ((r = change_look(f, &e->changes[0], d)) == CHANGE_BEFORE && !is_old && facts_now_ms() < deadline)
		(void)nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	return r;
}

/* ---- the control, again ------------------------------------------------------------------------*/

/*
 * Would the mender still change something for what fails? Return: 1 yes, 0 no, or a negative errno. A mender
 * that finds nothing any more to change says so by refusing.
 */
static int more_to_do(struct fix *f, const struct job *j, struct audit *a)
{
	struct fix_plan p = { .fix = f, .audit = a };
	int r = 0;

	for (size_t i = 0; i < a->n_findings && r >= 0; i++) {
		const struct finding *x = &a->findings[i];

		if (is_failing(x) && failing_has(&j->mended, x))
			r = j->mender->plan(&p, j->mender, x);
	}
	plan_finish(&p);
	if (r >= 0)
		r = p.n_changes > 0;
	plan_done(&p);
	return r;
}

static const char *kick_name(unsigned int kicks)
{
	return (kicks & KICK_DOCKER) && (kicks & KICK_ECS) ? "restarts of Docker and of the ECS agent" :
	       kicks & KICK_DOCKER			     ? "a restart of Docker" :
							       "a restart of the ECS agent";
}

static int judge(struct fix *f, struct job *j, struct audit *a, unsigned int pending)
{
	const struct finding *bad = NULL, *left = NULL, *good = NULL;

	for (size_t i = 0; i < a->n_findings; i++) {
		const struct finding *x = &a->findings[i];
		bool ours = failing_has(&j->mended, x);

		if (is_failing(x) && ours)
			left = left ? left : x;
		else if (is_failing(x) && !failing_has(&j->before, x))
			bad = bad ? bad : x;
		else if (x->status == STATUS_UNKNOWN && ours && j->mender->unknown_is_well && j->mender->unknown_is_well(a))
			good = good ? good : x;
		else if (x->status == STATUS_UNKNOWN && (ours || !j->unknown_before))
			bad = bad ? bad : x;
		else if (ours)
			good = good ? good : x;
	}
	if (bad) {
		(void)entry_set_proof(j->entry, "failed", "afterwards: %s: %s", bad->subject.name, bad->evidence);
		return VERDICT_FAILED;
	}
	if (!left) {
		(void)entry_set_proof(j->entry, "passed", "%s", good ? good->evidence : "nothing fails any more");
		return VERDICT_PASSED;
	}
	pending &= j->entry->kicks;
	if (!pending && !j->mender->later) {
		(void)entry_set_proof(j->entry, "failed", "still: %s: %s", left->subject.name, left->evidence);
		return VERDICT_FAILED;
	}
	if (more_to_do(f, j, a) != 0) {
		(void)entry_set_proof(j->entry, "failed", "the change does not hold: %s", left->evidence);
		return VERDICT_FAILED;
	}
	if (pending)
		(void)entry_set_proof(j->entry, "pending", "written; in force after %s", kick_name(pending));
	else
		(void)entry_set_proof(j->entry, "pending", "%s", j->mender->later);
	return VERDICT_PENDING;
}

static int look_again(struct fix *f, struct job *j, const struct fix_request *q, unsigned int pending, struct diag *d)
{
	_cleanup_(facts_freep) struct facts *facts = NULL;
	struct audit a = { 0 };
	int r = control_run(f, j->mender->control, q, &a, &facts, d);

	if (r >= 0)
		r = judge(f, j, &a, pending);
	audit_done(&a);
	return r;
}

/* What was set going outside of this process shows after a moment. */
static bool takes_a_moment(const struct job *j)
{
	for (size_t i = 0; i < j->entry->n_changes; i++)
		if (j->entry->changes[i].kind == CHANGE_UNIT)
			return true;
	return j->entry->kicks != 0;
}

int job_prove(struct fix *f, struct job *j, const struct fix_request *q, const json_t *health,
	      unsigned int pending, struct diag *d)
{
	uint64_t deadline = facts_now_ms() + (takes_a_moment(j) ? MIN(SETTLE_MS, f->host->restart_timeout_ms) : 0);
	const char *lost;
	int r;

	while ((r = look_again(f, j, q, pending, d)) == VERDICT_FAILED && facts_now_ms() < deadline)
		(void)nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	if (r < 0 || r == VERDICT_FAILED)
		return r;
	lost = health ? health_lost(f, health, takes_a_moment(j) ? SETTLE_MS : 0) : NULL;
	if (lost) {
		(void)entry_set_proof(j->entry, "failed", "%s does not answer any more", lost);
		return VERDICT_FAILED;
	}
	return r;
}
