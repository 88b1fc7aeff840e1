/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Each row is as much of Docker's answer as an opening needs, with the exception's rule beside it.
 * The process is believed if its cgroup names the container (container_complete()), and followed by
 * a descriptor: when it ends, the row goes, and its address with it.
 */
#include "daemon/reopened.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/base/json.h"
#include "batten/base/log.h"

#define MAX_FILE_BYTES (4 * 1024 * 1024)
#define SCHEMA "batten.imds-open/1"

static const struct log_message msg_save = { "d8e9f0a1b2c34d4e9f5a6b7c8d9e0f17",
					      "what is open cannot be remembered for the next daemon" };

struct row {
	struct reopened_container r;
	struct reopened *all;
	int pidfd;
	sd_event_source *end;
};

struct reopened {
	sd_event *event; /* referenced */
	struct list rows;
	void (*changed)(void *user);
	void *user;
};

static struct row *row_free(struct row *w)
{
	list_remove(&w->r.node);
	(void)sd_event_source_disable_unref(w->end);
	(void)fd_close(w->pidfd);
	w->r.container = container_free(w->r.container);
	free(w->r.rule);
	free(w);
	return NULL;
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct row *w = data;
	struct reopened *all = w->all;

	row_free(w);
	all->changed(all->user);
	return 0;
}

/* A row that is not believed is left out. Return: 0 or -ENOMEM. */
static int add(struct reopened *all, json_t *j)
{
	const char *rule = json_string_value(json_object_get(j, "rule"));
	struct row *w;
	int r;

	if (!rule)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	list_init(&w->r.node);
	w->all = all;
	w->pidfd = -1;
	w->r.rule = strdup(rule);
	r = w->r.rule ? container_parse(&w->r.container, json_object_get(j, "container"), 0, NULL) : -ENOMEM;
	/* First the descriptor: what is found afterwards is of that very process, or of none. */
	if (r >= 0 && w->r.container->pid > 0)
		w->pidfd = (int)syscall(SYS_pidfd_open, w->r.container->pid, 0);
	if (r >= 0 && w->pidfd >= 0)
		r = container_complete(w->r.container);
	if (r >= 0 && w->pidfd >= 0)
		r = sd_event_add_io(all->event, &w->end, w->pidfd, EPOLLIN, on_end, w);
	if (r < 0 || w->pidfd < 0 || w->r.container->netns == 0) {
		row_free(w);
		return r == -ENOMEM ? r : 0;
	}
	list_append(&all->rows, &w->r.node);
	return 0;
}

/* NULL when there is none, or none that can be read. */
static json_t *read_rows(const char *path)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;

	return file_read(AT_FDCWD, path, MAX_FILE_BYTES, &text, &n, NULL) < 0 ? NULL : json_loadb(text, n, 0, NULL);
}

int reopened_new(struct reopened **ret, sd_event *event, const char *path, void (*changed)(void *user), void *user)
{
	_cleanup_(reopened_freep) struct reopened *all = calloc(1, sizeof(*all));
	_cleanup_(json_freep) json_t *j = NULL;
	json_t *row;
	size_t i;
	int r = 0;

	if (!all)
		return -ENOMEM;
	j = read_rows(path);
	list_init(&all->rows);
	all->event = sd_event_ref(event);
	all->changed = changed;
	all->user = user;
	json_array_foreach (json_object_get(j, "open"), i, row) {
		r = add(all, row);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(all);
	return 0;
}

struct reopened *reopened_free(struct reopened *r)
{
	if (!r)
		return NULL;
	list_for_each(pos, &r->rows)
		row_free(container_of(container_of(pos, struct reopened_container, node), struct row, r));
	(void)sd_event_unref(r->event);
	free(r);
	return NULL;
}

struct list *reopened_list(struct reopened *r)
{
	return &r->rows;
}

bool reopened_forget(struct reopened *r, const char *id)
{
	bool known = false;

	list_for_each(pos, &r->rows) {
		struct reopened_container *c = container_of(pos, struct reopened_container, node);

		if (strcmp(c->container->id, id) != 0)
			continue;
		row_free(container_of(c, struct row, r));
		known = true;
	}
	return known;
}

void reopened_add_row(json_t *rows, const char *rule, const struct container *c)
{
	json_t *networks = json_object();

	for (size_t i = 0; i < c->n_networks; i++) {
		char ip4[INET_ADDRSTRLEN] = "", ip6[INET6_ADDRSTRLEN] = "";
		static const uint8_t none[16];

		if (memcmp(&c->networks[i].ip4, none, 4) != 0)
			(void)inet_ntop(AF_INET, &c->networks[i].ip4, ip4, sizeof(ip4));
		if (memcmp(&c->networks[i].ip6, none, 16) != 0)
			(void)inet_ntop(AF_INET6, &c->networks[i].ip6, ip6, sizeof(ip6));
		json_object_set_new(networks, c->networks[i].name,
				    json_pack("{s:s, s:s}", "IPAddress", ip4, "GlobalIPv6Address", ip6));
	}
	json_array_append_new(rows, json_pack("{s:o, s:{s:s, s:o, s:{s:b, s:i}, s:{s:o}}}", "rule", json_text(rule),
					      "container", "Id", c->id, "Name", json_text(c->name), "State", "Running",
					      1, "Pid", (int)c->pid, "NetworkSettings", "Networks", networks));
}

bool reopened_has_row(const json_t *rows, const char *id)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (strcmp(json_string_value(json_object_get(json_object_get(row, "container"), "Id")), id) == 0)
			return true;
	return false;
}

void reopened_save(const char *path, const json_t *rows)
{
	_cleanup_(json_freep) json_t *j = json_pack("{s:s, s:O}", "schema", SCHEMA, "open", rows);
	size_t n;
	_cleanup_(freep) char *text = json_line(j, &n);
	struct diag d = { 0 };
	int r;

	r = text ? file_replace(AT_FDCWD, path, text, n, 0600, &d) : -ENOMEM;
	if (r < 0)
		log_event(LOG_WARNING, &msg_save, "where", path, "reason", d.what[0] ? d.what : strerror(-r));
}
