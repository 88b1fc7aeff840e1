/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The configuration of the ECS agent as the agent and ecs-init really take it.
 *
 * One file, /etc/ecs/ecs.config, is read by two readers that disagree: systemd (EnvironmentFile=)
 * for the ecs-init process, and ecs-init's own splitter for the agent's container. Above it stands
 * what ecs-init forces, below it /var/lib/ecs/ecs.config, ecs-init's built-ins, ecs.config.json,
 * the instance's user data and the agent's compiled defaults. Facts: amazon-ecs-agent 1.105.1,
 * agent/config and ecs-init/{config,docker,exec}; systemd 252, src/basic/env-file.c.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/base/parse.h"
#include "batten/base/root.h"

#define ECS_CONFIG_FILE "/etc/ecs/ecs.config"
#define ECS_INSTANCE_FILE "/var/lib/ecs/ecs.config"
#define ECS_USER_DATA_COPY "/var/lib/cloud/instance/user-data.txt" /* cloud-init's, made at each boot */
#define ECS_JSON_FILE "/etc/ecs/ecs.config.json"

enum ecs_reader {
	ECS_BY_AGENT = 1, /* the agent, out of its container's environment */
	ECS_BY_INIT = 2,  /* ecs-init, out of what systemd gave it */
	ECS_BY_SDK = 4,	  /* a library inside the agent: the AWS SDK, Go's net/http, crypto/x509 */
	ECS_BY_CNI = 8,	  /* network plugins that the agent runs */
};

/* How the agent turns the text into a value; ecs-value.c has one reader for each. */
enum ecs_kind {
	ECS_STRING,	    /* as it is */
	ECS_TRIMMED,	    /* a string, blanks at both ends cut */
	ECS_BOOL,	    /* tri-state: what is no bool is "not set" */
	ECS_BOOL_PLAIN,	    /* false and "not set" are the same to the next source */
	ECS_BOOL_INIT,	    /* ecs-init: ParseBool of the exact text */
	ECS_BOOL_EXACT,	    /* ecs-init: the text "true" */
	ECS_DURATION,	    /* Go duration; 0 is "not set" */
	ECS_INT,	    /* decimal with sign; 0 is "not set" */
	ECS_PIDS,	    /* 1…4194304, anything else is no limit */
	ECS_UINT16,	    /* digits */
	ECS_PORTS,	    /* JSON array of numbers; the first JSON value counts */
	ECS_DRIVERS,	    /* JSON array of log driver names, the same way */
	ECS_STRINGS,	    /* JSON array of strings, the same way */
	ECS_LIST,	    /* comma-separated, nothing trimmed */
	ECS_MAP,	    /* JSON object of strings; malformed is fatal */
	ECS_ROUTES,	    /* JSON array of CIDRs; malformed is fatal */
	ECS_LABELS,	    /* JSON object of strings; malformed is skipped */
	ECS_LOG_OPTIONS,    /* the same for ecs-init's log options; the first JSON value counts */
	ECS_RATES,	    /* "steady,burst" */
	ECS_PORT_RANGE,	    /* "first-last" */
	ECS_WORD,	    /* one of a row's words, exact; anything else is the default */
	ECS_WORD_FOLDED,    /* the same in any case and trimmed */
	ECS_WORD_UNCHECKED, /* words are known, any text is taken */
	ECS_LEVEL,	    /* log level, any case; anything else changes nothing */
	ECS_LOG_DRIVER,	    /* ecs-init: known name or json-file; agent: any text */
	ECS_FLOAT,	    /* decimal */
	ECS_COUNT,	    /* decimal with sign; malformed is the default */
	ECS_SECRET_JSON,    /* registry credentials */
	_ECS_KIND_MAX,
};

enum ecs_flag {
	ECS_SECRET = 1,	      /* the value is never shown */
	ECS_MAY_HIDE = 2,     /* parts of the value may be secret: proxies, log options */
	ECS_DEAD = 4,	      /* nothing reads it: an old name or a common mistake */
	ECS_WINDOWS = 8,      /* only the Windows agent reads it */
	ECS_INTERNAL = 16,    /* set by ecs-init or the agent, not meant for people */
	ECS_DEFAULT_TRUE = 32,/* of a bool */
	ECS_TEST_ONLY = 64,
	ECS_ENV_ALWAYS = 128, /* what JSON says is overwritten, even when the variable is unset */
};

enum ecs_relevance { ECS_NONE, ECS_LOW, ECS_MEDIUM, ECS_HIGH };

struct ecs_variable {
	const char *name;
	const char *fallback;	       /* the agent's (or ecs-init's) compiled default, as text */
	const char *built_in;	       /* what ecs-init puts into the container; NULL: nothing */
	const char *json;	       /* field of ecs.config.json and user data, or NULL */
	const char *const *words;      /* NULL-terminated */
	const char *instead;	       /* for ECS_DEAD: the name that was meant, or NULL */
	const char *hardened;	       /* a value that hardens, or NULL when there is nothing to choose */
	const char *about;	       /* what it does, one line */
	int64_t min, max;	       /* bounds in nanoseconds or units; 0,0: none */
	unsigned int readers;	       /* ECS_BY_… */
	unsigned int flags;
	enum ecs_kind kind;
	enum ecs_relevance relevance; /* for the host's security */
};

extern const struct ecs_variable ecs_variables[];
extern const size_t n_ecs_variables;

/* The row of a name, or NULL. */
const struct ecs_variable *ecs_variable_find(struct slice name);

/* The row whose name somebody probably meant, or NULL. Costs a comparison with every row. */
const struct ecs_variable *ecs_variable_near(struct slice name);

enum ecs_source {
	ECS_FROM_DEFAULT,
	ECS_FROM_BUILT_IN,    /* ecs-init's, or forced by it */
	ECS_FROM_FILE,	      /* one of the two ecs.config */
	ECS_FROM_JSON,	      /* ecs.config.json */
	ECS_FROM_USER_DATA,
	ECS_FROM_ENVIRONMENT, /* the unit's Environment= */
	_ECS_SOURCE_MAX,
};
extern const char *const ecs_source_names[_ECS_SOURCE_MAX];

enum ecs_verdict {
	ECS_OK,
	ECS_IGNORED,	  /* somebody wrote it and nobody reads it there */
	ECS_SHADOWED,	  /* another source of higher rank, or the same name further down, wins */
	ECS_DUPLICATE,	  /* the name stands in the same file more than once */
	ECS_UNKNOWN,	  /* no such variable */
	ECS_OUT_OF_RANGE, /* understood and then changed, or used although it makes no sense */
	ECS_INVALID,	  /* not understood: the effective value comes from somewhere else */
	ECS_FATAL,	  /* the agent does not start */
	_ECS_VERDICT_MAX,
};
extern const char *const ecs_verdict_names[_ECS_VERDICT_MAX];

/* What one source says about a variable. Values are redacted. */
struct ecs_layer {
	enum ecs_source source;
	enum ecs_verdict verdict;
	const char *file; /* NULL where there is none */
	unsigned int line; /* from 1; 0 where there is none */
	char *raw;
	char *reason; /* may be NULL */
};

/* What becomes of a variable. Everything that is text is redacted and safe to print. */
struct ecs_result {
	const struct ecs_variable *row; /* NULL: unknown name */
	char *name;			/* as written, or "***" when it does not look like a name */
	char *effective;		/* what the agent works with; NULL: nothing */
	char *effective_for_init;	/* what ecs-init works with; NULL: it does not read this */
	char *running;			/* what the running agent has; NULL: not compared, or not set */
	const char *suggestion;		/* the name that was meant, or NULL */
	char *reason;
	struct ecs_layer *layers; /* highest rank first */
	size_t n_layers;
	enum ecs_source source; /* where the effective value comes from */
	enum ecs_verdict verdict;
	bool secret;
	bool drift; /* the running agent has something else than the files say */
};

enum ecs_file_state {
	ECS_FILE_READ,
	ECS_FILE_ABSENT,
	ECS_FILE_UNREADABLE, /* for its readers as well: no regular file, too large */
	ECS_FILE_DENIED,     /* for us; its readers are root */
};

struct ecs_file {
	const char *path;
	const char *reader; /* who reads it, a few words */
	char *reason;	    /* why not, or what is wrong with the file as a whole; may be NULL */
	enum ecs_file_state state;
	mode_t mode; /* of the file when it is there */
	uid_t uid;
	gid_t gid;
	bool holds_secret; /* a value in it is one, also in a comment or under a wrong name */
};

struct ecs_config {
	struct ecs_result *results; /* known ones in the table's order, then the others as found */
	size_t n_results;
	struct ecs_file *files;
	size_t n_files;
	char **fatal; /* each a sentence: why the agent does not start */
	size_t n_fatal;
	pid_t agent_pid; /* the running agent that was compared with, or 0 */
	size_t n_drift;
	char *json_path;	       /* where ecs.config.json is on the host */
	struct ecs_expected *expected; /* private: the environment that ecs-init would hand over */
};

struct ecs_config_options {
	struct slice user_data;	  /* the instance's user data as text; p NULL: cloud-init's copy */
	bool compare;		  /* with the running agent, on a live root */
};

/*
 * ecs_config_load - read every source below @root and work out what holds
 * Return: 0 or a negative errno (-ENOMEM). A file that is missing, unreadable or nonsense is no
 *         error: it is in ->files, and what the agent makes of that is in the results.
 */
int ecs_config_load(struct ecs_config **ret, const struct root *root,
		    const struct ecs_config_options *options, struct diag *d) _must_check_;

struct ecs_config *ecs_config_free(struct ecs_config *c);
DEFINE_CLEANUP(struct ecs_config *, ecs_config_free)

/* The result of a known name, never NULL for a row of the table; NULL for others. */
const struct ecs_result *ecs_config_get(const struct ecs_config *c, const char *name);

/* Is a bool variable's effective value true? */
bool ecs_config_is_true(const struct ecs_config *c, const char *name);

/* Does the agent begin log files of that size? It goes on with whole bytes in 64 bits. */
static inline bool ecs_log_size_counts(double megabytes)
{
	return megabytes * 1e6 >= 1 && megabytes * 1e6 < 0x1p63;
}

/*
 * ecs_config_compare - hold the files against an environment that is in use
 * @environ_block: NUL-separated NAME=VALUE, as in /proc/PID/environ
 * Return: 0 or -ENOMEM. Sets ->running and ->drift of results and ->n_drift.
 */
int ecs_config_compare(struct ecs_config *c, struct slice environ_block) _must_check_;

/* Does a line of ecs.config hold something that must not be shown? */
bool ecs_line_hides_secret(struct slice line);

/*
 * ecs_agent_find - the running agent
 * @ret_environ: its environment, freed by the caller
 * Return: its pid, 0 when there is none, or a negative errno (-EACCES: not allowed to look)
 */
pid_t ecs_agent_find(char **ret_environ, size_t *ret_n);

/* Is that process the agent? Then its environment as above. */
bool ecs_agent_read(pid_t pid, char **ret_environ, size_t *ret_n);
