/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Putting the cgroup programs in place. New links are attached beside the old ones and renamed over
 * them, so that at no moment nothing is attached; the maps are pinned under their own names and
 * taken over by whoever comes next.
 */
#include "batten/imds/cgroup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "batten/base/embed.h"
#include "batten/base/fd.h"
#include "batten/kernel/bpf.h"
#include "batten/kernel/cgroup.h"
#include "batten/kernel/host-view.h"
#include "imds/cgroup-internal.h"

EMBED(cgroup_object, "skel/imds/cgroup.o.gz");

#define EVENT_INTERVAL_NS 1000000000ull

static const char *const map_names[] = { "groups", "newborns", "counters", "totals", "events", "settings" };

/* In this order: whoever is made during the rest is noticed by the first. */
static const struct {
	const char *name;
	bool tracing;
} programs[] = {
	{ "imds_group_made", true },  { "imds_group_gone", true }, { "imds_egress", false },
	{ "imds_sendmsg4", false },   { "imds_sendmsg6", false },  { "imds_connect4", false },
	{ "imds_connect6", false },
};

static const char *pins_of(const struct cgroup_options *o)
{
	return o->pins ? o->pins : CGROUP_PINS;
}

static int root_of(const struct cgroup_options *o, char ret[static PATH_MAX], struct diag *d)
{
	int r = 0;

	if (o->root)
		(void)snprintf(ret, PATH_MAX, "%s", o->root);
	else
		r = cgroup_mount(ret, d);
	return r == -ENOENT ? -EOPNOTSUPP : r;
}

int cgroup_pins_ok(const char *pins, struct diag *d)
{
	const char *slash = strrchr(pins, '/');
	char parent[PATH_MAX];
	struct statfs fs;

	if (!slash || snprintf(parent, sizeof(parent), "%.*s/", (int)(slash - pins), pins) >= (int)sizeof(parent))
		return -EINVAL;
	if (statfs(pins, &fs) < 0 && statfs(parent, &fs) < 0)
		return diag_errno(d, -EOPNOTSUPP, parent, "no place to pin programs");
	if (fs.f_type != BPF_FS_MAGIC)
		return diag_fail(d, -EOPNOTSUPP, pins, "is in no bpffs; mount one (mount -t bpf bpf /sys/fs/bpf)");
	return 0;
}

static int make_pins(const char *pins, struct diag *d)
{
	int r = cgroup_pins_ok(pins, d);

	if (r >= 0 && mkdir(pins, 0700) < 0 && errno != EEXIST)
		return diag_errno(d, -errno, pins, "cannot make the directory for pinned programs");
	return r;
}

static void unpin(const char *pins, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", pins, name) < (int)sizeof(path))
		(void)unlink(path);
}

int cgroup_set_pins(struct cgroup_bpf *s, const char *pins)
{
	for (size_t i = 0; i < ARRAY_SIZE(map_names); i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(s->obj, map_names[i]);
		char path[PATH_MAX];

		if (!m || snprintf(path, sizeof(path), "%s/%s", pins, map_names[i]) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		if (bpf_map__set_pin_path(m, path) < 0)
			return -ENOMEM;
	}
	return 0;
}

struct cgroup_bpf *cgroup_skel_open(void)
{
	_cleanup_(skel_freep) struct cgroup_bpf *s = calloc(1, sizeof(*s));

	if (!s || cgroup_bpf__create_skeleton(s) < 0 ||
	    bpf_open(s->skeleton, cgroup_object, EMBED_SIZE(cgroup_object)) < 0)
		return NULL;
	return take_ptr(s);
}

static int load(struct cgroup_bpf **ret, const char *pins, bool tracing)
{
	_cleanup_(skel_freep) struct cgroup_bpf *s = cgroup_skel_open();
	int r;

	if (!s)
		return -ENOMEM; /* the object is our own and well formed */
	(void)bpf_program__set_autoload(s->progs.imds_group_made, tracing);
	(void)bpf_program__set_autoload(s->progs.imds_group_gone, tracing);
	(void)bpf_program__set_autoload(s->progs.imds_container_made, false);
	r = cgroup_set_pins(s, pins);
	if (r >= 0)
		r = cgroup_bpf__load(s);
	if (r < 0)
		return r;
	*ret = take_ptr(s);
	return 0;
}

/*
 * What can stand in the way, in this order: maps that an older version left in another shape (they
 * are made anew), and a kernel that cannot trace the making of groups.
 */
static int load_what_works(struct cgroup_bpf **ret, const char *pins, bool tracing, bool *ret_raced, struct diag *d)
{
	int r = load(ret, pins, tracing);

	*ret_raced = !tracing;
	if (r == -EINVAL) {
		for (size_t i = 0; i < ARRAY_SIZE(map_names); i++)
			unpin(pins, map_names[i]);
		r = load(ret, pins, tracing);
	}
	if (r < 0 && r != -EPERM && r != -ENOMEM && tracing) {
		*ret_raced = true;
		r = load(ret, pins, false);
	}
	if (r < 0) {
		r = r == -EPERM || r == -ENOMEM ? r : -EOPNOTSUPP;
		(void)bpf_fail(d, r, "load the metadata guard's cgroup programs");
		return r;
	}
	return 0;
}

static bool names(const struct cgroup_settings *s, const char *slice)
{
	for (size_t i = 0; i < CGROUP_MAX_SLICES; i++)
		if (strncmp(s->slices[i], slice, CGROUP_NAME_SIZE) == 0)
			return true;
	return false;
}

/* The maps outlive a configuration: what it does not name any more would be refused for as long as the group lives. */
static int leave_slices(int groups, const struct cgroup_settings *old, const struct cgroup_settings *now,
			const char *root, struct diag *d)
{
	for (size_t i = 0; old->root == now->root && i < CGROUP_MAX_SLICES; i++) {
		char path[PATH_MAX];
		uint64_t id;
		int r;

		if (old->slices[i][0] == '\0' || names(now, old->slices[i]))
			continue;
		if (snprintf(path, sizeof(path), "%s/%.*s", root, CGROUP_NAME_SIZE, old->slices[i]) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		r = cgroup_id(path, &id, NULL);
		if (r < 0 && r != -ENOENT)
			return diag_errno(d, r, path, "cannot get the group's id");
		if (r == 0 && bpf_map_delete_elem(groups, &id) < 0 && errno != ENOENT)
			return bpf_fail(d, -errno, "leave a slice that is guarded no more");
	}
	return 0;
}

static int set_settings(struct cgroup_bpf *s, const struct cgroup_options *o, const char *root, struct diag *d)
{
	struct cgroup_settings settings, old;
	__u32 zero = 0;
	size_t n = 0;
	int r;

	memset(&settings, 0, sizeof(settings));
	memset(&old, 0, sizeof(old));
	settings.event_interval_ns = EVENT_INTERVAL_NS;
	r = cgroup_id(root, (uint64_t *)&settings.root, d);
	if (r < 0)
		return r;
	for (const char *const *name = o->slices; name && *name; name++) {
		if (n == CGROUP_MAX_SLICES || strlen(*name) >= CGROUP_NAME_SIZE || strchr(*name, '/'))
			return diag_fail(d, -EINVAL, *name,
					 "is no name of a group below the root, or one too many (at most %d)",
					 CGROUP_MAX_SLICES);
		memcpy(settings.slices[n++], *name, strlen(*name));
	}
	if (bpf_map_lookup_elem(bpf_map__fd(s->maps.settings), &zero, &old) < 0 ||
	    bpf_map_update_elem(bpf_map__fd(s->maps.settings), &zero, &settings, BPF_ANY) < 0)
		return bpf_fail(d, -errno, "write the guard's settings");
	return leave_slices(bpf_map__fd(s->maps.groups), &old, &settings, root, d);
}

/* Slices that are there already. */
static int guard_slices(int groups, const struct cgroup_options *o, const char *root, struct diag *d)
{
	for (const char *const *name = o->slices; name && *name; name++) {
		__u32 guard = CGROUP_GUARD;
		char path[PATH_MAX];
		uint64_t id;
		int r;

		if (snprintf(path, sizeof(path), "%s/%s", root, *name) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		r = cgroup_id(path, &id, NULL);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return diag_errno(d, r, path, "cannot get the group's id");
		if (bpf_map_update_elem(groups, &id, &guard, BPF_ANY) < 0)
			return bpf_fail(d, -errno, "guard a slice");
	}
	return 0;
}

/* Attaches one program and pins its link in the place of an older one. */
static int attach(struct cgroup_bpf *s, size_t i, int root_fd, const char *pins, struct diag *d)
{
	struct bpf_program *p = bpf_object__find_program_by_name(s->obj, programs[i].name);
	_cleanup_(link_freep) struct bpf_link *l = NULL;
	char path[PATH_MAX], fresh[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", pins, programs[i].name) >= (int)sizeof(path) ||
	    snprintf(fresh, sizeof(fresh), "%s/fresh", pins) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	l = programs[i].tracing ? bpf_program__attach(p) : bpf_program__attach_cgroup(p, root_fd);
	if (!l)
		return bpf_fail(d, -errno, "attach the metadata guard's cgroup programs");
	(void)unlink(fresh); /* of somebody who was killed right here */
	r = bpf_link__pin(l, fresh);
	if (r < 0)
		return bpf_fail(d, r, "pin the metadata guard's cgroup programs");
	if (rename(fresh, path) < 0) {
		r = -errno;
		(void)unlink(fresh);
		return diag_errno(d, r, path, "cannot pin the guard's program");
	}
	return 0;
}

int cgroup_install(const struct cgroup_options *o, struct diag *d)
{
	_cleanup_(skel_freep) struct cgroup_bpf *s = NULL;
	_cleanup_(fd_closep) int root_fd = -1;
	char root[PATH_MAX], pins[PATH_MAX];
	bool raced = false;
	int r;

	host_view(pins_of(o), pins);
	r = bpf_prepare(d);
	if (r >= 0)
		r = root_of(o, root, d);
	if (r >= 0)
		r = make_pins(pins, d);
	if (r >= 0)
		r = load_what_works(&s, pins, !o->no_tracing, &raced, d);
	if (r >= 0)
		r = set_settings(s, o, root, d);
	if (r < 0)
		return r;
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return diag_errno(d, -errno, root, "cannot open the root of the groups");
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		/* The scan comes after the first program, which sees what is made from then on. */
		if (!programs[i].tracing && (i == 0 || programs[i - 1].tracing)) {
			r = guard_slices(bpf_map__fd(s->maps.groups), o, root, d);
			if (r < 0)
				return r;
		}
		if (programs[i].tracing && raced) {
			unpin(pins, programs[i].name); /* an older one works on older maps, perhaps */
			continue;
		}
		r = attach(s, i, root_fd, pins, d);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_guard_slices(const struct cgroup_options *o, struct diag *d)
{
	_cleanup_(fd_closep) int groups = -1;
	char root[PATH_MAX], path[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/groups", pins_of(o)) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = root_of(o, root, d);
	if (r < 0)
		return r;
	groups = bpf_obj_get(path);
	if (groups < 0)
		return diag_errno(d, -errno, path, "the cgroup layer is not installed");
	return guard_slices(groups, o, root, d);
}

int cgroup_uninstall(const struct cgroup_options *o, struct diag *d)
{
	char pins[PATH_MAX];

	host_view(pins_of(o), pins);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		unpin(pins, programs[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(map_names); i++)
		unpin(pins, map_names[i]);
	unpin(pins, "fresh");
	if (rmdir(pins) < 0 && errno != ENOENT && errno != ENOTDIR)
		return diag_errno(d, -errno, pins, "cannot remove the directory of pinned programs");
	return 0;
}

/* Is the pinned link one that works, and at the right group? */
static bool link_ok(const char *path, bool tracing, uint64_t root)
{
	_cleanup_(fd_closep) int fd = bpf_obj_get(path);
	struct bpf_link_info info;
	__u32 n = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &n) < 0)
		return false;
	if (tracing)
		return info.type == BPF_LINK_TYPE_TRACING || info.type == BPF_LINK_TYPE_RAW_TRACEPOINT;
	return info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == root;
}

int cgroup_check(const struct cgroup_options *o, char *why, size_t n_why, struct diag *d)
{
	char root[PATH_MAX], path[PATH_MAX];
	uint64_t root_id;
	int r;

	r = bpf_prepare(d);
	if (r >= 0)
		r = root_of(o, root, d);
	if (r >= 0)
		r = cgroup_id(root, &root_id, d);
	if (r >= 0)
		r = cgroup_pins_ok(pins_of(o), d);
	if (r < 0)
		return r;
	why[0] = '\0';
	for (size_t i = ARRAY_SIZE(programs); i-- > 0;) {
		if (snprintf(path, sizeof(path), "%s/%s", pins_of(o), programs[i].name) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		if (link_ok(path, programs[i].tracing, root_id))
			continue;
		if (programs[i].tracing) {
			(void)snprintf(why, n_why, "a slice that is made anew is open until the guard is renewed");
			return CGROUP_RACED;
		}
		(void)snprintf(why, n_why, "program %s is not attached at %s", programs[i].name, root);
		return CGROUP_ABSENT;
	}
	return CGROUP_COMPLETE;
}
