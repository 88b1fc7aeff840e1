/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Configuration by table. A subsystem describes its keys in rows; the reader fills its struct,
 * and an unknown key, a bad value, a duplicate or a stray line is an error with file and line.
 */
#include <stdbool.h>
#include <stddef.h>

#include "batten/base/diag.h"
#include "batten/base/parse.h"

/*
 * One key. @parse writes to @target (the section's struct plus @offset) and says in @d->what what
 * it wants instead (the reader adds file and line).
 * Return of @parse: 0 or a negative errno.
 */
struct config_key {
	const char *name;
	size_t offset;
	int (*parse)(const struct config_key *k, struct slice value, void *target, struct diag *d);
	uint64_t min, max;	  /* for numbers (their unit) and durations (ms) */
	const char *const *words; /* for config_parse_word: NULL-terminated; the index is stored */
	const char *default_text; /* parsed before the file is read */
	const char *help;	  /* one line, printed into the shipped file's comments */
};

struct config_section {
	const char *name;
	const struct config_key *keys;
	size_t n_keys;
};

/* Parsers for the usual types. Targets: bool, unsigned int, uint64_t (ms), int (index of words). */
int config_parse_bool(const struct config_key *k, struct slice v, void *target, struct diag *d);
int config_parse_uint(const struct config_key *k, struct slice v, void *target, struct diag *d);
int config_parse_duration(const struct config_key *k, struct slice v, void *target, struct diag *d);
int config_parse_word(const struct config_key *k, struct slice v, void *target, struct diag *d);

/* Sets every key to its default. @targets: one struct per section, in order. */
int config_defaults(const struct config_section *sections, size_t n_sections, void *const *targets,
		    struct diag *d) _must_check_;

/*
 * config_read - defaults, then the file
 * @path:     the file
 * @optional: a missing file is no error; what remains are the defaults
 * Return: 0 or a negative errno (-EINVAL for everything wrong inside the file); on failure the
 *         targets are in an unspecified but freeable state: read into fresh structs.
 */
int config_read(const char *path, bool optional, const struct config_section *sections,
		size_t n_sections, void *const *targets, struct diag *d) _must_check_;
