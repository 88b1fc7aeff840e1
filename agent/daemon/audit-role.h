/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The role that audits: one run, in a process that may read what root's files and /proc hold and can do
 * nothing else. It connects to nobody: the core asks Docker and the ECS agent for it, out of a list.
 */
#include <stdint.h>

#include "batten/audit/changes.h"
#include "batten/base/diag.h"
#include "daemon/role-wire.h"

#define AUDIT_ROLE "audit"

enum audit_message {
	AUDIT_BEGIN,   /* to the role, once, with a descriptor of what is known already */
	AUDIT_ASK,     /* to the core, which answers */
	AUDIT_ANSWER,  /* with a connection, when there is no error */
	AUDIT_FINDING, /* to the core: life_record_write() */
	AUDIT_LEARNT,  /* what Docker is, a text for later runs that do not ask */
	AUDIT_FAILED,  /* why, instead of the next */
	AUDIT_DONE,    /* all of it was said */
	_AUDIT_MAX,
};

/*
 * Behind the descriptor: AUDIT_NOTE_BYTES in which the role writes whose data it is about to read, for the
 * core to look at when that was its end; @n_docker bytes of an earlier AUDIT_LEARNT; then records of an id,
 * the length of a text, 32 bits, and the text: why one is left out, or what Docker answers about a container.
 */
struct audit_begin {
	struct control_mask controls;
	uint32_t known; /* containers are judged by these answers; 0: Docker is asked */
	uint32_t n_docker, n_left_out, n_containers;
	char docker[256], profile[256], waivers[256];
};

enum audit_whom {
	ASK_DOCKER,
	ASK_AGENT,
	_ASK_MAX,
};

struct audit_ask {
	uint32_t whom, api_minor;
	char path[256];
};

struct audit_answer {
	int32_t error; /* 0: a descriptor comes with it */
	struct diag why;
};

#define AUDIT_NOTE_BYTES 65536 /* whole pages, however large they are; the id takes FACTS_NOTE_BYTES of them */
#define AUDIT_LEARNT_MAX 65536
#define AUDIT_KNOWN_MAX (256u * 1024 * 1024) /* bytes behind the descriptor */

extern const struct role_protocol audit_protocol;

/* Is it one of the questions that an audit asks? Nothing that changes anything is among them. */
bool audit_ask_ok(const struct audit_ask *q);

/* The process. @lane: for who looks at the list of processes. */
int audit_role_run(const char *lane, struct diag *d) _must_check_;

/* What it gives up before it reads; for the test that tries to do more. */
int audit_role_confine(struct diag *d) _must_check_;
