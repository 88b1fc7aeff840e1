/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A socket belongs to the namespace that it was made in, for ever: one thread goes from namespace to
 * namespace, begins a connection in each and ends; nobody else ever leaves home. What became of the
 * connections is seen from here.
 */
#include "audit/agent-port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "audit/facts-internal.h"
#include "batten/base/fd.h"

#define BRIDGE "ecs-bridge"
#define PORT 51678
#define WAIT_MS 100
#define MAX_TASKS 256

struct attempt {
	const struct container_facts *from;
	int netns, socket;
	bool accepted;
};

struct attempts {
	struct sockaddr_in to;
	struct attempt list[MAX_TASKS];
	size_t n;
};

/* The host's address on the bridge. Return: false when there is none. */
static bool bridge_address(struct sockaddr_in *ret)
{
	struct ifaddrs *list, *i;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i && !found; i = i->ifa_next) {
		found = i->ifa_addr && i->ifa_addr->sa_family == AF_INET && strcmp(i->ifa_name, BRIDGE) == 0;
		if (found)
			memcpy(ret, i->ifa_addr, sizeof(*ret));
	}
	freeifaddrs(list);
	ret->sin_port = htons(PORT);
	return found;
}

static void *begin_all(void *data)
{
	struct attempts *all = data;

	for (size_t i = 0; i < all->n; i++) {
		struct attempt *a = &all->list[i];

		if (setns(a->netns, CLONE_NEWNET) < 0)
			continue;
		a->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (a->socket < 0)
			continue;
		a->accepted = connect(a->socket, (struct sockaddr *)&all->to, sizeof(all->to)) == 0;
		if (!a->accepted && errno != EINPROGRESS)
			a->socket = fd_close(a->socket);
	}
	return NULL;
}

static void add_tasks(struct facts *f, struct attempts *all)
{
	const struct container_facts *list;
	char path[32];

	for (size_t i = 0, n = facts_containers(f, &list); i < n && all->n < MAX_TASKS; i++) {
		struct attempt *a = &all->list[all->n];

		if (!list[i].is_pause || list[i].pid <= 0)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", list[i].pid);
		*a = (struct attempt){ &list[i], open(path, O_RDONLY | O_CLOEXEC), -1, false };
		all->n += a->netns >= 0;
	}
}

/* Until each connection came to something, or the time is over. */
static void wait_for_all(struct attempts *all)
{
	uint64_t end = facts_now_ms() + WAIT_MS;

	for (;;) {
		struct pollfd fds[MAX_TASKS];
		struct attempt *of[MAX_TASKS];
		uint64_t now = facts_now_ms();
		nfds_t n = 0;

		for (size_t i = 0; i < all->n; i++) {
			if (all->list[i].socket < 0 || all->list[i].accepted)
				continue;
			of[n] = &all->list[i];
			fds[n++] = (struct pollfd){ .fd = all->list[i].socket, .events = POLLOUT };
		}
		if (n == 0 || now >= end)
			return;
		if (poll(fds, n, (int)(end - now)) < 0 && errno != EINTR)
			return;
		for (nfds_t i = 0; i < n; i++) {
			int error = 0;

			if (!fds[i].revents)
				continue;
			if (getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof(error) }) < 0 || error)
				of[i]->socket = fd_close(of[i]->socket);
			else
				of[i]->accepted = true;
		}
	}
}

static size_t try_all(struct attempts *all, const struct container_facts **ret_from)
{
	size_t n_tried = 0;
	pthread_t thread;

	if (all->n == 0 || pthread_create(&thread, NULL, begin_all, all) != 0)
		return 0;
	(void)pthread_join(thread, NULL);
	for (size_t i = 0; i < all->n; i++)
		n_tried += all->list[i].socket >= 0;
	wait_for_all(all);
	for (size_t i = all->n; i-- > 0;)
		if (all->list[i].accepted)
			*ret_from = all->list[i].from;
	return n_tried;
}

/* {"agent_port": {"tried": N, "from": ID}} in a test. */
static size_t stand_in(struct facts *f, const struct container_facts **ret_from)
{
	const json_t *j = json_object_get(f->stand_in, "agent_port");
	const char *from = facts_json_string(j, "from", "");
	const struct container_facts *list;

	for (size_t i = 0, n = facts_containers(f, &list); i < n; i++)
		if (strcmp(list[i].id, from) == 0)
			*ret_from = &list[i];
	return (size_t)facts_json_int(j, "tried", 0);
}

size_t agent_port_try(struct facts *f, const struct container_facts **ret_from)
{
	_cleanup_(freep) struct attempts *all = NULL;
	size_t n_tried = 0;

	*ret_from = NULL;
	if (f->stand_in)
		return stand_in(f, ret_from);
	all = calloc(1, sizeof(*all));
	if (!all || !bridge_address(&all->to))
		return 0;
	add_tasks(f, all);
	n_tried = try_all(all, ret_from);
	for (size_t i = 0; i < all->n; i++) {
		fd_close(all->list[i].netns);
		fd_close(all->list[i].socket);
	}
	return n_tried;
}
