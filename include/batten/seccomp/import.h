/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Observations out of what others wrote: strace output, SECCOMP audit records, an existing profile.
 * All text is foreign; lines that say nothing about a call are passed over, and a file in which no
 * line does is an error.
 */
#include <stddef.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/observation.h"

#define MAX_IMPORT_BYTES (256u << 20)

/*
 * The three importers
 * @name: of the file, for the diag
 * @ret:  an observation with one source and one run
 * Return: 0; -EINVAL when there is nothing of that kind in it; -ENOMEM
 */
/* strace, with and without -f, -t*, -r, -T, -i; unfinished and resumed calls; the table of -c. */
int import_strace(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d)
	_must_check_;
/* Records of type SECCOMP (1326) and SYSCALL (1300), raw or interpreted, from audit.log, dmesg or the journal. */
int import_audit(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d)
	_must_check_;
/* A Docker or OCI profile: what it allows counts as needed. */
int import_docker(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d)
	_must_check_;
