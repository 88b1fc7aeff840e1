/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the watch says of a container whose process ends between two words about it.
 */
#include "unit.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/json.h"
#include "batten/host/watch.h"

#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct told {
	unsigned int runs, made, ended, over;
};

static void on_runs(void *user, struct container *c)
{
	((struct told *)user)->runs++;
}

static void on_made(void *user, const struct container *c)
{
	((struct told *)user)->made++;
}

static void on_ended(void *user, struct container *c)
{
	((struct told *)user)->ended++;
}

static void on_over(void *user, struct container *c)
{
	((struct told *)user)->over++;
}

static void on_docker(void *user, bool followed, const struct diag *d)
{
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)pause();
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Its id is in what /proc says of the groups of every process. */
static struct container *running(pid_t pid)
{
	_cleanup_(json_freep) json_t *j = json_pack("{s:s, s:s, s:{s:b, s:i}}", "Id", ID, "Name", "/web", "State", "Running", 1,
						    "Pid", (int)pid);
	struct container *c = NULL;

	assert_int_equal(container_parse(&c, j, 0, NULL), 0);
	memcpy(c->id, ":", 2);
	return c;
}

static void ended_or_over_but_not_both(void **state)
{
	static const struct host_watch_calls calls = { on_runs, on_made, on_ended, on_over, on_docker };
	struct told t = { 0 };
	struct host_watch *w;
	sd_event *event;
	pid_t pid = sleeper(), next;

	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(host_watch_new(&w, event, &calls, &t), 0);
	host_watch_container(w, running(pid));
	host_watch_container(w, running(pid)); /* renamed, say */
	assert_int_equal(t.runs, 2);
	end(pid);
	host_watch_container(w, running(pid)); /* renamed again; the kernel's word comes later */
	assert_int_equal(t.ended, 1);
	assert_int_equal(t.over, 0);
	host_watch_container(w, running(pid));
	assert_int_equal(t.ended, 1);
	assert_int_equal(t.over, 1);
	/* Started again, and over before it could be told of. */
	next = sleeper();
	host_watch_container(w, running(next));
	pid = sleeper();
	end(pid);
	host_watch_container(w, running(pid));
	assert_int_equal(t.runs, 3);
	assert_int_equal(t.ended, 2);
	assert_int_equal(t.over, 2);
	assert_int_equal(t.made, 0);
	end(next);
	(void)host_watch_free(w);
	(void)sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ended_or_over_but_not_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
