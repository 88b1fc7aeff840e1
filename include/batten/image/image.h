/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Images: looking for setuid and setgid bits and file capabilities in their layers, and taking them
 * out of them.
 */
#include <stdbool.h>
#include <stdio.h>

#include "batten/base/diag.h"
#include "batten/image/policy.h"

struct image_options {
	const char *source,
		*destination; /* as containers-transports(5) names them; destination: strip only */
	const char *docker_url; /* NULL: DOCKER_HOST or the default socket */
	struct image_policy policy;
	bool effective_only;    /* leave what an upper layer hides */
	bool dry_run;           /* write nothing */
	bool no_verify;         /* do not read again what was written */
	bool keep_attestations; /* keep statements about the old image */
	void (*progress)(void *arg, const char *what, uint64_t done, uint64_t total);
	void *progress_arg;
};

struct image_totals {
	uint64_t setuid, setgid, capabilities, tools; /* members that have them, rules or not */
	uint64_t stripped, removed;                   /* members that leave or lose something */
	uint64_t kept;                                /* members that have something and keep it */
	unsigned int n_layers, n_changed;
	bool changed; /* strip: the destination differs from the source */
};

struct image_run;
struct image_run *image_run_free(struct image_run *run);
DEFINE_CLEANUP(struct image_run *, image_run_free)

/*
 * image_inspect - walk every layer
 * Return: 0 or a negative errno: -EBADMSG damaged, contradictory or ambiguous; -EINVAL no image;
 *         -EOPNOTSUPP what cannot be looked into; -EFBIG, -E2BIG over a limit; from Docker
 */
int image_inspect(const struct image_options *o, struct image_run **ret,
		  struct diag *d) _must_check_;

/*
 * image_strip - write the image without what the policy finds
 * Return: as image_inspect(), and what writing may fail with. After a failure the destination is
 *         what it was.
 */
int image_strip(const struct image_options *o, struct image_run **ret, struct diag *d) _must_check_;

struct image_totals image_run_totals(const struct image_run *run);

/* The name under which a daemon keeps the image that the destination meant before, or NULL. */
const char *image_run_old_name(const struct image_run *run);

/* What was left alone, dropped or tolerated: one line each, NULL after the last. */
const char *image_run_note(const struct image_run *run, size_t index);

/* The digest of the new configuration or manifest of the first image, or NULL when unchanged. */
const char *image_run_new_digest(const struct image_run *run);

/* Prints the findings, layer by layer. Return: 0 or a negative errno. */
int image_run_print_text(struct image_run *run, FILE *f) _must_check_;
int image_run_print_json(struct image_run *run, FILE *f) _must_check_;
