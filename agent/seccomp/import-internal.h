/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/* What the importers share. */
#include "batten/base/parse.h"
#include "batten/seccomp/import.h"

/* The next line without its end; false at the end of the text. */
bool import_line(struct slice *rest, struct slice *ret);

/* An observation of @machine with a source named after the text, one run. */
int import_begin(enum abi machine, const char *text, size_t n, struct observation **ret);

/* Notes a call as needed; counts it. Return: 0 or negative errno; @ret may be NULL. */
int import_needed(struct observation *o, enum abi a, const char *name, uint64_t count, struct observed_call **ret);
