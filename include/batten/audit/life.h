/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The life of findings between runs: new, still there, gone. A run tells what it saw; what it
 * looked at and did not see is gone. What could not be examined stays as it was.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/audit/audit.h"
#include "batten/audit/changes.h"
#include "batten/base/bytes.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define MAX_FINDINGS 16384 /* more than that are counted and not kept */

struct life;

enum life_step {
	LIFE_NEW,
	LIFE_GONE,
};

/* A finding that is there. Strings are never NULL, but may be empty. */
struct life_finding {
	const struct control *control;
	enum severity severity;
	bool drift;		/* else plainly failed */
	enum subject_kind kind;
	int64_t since;		/* seconds since the epoch */
	const char *fingerprint;
	const char *name, *container_id, *task_arn, *family, *image, *evidence;
};

/*
 * A step in a finding's life.
 * @others: so many other findings have the same fingerprint (containers of one task definition)
 */
typedef void (*life_callback)(void *user, enum life_step step, const struct life_finding *f, size_t others);

/* Return: 0 or -ENOMEM */
int life_new(struct life **ret, life_callback callback, void *user) _must_check_;
struct life *life_free(struct life *l);
DEFINE_CLEANUP(struct life *, life_free)

/* One run of some controls: over everything, or over some containers. */
struct life_run {
	struct control_mask controls;	 /* that it runs */
	const json_t *containers;	 /* an object whose keys are ids; NULL: everything */
	struct control_mask unexamined;	 /* private, as is the next */
	uint64_t began;
};

/* To be called before the run looks at anything. */
void life_run_begin(struct life *l, struct life_run *r);

/*
 * life_run_see - one result of the run
 * @f: copied, and what of its evidence is too long left out; its since and drift are not looked at
 * @now: seconds since the epoch
 * @may_add: false: what is not there yet is not taken, for its container has ended meanwhile
 * Return: 0; -ENOMEM; -E2BIG beyond MAX_FINDINGS
 */
int life_run_see(struct life *l, struct life_run *r, const struct life_finding *f, enum status status, int64_t now,
		 bool may_add) _must_check_;

/* The run is over and whole: what it looked at and did not see is gone. */
void life_run_end(struct life *l, const struct life_run *r);

/* A container has ended: its findings are gone. */
void life_container_ended(struct life *l, const char *container_id);

/* How many there are, by severity. */
void life_count(const struct life *l, size_t ret[static _SEV_MAX]);

/*
 * life_json - all findings, as batten.findings/1; NULL on no memory
 */
json_t *life_json(const struct life *l);

/*
 * life_load - what an earlier life kept
 * A file that is not there is no error. Findings of controls that are no more are left out.
 * Return: 0 or a negative errno: -EBADMSG for a file that cannot be read any more
 */
int life_load(struct life *l, const char *path, struct diag *d) _must_check_;

/* A call for each finding that is there, in no order. */
void life_each(const struct life *l, void (*fn)(void *user, const struct life_finding *f), void *user);

/*
 * One result as it goes from the process that audits to the one that keeps: numbers, then texts that
 * end with a NUL each.
 */
#define LIFE_RECORD_MIN (4 * sizeof(uint32_t) + 7)
#define LIFE_RECORD_MAX 32768
#define LIFE_TEXT_MAX 1024 /* bytes of each text */

/*
 * life_record_write - append a result
 * A text is cut, between two characters, behind LIFE_TEXT_MAX bytes: labels are as long as whoever starts
 * the container likes. The fingerprint, which is of the whole texts, never is. Nothing is written for a
 * control that is not in the catalogue: the engine's own words on waivers.
 */
void life_record_write(const struct finding *f, struct bytes *b);

/*
 * life_record_read - check and take apart
 * @ret: its texts are parts of @data
 * Return: 0, or -EBADMSG for what no life_record_write() wrote
 */
int life_record_read(const void *data, size_t n, struct life_finding *ret, enum status *ret_status) _must_check_;
