/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A growing buffer with a sticky error.
 */
#include "batten/base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void bytes_done(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){ 0 };
}

int bytes_reserve(struct bytes *b, size_t n)
{
	size_t need, size;
	char *grown;

	if (b->error < 0)
		return b->error;
	if (__builtin_add_overflow(b->n, n, &need) || __builtin_add_overflow(need, (size_t)1, &need))
		return b->error = -ENOMEM;
	if (need <= b->size)
		return 0;
	size = MAX(need, b->size + b->size / 2);
	size = MAX(size, (size_t)64);
	grown = realloc(b->data, size);
	if (!grown)
		return b->error = -ENOMEM;
	b->data = grown;
	b->size = size;
	b->data[b->n] = '\0';
	return 0;
}

void bytes_append(struct bytes *b, const void *data, size_t n)
{
	if (bytes_reserve(b, n) < 0)
		return;
	if (n > 0)
		memcpy(b->data + b->n, data, n);
	b->n += n;
	b->data[b->n] = '\0';
}

void bytes_append_str(struct bytes *b, const char *s)
{
	bytes_append(b, s, strlen(s));
}

void bytes_printf(struct bytes *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		if (b->error == 0)
			b->error = -EINVAL;
	} else if (bytes_reserve(b, (size_t)n) == 0) {
		(void)vsnprintf(b->data + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

int bytes_take(struct bytes *b, char **ret, size_t *ret_n)
{
	int r = bytes_reserve(b, 0);

	if (r < 0) {
		bytes_done(b);
		return r;
	}
	*ret = b->data;
	if (ret_n)
		*ret_n = b->n;
	*b = (struct bytes){ 0 };
	return 0;
}
