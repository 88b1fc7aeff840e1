/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * JSON through jansson, with ownership by attribute and one way to print.
 */
#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

#include "batten/base/bytes.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"

/*
 * json_watch_memory - call once, before the first document
 * jansson leaves a piece of a document out that it had no memory for, and its callers rarely look. From here on
 * whatever prints or writes a document fails with -ENOMEM, once, after any piece of any document was lost.
 */
void json_watch_memory(void);

static inline void json_freep(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

/*
 * json_parse - text from outside
 * @name: for the diag: what the text is
 * Return: 0 or -EBADMSG (malformed, duplicate keys, depth beyond jansson's limit), -ENOMEM
 */
int json_parse(const char *text, size_t n, const char *name, json_t **ret, struct diag *d) _must_check_;

/*
 * json_parse_answer - the same for another program's answers, whose strings may hold a NUL
 * One container with such a variable must not hide all others. C sees the text before the NUL.
 */
int json_parse_answer(const char *text, size_t n, const char *name, json_t **ret, struct diag *d)
	_must_check_;

/* Indented, keys in the order they were set, a newline at the end. Return: 0 or negative errno. */
int json_print(int fd, const json_t *j) _must_check_;

/* The same into memory; the buffer has the error. */
void json_append(struct bytes *b, const json_t *j);

/* One line without its end, which the caller frees; @ret_n (may be NULL): its length. NULL on no memory. */
char *json_line(const json_t *j, size_t *ret_n) _must_check_;

/* The same to a descriptor, as in JSON Lines. */
int json_print_line(int fd, const json_t *j) _must_check_;

/*
 * json_write - json_print() to standard output (@path NULL or "-"), or in the place of a file
 * The file is the old one or the whole new one; @mode is that of a new one.
 */
int json_write(const char *path, const json_t *j, mode_t mode, struct diag *d) _must_check_;

/* A string value made safe: bytes that are no UTF-8 become U+FFFD. NULL on no memory. */
json_t *json_text(const char *s);

/* What was gathered as a string value; frees the buffer. NULL on no memory, its own too. */
json_t *json_gathered(struct bytes *b);
