/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Text for terminals: columns that line up, and colour only where a person looks.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "batten/base/macros.h"

enum table_style {
	STYLE_PLAIN,
	STYLE_HEAD, /* bold */
	STYLE_GOOD, /* green */
	STYLE_BAD,  /* red */
	STYLE_WARN, /* yellow */
	STYLE_DIM,
	_STYLE_MAX,
};

struct table;

/*
 * table_new - a table that prints itself when it is whole
 * @n_columns: cells in a row
 * Return: NULL on no memory; every later call takes NULL and does nothing, and table_print() says so.
 */
struct table *table_new(size_t n_columns);
struct table *table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free)

/* Adds the next cell, left to right, top to bottom; NULL text is an empty cell. The text is copied. */
void table_cell(struct table *t, enum table_style style, const char *text);
void table_cellf(struct table *t, enum table_style style, const char *fmt, ...) _printf_(3, 4);

/* Prints it. Return: 0, or -ENOMEM when any cell could not be kept. */
int table_print(const struct table *t, FILE *f) _must_check_;

/* True when @f is a terminal, NO_COLOR is unset or empty, and TERM is not "dumb". */
bool colour_wanted(FILE *f);

/* The escape sequence that starts @style on @f, or ""; style_end() ends it. */
const char *style_begin(FILE *f, enum table_style style);
const char *style_end(FILE *f, enum table_style style);
