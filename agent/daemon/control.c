/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The serving side. A client costs a bounded amount of memory and its own connection, whatever it
 * does: a line that is too long, garbage, or silence closes it.
 */
#include "batten/daemon/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/base/list.h"
#include "batten/daemon/priorities.h"

#define MAX_CLIENTS 32
#define MAX_REQUEST_BYTES 4096
#define IDLE_SECONDS 10

struct control {
	sd_event *event; /* referenced */
	sd_event_source *source;
	struct sockaddr_un address;
	int fd;
	const struct control_method *methods;
	void *daemon;
	struct list clients;
	unsigned int n_clients;
};

struct client {
	struct list list;
	struct control *control;
	int fd;
	sd_event_source *source, *idle;
	char request[MAX_REQUEST_BYTES];
	size_t n_request;
};

static struct client *client_free(struct client *c)
{
	if (!c)
		return NULL;
	list_remove(&c->list);
	c->control->n_clients--;
	(void)sd_event_source_disable_unref(c->source);
	(void)sd_event_source_disable_unref(c->idle);
	(void)fd_close(c->fd);
	free(c);
	return NULL;
}

static json_t *error_answer(const struct diag *d, int error)
{
	bool usage = error == -EINVAL || error == -EEXIST || error == -ENOENT;
	int status = usage ? 2 : error == -ECANCELED ? 4 : 3;
	_cleanup_(freep) char *text = NULL;

	if (asprintf(&text, "%s%s%s", d->where, d->where[0] ? ": " : "",
		     d->what[0] ? d->what : strerror(-error)) < 0)
		text = NULL;
	return json_pack("{s:o, s:i}", "error", json_text(text ? text : "no memory"), "status", status);
}

static json_t *answer(struct control *control, const char *line, size_t n)
{
	_cleanup_(json_freep) json_t *request = NULL;
	struct diag d = { 0 };
	json_t *result = NULL;
	const char *name;
	int r;

	r = json_parse(line, n, "request", &request, &d);
	if (r < 0)
		return error_answer(&d, -EINVAL);
	name = json_string_value(json_object_get(request, "method"));
	for (const struct control_method *m = control->methods; name && m->name; m++) {
		if (strcmp(m->name, name) != 0)
			continue;
		r = m->call(control->daemon, request, &result, &d);
		if (r < 0) {
			json_decref(result);
			return error_answer(&d, r);
		}
		return json_pack("{s:o}", "result", result ? result : json_null());
	}
	return error_answer(&(struct diag){ .what = "unknown method" }, -EINVAL);
}

/*
 * The answer is small and the socket's buffer empty, so that one send takes it; a client that does
 * not read loses its connection, never our time.
 */
static bool send_answer(struct client *c, json_t *j)
{
	_cleanup_(freep) char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	struct iovec iov[2];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	json_decref(j);
	if (!text)
		return false;
	iov[0] = (struct iovec){ .iov_base = text, .iov_len = strlen(text) };
	iov[1] = (struct iovec){ .iov_base = (char[]){ '\n' }, .iov_len = 1 };
	n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n == (ssize_t)(iov[0].iov_len + 1);
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct client *c = data;
	ssize_t n;
	char *end;

	n = read(fd, c->request + c->n_request, sizeof(c->request) - c->n_request);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		(void)client_free(c);
		return 0;
	}
	c->n_request += (size_t)n;
	while ((end = memchr(c->request, '\n', c->n_request))) {
		size_t line = (size_t)(end - c->request);

		if (!send_answer(c, answer(c->control, c->request, line))) {
			(void)client_free(c);
			return 0;
		}
		c->n_request -= line + 1;
		memmove(c->request, end + 1, c->n_request);
	}
	if (c->n_request == sizeof(c->request))
		(void)client_free(c);
	return 0;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *data)
{
	(void)client_free(data);
	return 0;
}

static bool peer_is_root(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && n == sizeof(peer) && peer.uid == 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct control *control = data;
	_cleanup_(fd_closep) int peer = -1;
	struct client *c;

	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (peer < 0 || !peer_is_root(peer) || control->n_clients == MAX_CLIENTS)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return 0;
	c->control = control;
	c->fd = fd_take(&peer);
	list_append(&control->clients, &c->list);
	control->n_clients++;
	if (sd_event_add_io(control->event, &c->source, c->fd, EPOLLIN, on_client, c) < 0 ||
	    sd_event_source_set_priority(c->source, PRIORITY_CONTROL) < 0 ||
	    sd_event_add_time_relative(control->event, &c->idle, CLOCK_MONOTONIC, IDLE_SECONDS * 1000000ULL,
				       1000000, on_idle, c) < 0)
		(void)client_free(c);
	return 0;
}

static int listen_at(struct control *c, const char *runtime_dir, struct diag *d)
{
	int n;

	c->address.sun_family = AF_UNIX;
	n = snprintf(c->address.sun_path, sizeof(c->address.sun_path), "%s/control.sock", runtime_dir);
	if (n < 0 || (size_t)n >= sizeof(c->address.sun_path))
		return diag_fail(d, -ENAMETOOLONG, runtime_dir, "is too long for a socket's name");
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return diag_errno(d, -errno, c->address.sun_path, "cannot make the control socket");
	/* The lock in the same directory says that whoever left a socket here is gone. */
	(void)unlink(c->address.sun_path);
	/* Nobody may connect between bind() and the mode: a socket takes its mode at fchmod() time. */
	if (fchmod(c->fd, 0600) < 0 || bind(c->fd, (struct sockaddr *)&c->address, sizeof(c->address)) < 0 ||
	    chmod(c->address.sun_path, 0600) < 0 || listen(c->fd, MAX_CLIENTS) < 0)
		return diag_errno(d, -errno, c->address.sun_path, "cannot listen");
	return 0;
}

int control_new(struct control **ret, sd_event *event, const char *runtime_dir,
		const struct control_method *methods, void *daemon, struct diag *d)
{
	_cleanup_(control_freep) struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fd = -1;
	c->event = sd_event_ref(event);
	c->methods = methods;
	c->daemon = daemon;
	list_init(&c->clients);
	r = listen_at(c, runtime_dir, d);
	if (r >= 0)
		r = sd_event_add_io(event, &c->source, c->fd, EPOLLIN, on_connection, c);
	if (r >= 0)
		r = sd_event_source_set_priority(c->source, PRIORITY_CONTROL);
	if (r < 0)
		return diag_errno(d, r, "control socket", "cannot listen");
	*ret = take_ptr(c);
	return 0;
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	list_for_each(l, &c->clients)
		(void)client_free(container_of(l, struct client, list));
	(void)sd_event_source_disable_unref(c->source);
	if (c->fd >= 0 && c->address.sun_path[0])
		(void)unlink(c->address.sun_path);
	c->fd = fd_close(c->fd);
	(void)sd_event_unref(c->event);
	free(c);
	return NULL;
}
