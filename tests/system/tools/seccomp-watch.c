/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Observes the containers of a Docker host as the daemon does, for tests: seccomp-watch SOCKET STORE.
 * Prints a line for each first sight and, ten times a second, for what runs; ends with its standard input.
 */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "batten/host/model.h"
#include "batten/seccomp/watch.h"

static void on_event(void *userdata, const char *container, const struct observer_event *e)
{
	(void)printf("%.12s %s\n", container ? container : "?", e->call ? e->call : e->directory);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	_cleanup_(seccomp_watch_freep) struct seccomp_watch *w = NULL;
	_cleanup_(docker_freep) struct docker *k = NULL;
	struct diag d = { 0 };

	if (argc != 3 || docker_new(&k, argv[1], &d) < 0 || seccomp_watch_new(&w, argv[2], on_event, NULL, &d) < 0) {
		diag_print(&d, 0);
		return 3;
	}
	(void)puts("watching");
	(void)fflush(stdout);
	for (;;) {
		struct pollfd fds[] = { { STDIN_FILENO, POLLIN, 0 }, { seccomp_watch_fd(w), POLLIN, 0 } };
		struct host_model m;

		/* The daemon gets these from host_watch; here the whole list is asked for each time. */
		host_model_init(&m);
		if (host_model_snapshot(&m, k, true, 0, NULL) == 0) {
			host_model_each(pos, &m) {
				const struct container *c = host_container(pos);
				int r = c->running ? seccomp_watch_runs(w, c, &d) : seccomp_watch_ended(w, c->id, &d);

				if (r < 0)
					diag_print(&d, r);
				else if (c->running)
					(void)printf("%.12s runs\n", c->id);
			}
		}
		host_model_done(&m);
		(void)fflush(stdout);
		(void)poll(fds, 2, 100);
		if (fds[0].revents)
			break;
		if (seccomp_watch_dispatch(w, &d) < 0)
			return 1;
	}
	return 0;
}
