/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Observes every cgroup that looks like a container's (mntns: every mount namespace) from its first
 * task on, without being told of any: seccomp-rows [mntns | CONTAINER-ID]. Prints "watching", then at the end of
 * its standard input an observation for each group, one a line; for those of the container only, the last run first.
 * Exits 2 if the run before is still found when it was forgotten.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/seccomp/observer.h"

#define MAX_GROUPS 64

struct groups {
	uint64_t id[MAX_GROUPS];
	unsigned int n;
};

static void on_event(void *userdata, const struct observer_event *e)
{
	struct groups *g = userdata;

	if (e->kind == OBSERVER_GROUP && g->n < MAX_GROUPS)
		g->id[g->n++] = e->group;
}

int main(int argc, char **argv)
{
	_cleanup_(observer_freep) struct observer *o = NULL;
	bool by_mntns = argc > 1 && strcmp(argv[1], "mntns") == 0;
	struct observer_options options = { .make_rows = true, .by_mntns = by_mntns, .denials_from_start = true };
	struct groups g = { .n = 0 };
	struct diag d = { 0 };

	if (observer_new(&o, &options, on_event, &g, &d) < 0) {
		diag_print(&d, 0);
		return 3;
	}
	(void)puts("watching");
	(void)fflush(stdout);
	for (;;) {
		struct pollfd fds[] = { { STDIN_FILENO, POLLIN, 0 }, { observer_fd(o), POLLIN, 0 } };

		(void)poll(fds, 2, 1000);
		if (observer_dispatch(o) < 0)
			return 1;
		if (fds[0].revents)
			break;
	}
	if (argc > 1 && !by_mntns) {
		g.n = observer_find(o, argv[1], &g.id[0]) == 0;
		while (g.n > 0 && g.n < MAX_GROUPS && observer_earlier(o, g.id[g.n - 1], &g.id[g.n]) == 0)
			g.n++;
	}
	for (unsigned int i = 0; i < g.n; i++) {
		_cleanup_(observation_freep) struct observation *all = observation_new();
		_cleanup_(json_freep) json_t *j = NULL;

		if (!all || observer_collect(o, g.id[i], "test", all, &d) < 0)
			return 1;
		j = observation_json(all);
		if (json_print_line(STDOUT_FILENO, j) < 0)
			return 1;
	}
	/* A run that is forgotten is nobody's earlier run any more. */
	if (argc > 1 && !by_mntns && g.n > 1) {
		observer_forget(o, g.id[1]);
		if (observer_earlier(o, g.id[0], &g.id[1]) == 0)
			return 2;
	}
	return 0;
}
