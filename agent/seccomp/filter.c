/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Compiling is libseccomp's; the order of what it is given is that of runc and crun, so that what
 * is checked here is what will run there. It works in a process of its own: two rules of one call that
 * compare two arguments each can keep 2.5.4 busy without end.
 */
#include "batten/seccomp/filter.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/kernel/confined.h"
#include "batten/seccomp/observation.h"

#define MAX_FILTER_BYTES (16u << 20)
#define MAX_COMPILE_BYTES (512ul << 20)

void filter_done(struct filter *f)
{
	free(f->code);
	f->code = NULL;
	f->n_code = 0;
}

static uint32_t action_token(enum profile_action a, int error)
{
	switch (a) {
	case ACTION_KILL_THREAD:
		return SCMP_ACT_KILL_THREAD;
	case ACTION_KILL_PROCESS:
		return SCMP_ACT_KILL_PROCESS;
	case ACTION_TRAP:
		return SCMP_ACT_TRAP;
	case ACTION_ERRNO:
		return SCMP_ACT_ERRNO((uint32_t)error);
	case ACTION_TRACE:
		return SCMP_ACT_TRACE((uint32_t)error);
	case ACTION_LOG:
		return SCMP_ACT_LOG;
	case ACTION_NOTIFY:
		return SCMP_ACT_NOTIFY;
	default:
		return SCMP_ACT_ALLOW;
	}
}

static const enum scmp_compare compare_token[_OP_MAX] = {
	[OP_NE] = SCMP_CMP_NE, [OP_LT] = SCMP_CMP_LT, [OP_LE] = SCMP_CMP_LE, [OP_EQ] = SCMP_CMP_EQ,
	[OP_GE] = SCMP_CMP_GE, [OP_GT] = SCMP_CMP_GT, [OP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
};

static struct scmp_arg_cmp comparison(const struct profile_arg *a)
{
	return (struct scmp_arg_cmp){
		.arg = a->index,
		.op = compare_token[a->op],
		.datum_a = a->value,
		.datum_b = a->value_two,
	};
}

static int add_call(scmp_filter_ctx ctx, const struct profile_rule *rule, uint32_t action, int number)
{
	struct scmp_arg_cmp all[MAX_RULE_ARGS];
	bool repeated = false;
	unsigned int used = 0;
	int r = 0;

	for (unsigned int i = 0; i < rule->n_args; i++) {
		repeated |= used >> rule->args[i].index & 1;
		used |= 1u << rule->args[i].index;
		all[i] = comparison(&rule->args[i]);
	}
	if (!repeated)
		return seccomp_rule_add_array(ctx, action, number, rule->n_args, all);
	/* One argument compared twice: alternatives, each a rule of its own. */
	for (unsigned int i = 0; i < rule->n_args && r == 0; i++)
		r = seccomp_rule_add_array(ctx, action, number, 1, &all[i]);
	return r;
}

static int add_rule(scmp_filter_ctx ctx, const struct profile_rule *rule, uint32_t action,
		    struct labels *unknown, struct diag *d)
{
	for (size_t i = 0; i < rule->n_names; i++) {
		int number = seccomp_syscall_resolve_name(rule->names[i]), r;

		if (number == __NR_SCMP_ERROR) {
			r = unknown ? labels_add(unknown, rule->names[i]) : 0;
			if (r < 0)
				return r;
			continue;
		}
		r = add_call(ctx, rule, action, number);
		/* The same rule twice, and a call that this machine does not have, are no faults. */
		if (r < 0 && r != -EEXIST && r != -EDOM)
			return diag_errno(d, r == -ENOMEM ? r : -EINVAL, rule->names[i], "libseccomp refuses the rule");
	}
	return 0;
}

int filter_write(const struct profile *p, int fd, struct labels *ret_unknown, struct diag *d)
{
	uint32_t fallback = action_token(p->default_action, p->default_error);
	scmp_filter_ctx ctx = seccomp_init(fallback);
	int r = 0;

	if (!ctx)
		return diag_fail(d, -EINVAL, NULL, "libseccomp refuses the default action");
	for (enum abi a = 0; a < _ABI_MAX && r == 0; a++) {
		if (!p->abis[a])
			continue;
		r = seccomp_arch_add(ctx, abi_token(a));
		r = r == -EEXIST ? 0 : r;
	}
	if (r == 0 && !p->abis[abi_native()])
		r = seccomp_arch_remove(ctx, abi_token(abi_native()));
	if (r < 0)
		(void)diag_errno(d, r, NULL, "libseccomp refuses the architectures");
	for (size_t i = 0; i < p->n_rules && r == 0; i++) {
		uint32_t action = action_token(p->rules[i].action, p->rules[i].error);

		if (action != fallback && !p->rules[i].with)
			r = add_rule(ctx, &p->rules[i], action, ret_unknown, d);
	}
	if (r == 0) {
		r = seccomp_export_bpf(ctx, fd);
		if (r < 0)
			(void)diag_errno(d, r, NULL, "libseccomp cannot compile the profile");
	}
	seccomp_release(ctx);
	return r;
}

int filter_take(struct filter *ret, int fd)
{
	_cleanup_(freep) char *code = NULL;
	size_t n;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	r = fd_read_all(fd, MAX_FILTER_BYTES, &code, &n);
	if (r < 0)
		return r;
	ret->n_code = n / sizeof(*ret->code);
	ret->code = (struct sock_filter *)(void *)take_ptr(code);
	return 0;
}

struct compilation {
	const struct profile *p;
	int fd;
};

/* Tells the names that it left out, each with its NUL. */
static int compile(void *user, struct bytes *out, struct diag *d)
{
	const struct compilation *c = user;
	struct labels unknown = { 0 };
	int r = filter_write(c->p, c->fd, &unknown, d);

	for (size_t i = 0; i < unknown.n && r >= 0; i++)
		bytes_append(out, unknown.v[i], strlen(unknown.v[i]) + 1);
	return r;
}

int filter_compile(const struct profile *p, unsigned int patience, struct filter *ret, struct labels *ret_unknown,
		   struct diag *d)
{
	_cleanup_(fd_closep) int fd = memfd_create("filter", MFD_CLOEXEC);
	struct compilation c = { p, fd };
	const struct confined_work work = {
		.run = compile,
		.user = &c,
		.max_data_bytes = MAX_COMPILE_BYTES,
		.max_out_bytes = MAX_FILTER_BYTES,
		.max_cpu_seconds = patience,
		.file = &fd,
	};
	_cleanup_(freep) char *unknown = NULL;
	struct diag why = { 0 };
	size_t n = 0;
	int r;

	if (fd < 0)
		return diag_errno(d, -errno, NULL, "no room for a filter");
	(void)seccomp_api_get(); /* it asks the kernel once, and could not do so in there */
	r = confined_run(&work, &unknown, &n, &why);
	if (r < 0 && r != -ETIMEDOUT && d)
		*d = why;
	if (r == -ETIMEDOUT)
		return diag_fail(d, r, NULL, "libseccomp comes to no end with what it compares, nor would it when a container "
				 "starts; compare fewer arguments of one call");
	for (size_t i = 0; r >= 0 && ret_unknown && i < n; i += strlen(unknown + i) + 1)
		r = labels_add(ret_unknown, unknown + i);
	return r < 0 ? r : filter_take(ret, fd);
}

bool filter_answer_passes(uint32_t answer)
{
	uint32_t action = answer & SECCOMP_RET_ACTION_FULL;

	return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

const char *filter_answer_text(uint32_t answer, char buf[static 24])
{
	switch (answer & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		return "allow";
	case SECCOMP_RET_LOG:
		return "log";
	case SECCOMP_RET_TRACE:
		return "trace";
	case SECCOMP_RET_USER_NOTIF:
		return "notify";
	case SECCOMP_RET_TRAP:
		return "trap";
	case SECCOMP_RET_ERRNO:
		if ((answer & SECCOMP_RET_DATA) == EPERM)
			return "EPERM";
		if ((answer & SECCOMP_RET_DATA) == ENOSYS)
			return "ENOSYS";
		(void)snprintf(buf, 24, "errno %u", answer & SECCOMP_RET_DATA);
		return buf;
	default:
		return "kill";
	}
}
