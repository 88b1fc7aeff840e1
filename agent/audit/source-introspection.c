/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the ECS agent says about itself. Nobody listening may be a host without an agent or an
 * agent that is down: traces of ecs-init on the disk tell.
 */
#include <errno.h>
#include <time.h>

#include "audit/ecs-settings.h"
#include "audit/facts-internal.h"
#include "batten/host/introspect.h"

/* The agent answers within milliseconds; a stranger on its port does not get the whole deadline. */
#define MOST_MS 1000

#define RETRY_MS 5

/* Of somebody who may connect. */
static int get_through(const struct facts_askers *askers, const char *path, uint64_t end_ms, json_t **ret, struct diag *d)
{
	for (;;) {
		int fd = askers->agent(askers->user, path);

		if (fd >= 0)
			return introspect_read(fd, end_ms, ret, d);
		if (fd != -EAGAIN)
			return fd;
		if (facts_now_ms() >= end_ms)
			return -ETIMEDOUT;
		(void)nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	}
}

static int get(const struct facts *f, const char *path, uint64_t end_ms, json_t **ret, struct diag *d)
{
	return f->askers ? get_through(f->askers, path, end_ms, ret, d) : introspect_get(path, end_ms, ret, d);
}

int source_introspection_load(struct facts *f, json_t **ret, struct diag *d)
{
	uint64_t end_ms = facts_now_ms() + MIN(f->deadline_ms, (unsigned int)MOST_MS);
	_cleanup_(json_freep) json_t *metadata = NULL, *tasks = NULL;
	int r;

	r = get(f, "/v1/metadata", end_ms, &metadata, d);
	if (r == -ECONNREFUSED && !ecs_is_installed(f))
		return diag_fail(d, -ENOENT, NULL, "no ECS agent on this host");
	if (r >= 0)
		r = get(f, "/v1/tasks", end_ms, &tasks, d);
	if (r < 0) {
		(void)diag_errno(d, r, "127.0.0.1:51678", "the ECS agent does not answer");
		return r == -ENOENT ? -EIO : r;
	}
	*ret = json_pack("{s:O, s:O}", "metadata", metadata, "tasks", tasks);
	return *ret ? 0 : -ENOMEM;
}
