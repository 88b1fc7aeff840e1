/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A function in a process of its own, that may compute and tell its result: for a command that reads
 * what others wrote.
 */
#include "batten/base/bytes.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct confined_work {
	/* In the process. Writes its result into @out. Return: 0 or a negative errno with @d */
	int (*run)(void *user, struct bytes *out, struct diag *d);
	void *user;
	size_t max_data_bytes; /* memory, what is there already included */
	size_t max_out_bytes;
	unsigned int max_cpu_seconds; /* 0: as long as it takes */
	const int *file;	      /* the caller's, which it may write to as well; NULL: none */
};

/*
 * confined_run - run it and wait for its end
 * @ret: its result, not looked at; freed by the caller
 * Return: 0; what it returned; -ETIMEDOUT when its time was over; -EIO when it came to no end of its own
 */
int confined_run(const struct confined_work *w, char **ret, size_t *ret_n, struct diag *d) _must_check_;
