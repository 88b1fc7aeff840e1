/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order matters: limits and capabilities while they may still be changed, then no new
 * privileges, which the filter asks for, then the filter. Every step must succeed.
 */
#include "batten/kernel/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "batten/base/core-dump.h"

/* A limit that is tighter already stays. */
static int limit(int resource, rlim_t max)
{
	struct rlimit l;

	if (getrlimit((__rlimit_resource_t)resource, &l) < 0)
		return -errno;
	l.rlim_max = MIN(l.rlim_max, max);
	l.rlim_cur = MIN(l.rlim_cur, l.rlim_max);
	return setrlimit((__rlimit_resource_t)resource, &l) < 0 ? -errno : 0;
}

static int limit_all(const struct confinement *c)
{
	int r = 0;

	core_dump_forbid();
	if (!CONFINE_SANITIZED)
		r = limit(RLIMIT_DATA, c->max_data_bytes);
	if (r >= 0 && c->max_files > 0)
		r = limit(RLIMIT_NOFILE, c->max_files);
	return r;
}

static int drop_capabilities(uint64_t keep)
{
	uint64_t there = 0;

	if (keep && capng_get_caps_process() < 0)
		return -EPERM;
	for (unsigned int i = 0; keep && i <= CAP_LAST_CAP; i++)
		if ((keep >> i & 1) && capng_have_capability(CAPNG_PERMITTED, i))
			there |= CONFINE_CAP(i);
	capng_clear(CAPNG_SELECT_ALL);
	/* The bounding set can only be emptied by those who have something to lose. */
	if (prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 1 && capng_apply(CAPNG_SELECT_BOUNDS) < 0 && errno != EPERM)
		return -EPERM;
	for (unsigned int i = 0; there && i <= CAP_LAST_CAP; i++)
		if ((there >> i & 1) && capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i) < 0)
			return -EPERM;
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

static int add_all(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = seccomp_rule_add(ctx, action, calls[i], 0);
	return r;
}

/*
 * What every process makes, whatever it is for: its own memory, its own end, signals that reach it, the
 * C library's locks, the time, its own numbers and random ones. None of them reaches another process or
 * a file. mmap() is not among them, for it may be refused by what it asks for.
 */
static const int base_calls[] = {
	SCMP_SYS(brk),		SCMP_SYS(munmap),	SCMP_SYS(mremap),	SCMP_SYS(madvise),
	SCMP_SYS(futex),	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
	SCMP_SYS(exit_group),	SCMP_SYS(exit),		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	SCMP_SYS(time),		SCMP_SYS(getpid),	SCMP_SYS(gettid),	SCMP_SYS(getrandom),
};

static int load_filter(const struct confinement *c)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	/* A tracer that makes a call fail puts -1 in its place, which is no call. */
	if (r >= 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_API_TSKIP, 1);
	if (r >= 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, -1, 0);
	if (r >= 0)
		r = add_all(ctx, SCMP_ACT_ALLOW, base_calls, ARRAY_SIZE(base_calls));
	if (r >= 0)
		r = add_all(ctx, SCMP_ACT_ALLOW, c->calls, c->n_calls);
	if (r >= 0)
		r = add_all(ctx, SCMP_ACT_ERRNO(EACCES), c->refused, c->n_refused);
	if (r >= 0)
		r = add_all(ctx, SCMP_ACT_ERRNO(ENOSYS), c->absent, c->n_absent);
	for (size_t i = 0; i < c->n_when && r >= 0; i++) {
		const struct scmp_arg_cmp is = { .arg = c->when[i].argument, .op = SCMP_CMP_MASKED_EQ,
						 .datum_a = c->when[i].mask, .datum_b = c->when[i].value };

		r = seccomp_rule_add_array(ctx, c->when[i].refused ? SCMP_ACT_ERRNO(EACCES) : SCMP_ACT_ALLOW,
					   c->when[i].call, 1, &is);
	}
	if (r >= 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int confine_capabilities(uint64_t keep, struct diag *d)
{
	int r = drop_capabilities(keep);

	if (r >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r < 0 ? diag_errno(d, r, NULL, "cannot give up capabilities") : 0;
}

int confine(const struct confinement *c, struct diag *d)
{
	int r = limit_all(c);

	if (r >= 0)
		r = confine_capabilities(c->keep, NULL);
	if (r >= 0 && !CONFINE_SANITIZED)
		r = load_filter(c);
	return r < 0 ? diag_errno(d, r, NULL, "cannot confine the process that reads foreign bytes") : 0;
}
