/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The writers behind report_write(), one a file, and what they share.
 */
#include "batten/audit/report.h"

typedef int (*report_writer)(const struct report *r, FILE *f);
int report_text(const struct report *r, FILE *f);
int report_json(const struct report *r, FILE *f);
int report_junit(const struct report *r, FILE *f);
int report_sarif(const struct report *r, FILE *f);
int report_asff(const struct report *r, FILE *f);
int report_ocsf(const struct report *r, FILE *f);
int report_html(const struct report *r, FILE *f);
int report_catalogue_json(FILE *f);
int report_explain_json(const struct control *c, enum area area, FILE *f);

/* 2026-09-21T14:13:20Z. */
#define TIME_TEXT_SIZE 32
const char *report_time(char buf[static TIME_TEXT_SIZE], int64_t t);

/* Prints and releases @j, NULL being no memory. Return: 0, -ENOMEM or -EIO. */
int report_print_json(json_t *j, FILE *f);

/* The same in one line, for formats of one document a line. */
int report_print_line(json_t *j, FILE *f);

/* report-markup.c: foreign text for a terminal; and escaped for XML and HTML, attributes too. */
void report_put_text(FILE *f, const char *text);
void report_put_markup(FILE *f, const char *text);

/* Valid UTF-8 of at most @max_bytes; "-" for nothing, where a format wants at least one character. */
json_t *report_cut_text(const char *text, size_t max_bytes);

/* Where a finding is, as a relative path: a file, or ecs/FAMILY/CONTAINER, container/NAME, host/NAME. */
const char *report_place(struct arena *a, const struct subject *s);

static inline bool finding_failed(const struct finding *f)
{
	return f->status == STATUS_FAIL || f->status == STATUS_DRIFT;
}

/* "CIS Docker 1.6.0: 5.4; PCI DSS 4.0: 7.2.2", one call for each mapping. */
struct mapping {
	const char *key, *standard, *numbers;
};
#define MAX_MAPPINGS 5
size_t control_mappings(const struct control *c, struct mapping ret[static MAX_MAPPINGS]);
