/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A pinned object lives as long as a pin or a descriptor of it does. Whoever holds descriptors can
 * put deleted pins back, and meanwhile nothing was detached.
 */
#include "batten/imds/cgroup.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/kernel/host-view.h"

#define MAX_PINS 32

struct cgroup_hold {
	char directory[PATH_MAX];
	struct {
		char name[64];
		int fd;
	} pins[MAX_PINS];
	size_t n;
};

int cgroup_hold_new(struct cgroup_hold **ret, const char *pins, struct diag *d)
{
	_cleanup_(cgroup_hold_freep) struct cgroup_hold *h = calloc(1, sizeof(*h));
	struct dirent *e;
	DIR *dir;

	if (!h)
		return -ENOMEM;
	(void)snprintf(h->directory, sizeof(h->directory), "%s", pins);
	dir = opendir(pins);
	if (!dir)
		return diag_errno(d, -errno, pins, "cannot read the directory of pinned programs");
	while ((e = readdir(dir)) && h->n < MAX_PINS) {
		char path[PATH_MAX];
		int fd;

		if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof(h->pins[0].name) ||
		    snprintf(path, sizeof(path), "%s/%s", pins, e->d_name) >= (int)sizeof(path))
			continue;
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue;
		memcpy(h->pins[h->n].name, e->d_name, strlen(e->d_name) + 1);
		h->pins[h->n++].fd = fd;
	}
	(void)closedir(dir);
	*ret = take_ptr(h);
	return 0;
}

struct cgroup_hold *cgroup_hold_free(struct cgroup_hold *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->n; i++)
		(void)fd_close(h->pins[i].fd);
	free(h);
	return NULL;
}

unsigned int cgroup_hold_restore(const struct cgroup_hold *h)
{
	char directory[PATH_MAX];
	unsigned int n = 0;

	host_view(h->directory, directory);
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return 0;
	for (size_t i = 0; i < h->n; i++) {
		char path[PATH_MAX];

		if (snprintf(path, sizeof(path), "%s/%s", directory, h->pins[i].name) < (int)sizeof(path) &&
		    access(path, F_OK) < 0 && bpf_obj_pin(h->pins[i].fd, path) == 0)
			n++;
	}
	return n;
}
