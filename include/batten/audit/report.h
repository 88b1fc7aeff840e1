/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Reports: one run, written in one of seven ways. All of them read the same findings.
 */
#include <stdio.h>

#include "batten/audit/audit.h"

#define REPORT_FORMATS "text|json|junit|sarif|asff|ocsf|html"

struct report {
	const struct audit *audit;
	enum severity fail_on;	 /* for the text's verdict */
	bool verbose;		 /* text: also what passed */
	const char *account;	 /* of the cloud, 12 digits; NULL: unknown, as are the next two */
	const char *region;
	const char *instance_id; /* i-… */
};

/*
 * report_write - write a whole report
 * @format: one of REPORT_FORMATS
 * Return: 0; -EINVAL for another format; -ENOMEM; -EIO when @f failed
 */
int report_write(const struct report *r, const char *format, FILE *f) _must_check_;

/* The catalogue: every control of every set; "text" or "json". Return: as report_write(). */
int report_catalogue(const char *format, FILE *f) _must_check_;

/* The whole story of one control. Return: 0 or -ENOENT. */
int report_explain(const char *control_id, const char *format, FILE *f) _must_check_;

/* ---- the score ---------------------------------------------------------------------------------*/

/*
 * A control counts once, with the worst of its findings, weighted by severity: critical 8, high 4,
 * medium 2, low 1, info 0. What is unknown, waived or not applicable counts neither way.
 */
struct score {
	unsigned int passed, failed;		       /* controls */
	unsigned int not_applicable, waived, unknown;  /* controls with nothing worse */
	unsigned int weight_passed, weight_judged;
};
struct score score_of(const struct audit *a, int area); /* @area: -1 for all */
/* 0 to 100, or -1 when nothing was judged. */
int score_percent(const struct score *s);
