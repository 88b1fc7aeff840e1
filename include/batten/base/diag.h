/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A reason for a human that travels up beside a negative errno. The caller owns the storage, so
 * that saying why costs nothing on success and allocates nothing while failing.
 */
#include "batten/base/macros.h"

struct diag {
	char where[256]; /* file, file:line, object; may be empty */
	char what[512];	 /* what is wrong and how to mend it, no full stop, no newline */
};

/*
 * diag_fail - record a reason and hand the error back
 * @d:     may be NULL
 * @error: negative errno, returned unchanged
 * @where: what it is about, may be NULL
 * @fmt:   what is wrong and, where a user can, how to mend it. Never a secret.
 * Return: @error, so that callers write `return diag_fail(…)`. The first reason stays: the
 *         function nearest to the fault knows most.
 */
int diag_fail(struct diag *d, int error, const char *where, const char *fmt, ...) _printf_(4, 5);

/* Like diag_fail() with ": strerror(-error)" behind the text. */
int diag_errno(struct diag *d, int error, const char *where, const char *fmt, ...) _printf_(4, 5);

/* Like diag_fail() with "FILE:LINE" for where; @line counts from 1. */
int diag_line(struct diag *d, int error, const char *file, unsigned int line, const char *fmt, ...)
	_printf_(5, 6);

/*
 * diag_print - "batten: WHERE: WHAT" on standard error, control characters escaped
 * @error: printed by name when the diag is empty
 */
void diag_print(const struct diag *d, int error);
