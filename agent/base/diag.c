/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reasons for humans: fixed strings, the first one wins.
 */
#include "batten/base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_where(struct diag *d, const char *where)
{
	(void)snprintf(d->where, sizeof(d->where), "%s", where ? where : "");
}

static int _printf_(3, 0) diag_vfail(struct diag *d, int error, const char *fmt, va_list ap, int with_errno)
{
	int n;

	n = vsnprintf(d->what, sizeof(d->what), fmt, ap);
	if (with_errno && n >= 0 && (size_t)n < sizeof(d->what))
		(void)snprintf(d->what + n, sizeof(d->what) - (size_t)n, ": %s", strerror(-error));
	return error;
}

int diag_fail(struct diag *d, int error, const char *where, const char *fmt, ...)
{
	va_list ap;

	if (!d || d->what[0])
		return error;
	set_where(d, where);
	va_start(ap, fmt);
	diag_vfail(d, error, fmt, ap, 0);
	va_end(ap);
	return error;
}

int diag_errno(struct diag *d, int error, const char *where, const char *fmt, ...)
{
	va_list ap;

	if (!d || d->what[0])
		return error;
	set_where(d, where);
	va_start(ap, fmt);
	diag_vfail(d, error, fmt, ap, 1);
	va_end(ap);
	return error;
}

int diag_line(struct diag *d, int error, const char *file, unsigned int line, const char *fmt, ...)
{
	va_list ap;

	if (!d || d->what[0])
		return error;
	(void)snprintf(d->where, sizeof(d->where), "%s:%u", file, line);
	va_start(ap, fmt);
	diag_vfail(d, error, fmt, ap, 0);
	va_end(ap);
	return error;
}

static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f)
			(void)fprintf(f, "\\x%02x", c);
		else
			(void)fputc(c, f);
	}
}

void diag_print(const struct diag *d, int error)
{
	(void)fputs("batten: ", stderr);
	if (d->where[0]) {
		put_escaped(stderr, d->where);
		(void)fputs(": ", stderr);
	}
	put_escaped(stderr, d->what[0] ? d->what : strerror(-error));
	(void)fputc('\n', stderr);
}
