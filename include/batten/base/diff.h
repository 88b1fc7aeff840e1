/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The difference of two texts as a unified diff, as patch(1) takes it.
 */
#include <stdbool.h>

#include "batten/base/bytes.h"
#include "batten/base/parse.h"

struct diff {
	const char *path;	/* without a slash in front; printed as a/PATH and b/PATH */
	struct slice before, after;
	bool created;		/* there was no such file */
	/*
	 * May the line be printed? NULL: all. Context ends before a line that may not; a changed line that
	 * may not is printed as "***", and patch(1) will not take the diff then.
	 */
	bool (*may_print)(void *data, struct slice line);
	void *data;
};

/*
 * diff_print - append the diff to a buffer; nothing when the texts are the same
 * Return: 0; 1 when a changed line was not printed; -ENOMEM
 */
int diff_print(const struct diff *d, struct bytes *out) _must_check_;
