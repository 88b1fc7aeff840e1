/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Transactions. Each control's is written to the journal as "started" before anything changes; until it
 * is written there as something else, a crash means that the next start undoes it. Restarts come once,
 * when all is written, and prove everything that waited for them; what they disprove is undone, together
 * with what later transactions of this run put on top of it.
 */
#include "batten/audit/fix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit/fix-internal.h"
#include "batten/base/fd.h"
#include "batten/base/log.h"

static const struct log_message msg_fixed = { "b1c64c0d1d5f4f0f8f4c1f0a5d3e7a21", "finding mended" };
static const struct log_message msg_failed = { "b1c64c0d1d5f4f0f8f4c1f0a5d3e7a22", "mending failed, undone" };
static const struct log_message msg_undone = { "b1c64c0d1d5f4f0f8f4c1f0a5d3e7a23", "mending undone" };

static void tell(const struct entry *e)
{
	const struct log_message *m = e->state == ENTRY_APPLIED ? &msg_fixed :
				      e->state == ENTRY_FAILED	? &msg_failed :
								  &msg_undone;

	log_event(e->state == ENTRY_FAILED ? LOG_WARNING : LOG_NOTICE, m, "kind", "fix", "fix_id", e->id, "control",
		  e->control, "proof", json_string_value(json_object_get(e->proof, "reason")));
}

static const char *waits_for(const struct mender *m, unsigned int kicks)
{
	return (kicks & KICK_DOCKER) ? "waits for a restart of Docker (--restart-docker)" :
	       (kicks & KICK_ECS)    ? "waits for a restart of the ECS agent (--restart-agent)" :
	       m && m->later	     ? m->later :
				       "everything that can be written is written";
}

/* ---- back --------------------------------------------------------------------------------------*/

int entry_undo(struct fix *f, struct entry *e, struct diag *d)
{
	int error = 0;

	for (size_t i = e->n_changes; i-- > 0;) {
		int r = change_do(f, &e->changes[i], false, d);

		/* A directory that holds something else by now is not ours alone any more. */
		if (r == -ENOTEMPTY)
			r = 0;
		if (r < 0 && error == 0)
			error = r;
	}
	if (e->kicks & KICK_DOCKER_READS) {
		int r = f->host->docker_reads(f->host->data, NULL);

		(void)r; /* nobody may be there to read */
	}
	return error;
}

/* A started entry is put back and gets the state in which it ends. */
static int roll_back(struct fix *f, struct entry *e, enum entry_state state, struct diag *d)
{
	int r = entry_undo(f, e, d);

	if (r == -ESTALE) {
		(void)entry_set_proof(e, "failed", "%s %s", d->where, d->what);
	} else if (r == -ENOTRECOVERABLE) {
		if (state == ENTRY_INTERRUPTED)
			(void)entry_set_proof(e, "passed", "cut short by a crash, but done: %s", d->what);
		state = ENTRY_APPLIED;
	} else if (r < 0) {
		return r; /* stays "started", for the next start */
	}
	e->state = state;
	tell(e);
	return entry_store(f, e, d);
}

/* Whatever it was, it has ended: who did it had our lock as long as it was at it. */
static int find_out(struct fix *f, struct entry *e, struct diag *d)
{
	int state = change_look(f, &e->changes[0], d);

	if (state < 0) {
		(void)entry_set_proof(e, "pending", "cut short by a crash; whether it was done cannot be told: %s: %s", d->where, d->what);
		return entry_store(f, e, d);
	}
	e->state = state == CHANGE_AFTER ? ENTRY_APPLIED : ENTRY_INTERRUPTED;
	if (state == CHANGE_AFTER)
		(void)entry_set_proof(e, "pending", "cut short by a crash, but done; %s", waits_for(NULL, e->kicks));
	else
		(void)entry_set_proof(e, "failed", "cut short by a crash; %s is %s", e->changes[0].path,
				      state == CHANGE_BEFORE ? "as it was before" : "neither what it was nor what it should be");
	tell(e);
	return entry_store(f, e, d);
}

/* A started entry: it is undone, or it is found out whether it was done. */
static int recover_entry(struct fix *f, struct entry *e, struct diag *d)
{
	if (entry_is_found_out(e))
		return find_out(f, e, d);
	if (entry_is_final(e) && wait_for_swarm(f, e, d) < 0) {
		/* Nothing is half done, and a Docker that is down must not keep others from being mended. */
		(void)entry_set_proof(e, "pending", "cut short by a crash; whether it was done shows when Docker answers: %s", d->what);
		return entry_store(f, e, d);
	}
	(void)entry_set_proof(e, "failed", entry_is_final(e) ? "cut short by a crash; this host is in the swarm still" :
							       "cut short by a crash; undone at the next start");
	return roll_back(f, e, ENTRY_INTERRUPTED, d);
}

/* Names that begin with a dot are files that a crash kept from getting theirs. */
static void sweep_journal(struct fix *f)
{
	int fd = openat(f->state, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		fd_close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] == '.' && strstr(e->d_name, ".json."))
			(void)unlinkat(f->state, e->d_name, 0);
	(void)closedir(dir);
}

int fix_recover(struct fix *f, json_t **ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *met = json_array();
	char **ids;
	size_t n;
	int r = entry_list(f, &ids, &n, d), error = 0;

	if (r < 0)
		return r;
	sweep_journal(f);
	for (size_t i = n; i-- > 0;) {
		_cleanup_(entry_freep) struct entry *e = NULL;
		struct diag why = { 0 };

		r = entry_load(f, ids[i], &e, &why);
		if (r >= 0 && e->state == ENTRY_STARTED) {
			r = recover_entry(f, e, &why);
			(void)json_array_append_new(met, entry_json(e));
		}
		if (r < 0 && error == 0)
			error = diag_fail(d, r, why.where, "%s", why.what);
	}
	entry_list_free(ids, n);
	*ret = take_ptr(met);
	return error;
}

/* ---- forth -------------------------------------------------------------------------------------*/

struct run {
	struct fix *fix;
	const struct fix_request *q;
	json_t *fixes, *left; /* of the result; borrowed */
	json_t *health;
	struct job *jobs;
	size_t n_jobs;
	bool failed;
};

static int leave(struct run *run, const char *control, const char *subject, bool waits, const char *reason)
{
	json_t *j = json_pack("{s:s, s:o*, s:o, s:b}", "control", control, "subject", subject ? json_text(subject) : NULL,
			      "reason", json_text(reason), "waits", waits);

	return json_array_append_new(run->left, j) < 0 ? -ENOMEM : 0;
}

static bool is_failing(const struct finding *f)
{
	return f->status == STATUS_FAIL || f->status == STATUS_DRIFT;
}

/* Asks the mender about everything that fails. */
static int make_plan(struct run *run, struct job *j, struct fix_plan *p)
{
	const struct mender *m = j->mender;
	int r = 0;

	for (size_t i = 0; i < p->audit->n_findings && r >= 0; i++) {
		const struct finding *f = &p->audit->findings[i];

		j->unknown_before |= f->status == STATUS_UNKNOWN;
		if (!is_failing(f))
			continue;
		r = failing_add(&j->before, f);
		p->why[0] = '\0';
		if (r >= 0)
			r = m->plan(p, m, f);
		if (r == -ENOMEM)
			return r;
		if (r > 0)
			r = failing_add(&j->mended, f);
		else
			r = leave(run, m->control, f->subject.name, false, r < 0 ? strerror(-r) : p->why);
	}
	plan_finish(p);
	if (j->mended.n > 0)
		p->kicks |= m->kicks;
	return r;
}

static int apply(struct run *run, struct job *j, struct diag *d)
{
	struct entry *e = j->entry;
	int r = 0;

	for (size_t i = 0; i < e->n_changes && r >= 0; i++)
		r = change_do(run->fix, &e->changes[i], true, d);
	if (r >= 0 && (e->kicks & KICK_DOCKER_READS))
		r = run->fix->host->docker_reads(run->fix->host->data, d);
	return r;
}

/* The transaction itself. Return: 0, also when it failed and was undone; or a negative errno. */
static int transact(struct run *run, struct job *j, struct diag *d)
{
	struct entry *e = j->entry;
	struct diag why = { 0 };
	int r = entry_store(run->fix, e, d);

	if (r < 0)
		return r;
	r = apply(run, j, &why);
	/* Docker's no is one; from no answer at all nothing follows. */
	if (r < 0 && r != -EREMOTEIO && entry_is_final(e) && wait_for_swarm(run->fix, e, NULL) == CHANGE_AFTER)
		r = 0;
	if (r < 0)
		(void)entry_set_proof(e, "failed", "%s%s%s", why.where, why.where[0] ? ": " : "",
				      why.what[0] ? why.what : strerror(-r));
	else
		r = job_prove(run->fix, j, run->q, run->health, e->kicks & KICKS_ASKED_FOR, &why);
	if (r < 0 || r == VERDICT_FAILED) {
		run->failed = true;
		j->undone = true;
		return roll_back(run->fix, e, ENTRY_FAILED, d);
	}
	e->state = ENTRY_APPLIED;
	r = entry_store(run->fix, e, d);
	if (r < 0)
		return r;
	/* What waits for a restart that comes in this run is told when it is through. */
	if (!(e->kicks & run->q->kicks))
		tell(e);
	return 0;
}

static int note_dry(struct run *run, const struct job *j, struct fix_plan *p)
{
	struct bytes *out = run->q->diff;
	struct fix_plan *all = run->fix->dry;

	if (p->n_changes == 0 && p->kicks == 0)
		return 0;
	bytes_printf(out, "# %s\n", j->mender->control);
	for (size_t i = 0; i < p->n_changes; i++) {
		bytes_append_str(out, "#   ");
		change_describe(&p->changes[i], out);
		bytes_append_str(out, "\n");
	}
	if (p->kicks & KICK_DOCKER_READS)
		bytes_append_str(out, "#   then dockerd reads its file again\n");
	if (p->kicks & KICK_DOCKER)
		bytes_append_str(out, "#   in force after a restart of Docker (--restart-docker)\n");
	if (p->kicks & KICK_ECS)
		bytes_append_str(out, "#   in force after a restart of the ECS agent (--restart-agent)\n");
	if (j->mender->later)
		bytes_printf(out, "#   %s\n", j->mender->later);
	return plan_merge(all, p) < 0 ? -ENOMEM : out->error;
}

static int run_job(struct run *run, const struct mender *m, struct job *j, struct diag *d)
{
	_cleanup_(facts_freep) struct facts *facts = NULL;
	struct audit a = { 0 };
	struct fix_plan p = { .fix = run->fix, .audit = &a };
	unsigned int wanted;
	int r;

	*j = (struct job){ .mender = m };
	r = control_run(run->fix, m->control, run->q, &a, &facts, d);
	if (r >= 0)
		r = make_plan(run, j, &p);
	/* A tree of files has nobody who would read them. */
	if (r >= 0 && !facts_live(facts))
		p.kicks = 0;
	wanted = p.kicks & KICKS_ASKED_FOR;
	if (r < 0 || j->mended.n == 0) {
		/* Nothing more to do. */
	} else if (run->q->dry_run) {
		r = note_dry(run, j, &p);
	} else if (p.n_changes == 0 && !(p.kicks & (run->q->kicks | KICK_DOCKER_READS))) {
		r = leave(run, m->control, NULL, true, waits_for(m, wanted));
	} else {
		r = entry_new(&j->entry, run->fix, m->control, &p);
	}
	plan_done(&p);
	audit_done(&a);
	if (r >= 0 && j->entry)
		r = transact(run, j, d);
	return r;
}

static bool is_named(const struct fix_request *q, const char *id)
{
	for (const char *const *p = q->audit.control_ids; p && *p; p++)
		if (strcmp(*p, id) == 0)
			return true;
	return false;
}

static int run_control(struct run *run, const struct finding *f, struct diag *d)
{
	const struct mender *m = mender_find(f->control->id);
	int r;

	if (!m)
		return leave(run, f->control->id, f->subject.name, false, f->control->remedy);
	if (m->consent & ~run->q->consents)
		return leave(run, f->control->id, f->subject.name, false, m->by_consent);
	if (m->by_name && !is_named(run->q, m->control))
		return leave(run, f->control->id, f->subject.name, false, m->by_name);
	r = run_job(run, m, &run->jobs[run->n_jobs], d);
	run->n_jobs++;
	return r;
}

/* ---- restarts ----------------------------------------------------------------------------------*/

static bool shares_a_path(const struct entry *a, const struct entry *b)
{
	for (size_t i = 0; i < a->n_changes; i++)
		for (size_t k = 0; k < b->n_changes; k++)
			if (strcmp(a->changes[i].path, b->changes[k].path) == 0)
				return true;
	return false;
}

/* Undoes the job, and before it what later ones of this run put on top of it. */
static int take_back(struct run *run, size_t at, struct diag *d)
{
	struct job *j = &run->jobs[at];
	int r = 0;

	for (size_t i = run->n_jobs; i-- > at + 1 && r >= 0;) {
		struct job *later = &run->jobs[i];

		if (!later->entry || later->undone || !shares_a_path(j->entry, later->entry))
			continue;
		r = take_back(run, i, d);
		(void)entry_set_proof(later->entry, "failed", "undone with %s, whose file it changed after it", j->entry->id);
		if (r >= 0)
			r = entry_store(run->fix, later->entry, d);
	}
	if (r >= 0)
		r = entry_undo(run->fix, j->entry, d);
	if (r < 0)
		return r;
	run->failed = true;
	j->undone = true;
	j->entry->state = ENTRY_FAILED;
	tell(j->entry);
	return entry_store(run->fix, j->entry, d);
}

/* May dockerd be restarted without taking containers with it? */
static bool docker_may_restart(struct fix *f)
{
	_cleanup_(facts_freep) struct facts *facts = NULL;

	return f->host->facts(f->host->data, &facts, NULL) >= 0 &&
	       facts_json_true(facts_docker(facts, "info"), "LiveRestoreEnabled");
}

static int kick(struct run *run, unsigned int kicks, struct diag *d)
{
	const struct fix_host *h = run->fix->host;
	const char *lost;
	int r = 0;

	if (kicks & KICK_DOCKER)
		r = h->unit(h->data, "docker.service", "restart", d);
	if (r >= 0 && (kicks & KICK_ECS))
		r = h->unit(h->data, "ecs.service", "restart", d);
	if (r < 0)
		return r;
	lost = health_lost(run->fix, run->health, h->restart_timeout_ms);
	return lost ? diag_fail(d, -ETIMEDOUT, NULL, "%s does not answer after the restart", lost) : 0;
}

/* Jobs that waited for @done: proved, or taken back. Return: kicks that taking back needs once more. */
static int prove_jobs(struct run *run, unsigned int done, const struct diag *kick_failed, unsigned int *ret_again,
		      struct diag *d)
{
	int r = 0;

	for (size_t i = 0; i < run->n_jobs && r >= 0; i++) {
		struct job *j = &run->jobs[i];

		if (!j->entry || j->undone || !(j->entry->kicks & done))
			continue;
		if (kick_failed)
			r = entry_set_proof(j->entry, "failed", "%s%s%s", kick_failed->where, kick_failed->where[0] ? ": " : "",
					    kick_failed->what);
		else
			r = job_prove(run->fix, j, run->q, run->health, j->entry->kicks & KICKS_ASKED_FOR & ~done, d);
		if (r < 0)
			break;
		if (kick_failed || r == VERDICT_FAILED) {
			*ret_again |= j->entry->n_changes > 0 ? j->entry->kicks & done : 0;
			r = take_back(run, i, d);
		} else {
			tell(j->entry);
			r = entry_store(run->fix, j->entry, d);
		}
	}
	return r;
}

static int restart_and_prove(struct run *run, struct diag *d)
{
	unsigned int wanted = 0, again = 0;
	struct diag why = { 0 };
	int r;

	for (size_t i = 0; i < run->n_jobs; i++)
		if (run->jobs[i].entry && !run->jobs[i].undone)
			wanted |= run->jobs[i].entry->kicks & run->q->kicks & KICKS_ASKED_FOR;
	if ((wanted & KICK_DOCKER) && !docker_may_restart(run->fix)) {
		wanted &= ~(unsigned int)KICK_DOCKER;
		r = leave(run, "DKD-08", NULL, true, "Docker was not restarted: live-restore is off, and a restart "
			  "would stop every container");
		if (r < 0)
			return r;
	}
	if (!wanted)
		return 0;
	r = kick(run, wanted, &why);
	r = prove_jobs(run, wanted, r < 0 ? &why : NULL, &again, d);
	if (r >= 0 && again)
		r = kick(run, again, d);
	return r;
}

/* ---- the whole run -----------------------------------------------------------------------------*/

/* Somebody asked for it in so many words, and it cannot be told whether there is anything to do. */
static bool is_unanswered(const struct run *run, struct audit *a, const struct finding *f)
{
	const struct mender *m = f->status == STATUS_UNKNOWN && f->control ? mender_find(f->control->id) : NULL;

	return m && (m->consent & run->q->consents) && !(m->unknown_is_well && m->unknown_is_well(a));
}

/* Each control that fails, once, in the catalogue's order. */
static int run_controls(struct run *run, struct diag *d)
{
	_cleanup_(facts_freep) struct facts *facts = NULL;
	const struct control *last = NULL;
	struct audit a = { 0 };
	int r = run->fix->host->facts(run->fix->host->data, &facts, d);

	if (r >= 0)
		r = audit_run(&a, facts, &run->q->audit);
	if (r >= 0) {
		run->jobs = calloc(a.n_controls + 1, sizeof(*run->jobs));
		r = run->jobs ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < a.n_findings && r >= 0; i++) {
		const struct finding *f = &a.findings[i];

		if (is_unanswered(run, &a, f))
			r = leave(run, f->control->id, f->subject.name, false, f->evidence);
		/* Waivers that nobody needs are findings of no control. */
		if (!is_failing(f) || !f->control || f->control == last)
			continue;
		last = f->control;
		r = run_control(run, f, d);
	}
	audit_done(&a);
	return r;
}

static int collect(struct run *run)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (run->jobs[i].entry && json_array_append_new(run->fixes, entry_json(run->jobs[i].entry)) < 0)
			return -ENOMEM;
	return 0;
}

int fix_run(struct fix *f, const struct fix_request *q, json_t **ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *result = json_pack("{s:s, s:[], s:[]}", "schema", "batten.fix/1", "fixes", "left");
	struct run run = { .fix = f, .q = q };
	struct fix_plan all = { .fix = f };
	int r;

	if (!result)
		return -ENOMEM;
	run.fixes = json_object_get(result, "fixes");
	run.left = json_object_get(result, "left");
	if (q->dry_run)
		f->dry = &all;
	else
		run.health = f->host->health(f->host->data);
	r = run_controls(&run, d);
	if (r >= 0 && !q->dry_run)
		r = restart_and_prove(&run, d);
	if (r >= 0 && q->dry_run)
		r = plan_diff(&all, q->diff);
	if (r >= 0)
		r = collect(&run);
	for (size_t i = 0; i < run.n_jobs; i++) {
		entry_free(run.jobs[i].entry);
		failing_done(&run.jobs[i].before);
		failing_done(&run.jobs[i].mended);
	}
	free(run.jobs);
	json_decref(run.health);
	f->dry = NULL;
	plan_done(&all);
	*ret = take_ptr(result);
	return r < 0 ? r : run.failed ? -ECANCELED : 0;
}

/* ---- undo --------------------------------------------------------------------------------------*/

/* The newest fix in force that has a change of the same path, or "". */
static void who_changed(struct fix *f, const struct entry *e, const char *path, char *ret, size_t size)
{
	char **ids;
	size_t n;

	ret[0] = '\0';
	if (entry_list(f, &ids, &n, NULL) < 0)
		return;
	for (size_t i = n; i-- > 0 && strcmp(ids[i], e->id) > 0 && !ret[0];) {
		_cleanup_(entry_freep) struct entry *later = NULL;

		if (entry_load(f, ids[i], &later, NULL) < 0 || later->state != ENTRY_APPLIED)
			continue;
		for (size_t k = 0; k < later->n_changes; k++)
			if (strcmp(later->changes[k].path, path) == 0)
				(void)snprintf(ret, size, "; undo %s first", later->id);
	}
	entry_list_free(ids, n);
}

static int may_undo(struct fix *f, const struct entry *e, struct diag *d)
{
	if (e->state != ENTRY_APPLIED)
		return diag_fail(d, -EALREADY, e->id, "is not in force any more");
	if (entry_is_final(e))
		return diag_fail(d, -ENOTRECOVERABLE, e->id, "cannot be undone: join the swarm again by hand, with docker swarm "
				 "join and a token of a manager");
	for (size_t i = 0; i < e->n_changes; i++) {
		int r = change_look(f, &e->changes[i], d);
		char by[100];

		if (r < 0)
			return r;
		if (r != CHANGE_FOREIGN)
			continue;
		who_changed(f, e, e->changes[i].path, by, sizeof(by));
		return diag_fail(d, -ESTALE, e->changes[i].path, "was changed since; nothing was undone%s", by);
	}
	return 0;
}

int fix_undo(struct fix *f, const char *id, unsigned int kicks, json_t **ret, struct diag *d)
{
	_cleanup_(entry_freep) struct entry *e = NULL;
	struct run run = { .fix = f };
	unsigned int wanted;
	int r = entry_load(f, id, &e, d);

	if (r >= 0)
		r = may_undo(f, e, d);
	if (r < 0)
		return r;
	/* From here on a crash leads to the same end. */
	e->state = ENTRY_STARTED;
	r = entry_store(f, e, d);
	run.health = f->host->health(f->host->data);
	if (r >= 0)
		r = entry_set_proof(e, "passed", "everything is as it was before");
	if (r >= 0)
		r = roll_back(f, e, ENTRY_UNDONE, d);
	/* A restart that changed nothing else has nothing to be undone by another. */
	wanted = e->n_changes > 0 ? e->kicks & KICKS_ASKED_FOR : 0;
	if (r >= 0 && (wanted & ~kicks))
		r = entry_set_proof(e, "pending", "the files are as they were; %s", waits_for(NULL, wanted & ~kicks));
	else if (r >= 0 && (e->kicks & KICK_DOCKER_READS) && !(kicks & KICK_DOCKER))
		/* A setting that is gone from its file changes nothing when dockerd reads it again. */
		r = entry_set_proof(e, "pending", "the file is as it was; dockerd keeps what it has read until it starts again");
	if (r >= 0)
		r = entry_store(f, e, d);
	if (r >= 0 && (wanted & kicks & KICK_DOCKER) && !docker_may_restart(f))
		r = diag_fail(d, -EBUSY, "docker", "the files are as they were; Docker was not restarted, for live-restore is off");
	if (r >= 0 && (wanted & kicks))
		r = kick(&run, wanted & kicks, d);
	json_decref(run.health);
	if (r < 0)
		return r;
	*ret = entry_json(e);
	return *ret ? 0 : -ENOMEM;
}
