/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A client of the control socket: each zero byte of the input ends a write. Every line is answered or
 * costs the client its connection.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/daemon/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int echo(void *daemon, const json_t *request, json_t **ret, struct diag *d)
{
	*ret = json_incref((json_t *)(uintptr_t)request);
	return 0;
}

static char directory[] = "/tmp/batten-fuzz-XXXXXX";

static void remove_directory(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/control.sock", directory);
	(void)unlink(path);
	(void)rmdir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct control_method methods[] = {
		{ "echo", echo, CONTROL_LOOK, { { "text", JSON_STRING, false }, { "n", JSON_INTEGER, false } } },
		{ 0 },
	};
	static struct control *control;
	static sd_event *event;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_(fd_closep) int fd = -1;
	char answer[65536];
	ssize_t got;

	if (!control) {
		if (!mkdtemp(directory) || atexit(remove_directory) != 0 || sd_event_new(&event) < 0 ||
		    control_new(&control, event, directory, methods, NULL, NULL) < 0)
			abort();
	}
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/control.sock", directory);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		abort();
	while (n > 0) {
		const uint8_t *end = memchr(data, 0, n);
		size_t piece = end ? (size_t)(end - data) : n;

		if (piece > 0 && send(fd, data, piece, MSG_NOSIGNAL) < 0)
			break;
		while (sd_event_run(event, 0) > 0)
			;
		piece += end ? 1 : 0;
		data += piece;
		n -= piece;
	}
	(void)shutdown(fd, SHUT_WR);
	while (sd_event_run(event, 0) > 0)
		;
	/* Whatever it was, the daemon is done with this client. */
	while ((got = recv(fd, answer, sizeof(answer), 0)) > 0)
		;
	if (got < 0 && errno != ECONNRESET)
		abort();
	return 0;
}
