/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A profile as the kernel would run it: compiled by libseccomp the way the runtimes do it, and
 * executed here, call by call, without enforcing anything.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/seccomp/profile.h"

struct filter {
	struct sock_filter *code; /* owned */
	size_t n_code;
};

void filter_done(struct filter *f);

/*
 * filter_compile - what runc and crun hand to the kernel
 * Names that libseccomp does not know are left out, rules equal to the default are dropped, several
 * comparisons of one argument become alternatives.
 * @patience:    seconds of processor time for it
 * @ret_unknown: gets each name left out, may be NULL; see labels in observation.h for its kind
 * Return: 0; -EINVAL when libseccomp refuses it; -ETIMEDOUT when it comes to no end with it
 */
struct labels;
int filter_compile(const struct profile *p, unsigned int patience, struct filter *ret, struct labels *ret_unknown,
		   struct diag *d) _must_check_;

/* Docker's own profile takes some hundredths of a second, ten thousand rules take three. A daemon has other work. */
#define FILTER_PATIENCE 15
#define FILTER_PATIENCE_OF_DAEMON 2

/* Its two halves, for who sees to an end himself: the program goes to @fd, a file, and comes back from there. */
int filter_write(const struct profile *p, int fd, struct labels *ret_unknown, struct diag *d) _must_check_;
int filter_take(struct filter *ret, int fd) _must_check_;

/*
 * filter_run - execute
 * @ret: SECCOMP_RET_* with its data
 * Return: 0, or -EINVAL for a program that the kernel would refuse
 */
int filter_run(const struct sock_filter *code, size_t n_code, const struct seccomp_data *data, uint32_t *ret)
	_must_check_;

/* Is the answer one that lets the call happen? */
bool filter_answer_passes(uint32_t answer);

/* "EPERM", "ENOSYS", "errno 13", "kill", …; @buf holds what is not a constant */
const char *filter_answer_text(uint32_t answer, char buf[static 24]);
