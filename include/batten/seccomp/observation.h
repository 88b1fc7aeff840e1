/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What a workload was seen to do: an observation (batten.observation/1). Observations of the same
 * program merge by union, in any order and any number of times the same: every member is a set, a
 * minimum or a maximum, so that hosts and restarts converge without anybody keeping score.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"
#include "batten/seccomp/abi.h"
#include "batten/seccomp/args.h"

/* When a call was needed; bits. */
enum {
	PHASE_RUNTIME = 1, /* by the container runtime, between filter and exec */
	PHASE_START = 2,   /* in the first seconds of the workload */
	PHASE_SERVE = 4,   /* later */
	PHASE_EXEC = 8,	   /* by an exec session: docker exec, a health check */
	_PHASE_ALL = 15,
};

/* How a filter that was in force answered instead of the kernel; bits. */
enum {
	DENIED_EPERM = 1,
	DENIED_ENOSYS = 2,
};

#define MAX_CALLS 4096	  /* names in one interface */
#define MAX_SOURCES 1024  /* sources kept in one observation */
#define MAX_LABELS 64	  /* images, digests or hosts kept in one observation */
#define MAX_WITNESSES 2	  /* kept per call: one is "seen once", two are "seen again" */
#define SOURCE_ID_SIZE 40
#define BY_SIZE 64
#define MAX_OBSERVATION_BYTES (16u << 20)

struct arg_value {
	uint32_t v[2]; /* under the masks of the call's rule; v[1] is 0 when the rule has one */
};

/* In how many runs of one source something was seen. */
struct witness {
	char id[SOURCE_ID_SIZE];
	uint64_t runs;
};

struct observed_call {
	char name[ABI_NAME_SIZE];
	unsigned int phases; /* PHASE_*; none: it was tried, but no filter let it through */
	unsigned int denied; /* DENIED_* */
	uint64_t count;	     /* calls, where the source counts; the largest of any source */
	int64_t first_ms;    /* since 1970; 0: not known */
	char by[BY_SIZE];    /* executable that was first, "" when not known */
	bool args_known;     /* @values is what was seen */
	bool args_more;	     /* more than MAX_ARG_VALUES: no rule can be made of them */
	unsigned int n_values;
	struct arg_value *values; /* sorted; owned */
	struct witness witnesses[MAX_WITNESSES];
	unsigned int n_witnesses;
};

/* Something that observed: one recording, or one host's daemon over all its runs. */
struct observed_source {
	char id[SOURCE_ID_SIZE];
	uint64_t runs, calls, seconds;
	int64_t started_ms, finished_ms;
};

struct observed_calls {
	struct observed_call *v; /* sorted by name; owned */
	size_t n, size;
};

struct labels {
	char **v; /* sorted; owned */
	size_t n;
};

struct observation {
	enum abi machine; /* of whom; _ABI_MAX while nothing is in it */
	int64_t started_ms, finished_ms;
	struct labels images, digests, hosts;
	struct observed_source *sources; /* sorted by id; owned */
	size_t n_sources;
	struct observed_calls abis[_ABI_MAX];
};

struct observation *observation_new(void);
struct observation *observation_free(struct observation *o);
DEFINE_CLEANUP(struct observation *, observation_free)

/* The call of that name, or NULL. */
struct observed_call *observation_find(const struct observation *o, enum abi a, const char *name);

/*
 * observation_add - the call of that name, made when it is not there
 * Return: 0; -E2BIG past MAX_CALLS; -EINVAL for what can be no name; -ENOMEM. @ret lives until the
 *         next call is added.
 */
int observation_add(struct observation *o, enum abi a, const char *name, struct observed_call **ret)
	_must_check_;

/* Adds one argument value to a call, under the rule's masks. Return: 0 or -ENOMEM. */
int observed_call_add_value(struct observed_call *c, struct arg_value v) _must_check_;

/* Too many values, or some that nobody looked at: no rule can be made of the arguments. */
void observed_call_forget_values(struct observed_call *c);

/* Notes that a source saw the call in @runs of its runs. */
void observed_call_witness(struct observed_call *c, const char *source, uint64_t runs);

int observation_add_source(struct observation *o, const struct observed_source *s) _must_check_;
int labels_add(struct labels *l, const char *text) _must_check_;

/*
 * observation_merge - make @into the union of both
 * Return: 0; -EINVAL when they are of different machines; -E2BIG; -ENOMEM. On failure @into holds
 *         some of @from, which is still a true observation.
 */
int observation_merge(struct observation *into, const struct observation *from, struct diag *d)
	_must_check_;

/* Was the call needed, in any of these phases? */
static inline bool observed_call_needed(const struct observed_call *c, unsigned int phases)
{
	return (c->phases & phases) != 0;
}

/* How far an observation can be trusted. */
struct confidence {
	uint64_t runs, calls, seconds;
	size_t n_names;	      /* calls that were needed, all interfaces */
	size_t n_once;	      /* of them, seen in one run only */
	int64_t first_new_ms, last_new_ms;
	double saturation;    /* 0 … 1: the share that was seen again in another run */
	bool young;	      /* generating from it deserves a warning */
	char why[160];	      /* why it is young */
};
void observation_confidence(const struct observation *o, struct confidence *ret);

/* ---- JSON (observation-json.c) ---- */

/* Return: 0; -EBADMSG or -EINVAL with words for what is wrong where; -ENOMEM. */
int observation_parse(const char *text, size_t n, const char *name, struct observation **ret,
		      struct diag *d) _must_check_;
/* Reads a file, "-" for standard input. */
int observation_read(const char *path, struct observation **ret, struct diag *d) _must_check_;
/* The document, keys in a fixed order: equal observations print equal. NULL on no memory. */
json_t *observation_json(const struct observation *o);
/* Writes the document to a file, atomically; NULL or "-" for standard output. */
int observation_write(const struct observation *o, const char *path, struct diag *d) _must_check_;

/* "2026-01-31T12:00:00.000Z"; and back (0 when it is no such time). */
#define TIME_TEXT_SIZE 32
const char *time_text(int64_t ms, char buf[static TIME_TEXT_SIZE]);
int64_t time_parse(const char *text);
int64_t time_now_ms(void);
