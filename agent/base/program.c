/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A program is given as little of us as it can work with: nothing of the environment but proxies, no descriptor, no
 * blocked or ignored signal.
 */
#include "batten/base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/clock.h"
#include "batten/base/fd.h"

#define TICK_MS 50 /* a daemon that it left behind may hold its end of the pipe for ever */
#define SIZE_ENVIRONMENT 12

static void fill_environment(const char *environment[SIZE_ENVIRONMENT], struct bytes *text)
{
	static const char *const proxies[] = { "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY" };
	size_t n = 0, at[ARRAY_SIZE(proxies)], n_proxies = 0;

	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
		const char *value = secure_getenv(proxies[i]);

		if (!value)
			continue;
		at[n_proxies++] = text->n;
		bytes_printf(text, "%s=%s%c", proxies[i], value, '\0');
	}
	environment[n++] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	environment[n++] = "LC_ALL=C";
	environment[n++] = "HOME=/root";
	for (size_t i = 0; i < n_proxies && text->error == 0; i++)
		environment[n++] = text->data + at[i];
	environment[n] = NULL;
}

static int start(pid_t *ret, const char *const *argv, int keep, int out, char *const *environment)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	/* Onto itself: it is not closed by execve() any more. */
	if (r == 0 && keep >= 0)
		r = posix_spawn_file_actions_adddup2(&actions, keep, keep);
	if (r == 0)
		r = posix_spawn(ret, argv[0], &actions, &attributes, (char *const *)argv, environment);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Takes what is there, and goes on without memory: who is not listened to would wait for us. Return: 0 at the end, else 1 */
static int take(int fd, struct bytes *out)
{
	char piece[4096];
	ssize_t n;

	do {
		n = read(fd, piece, sizeof(piece));
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	if (out->n + (size_t)n > PROGRAM_MAX_OUTPUT) {
		memmove(out->data, out->data + n, out->n - (size_t)n);
		out->n -= (size_t)n;
	}
	bytes_append(out, piece, (size_t)n);
	return 1;
}

/* What it says until it has ended. Return: what waitpid() says of it in @ret_status, and 0 or a negative errno. */
static int listen_to(pid_t pid, int fd, unsigned int timeout_ms, struct bytes *out, int *ret_status)
{
	uint64_t deadline = clock_us() + timeout_ms * 1000ull;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = 0;

	for (;;) {
		pid_t ended;

		if (poll(&p, 1, TICK_MS) > 0 && take(fd, out) == 0)
			p.fd = -1;
		ended = waitpid(pid, ret_status, WNOHANG);
		if (ended < 0 && errno != EINTR)
			return -errno;
		if (ended == pid)
			break;
		if (timeout_ms > 0 && r == 0 && clock_us() >= deadline) {
			(void)kill(pid, SIGKILL);
			r = -ETIMEDOUT;
		}
	}
	/* Its last words. */
	while (p.fd >= 0 && poll(&p, 1, 0) > 0)
		if (take(fd, out) == 0)
			p.fd = -1;
	return r;
}

int program_run(const char *const *argv, int keep, unsigned int timeout_ms, struct bytes *out)
{
	const char *environment[SIZE_ENVIRONMENT];
	_cleanup_(fd_closep) int from = -1, to = -1;
	struct bytes text = { 0 };
	int ends[2], status = 0, r;
	pid_t pid = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	from = ends[0];
	to = ends[1];
	fill_environment(environment, &text);
	r = text.error;
	if (r >= 0)
		r = start(&pid, argv, keep, to, (char *const *)environment);
	bytes_done(&text);
	(void)fd_close(fd_take(&to));
	if (r >= 0)
		r = listen_to(pid, from, timeout_ms, out, &status);
	if (r < 0)
		return r;
	if (out->error < 0)
		return out->error;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECANCELED;
}
