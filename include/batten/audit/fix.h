/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Mending what the audit finds: one transaction for each control. Before anything changes, what is there
 * is written to a journal; then the change; then the proof, which is the control run again and the
 * question whether Docker, the ECS agent and the credentials endpoint still answer; and when the proof
 * fails, the way back. A transaction that a crash cut short is undone at the next start. What has no way back
 * (a swarm that was left) is done only on request, and a start after a crash finds out whether it was done; so
 * it does for a package, whose way back needs the network.
 *
 * The journal is a directory with one JSON file for each transaction, open to root alone: it holds the
 * files as they were, secrets and all.
 */
#include <stdbool.h>

#include "batten/audit/audit.h"
#include "batten/base/bytes.h"
#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/host/docker.h"
#include "batten/host/package.h"

#define FIX_STATE_DIR "/var/lib/batten/fix"

/* What makes a change effective where writing it does not. */
enum fix_kick {
	KICK_ECS = 1,	      /* the agent starts again; tasks keep running */
	KICK_DOCKER = 2,      /* dockerd starts again; only where containers outlive it */
	KICK_DOCKER_READS = 4, /* dockerd reads its file again, SIGHUP; nothing stops */
};
#define KICKS_ASKED_FOR (KICK_ECS | KICK_DOCKER) /* never without the user's word */

/*
 * The host beside its files. fix_host_live() fills in all but the guard; tests bring their own. Each
 * returns 0 or a negative errno with the reason.
 */
struct fix_host {
	void *data;
	/* The facts as they are now; the caller frees them. */
	int (*facts)(void *data, struct facts **ret, struct diag *d);
	/* @verb: "start", "stop", "restart"; comes back when it is done */
	int (*unit)(void *data, const char *unit, const char *verb, struct diag *d);
	int (*unit_active)(void *data, const char *unit, bool *ret, struct diag *d);
	int (*docker_reads)(void *data, struct diag *d);
	int (*swarm)(void *data, enum swarm_deed deed, const char *node, struct docker_swarm *ret, struct diag *d);
	int (*package)(void *data, enum package_deed deed, const char *name, const char *version, int keep,
		       struct package *ret, struct diag *d);
	/* The guard has a configuration, and maybe a daemon that owns it: its argument is its own. */
	int (*guard)(void *guard, bool on, struct diag *d);
	int (*guard_is_on)(void *guard, bool *ret, struct diag *d);
	void *guard_data;
	/* The kernel's audit watches a path, or no longer. */
	int (*watch)(void *data, const char *path, bool on, struct diag *d);
	/* Who answers: {"docker", "introspection", "credentials"}, flags. NULL: no memory. */
	json_t *(*health)(void *data);
	unsigned int restart_timeout_ms; /* until who answered before answers again */
};

/* @docker_url, @root: as struct facts_options has them; copied. Return: 0 or -ENOMEM. */
int fix_host_live(struct fix_host *ret, const char *docker_url, const char *root) _must_check_;
void fix_host_done(struct fix_host *h);

struct fix;

struct fix_options {
	const char *root;	/* tree that stands for "/"; NULL: this host */
	const char *state_dir;	/* NULL: FIX_STATE_DIR in the tree */
	const struct fix_host *host; /* borrowed */
	bool dont_wait;		/* when another one has the lock: -EBUSY */
	void (*waiting)(void);	/* called once before waiting for it; may be NULL */
};

/*
 * fix_open - open the journal and lock it; waits for another one that has it
 * Return: 0 or a negative errno
 */
int fix_open(struct fix **ret, const struct fix_options *o, struct diag *d) _must_check_;
struct fix *fix_free(struct fix *f);
DEFINE_CLEANUP(struct fix *, fix_free)

/*
 * fix_recover - undo what a crash left half done
 * @ret: an array of the entries that were met; a reference of the caller's
 * Return: 0, or the first error; entries that could not be undone stay for the next time
 */
int fix_recover(struct fix *f, json_t **ret, struct diag *d) _must_check_;

/* What is done only when somebody asked for it in so many words. */
enum fix_consent {
	CONSENT_LEAVE_SWARM = 1, /* which nobody can undo */
	CONSENT_UPDATE_AGENT = 2, /* by the host's package manager, from its repositories */
};

struct fix_request {
	struct audit_options audit; /* which controls, with profile and waivers */
	unsigned int kicks;	    /* KICKS_ASKED_FOR that may be done */
	unsigned int consents;	    /* enum fix_consent */
	bool dry_run;
	struct bytes *diff; /* for a dry run */
};

/*
 * fix_run - mend what fails
 * @ret: batten.fix/1: {schema, fixes: [entry…], left: [{control, subject?, reason, waits}]}; for a dry run
 *       fixes is empty. A reference of the caller's, also on failure.
 * Return: 0; -ECANCELED when a change failed and was undone; any other negative errno when nothing could
 *         be done at all
 */
int fix_run(struct fix *f, const struct fix_request *q, json_t **ret, struct diag *d) _must_check_;

/*
 * fix_undo - put back what a transaction changed
 * @kicks: as above; what needs a restart and may not have it says so in the entry's proof
 * @ret:   the entry
 * Return: 0; -ENOENT no such id; -EALREADY it is not in force; -ENOTRECOVERABLE nobody can; -ESTALE a file
 *         was changed since; nothing was touched then
 */
int fix_undo(struct fix *f, const char *id, unsigned int kicks, json_t **ret, struct diag *d) _must_check_;

/* All entries, oldest first, as fix_run() has them. */
int fix_history(struct fix *f, json_t **ret, struct diag *d) _must_check_;
