/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * One run of the audit: which controls, over which facts, and what was found. Everything that a run
 * allocates lives in its arena and is freed with it.
 *
 * Whoever watches a host audits it whole once, and after a change again with
 * audit_options.sources naming what changed (Docker's events: NEEDS_DOCKER | NEEDS_PROC; a file:
 * NEEDS_FILES; a packet filter rule: NEEDS_RULES). Facts are what was read at one time: each run
 * gets new ones, facts_open(), audit_run(), …, audit_done(), facts_free(). A run waits for its
 * sources, each at most its deadline: it belongs into a worker, not into an event loop.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "batten/audit/control.h"
#include "batten/base/arena.h"
#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"

struct facts;
struct waivers;
struct audit_profile;
struct container_facts;
struct image_facts;

enum status {
	STATUS_PASS,
	STATUS_FAIL,
	STATUS_NOT_APPLICABLE,
	STATUS_WAIVED,
	STATUS_UNKNOWN, /* could not be examined; never counted as good or bad */
	STATUS_DRIFT,	/* what is written and what holds differ */
	_STATUS_MAX,
};

/* What a finding is about. Strings live as long as the run. */
struct subject {
	enum subject_kind kind;
	const char *name;	  /* container name, path, host name… */
	const char *container_id; /* NULL when not about a container, as are the next four */
	const char *task_arn;
	const char *family;
	const char *ecs_name; /* name of the container in its task definition */
	const char *image;
	const struct container_facts *container; /* for SUBJECT_CONTAINER */
	const struct image_facts *image_facts;	 /* for SUBJECT_IMAGE */
};

struct finding {
	const struct control *control;
	enum area area;
	enum severity severity; /* the row's, the profile's or the check's own */
	enum status status;
	struct subject subject;
	const char *evidence;
	const char *waiver_reason; /* set when waived, as are the next two */
	const char *waiver_owner, *waiver_until;
	char fingerprint[65]; /* hexadecimal SHA-256, the same from run to run */
};

struct audit_options {
	const char *host;		     /* name of the host; NULL: ask the facts */
	unsigned int areas;		     /* bits 1 << AREA_…; 0: all */
	unsigned int sources;		     /* NEEDS_…: only controls that look at one of them; 0: all */
	const char *const *control_ids;	     /* NULL-terminated; NULL: all */
	bool thorough;			     /* take the time that it takes: layers of all images, digests */
	const struct audit_profile *profile; /* NULL: every control as it is */
	struct waivers *waivers;	     /* NULL: none; the run notes which were used */
	int64_t now;			     /* seconds since the epoch */
};

struct audit {
	struct arena arena;
	struct facts *facts; /* borrowed */
	struct audit_options options;
	const char *host;
	int64_t started, finished; /* seconds since the epoch */
	struct finding *findings;
	size_t n_findings, size_findings;
	unsigned int n_status[_STATUS_MAX];
	unsigned int n_controls;	/* that were selected */
	unsigned int failed_sources;	/* NEEDS_… of selected controls that could not be opened */
	struct twin *twins;		/* findings of the current control by who they are about */
	size_t n_twins, size_twins;
	const struct control *twins_of;
	struct evp_md_ctx_st *digest;	/* of fingerprints, made at the first one */
	const struct control *current;	/* while a check runs */
	enum area current_area;
	int error;
};

/*
 * audit_run - run the selected controls
 * @a:     zeroed; audit_done() afterwards in any case
 * @facts: stays the caller's and must outlive @a
 * Return: 0, or -ENOMEM. Whatever could not be examined is a finding, not an error.
 */
int audit_run(struct audit *a, struct facts *facts, const struct audit_options *options) _must_check_;
void audit_done(struct audit *a);

/* Is the control part of this run? */
bool audit_selects(const struct audit_options *o, const struct control *c, enum area area);

/* Is there a finding (fail or drift) of at least this severity? */
bool audit_failed(const struct audit *a, enum severity at_least);

/* For checks: report on @s with evidence in one line, never with a secret's value. */
void audit_pass(struct audit *a, const struct subject *s, const char *fmt, ...) _printf_(3, 4);
void audit_fail(struct audit *a, const struct subject *s, const char *fmt, ...) _printf_(3, 4);
void audit_fail_as(struct audit *a, const struct subject *s, enum severity severity, const char *fmt,
		   ...) _printf_(4, 5);
void audit_drift(struct audit *a, const struct subject *s, const char *fmt, ...) _printf_(3, 4);
void audit_unknown(struct audit *a, const struct subject *s, const char *fmt, ...) _printf_(3, 4);
void audit_not_applicable(struct audit *a, const struct subject *s, const char *fmt, ...)
	_printf_(3, 4);

/* A subject of a check's own: a file, a setting, a process. @name is copied. */
struct subject audit_subject(struct audit *a, enum subject_kind kind, const char *name);

/*
 * Evidence out of several parts, joined by "; ". What does not fit is counted at the end.
 */
struct evidence {
	char text[900];
	size_t n;
	unsigned int n_parts, n_left_out;
};
void evidence_add(struct evidence *e, const char *fmt, ...) _printf_(2, 3);
const char *evidence_text(struct evidence *e);

const char *status_name(enum status s);

/* Settings of the profile in force; @fallback when it says nothing. */
uint64_t audit_parameter(const struct audit *a, const char *name, uint64_t fallback);
/* Is @word in the profile's list of that name (shell patterns)? */
bool audit_listed(const struct audit *a, const char *name, const char *word);
/* Does the profile have the list at all? */
bool audit_has_list(const struct audit *a, const char *name);
