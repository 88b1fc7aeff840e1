/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the files of the ECS configuration share: lines, values, redaction.
 */
#include "batten/base/bytes.h"
#include "batten/host/ecs-config.h"
#include "batten/host/go-json.h"

#define ECS_MAX_FILE (4U << 20) /* bytes of one configuration file */

/* One NAME=VALUE, in the order of the file. */
struct ecs_line {
	struct slice name, value;
	unsigned int line;
	bool last;	 /* no later line has the same name */
	size_t previous; /* index + 1 of the line before with the same name, 0 for none */
};

struct ecs_lines {
	struct ecs_line *v;
	size_t n, size;
	size_t *slots; /* hash: index + 1 of the last line of a name, 0 empty */
	size_t n_slots;
	unsigned int *stray; /* lines that hold something but no "=" */
	size_t n_stray, stray_size;
	char *owned; /* memory behind the slices, when the reader had to unquote */
};

void ecs_lines_done(struct ecs_lines *l);

/*
 * ecs_read_agent - as ecs-init splits the file for the agent's container
 * ecs_read_systemd - as systemd reads EnvironmentFile= for ecs-init
 * @text: must outlive @ret for the first; the second copies
 * @ret_lost: the reason why systemd drops the whole file, or NULL; a constant
 * Return: 0 or -ENOMEM
 */
int ecs_read_agent(struct slice text, struct ecs_lines *ret) _must_check_;
int ecs_read_systemd(struct slice text, struct ecs_lines *ret, const char **ret_lost) _must_check_;

/* The last line with that name, or NULL. */
const struct ecs_line *ecs_lines_find(const struct ecs_lines *l, struct slice name);

/* A value on its way through the sources. */
struct ecs_value {
	char *text;    /* as the agent would print it; owned; NULL when nothing is set */
	int64_t n, n2; /* number, nanoseconds, bool, rates */
	bool zero;     /* lets the next source speak */
	bool zero2;    /* of the second rate */
	enum ecs_verdict verdict;
	char *reason; /* owned, may be NULL */
};

void ecs_value_done(struct ecs_value *v);

/* For the readers: set what was understood, say what was not. Return: 0 or -ENOMEM. */
int ecs_value_set_text(struct ecs_value *v, const char *p, size_t n) _must_check_;
int ecs_value_set_bool(struct ecs_value *v, bool b) _must_check_;
int ecs_value_set_number(struct ecs_value *v, int64_t n) _must_check_;
int ecs_value_set_duration(struct ecs_value *v, int64_t ns) _must_check_;
int ecs_value_judge(struct ecs_value *v, enum ecs_verdict verdict, const char *fmt, ...)
	_printf_(3, 4) _must_check_;

/* What a person most likely did to a value that is not understood: ": …", or "". A constant. */
const char *ecs_likely_mistake(struct slice s);

/* What the agent makes of an environment variable. Return: 0 or -ENOMEM. */
int ecs_value_from_text(const struct ecs_variable *row, struct slice text, struct ecs_value *ret) _must_check_;

/* The same for the kinds that are JSON; ecs-json.c. */
int ecs_read_json_text(const struct ecs_variable *row, struct slice text, struct ecs_value *ret) _must_check_;

/* What ecs-init makes of it. */
int ecs_value_for_init(const struct ecs_variable *row, struct slice text, struct ecs_value *ret) _must_check_;

/* The bounds that the agent enforces at the end, whatever the source was. */
int ecs_value_bound(const struct ecs_variable *row, struct ecs_value *v) _must_check_;

/* A printable copy of a value without its secrets. NULL on no memory. */
char *ecs_redact(const struct ecs_variable *row, struct slice value);

/* A name that is safe to print, or "***": what stands before a "=" may be a piece of a secret. */
char *ecs_redact_name(struct slice name);

/* Does the text hold something that looks like a secret? */
bool ecs_text_hides_secret(struct slice text);

/* A field of the agent's configuration struct, as JSON names it. */
struct ecs_field {
	const char *name;
	const char *variable; /* the variable that sets the same field, or NULL */
	enum ecs_kind kind;
};

/*
 * ecs_json_apply - read an object as Go decodes it into the agent's configuration struct
 * @on_field: called for each member in order; @field is NULL for one that no field answers to
 * @ret_bad:  the first member whose type does not fit: Go fails then, and nothing counts
 * Return: 0, -EBADMSG with @ret_bad, -ENOMEM, or the first error of @on_field
 */
typedef int ecs_field_fn(void *userdata, const struct ecs_field *field, const struct go_json *member);
int ecs_json_apply(const struct go_json *object, ecs_field_fn *on_field, void *userdata,
		   struct ecs_field *ret_bad) _must_check_;

/* What Go wants for a field, a few words. */
const char *ecs_field_type(const struct ecs_field *field);

/* The field that was meant by a key. */
bool ecs_field_near(struct slice key, struct ecs_field *ret);

/* The value of a member whose type fits. */
int ecs_value_from_json(const struct ecs_field *field, const struct go_json *member,
			struct ecs_value *ret) _must_check_;

/* Damerau's distance of two texts without case and underscores, or @limit + 1. */
size_t ecs_name_distance(struct slice a, struct slice b, size_t limit);
