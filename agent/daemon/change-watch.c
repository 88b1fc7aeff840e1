/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A directory that is not there is awaited at the nearest one above it that is. After each step the
 * next one is looked at again: what was made between the look and the watch is not missed.
 */
#include "daemon/change-watch.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "batten/base/json.h"
#include "batten/base/list.h"
#include "batten/daemon/priorities.h"
#include "batten/kernel/netlink.h"

#define BUDGET 64 /* datagrams in one go */
#define MAX_DEPTH 32

#define GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)
#define NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define CONTENTS (NAMES | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)

struct directory {
	struct list node;
	struct change_watch *watch;
	enum change change;
	sd_event_source *source;
	bool exists; /* the source watches it, and not one above */
	char name[NAME_MAX + 1]; /* of the file that counts, or "" */
	char path[];
};

struct network {
	struct change_watch *watch;
	enum change change;
	struct nl_socket *socket;
	sd_event_source *source;
};

struct change_watch {
	sd_event *event; /* referenced */
	struct list directories;
	struct network networks[2];
	change_callback callback;
	void *user;
};

/* ---- directories ----------------------------------------------------------------------------- */

static int on_directory(sd_event_source *source, const struct inotify_event *e, void *data);

static int add_watch(struct directory *d, const char *path, uint32_t mask)
{
	sd_event_source *fresh = NULL;
	int r;

	r = sd_event_add_inotify(d->watch->event, &fresh, path, mask, on_directory, d);
	if (r < 0)
		return r;
	(void)sd_event_source_set_priority(fresh, PRIORITY_HOST);
	(void)sd_event_source_disable_unref(d->source);
	d->source = fresh;
	return 0;
}

/* Cuts the last component off; "/" stays. Return: false when there is none left. */
static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || path[1] == '\0')
		return false;
	slash[slash == path] = '\0';
	return true;
}

/* Watches it, or else the nearest directory above it. */
static int stand(struct directory *d)
{
	uint32_t mask = d->change == CHANGE_CGROUPS ? NAMES : CONTENTS;
	char path[PATH_MAX];
	int r;

	for (int i = 0; i < MAX_DEPTH; i++) {
		char below[PATH_MAX];

		d->exists = false;
		r = add_watch(d, d->path, mask);
		if (r >= 0) {
			d->exists = true;
			return 0;
		}
		if (r != -ENOENT && r != -ENOTDIR)
			return r;
		(void)snprintf(path, sizeof(path), "%s", d->path);
		do {
			(void)snprintf(below, sizeof(below), "%s", path);
			if (!go_up(path))
				return r;
			r = add_watch(d, path, NAMES);
		} while (r == -ENOENT || r == -ENOTDIR);
		if (r < 0)
			return r;
		if (access(below, F_OK) < 0)
			return 0;
	}
	return 0;
}

static int on_directory(sd_event_source *source, const struct inotify_event *e, void *data)
{
	struct directory *d = data;
	bool was = d->exists;

	/* IN_IGNORED of a watch that we gave up ourselves says nothing. */
	if (source != d->source || (was && d->name[0] && e->len > 0 && strcmp(e->name, d->name) != 0))
		return 0;
	if (!was || (e->mask & GONE))
		(void)stand(d);
	if (was || d->exists)
		d->watch->callback(d->watch->user, CHANGED(d->change));
	return 0;
}

int change_watch_directory(struct change_watch *w, const char *path, const char *name, enum change change,
			   struct diag *d)
{
	size_t n = strlen(path);
	struct directory *dir;
	int r;

	while (n > 1 && path[n - 1] == '/')
		n--;
	list_for_each(pos, &w->directories) {
		const struct directory *other = container_of(pos, struct directory, node);

		if (other->change == change && strcmp(other->name, name ? name : "") == 0 && strlen(other->path) == n && memcmp(other->path, path, n) == 0)
			return 0;
	}
	if (n >= PATH_MAX || path[0] != '/' || (name && strlen(name) > NAME_MAX))
		return diag_fail(d, -EINVAL, path, "is no absolute path");
	dir = calloc(1, sizeof(*dir) + n + 1);
	if (!dir)
		return -ENOMEM;
	memcpy(dir->path, path, n);
	(void)snprintf(dir->name, sizeof(dir->name), "%s", name ? name : "");
	dir->watch = w;
	dir->change = change;
	list_append(&w->directories, &dir->node);
	r = stand(dir);
	return r < 0 ? diag_errno(d, r, dir->path, "cannot be watched") : 0;
}

/* ---- the network ----------------------------------------------------------------------------- */

static int count(const struct nlmsghdr *nlh, void *data)
{
	unsigned int *n = data;

	(*n)++;
	return 0;
}

static int on_network(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct network *n = data;
	unsigned int seen = 0;
	int r;

	r = nl_events(n->socket, BUDGET, count, &seen);
	if (seen > 0 || r == -ENOBUFS)
		n->watch->callback(n->watch->user, CHANGED(n->change));
	return r == -ENOBUFS || r > 0 ? 0 : r;
}

static int listen_to(struct change_watch *w, struct network *n, enum change change, int bus, const unsigned int *groups,
		     size_t n_groups, struct diag *d)
{
	int r;

	n->watch = w;
	n->change = change;
	r = nl_open(&n->socket, bus, groups, n_groups, d);
	if (r < 0)
		return r;
	r = sd_event_add_io(w->event, &n->source, nl_fd(n->socket), EPOLLIN, on_network, n);
	if (r >= 0)
		r = sd_event_source_set_priority(n->source, PRIORITY_BACKGROUND);
	return r < 0 ? diag_errno(d, r, "netlink", "cannot be listened to") : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int change_watch_new(struct change_watch **ret, sd_event *event, change_callback callback, void *user, struct diag *d)
{
	static const unsigned int routes[] = {
		RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,	  RTNLGRP_IPV6_RULE,
	};
	static const unsigned int rules[] = { NFNLGRP_NFTABLES };
	_cleanup_(change_watch_freep) struct change_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	list_init(&w->directories);
	w->event = sd_event_ref(event);
	w->callback = callback;
	w->user = user;
	r = listen_to(w, &w->networks[0], CHANGE_NETWORK, NETLINK_ROUTE, routes, ARRAY_SIZE(routes), d);
	if (r >= 0)
		r = listen_to(w, &w->networks[1], CHANGE_RULES, NETLINK_NETFILTER, rules, ARRAY_SIZE(rules), d);
	if (r < 0)
		return r;
	*ret = take_ptr(w);
	return 0;
}

struct change_watch *change_watch_free(struct change_watch *w)
{
	if (!w)
		return NULL;
	list_for_each(pos, &w->directories) {
		struct directory *d = container_of(pos, struct directory, node);

		list_remove(&d->node);
		(void)sd_event_source_disable_unref(d->source);
		free(d);
	}
	for (size_t i = 0; i < ARRAY_SIZE(w->networks); i++) {
		(void)sd_event_source_disable_unref(w->networks[i].source);
		(void)nl_close(w->networks[i].socket);
	}
	(void)sd_event_unref(w->event);
	free(w);
	return NULL;
}

json_t *change_watch_status(const struct change_watch *w)
{
	json_t *list = json_array();

	list_for_each(pos, &w->directories) {
		const struct directory *d = container_of(pos, struct directory, node);

		json_t *row = json_pack("{s:o, s:s, s:b}", "path", json_text(d->path), "change", change_name(d->change),
					"exists", d->exists);

		if (row && d->name[0])
			json_object_set_new(row, "file", json_text(d->name));
		json_array_append_new(list, row);
	}
	return list;
}
