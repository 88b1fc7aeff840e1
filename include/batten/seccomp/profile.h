/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A seccomp profile as Docker, podman and the OCI runtimes read it, resolved for one machine and
 * one set of capabilities the way dockerd does before a runtime sees it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"
#include "batten/seccomp/abi.h"

#define MAX_PROFILE_BYTES (8u << 20)
#define MAX_PROFILE_RULES 16384
#define MAX_RULE_ARGS 6
#define MAX_RULE_NAMES 2048

enum profile_action {
	ACTION_KILL_THREAD,
	ACTION_KILL_PROCESS,
	ACTION_TRAP,
	ACTION_ERRNO,
	ACTION_TRACE,
	ACTION_ALLOW,
	ACTION_LOG,
	ACTION_NOTIFY,
	_ACTION_MAX,
};

enum profile_op {
	OP_NE,
	OP_LT,
	OP_LE,
	OP_EQ,
	OP_GE,
	OP_GT,
	OP_MASKED_EQ, /* value is the mask, value_two what must remain */
	_OP_MAX,
};

struct profile_arg {
	unsigned int index;
	enum profile_op op;
	uint64_t value, value_two;
};

struct profile_rule {
	char **names; /* owned */
	size_t n_names;
	enum profile_action action;
	int error; /* for ACTION_ERRNO and ACTION_TRACE */
	struct profile_arg args[MAX_RULE_ARGS];
	unsigned int n_args;
	char *comment; /* owned, may be NULL */
	/* Docker's conditions, for output: capabilities that a container must, must not hold. Owned, may be NULL. */
	char *with, *without;
};

struct profile {
	enum profile_action default_action;
	int default_error;
	bool abis[_ABI_MAX];
	struct profile_rule *rules; /* owned */
	size_t n_rules, size_rules;
};

/* For whom a profile with conditions is resolved. */
struct profile_context {
	enum abi machine;
	uint64_t capabilities;		      /* bit per CAP_* */
	unsigned int kernel_major, kernel_minor; /* 0.0: newer than any condition */
};
/* This machine, Docker's default capabilities, a kernel newer than any condition. */
void profile_context_docker(struct profile_context *ret);

struct profile *profile_new(void);
struct profile *profile_free(struct profile *p);
DEFINE_CLEANUP(struct profile *, profile_free)

/*
 * profile_add_rule - an empty rule at the end
 * Return: 0, -E2BIG, -ENOMEM; @ret lives until the next rule is added
 */
int profile_add_rule(struct profile *p, enum profile_action action, int error, const char *comment,
		     struct profile_rule **ret) _must_check_;
int profile_rule_add_name(struct profile_rule *r, const char *name) _must_check_;

/* For a container without capabilities that rules ask for: is the call let through, whatever its arguments (@any_args: under some)? */
bool profile_allows(const struct profile *p, const char *name, bool any_args);

/* Of two that let the call through with some arguments: with the same, as far as their rules are the same? */
bool profile_same_arguments(const struct profile *p, const struct profile *other, const char *name);

/*
 * profile_parse - a Docker or OCI profile; an OCI config.json is taken for its linux.seccomp
 * Return: 0; -EBADMSG, -EINVAL, -E2BIG with words for what is wrong where
 */
int profile_parse(const char *text, size_t n, const char *name, const struct profile_context *context,
		  struct profile **ret, struct diag *d) _must_check_;
int profile_read(const char *path, const struct profile_context *context, struct profile **ret,
		 struct diag *d) _must_check_;
/* As profile_write() writes it, but for values of 2^63 and more: those are the numbers below 0 of the same bits. */
json_t *profile_json(const struct profile *p);
int profile_write(const struct profile *p, const char *path, struct diag *d) _must_check_;

const char *profile_action_name(enum profile_action a);
