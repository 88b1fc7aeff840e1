/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ECS agent's introspection port, plain HTTP on 127.0.0.1:51678. Anybody on the host may
 * listen there while the agent does not, so that what it says only ever fills a gap: a label of
 * Docker's is never overridden.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/host/introspect.h"
#include "batten/host/model.h"
#include "host/container-internal.h"
#include "host/http-internal.h"

#define AGENT_PORT 51678
#define MAX_ANSWER (4 * 1024 * 1024)
#define MAX_HEAD 128

/* Return: a connection that stands, or will, or a negative errno */
static int connect_now(uint32_t address, uint16_t port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(address),
	};
	_cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		return -errno;
	return fd_take(&fd);
}

static int connect_until(uint32_t address, uint16_t port, uint64_t deadline_ms)
{
	_cleanup_(fd_closep) int fd = connect_now(address, port);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t now = http_now_ms();
	int error = 0;
	socklen_t n = sizeof(error);

	if (fd < 0)
		return fd;
	if (now >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now)) != 1)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error != 0)
		return error != 0 ? -error : -errno;
	return fd_take(&fd);
}

static int write_head(char *buf, size_t size, const char *path)
{
	return snprintf(buf, size, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
}

/* @fd: connected; the exchange's from here on. @head: what is still to be sent */
static int exchange(int fd, const char *head, uint64_t deadline_ms, json_t **ret, struct diag *d)
{
	_cleanup_(http_call_freep) struct http_call *c = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t n = 0;
	int r;

	r = http_call_new(&c, fd, head, d);
	if (r >= 0)
		r = http_call_collect(c, deadline_ms, MAX_ANSWER, &text, &n);
	if (r < 0)
		return r;
	if (http_call_status(c) != 200)
		return -EPROTO;
	r = json_parse_answer(text, n, "the ECS agent's answer", ret, d);
	return r == -EBADMSG ? -EPROTO : r;
}

int introspect_get(const char *path, uint64_t deadline_ms, json_t **ret, struct diag *d)
{
	int fd = connect_until(INADDR_LOOPBACK, AGENT_PORT, deadline_ms);
	char head[MAX_HEAD];

	(void)write_head(head, sizeof(head), path);
	return fd < 0 ? fd : exchange(fd, head, deadline_ms, ret, d);
}

int introspect_ask(const char *path)
{
	_cleanup_(fd_closep) int fd = connect_now(INADDR_LOOPBACK, AGENT_PORT);
	char head[MAX_HEAD];
	int n = write_head(head, sizeof(head), path);

	if (fd < 0)
		return fd;
	/* On this host a connection stands, or is refused, before connect() is back. */
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n)
		return errno == ENOTCONN ? -EAGAIN : -errno;
	return fd_take(&fd);
}

int introspect_read(int fd, uint64_t deadline_ms, json_t **ret, struct diag *d)
{
	return exchange(fd, "", deadline_ms, ret, d);
}

int introspect_port_answers(uint32_t address, uint16_t port, uint64_t deadline_ms)
{
	_cleanup_(http_call_freep) struct http_call *c = NULL;
	_cleanup_(freep) char *text = NULL;
	int fd = connect_until(address, port, deadline_ms), r;
	size_t n;

	if (fd < 0)
		return 0;
	r = http_call_new(&c, fd, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", NULL);
	if (r >= 0)
		r = http_call_collect(c, deadline_ms, MAX_ANSWER, &text, &n);
	return r >= 0;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static int fill(char **field, const char *value)
{
	char *copy;

	if (*field[0] || !value[0])
		return 0;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int fill_container(struct container *c, const json_t *task, const json_t *row, const char *cluster)
{
	int r = fill(&c->task_arn, text_of(task, "Arn"));

	if (r == 0)
		r = fill(&c->family, text_of(task, "Family"));
	if (r == 0)
		r = fill(&c->revision, text_of(task, "Version"));
	if (r == 0)
		r = fill(&c->container_name, text_of(row, "Name"));
	if (r == 0)
		r = fill(&c->cluster, cluster);
	c->role = container_recognise(c);
	return r;
}

int host_model_introspect(struct host_model *m, uint64_t timeout_ms, struct diag *d)
{
	_cleanup_(json_freep) json_t *agent = NULL, *tasks = NULL;
	uint64_t deadline_ms = http_now_ms() + timeout_ms;
	json_t *task, *row;
	size_t i, k;
	int r;

	r = introspect_get("/v1/metadata", deadline_ms, &agent, d);
	if (r >= 0)
		r = introspect_get("/v1/tasks", deadline_ms, &tasks, d);
	if (r < 0)
		return diag_errno(d, r, "127.0.0.1:51678", "the ECS agent does not answer");
	(void)snprintf(m->agent_cluster, sizeof(m->agent_cluster), "%s", text_of(agent, "Cluster"));
	(void)snprintf(m->agent_version, sizeof(m->agent_version), "%s", text_of(agent, "Version"));
	json_array_foreach(json_object_get(tasks, "Tasks"), i, task) {
		json_array_foreach(json_object_get(task, "Containers"), k, row) {
			struct container *c = host_model_find(m, text_of(row, "DockerId"));

			if (c && c->role == ROLE_PLAIN)
				r = fill_container(c, task, row, m->agent_cluster);
			if (r < 0)
				return r;
		}
	}
	return 0;
}
