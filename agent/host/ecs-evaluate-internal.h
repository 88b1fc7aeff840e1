/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The sources side by side while the results are worked out.
 */
#include "host/ecs-internal.h"

/* A variable's value as a document (ecs.config.json, user data) gives it. */
struct ecs_document_value {
	bool set;
	struct ecs_value value;
	bool set2; /* the burst rate */
	struct ecs_value value2;
};

struct ecs_document {
	bool applies; /* it was there, and its types fit */
	struct ecs_document_value *values; /* one for each row of the table */
};

/* One place where a name stands. */
struct ecs_statement {
	enum ecs_source source;
	const char *file;
	unsigned int line;
	struct slice value;
	bool forced;
};

#define ECS_MAX_INIT_FILES 8

/* What systemd hands to ecs-init, out of its unit. */
struct ecs_unit {
	char *files[ECS_MAX_INIT_FILES]; /* EnvironmentFile=, in order; one place less is used */
	size_t n_files;
	char *environment; /* Environment= as lines, or NULL */
};
int ecs_unit_read(const struct root *root, struct ecs_unit *ret) _must_check_;
void ecs_unit_done(struct ecs_unit *u);

struct ecs_sources {
	const struct root *root;
	const char *json_path; /* of ecs.config.json on the host */
	struct ecs_lines user, instance;      /* for the agent */
	struct ecs_lines init[ECS_MAX_INIT_FILES]; /* for ecs-init; a later one wins */
	const char *init_files[ECS_MAX_INIT_FILES];
	size_t n_init;
	struct ecs_document json, user_data;
	char *os_family;	    /* built-ins that depend on the host */
	const char *cert_dir;
	char *fetcher;		    /* path of CREDENTIALS_FETCHER_HOST, "" for none at all; NULL: not named */
	bool external;		    /* as ecs-init sees it */
	bool no_gpu;		    /* the instance's file names GPUs, and a live host has none */
};

/* What the agent's container gets for a name, if anything. */
bool ecs_environment_find(const struct ecs_sources *s, const char *name, struct ecs_statement *ret);

/* ecs-init's own value for a row, or false. */
bool ecs_init_environment_find(const struct ecs_sources *s, const char *name, struct ecs_statement *ret);

/* The built-in of ecs-init for a row, or NULL. */
const char *ecs_built_in(const struct ecs_sources *s, const struct ecs_variable *row);

/*
 * ecs_evaluate - the results of every row and of every other name
 * Return: 0 or -ENOMEM; fills ->results and ->fatal
 */
int ecs_evaluate(struct ecs_config *c, const struct ecs_sources *s) _must_check_;

/*
 * ecs_exceptions - variables whose value depends on others; after every row has its result
 */
int ecs_exceptions(struct ecs_config *c, const struct ecs_sources *s) _must_check_;

/* For both: the text of a result, redacted by its row. Takes nothing. Return: 0 or -ENOMEM. */
int ecs_result_set(struct ecs_result *r, struct slice effective, enum ecs_source source) _must_check_;
int ecs_result_judge(struct ecs_result *r, enum ecs_verdict verdict, const char *fmt, ...)
	_printf_(3, 4) _must_check_;
int ecs_fatal_add(struct ecs_config *c, const char *fmt, ...) _printf_(2, 3) _must_check_;
struct ecs_result *ecs_result_of(struct ecs_config *c, const char *name);
int ecs_result_layer(struct ecs_result *r, const struct ecs_layer *layer, struct slice raw) _must_check_;
struct ecs_result *ecs_config_add(struct ecs_config *c);

/* The environment that ecs-init would hand to the container, kept for comparing. */
int ecs_expected_new(const struct ecs_sources *s, struct ecs_expected **ret) _must_check_;
struct ecs_expected *ecs_expected_free(struct ecs_expected *e);
