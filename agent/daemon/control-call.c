/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The asking side of the control socket: one request, one answer, a deadline.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/daemon/control.h"

#define ANSWER_SECONDS 10
#define MAX_ANSWER_BYTES (4 * 1024 * 1024)

static int connect_to(const char *runtime_dir, time_t seconds, struct diag *d)
{
	const struct timeval patience = { .tv_sec = seconds }; /* 0: without end */
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_(fd_closep) int fd = -1;
	int n;

	n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/control.sock", runtime_dir);
	if (n < 0 || (size_t)n >= sizeof(a.sun_path))
		return diag_fail(d, -EINVAL, runtime_dir, "is too long for a socket's name");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return diag_errno(d, -errno, a.sun_path, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
			return -ENOENT;
		return diag_errno(d, -errno, a.sun_path, "cannot reach the daemon");
	}
	return fd_take(&fd);
}

/* One line. The daemon keeps the connection open, so that the end is the newline. */
static int read_line(int fd, char **ret, size_t *ret_n)
{
	_cleanup_(freep) char *buf = NULL;
	size_t n = 0, size = 0;

	for (;;) {
		ssize_t got;

		if (n == size) {
			char *grown;

			if (size == MAX_ANSWER_BYTES)
				return -EFBIG;
			size = size ? size * 2 : 4096;
			grown = realloc(buf, size);
			if (!grown)
				return -ENOMEM;
			buf = grown;
		}
		got = read(fd, buf + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (got == 0)
			return -ECONNRESET;
		n += (size_t)got;
		if (buf[n - 1] == '\n')
			break;
	}
	*ret = take_ptr(buf);
	*ret_n = n;
	return 0;
}

static int call(const char *runtime_dir, time_t seconds, const char *method, json_t *parameters, json_t **ret,
		int *ret_status, struct diag *d)
{
	_cleanup_(json_freep) json_t *request = json_pack("{s:s}", "method", method), *answer = NULL;
	_cleanup_(fd_closep) int fd = -1;
	_cleanup_(freep) char *line = NULL;
	const char *error;
	json_t *result;
	size_t n = 0;
	int r;

	if (!request || (parameters && json_object_update(request, parameters) < 0))
		return -ENOMEM;
	fd = connect_to(runtime_dir, seconds, d);
	if (fd < 0)
		return fd;
	r = json_print_line(fd, request);
	if (r >= 0)
		r = read_line(fd, &line, &n);
	if (r < 0)
		return diag_errno(d, r, "daemon", "does not answer");
	r = json_parse(line, n, "daemon's answer", &answer, d);
	if (r < 0)
		return r;
	error = json_string_value(json_object_get(answer, "error"));
	if (error) {
		*ret_status = (int)json_integer_value(json_object_get(answer, "status"));
		return diag_fail(d, -EREMOTEIO, "daemon", "%s", error);
	}
	result = json_object_get(answer, "result");
	if (!result)
		return diag_fail(d, -EBADMSG, "daemon", "answers nonsense");
	*ret = json_incref(result);
	return 0;
}

int control_call(const char *runtime_dir, const char *method, json_t *parameters, json_t **ret,
		 int *ret_status, struct diag *d)
{
	return call(runtime_dir, ANSWER_SECONDS, method, parameters, ret, ret_status, d);
}

int control_call_waiting(const char *runtime_dir, const char *method, json_t *parameters, json_t **ret,
			 int *ret_status, struct diag *d)
{
	return call(runtime_dir, 0, method, parameters, ret, ret_status, d);
}
