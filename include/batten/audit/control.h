/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The catalogue: one row for each control, one set for each area. A row is all that the engine, the
 * reports, --list, --explain and the manual know about a control; its check reads the facts of the
 * run (facts.h) and reports findings (audit.h).
 *
 * A new control is a row in agent/audit/controls/AREA.c and a file with three fixtures in
 * tests/golden/audit/ID.json; a test fails when either lacks the other.
 */
#include <stdbool.h>
#include <stddef.h>

struct audit;
struct subject;

enum severity {
	SEV_INFO,
	SEV_LOW,
	SEV_MEDIUM,
	SEV_HIGH,
	SEV_CRITICAL,
	_SEV_MAX,
};

enum area {
	AREA_ECS_CONFIG,
	AREA_METADATA,
	AREA_ECS_AGENT,
	AREA_DOCKER_DAEMON,
	AREA_DOCKER_FILES,
	AREA_CONTAINERS,
	AREA_IMAGES,
	AREA_HOST,
	_AREA_MAX,
};

/*
 * What a check reads. The engine opens a source before the first control that needs it, once, with
 * a deadline. When it failed, the control is "unknown" with the source's reason; when there is no
 * such thing on this host, it is "not_applicable"; the check runs in neither case.
 */
enum source {
	SOURCE_FILES,	      /* the root file system: the host's, or that of --root */
	SOURCE_PROC,	      /* /proc and /sys of the running host, and its process table */
	SOURCE_DOCKER,	      /* the Docker Engine API and what it says about containers */
	SOURCE_INTROSPECTION, /* the ECS agent's port 51678 */
	SOURCE_RULES,	      /* packet filter rules of the host's network namespace */
	SOURCE_AUDIT,	      /* the kernel's audit system */
	SOURCE_IMDS,	      /* who reaches the metadata service, tried from inside */
	_SOURCE_MAX,
};
#define NEEDS(source) (1u << (source))
#define NEEDS_FILES NEEDS(SOURCE_FILES)
#define NEEDS_PROC NEEDS(SOURCE_PROC)
#define NEEDS_DOCKER NEEDS(SOURCE_DOCKER)
#define NEEDS_INTROSPECTION NEEDS(SOURCE_INTROSPECTION)
#define NEEDS_RULES NEEDS(SOURCE_RULES)
#define NEEDS_AUDIT NEEDS(SOURCE_AUDIT)
#define NEEDS_IMDS NEEDS(SOURCE_IMDS)
/* Of these a running host is asked; under --root their controls do not apply. */
#define NEEDS_LIVE (~NEEDS_FILES)

/* How often a check is called, and with which subject. */
enum subject_kind {
	SUBJECT_HOST,	   /* once */
	SUBJECT_CONTAINER, /* for each running container; needs SOURCE_DOCKER */
	SUBJECT_IMAGE,	   /* for each image; needs SOURCE_DOCKER */
	SUBJECT_FILE,	   /* these three are only made by checks, for their findings */
	SUBJECT_PROCESS,
	SUBJECT_SETTING,
	_SUBJECT_KIND_MAX,
};

struct control {
	const char *id;
	const char *title;  /* the state that is wanted, as a sentence without a full stop */
	const char *means;  /* what it means when it fails: one or two sentences */
	const char *remedy; /* how to mend it: one line */
	enum severity severity;
	enum subject_kind each;
	unsigned int needs; /* NEEDS_…: without one of them the check does not run */
	unsigned int also;  /* NEEDS_… of what it looks at too where that is there */
	bool mendable;	    /* `batten fix` knows how */

	/* Numbers of requirements elsewhere, comma-separated; NULL where nothing fits for sure. */
	const char *cis_docker; /* CIS Docker Benchmark 1.6.0 */
	const char *fsbp;	/* AWS Foundational Security Best Practices */
	const char *pci_dss;	/* PCI DSS 4.0 */
	const char *nist;	/* NIST SP 800-190 */
	const char *cis_al2023; /* CIS Amazon Linux 2023 1.0 */

	/*
	 * check - look and report
	 * Reports at least one finding on @s or on subjects of its own making.
	 * Return: 0, or a negative errno, which becomes an "unknown" finding on @s.
	 */
	int (*check)(struct audit *a, const struct control *c, const struct subject *s);
};

/* Every source that the check looks at: a change elsewhere cannot change what it finds. */
static inline unsigned int control_sources(const struct control *c)
{
	return c->needs | c->also | (c->each == SUBJECT_CONTAINER || c->each == SUBJECT_IMAGE ? NEEDS_DOCKER : 0);
}

struct control_set {
	enum area area;
	const struct control *controls;
	size_t n_controls;
};

/* registry.c: every set, in the order of the catalogue. */
extern const struct control_set *const control_sets[];
extern const size_t n_control_sets;

/* NULL when there is none of that id. @ret_area may be NULL. */
const struct control *control_find(const char *id, enum area *ret_area);

/* The words of JSON, options and reports; parse functions return -EINVAL for any other word. */
const char *severity_name(enum severity s);
int severity_parse(const char *word, enum severity *ret);
const char *area_name(enum area a);
const char *area_title(enum area a);
int area_parse(const char *word, size_t n, enum area *ret);
const char *source_name(enum source s);
const char *subject_kind_name(enum subject_kind k);
