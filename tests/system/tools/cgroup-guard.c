/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guard's cgroup layer by hand:
 *
 *	cgroup-guard PINS ROOT SLICE install | uninstall | check | totals | rows
 *	cgroup-guard PINS ROOT SLICE allow|guard|drop GROUP
 *	cgroup-guard PINS ROOT SLICE newborns      and the milliseconds left of their leases
 *	cgroup-guard PINS ROOT SLICE events        prints events as JSON lines until killed
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batten/base/json.h"
#include "batten/imds/cgroup.h"
#include "batten/kernel/cgroup.h"

static void on_event(void *user, const struct cgroup_event *e)
{
	char address[INET6_ADDRSTRLEN] = "";
	json_t *j;

	(void)inet_ntop(e->family == 4 ? AF_INET : AF_INET6, e->address, address, sizeof(address));
	j = json_pack("{s:I, s:I, s:i, s:s, s:s, s:i, s:i, s:s, s:b}", "cgroup", (json_int_t)e->cgroup, "count",
		      (json_int_t)e->count, "pid", (int)e->tgid, "comm", e->comm, "address", address, "port",
		      (int)e->port, "protocol", (int)e->protocol, "hook", cgroup_hook_name(e->hook), "sender_known",
		      (int)e->sender_known);
	if (json_print_line(1, j) < 0)
		_Exit(1);
	json_decref(j);
}

static int on_row(void *user, uint64_t id, enum cgroup_verdict v)
{
	(void)printf("%llu %s\n", (unsigned long long)id, v == CGROUP_GUARD ? "guard" : "allow");
	return 0;
}

static int print_newborns(const char *pins)
{
	uint64_t id = 0, next, lease, now;
	char path[PATH_MAX];
	struct timespec t;
	int map;

	(void)snprintf(path, sizeof(path), "%s/newborns", pins);
	map = bpf_obj_get(path);
	if (map < 0)
		return -errno;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	for (bool first = true; bpf_map_get_next_key(map, first ? NULL : &id, &next) == 0; first = false) {
		id = next;
		if (bpf_map_lookup_elem(map, &id, &lease) == 0)
			(void)printf("%llu %lld\n", (unsigned long long)id, ((long long)lease - (long long)now) / 1000000);
	}
	return 0;
}

static int print_totals(struct cgroup_layer *l)
{
	struct cgroup_totals t;
	json_t *j = json_object();
	int r = cgroup_layer_totals(l, &t);

	for (int hook = 0; r >= 0 && hook < _CGROUP_HOOK_MAX; hook++)
		json_object_set_new(j, cgroup_hook_name(hook), json_integer((json_int_t)t.refused[hook]));
	if (r >= 0)
		r = json_print_line(1, j);
	json_decref(j);
	return r;
}

static int events(struct cgroup_layer *l, struct diag *d)
{
	int r = cgroup_layer_listen(l, on_event, NULL, d);
	struct pollfd p;

	if (r < 0)
		return r;
	(void)puts("up");
	(void)fflush(stdout);
	p = (struct pollfd){ .fd = cgroup_layer_fd(l), .events = POLLIN };
	while (poll(&p, 1, -1) >= 0 && r >= 0)
		r = cgroup_layer_read(l);
	return r;
}

int main(int argc, char **argv)
{
	const char *slices[] = { argv[3], NULL }, *verb = argv[4];
	struct cgroup_options o = { .pins = argv[1], .root = argv[2], .slices = slices };
	_cleanup_(cgroup_layer_freep) struct cgroup_layer *l = NULL;
	struct diag d = { 0 };
	char why[200] = "";
	uint64_t id;
	int r = 0;

	if (strcmp(verb, "install") == 0) {
		r = cgroup_install(&o, &d);
	} else if (strcmp(verb, "uninstall") == 0) {
		r = cgroup_uninstall(&o, &d);
	} else if (strcmp(verb, "check") == 0) {
		r = cgroup_check(&o, why, sizeof(why), &d);
		if (r >= 0)
			(void)printf("%d %s\n", r, why);
	} else {
		r = cgroup_layer_open(&l, &o, &d);
		if (r >= 0 && strcmp(verb, "newborns") == 0)
			r = print_newborns(argv[1]);
		if (r >= 0 && argc > 5)
			r = cgroup_id(argv[5], &id, &d);
		if (r >= 0 && strcmp(verb, "allow") == 0)
			r = cgroup_layer_put(l, id, CGROUP_ALLOW);
		else if (r >= 0 && strcmp(verb, "guard") == 0)
			r = cgroup_layer_put(l, id, CGROUP_GUARD);
		else if (r >= 0 && strcmp(verb, "drop") == 0)
			r = cgroup_layer_drop(l, id);
		else if (r >= 0 && strcmp(verb, "totals") == 0)
			r = print_totals(l);
		else if (r >= 0 && strcmp(verb, "rows") == 0)
			r = cgroup_layer_rows(l, on_row, NULL);
		else if (r >= 0 && strcmp(verb, "events") == 0)
			r = events(l, &d);
	}
	if (r < 0)
		diag_print(&d, r);
	return r < 0;
}
