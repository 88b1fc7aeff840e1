/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The serving side. A client costs a bounded amount of memory and its own connection, whatever it
 * does: a line that is too long, garbage, silence, too many requests or not reading close it. One
 * request is served in one turn of the loop, so that what matters more comes in between.
 */
#include "batten/daemon/control.h"

#include <errno.h>
#include <fcntl.h>
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
#include "daemon/control-internal.h"

#define MAX_CLIENTS 32
#define MAX_CLIENTS_OF_ONE 8 /* of one process */
#define BACKLOG 128 /* who comes then waits for its turn */
#define MAX_REQUESTS 256     /* on one connection */
#define MAX_REQUEST_BYTES 4096
#define IDLE_SECONDS 10
#define ACCEPT_INTERVAL_US 500000ULL

struct control {
	sd_event *event; /* referenced */
	sd_event_source *source, *wake;
	struct sockaddr_un address;
	int fd;
	const struct control_method *methods;
	void *daemon;
	struct list clients; /* the oldest first */
	unsigned int n_clients;
};

struct client {
	struct list list;
	struct control *control;
	int fd;
	struct ucred peer;
	sd_event_source *source, *idle;
	char request[MAX_REQUEST_BYTES];
	size_t n_request;
	unsigned int n_requests;
	json_t *waiting;  /* the request whose answer comes later, or NULL */
	char *answer;	  /* what is being sent, with its newline; or NULL */
	size_t n_answer, sent;
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
	json_decref(c->waiting);
	free(c->answer);
	free(c);
	return NULL;
}

/* ---- answers ----------------------------------------------------------------------------------- */

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

/* Return: the answer; NULL with @ret_wait when it comes later, and without on no memory. */
static json_t *serve(const struct client *c, const json_t *request, bool *ret_wait)
{
	const struct control_method *m = NULL;
	json_t *result = NULL;
	struct diag d = { 0 };
	int r;

	*ret_wait = false;
	r = control_check(c->control->methods, request, c->peer.pid, &m, &d);
	if (r >= 0)
		r = m->call(c->control->daemon, request, &result, &d);
	if (r == CONTROL_WAIT) {
		json_decref(result);
		*ret_wait = true;
		return NULL;
	}
	if (r < 0) {
		json_decref(result);
		return error_answer(&d, r);
	}
	return json_pack("{s:o}", "result", result ? result : json_null());
}

/* Sends what the socket takes. Return: 0, or a negative errno for a client that is to be closed. */
static int send_some(struct client *c)
{
	ssize_t n;

	while (c->sent < c->n_answer) {
		n = send(c->fd, c->answer + c->sent, c->n_answer - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return sd_event_source_set_io_events(c->source, EPOLLOUT);
		if (n < 0)
			return -errno;
		c->sent += (size_t)n;
	}
	free(c->answer);
	c->answer = NULL;
	c->n_answer = c->sent = 0;
	return sd_event_source_set_io_events(c->source, EPOLLIN);
}

/* Takes @j over. Return: as send_some() */
static int answer(struct client *c, json_t *j)
{
	_cleanup_(json_freep) json_t *owned = j;
	size_t n;

	c->answer = json_line(owned, &n);
	if (!c->answer)
		return -ENOMEM;
	c->answer[n] = '\n'; /* in the place of the NUL */
	c->n_answer = n + 1;
	c->sent = 0;
	return send_some(c);
}

/* Serves @request, or puts it off. Return: as send_some() */
static int respond(struct client *c, json_t *request)
{
	bool wait;
	json_t *j = serve(c, request, &wait);

	if (!wait)
		return answer(c, j);
	if (!c->waiting)
		c->waiting = json_incref(request);
	/* It waits for us, not we for it. */
	return sd_event_source_set_enabled(c->idle, SD_EVENT_OFF);
}

/* ---- requests ---------------------------------------------------------------------------------- */

/* The next whole line of the buffer. Return: 1 served one, 0 there is none, or as send_some() */
static int serve_line(struct client *c)
{
	_cleanup_(json_freep) json_t *request = NULL;
	char *end = memchr(c->request, '\n', c->n_request);
	struct diag d = { 0 };
	size_t n;
	int r;

	if (!end)
		return c->n_request == sizeof(c->request) ? -E2BIG : 0;
	if (++c->n_requests > MAX_REQUESTS)
		return -E2BIG;
	n = (size_t)(end - c->request);
	r = json_parse(c->request, n, "request", &request, &d);
	c->n_request -= n + 1;
	memmove(c->request, end + 1, c->n_request);
	r = r < 0 ? answer(c, error_answer(&d, -EINVAL)) : respond(c, request);
	return r < 0 ? r : 1;
}

static int read_more(struct client *c)
{
	ssize_t n = read(c->fd, c->request + c->n_request, sizeof(c->request) - c->n_request);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	c->n_request += (size_t)n;
	return 0;
}

/*
 * One turn: what is left of an answer, or one request. A line that waits in our own buffer is not
 * told by the descriptor; the source is made pending by hand then.
 */
static int on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct client *c = data;
	int r;

	if (c->answer)
		r = send_some(c);
	else if (memchr(c->request, '\n', c->n_request) && !c->waiting)
		r = 0;
	else if (c->n_request == sizeof(c->request))
		r = -E2BIG; /* while its answer is awaited, too */
	else
		r = read_more(c);
	if (r >= 0 && !c->answer && !c->waiting)
		r = serve_line(c);
	if (r < 0)
		(void)client_free(c);
	else if (!c->answer && !c->waiting && memchr(c->request, '\n', c->n_request))
		(void)sd_event_source_set_io_events(source, EPOLLIN | EPOLLOUT);
	return 0;
}

static int on_wake(sd_event_source *source, void *data)
{
	struct control *control = data;

	list_for_each(pos, &control->clients) {
		struct client *c = container_of(pos, struct client, list);
		_cleanup_(json_freep) json_t *request = json_incref(c->waiting);
		bool wait = false;
		json_t *j;

		if (!request)
			continue;
		j = serve(c, request, &wait);
		if (wait)
			continue;
		json_decref(c->waiting);
		c->waiting = NULL;
		if (answer(c, j) < 0 || sd_event_source_set_time_relative(c->idle, IDLE_SECONDS * 1000000ULL) < 0 ||
		    sd_event_source_set_enabled(c->idle, SD_EVENT_ONESHOT) < 0)
			(void)client_free(c);
	}
	return 0;
}

void control_wake(struct control *c)
{
	if (c)
		(void)sd_event_source_set_enabled(c->wake, SD_EVENT_ONESHOT);
}

/* ---- connections ------------------------------------------------------------------------------- */

static int on_idle(sd_event_source *source, uint64_t usec, void *data)
{
	(void)client_free(data);
	return 0;
}

static bool peer_is_root(int fd, struct ucred *ret)
{
	socklen_t n = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &n) == 0 && n == sizeof(*ret) && ret->uid == 0;
}

/* Room for one more of @pid: a process has its share, and who hangs longest makes way for others. */
static bool make_room(struct control *control, pid_t pid)
{
	unsigned int n_of_one = 0;

	list_for_each(pos, &control->clients)
		n_of_one += container_of(pos, struct client, list)->peer.pid == pid;
	if (n_of_one >= MAX_CLIENTS_OF_ONE)
		return false;
	if (control->n_clients < MAX_CLIENTS)
		return true;
	list_for_each(pos, &control->clients) {
		struct client *c = container_of(pos, struct client, list);

		if (c->waiting)
			continue;
		(void)client_free(c);
		return true;
	}
	return false;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct control *control = data;
	_cleanup_(fd_closep) int peer = -1;
	struct ucred who;
	struct client *c;

	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (peer < 0 || !peer_is_root(peer, &who) || !make_room(control, who.pid))
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return 0;
	c->control = control;
	c->peer = who;
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
	    chmod(c->address.sun_path, 0600) < 0 || listen(c->fd, BACKLOG) < 0)
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
	/* Who cannot be accepted for want of a descriptor goes on waiting, and wakes us as long as he does. */
	if (r >= 0)
		r = sd_event_source_set_ratelimit(c->source, ACCEPT_INTERVAL_US, 2 * BACKLOG);
	if (r >= 0)
		r = sd_event_add_defer(event, &c->wake, on_wake, c);
	if (r >= 0)
		r = sd_event_source_set_priority(c->wake, PRIORITY_CONTROL);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->wake, SD_EVENT_OFF);
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
	(void)sd_event_source_disable_unref(c->wake);
	if (c->fd >= 0 && c->address.sun_path[0])
		(void)unlink(c->address.sun_path);
	c->fd = fd_close(c->fd);
	(void)sd_event_unref(c->event);
	free(c);
	return NULL;
}
