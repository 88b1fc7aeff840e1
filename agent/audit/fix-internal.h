/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The inside of fixing: a change is a pair of values, before and after, of something that can be looked
 * at; a plan is the changes that a control needs; a mender is the row that makes plans for a control.
 */
#include "audit/findings.h"
#include "batten/audit/facts.h"
#include "batten/audit/fix.h"
#include "batten/base/parse.h"
#include "batten/base/root.h"
#include "batten/base/snapshot.h"

#define FIX_MAX_FILE (1024 * 1024) /* bytes of a file that is edited */

/* ---- changes: fix-change.c ---------------------------------------------------------------------*/

enum change_kind {
	CHANGE_NODE,  /* an object of the tree */
	CHANGE_VALUE, /* a file of /proc or /sys that is written in place */
	CHANGE_UNIT,  /* "active" or "inactive" */
	CHANGE_GUARD, /* the metadata guard: "on" or "off" */
	CHANGE_WATCH, /* of the kernel's audit: "on" or "off" */
	CHANGE_PACKAGE, /* its version */
	CHANGE_SWARM, /* what the node is in it: "a manager" or "a worker", then "gone"; there is no way back */
	_CHANGE_KIND_MAX,
};

struct change {
	enum change_kind kind;
	char *path;		       /* in the tree; a unit's or a package's name; a node's id; owned, as are the next two */
	char *from, *to;	       /* for all but nodes */
	struct snapshot before, after; /* for nodes */
};

void change_done(struct change *c);
/* Nothing to do? */
bool change_is_empty(const struct change *c);

enum change_state { CHANGE_BEFORE, CHANGE_AFTER, CHANGE_HALF, CHANGE_FOREIGN };

/* Return: an enum change_state, or a negative errno. */
int change_look(struct fix *f, const struct change *c, struct diag *d) _must_check_;

/*
 * change_do - make it so, or make it as it was
 * Return: 0; -ESTALE when what is there is neither before nor after; -ENOTRECOVERABLE when it cannot be made
 *         as it was; any other negative errno.
 */
int change_do(struct fix *f, const struct change *c, bool forward, struct diag *d) _must_check_;

/* One line for people: what is different. Never a file's text. */
void change_describe(const struct change *c, struct bytes *out);

json_t *change_to_json(const struct change *c);
int change_from_json(struct change *ret, const json_t *j, struct diag *d) _must_check_;

/* ---- plans: fix-plan.c -------------------------------------------------------------------------*/

struct fix_plan {
	struct fix *fix;
	struct audit *audit; /* of the control alone, with its findings and its facts */
	struct change *changes;
	size_t n_changes;
	unsigned int kicks;
	char why[512]; /* why the finding at hand cannot be mended here */
};

void plan_done(struct fix_plan *p);

/*
 * plan_node - the working copy of an object, in the state that the plan leaves it in
 * A link is followed inside the tree; a directory that is missing on the way is planned too.
 * @ret: the plan's; valid until the next plan_…() call
 */
int plan_node(struct fix_plan *p, const char *path, struct snapshot **ret) _must_check_;
/* The same for a file that has to be a file: what is not there becomes an empty one with @mode. */
int plan_file(struct fix_plan *p, const char *path, mode_t mode, struct snapshot **ret) _must_check_;
int plan_link(struct fix_plan *p, const char *path, const char *target) _must_check_;
int plan_value(struct fix_plan *p, const char *path, const char *to) _must_check_;
int plan_unit(struct fix_plan *p, const char *unit, bool active) _must_check_;
int plan_guard(struct fix_plan *p) _must_check_;
int plan_watch(struct fix_plan *p, const char *path) _must_check_;
int plan_swarm(struct fix_plan *p, const char *node, bool manager) _must_check_;
int plan_package(struct fix_plan *p, const char *name, const char *from, const char *to) _must_check_;
/* Notes why; the finding stays. Return: 0. */
int plan_refuse(struct fix_plan *p, const char *fmt, ...) _printf_(2, 3);
/* Takes out what changes nothing. */
void plan_finish(struct fix_plan *p);
/* For a dry run: takes the changes of @p over into @all, where a path stands once. */
int plan_merge(struct fix_plan *all, struct fix_plan *p) _must_check_;
/* Appends unified diffs of the files. Return: 0 or -ENOMEM. */
int plan_diff(const struct fix_plan *all, struct bytes *out) _must_check_;

/* ---- menders -----------------------------------------------------------------------------------*/

/* A variable of the agent and the value that mends. */
struct ecs_setting {
	const char *name, *value;
	const char *bad[2]; /* effective values that need it; none: all but @value */
};

struct mender {
	const char *control;
	/*
	 * plan - add what mends one finding
	 * Return: 1 planned; 0 refused, with plan_refuse(); a negative errno
	 */
	int (*plan)(struct fix_plan *p, const struct mender *m, const struct finding *f);
	const struct ecs_setting *settings; /* for mend_ecs_settings(): ends with a NULL name */
	const char *key, *value;	    /* for mend_docker_setting() */
	unsigned int kicks;		    /* what makes it effective */
	const char *by_name;		    /* done only when asked for by its id, and why */
	unsigned int consent;		    /* done only with this enum fix_consent, ... */
	const char *by_consent;		    /* ... and why */
	/* Does the unknown that comes out afterwards mean that all is well, as far as can be known? */
	bool (*unknown_is_well)(struct audit *a);
	const char *later;		    /* it counts for what starts from then on: for what */
};

struct mender_set {
	const struct mender *menders;
	size_t n;
};
#define MENDER_SET(name) const struct mender_set name = { menders, ARRAY_SIZE(menders) }

extern const struct mender_set ecs_menders, docker_menders, file_menders, host_menders, metadata_menders;

/* NULL when nothing is known about mending it. */
const struct mender *mender_find(const char *control_id);
/* The @n-th of all, NULL behind the last. */
const struct mender *mender_nth(size_t n);

/* ---- text: fix-lines.c, fix-daemon-json.c ------------------------------------------------------*/

/*
 * lines_set - NAME=VALUE in the place of the line that counts, of the wrong line, or at the end
 * @wrong_line: the line (from 1) that was meant to set it under another name, or 0
 * Every other byte stays. Return: 0 or -ENOMEM.
 */
int lines_set(struct slice text, const char *name, const char *value, unsigned int wrong_line,
	      struct bytes *out) _must_check_;
/* The same for one line: the assignment in line @line becomes NAME=VALUE. */
int lines_replace(struct slice text, unsigned int line, const char *name, const char *value,
		  struct bytes *out) _must_check_;

/*
 * daemon_json_set - a member of daemon.json becomes @json; NULL takes it out
 * @path: "key" or "key.member"
 * Return: 0; -EBADMSG when the text is not what it should be; -ENOMEM
 */
int daemon_json_set(struct slice text, const char *name, const char *path, const char *json,
		    struct bytes *out, struct diag *d) _must_check_;
/*
 * Takes the strings that @drop says true to out of the array @key. When none is left, the member goes too;
 * with @keep_empty it stays, or comes, as an empty array.
 */
int daemon_json_filter(struct slice text, const char *name, const char *key, bool (*drop)(const char *text),
		       bool keep_empty, struct bytes *out, struct diag *d) _must_check_;

/* ---- transactions: fix.c, fix-journal.c, fix-proof.c -------------------------------------------*/

struct fix {
	struct root root;
	const struct fix_host *host;
	int state, lock;
	char *state_name;
	struct fix_plan *dry; /* during a dry run: what all plans together leave */
};

enum entry_state { ENTRY_STARTED, ENTRY_APPLIED, ENTRY_UNDONE, ENTRY_FAILED, ENTRY_INTERRUPTED, _ENTRY_STATE_MAX };

/* One transaction. */
struct entry {
	char id[64];
	char time[32];
	char control[32];
	enum entry_state state;
	unsigned int kicks; /* that the change needs */
	struct change *changes;
	size_t n_changes;
	json_t *proof; /* {result: "passed|pending|failed", reason, health?} */
};

struct entry *entry_free(struct entry *e);
DEFINE_CLEANUP(struct entry *, entry_free)
/* Takes the plan's changes over. */
int entry_new(struct entry **ret, struct fix *f, const char *control, struct fix_plan *p) _must_check_;
int entry_store(struct fix *f, const struct entry *e, struct diag *d) _must_check_;
int entry_load(struct fix *f, const char *id, struct entry **ret, struct diag *d) _must_check_;
/* The ids in the journal, oldest first; an array that the caller frees with its strings. */
int entry_list(struct fix *f, char ***ret, size_t *ret_n, struct diag *d) _must_check_;
void entry_list_free(char **ids, size_t n);
/* As users see it. */
json_t *entry_json(const struct entry *e);
int entry_set_proof(struct entry *e, const char *result, const char *fmt, ...) _printf_(3, 4);
/* Is there no way back once it is done? */
bool entry_is_final(const struct entry *e);
/* Undoes the changes in reverse; what is neither before nor after stays and is -ESTALE. */
int entry_undo(struct fix *f, struct entry *e, struct diag *d) _must_check_;

/* The subjects of a control that fail or drift, as "kind name". */
struct failing {
	char **v;
	size_t n;
};
void failing_done(struct failing *l);
int failing_add(struct failing *l, const struct finding *f) _must_check_;

enum verdict { VERDICT_PASSED, VERDICT_PENDING, VERDICT_FAILED };

/* What a transaction set out to do; lives for one run. */
struct job {
	const struct mender *mender;
	struct entry *entry;
	struct failing before, mended; /* all that failed; what of it the plan mends */
	bool unknown_before, undone;
};

/*
 * job_prove - run the control again and ask who answers; writes the entry's proof
 * @health:  who answered before
 * @pending: kicks that were not done yet
 * Return: an enum verdict or a negative errno
 */
int job_prove(struct fix *f, struct job *j, const struct fix_request *q, const json_t *health,
	      unsigned int pending, struct diag *d) _must_check_;

/* Who answered in @before and does not now? Waits up to @timeout_ms. NULL: everybody answers. */
const char *health_lost(struct fix *f, const json_t *before, unsigned int timeout_ms);

/* Does a crash in the middle of it say nothing about whether it was done? Then that is found out, and nothing undone. */
bool entry_is_found_out(const struct entry *e);

/*
 * wait_for_swarm - did the host leave? Docker goes on with it when who asked is gone
 * @e: of a swarm that was to be left
 * Return: as change_look()
 */
int wait_for_swarm(struct fix *f, const struct entry *e, struct diag *d) _must_check_;

/* Runs the one control. @a: zeroed; audit_done() and facts_free() afterwards. */
int control_run(struct fix *f, const char *control_id, const struct fix_request *q, struct audit *a,
		struct facts **ret_facts, struct diag *d) _must_check_;
