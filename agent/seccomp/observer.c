/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loads the observer and speaks with its maps. First sights come as events with time and
 * executable; what a group has done is read from its row, which is complete also when events were
 * lost.
 */
#include "batten/seccomp/observer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/embed.h"
#include "batten/base/parse.h"
#include "batten/base/random.h"
#include "batten/kernel/bpf.h"
#include "batten/kernel/cgroup.h"
#include "seccomp/observer-internal.h"

EMBED(observer_object, "skel/seccomp/observer.o.gz");

#define DEFAULT_GROUPS 64
#define DEFAULT_STARTUP_MS 10000
#define MAX_DEPTH 16	   /* of cgroups below a watched one that are there already */
#define MAX_FIRSTS 8192 /* first sights kept per group */
#define MAX_BYTE_GROUPS 128u /* rows of bytes take 42 KiB each */

static enum abi abi_of_row(unsigned int abi)
{
	enum abi native = abi_native();

	if (abi == 0)
		return native;
	if (native == ABI_X86_64)
		return abi == 1 ? ABI_X86 : ABI_X32;
	return ABI_ARM;
}

int observer_bit_number(unsigned int bit)
{
	return bit >= OBS_ARM_FIRST ? OBS_ARM_PRIVATE + (int)(bit - OBS_ARM_FIRST) : (int)bit;
}

const char *observer_bit_name(unsigned int abi, unsigned int bit, char buf[static ABI_NAME_SIZE])
{
	return abi_call_name(abi_of_row(abi), observer_bit_number(bit), buf);
}

enum abi observer_abi(unsigned int abi)
{
	return abi_of_row(abi);
}

static uint64_t boot_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t observer_wall_ms(uint64_t boot_ns)
{
	return time_now_ms() - ((int64_t)boot_now_ns() - (int64_t)boot_ns) / 1000000;
}

struct observed_group *observer_group(const struct observer *o, uint64_t id)
{
	list_for_each(pos, &o->groups) {
		struct observed_group *g = container_of(pos, struct observed_group, link);

		if (g->id == id)
			return g;
	}
	return NULL;
}

static struct observed_group *group_add(struct observer *o, uint64_t id)
{
	struct observed_group *g = observer_group(o, id);

	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->id = id;
	g->started_ms = time_now_ms();
	list_append(&o->groups, &g->link);
	return g;
}

static struct observed_group *group_free(struct observed_group *g)
{
	list_remove(&g->link);
	free(g->firsts);
	free(g);
	return NULL;
}

static void remember(struct observed_group *g, const struct obs_event *e)
{
	struct first_sight *f;

	if (g->n_firsts == MAX_FIRSTS)
		return;
	if (g->n_firsts == g->size_firsts) {
		size_t size = g->size_firsts ? g->size_firsts * 2 : 128;

		f = reallocarray(g->firsts, size, sizeof(*f));
		if (!f)
			return; /* costs a name and a time, no call */
		g->firsts = f;
		g->size_firsts = size;
	}
	f = &g->firsts[g->n_firsts++];
	*f = (struct first_sight){ .boot_ns = e->boot_ns, .abi = e->abi, .nr = e->nr, .row = e->row };
	(void)snprintf(f->by, sizeof(f->by), "%.*s", (int)sizeof(e->exe), e->exe[0] ? e->exe : e->comm);
}

/*
 * Only a filter denies: the program that every return of every call would pay for is attached when
 * the first task under one is seen.
 */
static void watch_denials(struct observer *o)
{
	struct bpf_program *program = o->old ? o->skel->progs.leave_old : o->skel->progs.leave;
	struct bpf_link **link = o->old ? &o->skel->links.leave_old : &o->skel->links.leave;

	if (!*link)
		*link = bpf_program__attach(program);
}

/* What was loaded, but for the one that watches returns where nobody asked for it from the start. */
static int attach(struct observer *o, bool denials)
{
	const struct bpf_program *leave = o->old ? o->skel->progs.leave_old : o->skel->progs.leave;
	const struct bpf_object_skeleton *s = o->skel->skeleton;

	for (int i = 0; i < s->prog_cnt; i++) {
		const struct bpf_prog_skeleton *p = &s->progs[i];

		if (bpf_program__fd(*p->prog) < 0 || (*p->prog == leave && !denials))
			continue;
		*p->link = bpf_program__attach(*p->prog);
		if (!*p->link)
			return -errno;
	}
	return 0;
}

static int on_event(void *userdata, void *data, size_t size)
{
	static const enum observer_event_kind kind_of[] = {
		[OBS_EVENT_CALL] = OBSERVER_CALL,
		[OBS_EVENT_DENIED] = OBSERVER_DENIED,
		[OBS_EVENT_GROUP] = OBSERVER_GROUP,
		[OBS_EVENT_SHADOW] = OBSERVER_SHADOW,
	};
	struct observer *o = userdata;
	const struct obs_event *e = data;
	char name[ABI_NAME_SIZE], comm[sizeof(e->comm) + 1], exe[sizeof(e->exe) + 1], dir[sizeof(e->group) + 1];
	struct observer_event out = { 0 };
	struct observed_group *g;

	if (size < sizeof(*e))
		return 0;
	g = group_add(o, e->owner);
	if (!g)
		return 0;
	if (e->kind == OBS_EVENT_CALL || e->kind == OBS_EVENT_DENIED)
		remember(g, e);
	if (e->row & 1)
		watch_denials(o);
	if (!o->callback)
		return 0;
	(void)snprintf(comm, sizeof(comm), "%.*s", (int)sizeof(e->comm), e->comm);
	(void)snprintf(exe, sizeof(exe), "%.*s", (int)sizeof(e->exe), e->exe);
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)sizeof(e->group), e->group);
	out.group = e->owner;
	out.time_ms = observer_wall_ms(e->boot_ns);
	out.comm = comm;
	out.exe = exe;
	out.kind = kind_of[e->kind < ARRAY_SIZE(kind_of) ? e->kind : OBS_EVENT_CALL];
	out.workload = e->row / 2 == OBS_START || e->row / 2 == OBS_SERVE || e->row / 2 == OBS_EXEC;
	if (e->kind == OBS_EVENT_GROUP) {
		out.directory = dir;
	} else {
		out.abi = abi_of_row(e->abi);
		out.call = observer_bit_name(e->abi, e->nr, name);
		out.error = e->kind == OBS_EVENT_DENIED ? (int)e->error : 0;
	}
	o->callback(o->userdata, &out);
	return 0;
}

static uint32_t mntns_of(pid_t pid)
{
	char path[64] = "/proc/self/ns/mnt";
	struct stat st;

	if (pid > 0)
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	return stat(path, &st) == 0 ? (uint32_t)st.st_ino : 0;
}

/* Which calls have arguments to look at, and which numbers exec has, written into the program. */
static void fill_constants(struct observer_bpf *s, const struct observer_options *options)
{
	const struct arg_rule *rule;

	for (unsigned int i = 0; (rule = arg_rule_nth(i)) && i + 1 < OBS_MAX_RULES; i++) {
		struct obs_arg_rule *to = (struct obs_arg_rule *)&s->rodata->rules[i + 1];

		to->n = rule->n;
		for (unsigned int k = 0; k < rule->n; k++) {
			to->index[k] = rule->index[k];
			to->mask[k] = rule->mask[k];
		}
		for (unsigned int abi = 0; abi < OBS_ABIS; abi++) {
			int nr = arg_rule_find(abi_of_row(abi), rule->name) ?
					 abi_call_number(abi_of_row(abi), rule->name) : -1;

			if (nr >= 0 && nr < OBS_ARM_FIRST - 1)
				((uint8_t *)s->rodata->rule_of[abi])[nr] = (uint8_t)(i + 1);
		}
	}
	for (unsigned int abi = 0; abi < OBS_ABIS; abi++) {
		((uint32_t *)s->rodata->exec_number)[abi] = (uint32_t)abi_call_number(abi_of_row(abi), "execve");
		((uint32_t *)s->rodata->execveat_number)[abi] =
			(uint32_t)abi_call_number(abi_of_row(abi), "execveat");
	}
	for (unsigned int abi = 0; abi < OBS_ABIS; abi++) {
		static const char *const names[] = { "prctl", "seccomp", "setns", "unshare" };

		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			int nr = abi_call_number(abi_of_row(abi), names[i]);

			if (nr >= 0 && nr < OBS_ARM_FIRST - 1)
				((uint64_t *)s->rodata->unsettling[abi].w)[nr / 64] |= UINT64_C(1) << (nr % 64);
		}
	}
	*(uint8_t *)&s->rodata->make_rows = options->make_rows;
	*(uint8_t *)&s->rodata->by_mntns = options->by_mntns;
	*(__u64 *)&s->rodata->loaded_ns = boot_now_ns();
}

/* A map that nothing uses, as every kernel knows it. libbpf could leave it out from 1.0 on. */
static int make_plain(struct bpf_map *m)
{
	int r = bpf_map__set_type(m, BPF_MAP_TYPE_ARRAY);

	if (r == 0)
		r = bpf_map__set_map_flags(m, 0);
	return r == 0 ? bpf_map__set_max_entries(m, 1) : r;
}

/* One of each pair, and memory for that one alone. Return: 0 or a negative errno. */
static int choose_storage(struct observer_bpf *s, bool old, unsigned int n_groups)
{
	const struct {
		struct bpf_program *new, *old;
	} pairs[] = {
		{ s->progs.enter, s->progs.enter_old },	      { s->progs.leave, s->progs.leave_old },
		{ s->progs.forked, s->progs.forked_old },     { s->progs.executed, s->progs.executed_old },
		{ s->progs.exited, s->progs.exited_old },
	};
	size_t row_size = old ? sizeof(struct obs_byte_row) : sizeof(struct obs_row);
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pairs) && r == 0; i++)
		r = bpf_program__set_autoload(old ? pairs[i].new : pairs[i].old, false);
	if (r == 0)
		r = bpf_program__set_autoload(s->progs.moved_old, old);
	if (r == 0)
		r = bpf_map__set_max_entries(s->maps.rows, old ? MIN(n_groups, MAX_BYTE_GROUPS) : n_groups);
	if (r == 0)
		r = bpf_map__set_max_entries(s->maps.shadow_rows, n_groups + 1);
	if (r == 0)
		r = bpf_map__set_value_size(s->maps.rows, (uint32_t)row_size);
	if (r == 0)
		r = bpf_map__set_value_size(s->maps.empty_row, (uint32_t)row_size);
	/* A kernel that does not know the type of a map refuses it also where nothing uses it. */
	if (r == 0 && old)
		r = make_plain(s->maps.tasks);
	if (r == 0 && !old)
		r = bpf_map__set_max_entries(s->maps.threads, 1);
	if (r == 0 && !old)
		r = bpf_map__set_max_entries(s->maps.slots, 1);
	if (r == 0 && !old)
		r = bpf_map__set_max_entries(s->maps.places, 1);
	return r;
}

/* Opens and loads the programs of one kind. The kernel is asked, not its version. */
static int load(struct observer *o, const struct observer_options *options, bool old, struct diag *d)
{
	struct observer_bpf *s = calloc(1, sizeof(*s));
	int r = s ? observer_bpf__create_skeleton(s) : -ENOMEM;

	if (r >= 0)
		r = bpf_open(s->skeleton, observer_object, EMBED_SIZE(observer_object));
	if (r < 0) {
		observer_bpf__destroy(s);
		return bpf_fail(d, r, "open the syscall observer");
	}
	r = choose_storage(s, old, options->max_groups ? options->max_groups : DEFAULT_GROUPS);
	if (r < 0) {
		observer_bpf__destroy(s);
		return bpf_fail(d, r, "size the syscall observer");
	}
	fill_constants(s, options);
	r = observer_bpf__load(s);
	if (r < 0) {
		observer_bpf__destroy(s);
		return bpf_fail(d, r, "load the syscall observer");
	}
	o->skel = s;
	o->old = old;
	return 0;
}

int observer_new(struct observer **ret, const struct observer_options *options, observer_callback callback,
		 void *userdata, struct diag *d)
{
	static const struct observer_options defaults = { 0 };
	_cleanup_(observer_freep) struct observer *o = NULL;
	struct diag why = { 0 }, older = { 0 };
	int r;

	if (!options)
		options = &defaults;
	if (abi_native() == _ABI_MAX)
		return diag_fail(d, -EOPNOTSUPP, NULL, "observing is for x86-64 and arm64");
	r = bpf_prepare(d);
	for (enum abi a = 0; a < _ABI_MAX && r == 0; a++)
		r = abi_machine(a) == abi_machine(abi_native()) ? abi_load_names(a) : 0;
	if (r < 0)
		return r;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	list_init(&o->groups);
	list_init(&o->trials);
	o->callback = callback;
	o->userdata = userdata;
	o->by_mntns = options->by_mntns;
	o->startup_ns = (options->startup_ms ? options->startup_ms : DEFAULT_STARTUP_MS) * 1000000ull;
	r = options->no_task_storage ? -EOPNOTSUPP : load(o, options, false, &why);
	if (r < 0 && r != -ENOMEM && load(o, options, true, options->no_task_storage ? &why : &older) == 0)
		r = 0;
	if (r < 0)
		return diag_fail(d, r, why.where, "%s", why.what);
	if (!o->skel)
		return -ENOMEM;
	o->ring = ring_buffer__new(bpf_map__fd(o->skel->maps.events), on_event, o, NULL);
	if (!o->ring)
		return bpf_fail(d, -errno, "read the syscall observer's events");
	r = attach(o, options->denials_from_start);
	if (r < 0)
		return bpf_fail(d, r, "attach the syscall observer");
	*ret = take_ptr(o);
	return 0;
}

struct observer *observer_free(struct observer *o)
{
	if (!o)
		return NULL;
	ring_buffer__free(o->ring);
	observer_shadow_done(o);
	observer_bpf__destroy(o->skel);
	list_for_each(pos, &o->groups)
		(void)group_free(container_of(pos, struct observed_group, link));
	free(o);
	return NULL;
}

int observer_fd(const struct observer *o)
{
	return ring_buffer__epoll_fd(o->ring);
}

static int rows_fd(const struct observer *o)
{
	return bpf_map__fd(o->skel->maps.rows);
}

static void bits_of_bytes(const uint8_t bytes[static OBS_NUMBERS], struct obs_bits *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < OBS_NUMBERS; i++)
		ret->w[i / 64] |= (__u64)(bytes[i] != 0) << (i % 64);
}

int observer_row(const struct observer *o, uint64_t id, struct obs_row *ret)
{
	static struct obs_byte_row bytes;

	if (!o->old)
		return bpf_map_lookup_elem(rows_fd(o), &id, ret) == 0 ? 0 : -errno;
	if (bpf_map_lookup_elem(rows_fd(o), &id, &bytes) < 0)
		return -errno;
	ret->head = bytes.head;
	for (unsigned int abi = 0; abi < OBS_ABIS; abi++) {
		for (unsigned int row = 0; row < OBS_ROWS; row++)
			bits_of_bytes(bytes.seen[row][abi], &ret->seen[row][abi]);
		bits_of_bytes(bytes.eperm[abi], &ret->eperm[abi]);
		bits_of_bytes(bytes.enosys[abi], &ret->enosys[abi]);
	}
	return 0;
}

uint64_t observer_lost_tasks(const struct observer *o)
{
	return __atomic_load_n(&o->skel->bss->lost_tasks, __ATOMIC_RELAXED);
}

bool observer_by_thread(const struct observer *o)
{
	return o->old;
}

/* Rows whose start-up is over serve from now on; tasks must forget what they remember. */
static int move_on(struct observer *o)
{
	static struct obs_row row;
	uint64_t now = boot_now_ns();
	bool moved = false;

	list_for_each(pos, &o->groups) {
		struct observed_group *g = container_of(pos, struct observed_group, link);
		uint64_t since;

		if (g->serving || observer_row(o, g->id, &row) < 0)
			continue;
		since = row.head.exec_other_ns ? row.head.exec_other_ns : row.head.running_ns;
		if (since == 0 || now - since < o->startup_ns)
			continue;
		g->serving = bpf_map_update_elem(bpf_map__fd(o->skel->maps.serving), &g->id, &(uint8_t){ 1 },
						 BPF_ANY) == 0;
		moved |= g->serving;
	}
	if (moved)
		__atomic_add_fetch(&o->skel->data->epoch, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int observer_dispatch(struct observer *o)
{
	int r = ring_buffer__consume(o->ring);

	if (r < 0)
		return r;
	return move_on(o);
}

static int add_alias(struct observer *o, uint64_t key, uint64_t owner)
{
	int fd = bpf_map__fd(o->skel->maps.groups);

	return bpf_map_update_elem(fd, &key, &owner, BPF_ANY) == 0 ? 0 : -errno;
}

/* Groups below that are there already; new ones are added by the program on cgroup_mkdir. */
static void add_below(struct observer *o, const char *path, uint64_t owner, unsigned int depth)
{
	DIR *dir = depth < MAX_DEPTH ? opendir(path) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char child[PATH_MAX];
		uint64_t id;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (snprintf(child, sizeof(child), "%s/%s", path, e->d_name) >= (int)sizeof(child))
			continue;
		if (cgroup_id(child, &id, NULL) == 0 && add_alias(o, id, owner) == 0)
			add_below(o, child, owner, depth + 1);
	}
	if (dir)
		(void)closedir(dir);
}

/* Makes the row, then what leads to it. */
static int watch(struct observer *o, uint64_t id, uint32_t maker_mntns, bool running, struct diag *d)
{
	static struct obs_byte_row row; /* the larger of both */

	memset(&row, 0, sizeof(row));
	row.head.made_ns = boot_now_ns();
	row.head.maker_mntns = maker_mntns;
	/* Its workload has been executed long ago: who enters now is a session. */
	if (running)
		row.head.running_ns = row.head.exec_same_ns = row.head.exec_other_ns = row.head.made_ns;
	if (bpf_map_update_elem(rows_fd(o), &id, &row, BPF_NOEXIST) < 0 && errno != EEXIST)
		return diag_errno(d, -errno, NULL, "cannot watch one more group");
	if (!group_add(o, id))
		return -ENOMEM;
	if (add_alias(o, id, id) < 0)
		return diag_errno(d, -errno, NULL, "cannot watch one more group");
	return 0;
}

/* Does the first process that is found in the group or below live in that mount namespace? */
static bool lives_in(const char *path, uint32_t mntns, unsigned int depth)
{
	DIR *dir = depth < MAX_DEPTH ? opendir(path) : NULL;
	char name[PATH_MAX], text[32];
	bool found = false;
	struct dirent *e;
	FILE *procs;
	uint64_t pid;

	(void)snprintf(name, sizeof(name), "%s/cgroup.procs", path);
	procs = fopen(name, "re");
	if (procs && fgets(text, sizeof(text), procs) && parse_u64(slice_trim(slice_of(text)), 1, INT32_MAX, &pid) == 0)
		found = mntns_of((pid_t)pid) == mntns;
	else
		while (dir && !found && (e = readdir(dir)))
			if (e->d_type == DT_DIR && e->d_name[0] != '.' &&
			    snprintf(name, sizeof(name), "%s/%s", path, e->d_name) < (int)sizeof(name))
				found = lives_in(name, mntns, depth + 1);
	if (procs)
		(void)fclose(procs);
	if (dir)
		(void)closedir(dir);
	return found;
}

/* When the directory is made anew, what runs in it belongs to the same row. */
static void await_again(struct observer *o, const char *path, uint64_t owner)
{
	struct obs_name_key key = { 0 };
	char parent[PATH_MAX], *slash;
	uint64_t parent_id;
	size_t n;

	(void)snprintf(parent, sizeof(parent), "%s", path);
	n = strlen(parent);
	while (n > 1 && parent[n - 1] == '/')
		parent[--n] = '\0';
	slash = strrchr(parent, '/');
	if (!slash || slash == parent || strlen(slash + 1) >= sizeof(key.name))
		return;
	memcpy(key.name, slash + 1, strlen(slash + 1));
	*slash = '\0';
	if (cgroup_id(parent, &parent_id, NULL) < 0)
		return;
	key.parent = parent_id;
	(void)bpf_map_update_elem(bpf_map__fd(o->skel->maps.awaited), &key, &owner, BPF_ANY);
}

int observer_watch_cgroup(struct observer *o, const char *path, bool own, uint64_t *ret, struct diag *d)
{
	int r, populated;
	uint32_t maker;
	uint64_t id;

	r = cgroup_id(path, &id, d);
	if (r < 0)
		return r;
	populated = cgroup_populated(path);
	if (populated < 0)
		return diag_errno(d, populated, path, "cannot tell whether anything runs in it");
	maker = mntns_of(0);
	/* A service of the host's has no mount namespace by which its own execs could be told. */
	if (own || (populated > 0 && lives_in(path, maker, 0)))
		maker = 0;
	r = watch(o, id, maker, populated > 0, d);
	if (r < 0)
		return r;
	add_below(o, path, id, 0);
	if (!own)
		await_again(o, path, id);
	*ret = id;
	return 0;
}

int observer_watch_mntns(struct observer *o, pid_t pid, uint64_t *ret, struct diag *d)
{
	static struct obs_row row;
	uint32_t inode = mntns_of(pid);
	uint64_t made;

	if (!o->by_mntns)
		return -EINVAL;
	if (inode == 0)
		return diag_fail(d, -ESRCH, NULL, "process %d is gone", (int)pid);
	*ret = OBS_BY_MNTNS | inode;
	/* It may have been seen from its first task on. */
	if (bpf_map_lookup_elem(bpf_map__fd(o->skel->maps.groups), ret, &made) == 0 && (made & OBS_BY_MNTNS) &&
	    observer_row(o, made, &row) == 0) {
		*ret = made;
		return group_add(o, made) ? 0 : -ENOMEM;
	}
	return watch(o, *ret, OBS_ANY_MNTNS, true, d);
}

/* @key: room for one of the map's */
static void forget_name(int fd, void *key, uint64_t group)
{
	uint64_t owner;

	/* One at a time: few names lead to a row. */
	for (void *at = NULL; bpf_map_get_next_key(fd, at, key) == 0; at = key) {
		if (bpf_map_lookup_elem(fd, key, &owner) == 0 && owner == group) {
			(void)bpf_map_delete_elem(fd, key);
			return;
		}
	}
}

static void forget_values(int fd, uint64_t group)
{
	struct obs_arg_key key, next;
	void *previous = NULL;

	while (bpf_map_get_next_key(fd, previous, &next) == 0) {
		if (previous && key.owner == group)
			(void)bpf_map_delete_elem(fd, &key);
		key = next;
		previous = &key;
	}
	if (previous && key.owner == group)
		(void)bpf_map_delete_elem(fd, &key);
}

void observer_forget(struct observer *o, uint64_t group)
{
	struct observed_group *g = observer_group(o, group);
	int fd = bpf_map__fd(o->skel->maps.groups);
	uint64_t key, next, owner;
	void *previous = NULL;

	(void)bpf_map_delete_elem(rows_fd(o), &group);
	(void)bpf_map_delete_elem(bpf_map__fd(o->skel->maps.serving), &group);
	while (bpf_map_get_next_key(fd, previous, &next) == 0) {
		if (bpf_map_lookup_elem(fd, &next, &owner) == 0 && owner == group) {
			(void)bpf_map_delete_elem(fd, &next);
			continue; /* from the same previous key: its successor has changed */
		}
		key = next;
		previous = &key;
	}
	forget_name(bpf_map__fd(o->skel->maps.awaited), &(struct obs_name_key){ 0 }, group);
	forget_name(bpf_map__fd(o->skel->maps.ids), &(struct obs_id){ 0 }, group);
	observer_unshadow(o, group);
	forget_values(bpf_map__fd(o->skel->maps.values), group);
	forget_values(bpf_map__fd(o->skel->maps.n_values), group);
	if (g)
		(void)group_free(g);
}

int observer_find(const struct observer *o, const char *container_id, uint64_t *ret)
{
	struct obs_id id;

	if (strlen(container_id) != sizeof(id.hex))
		return -ENOENT;
	memcpy(id.hex, container_id, sizeof(id.hex));
	return bpf_map_lookup_elem(bpf_map__fd(o->skel->maps.ids), &id, ret) == 0 ? 0 : -ENOENT;
}

int observer_earlier(const struct observer *o, uint64_t group, uint64_t *ret)
{
	static struct obs_row row;
	uint64_t earlier;

	if (observer_row(o, group, &row) < 0 || row.head.earlier == 0)
		return -ENOENT;
	earlier = row.head.earlier;
	if (observer_row(o, earlier, &row) < 0)
		return -ENOENT; /* it was stored and forgotten meanwhile */
	*ret = earlier;
	return 0;
}

void observer_source_id(char ret[static SOURCE_ID_SIZE])
{
	uint8_t random[8] = { 0 };
	size_t n = 0;

	if (random_fill(random, sizeof(random)) < 0)
		memcpy(random, &(uint64_t){ boot_now_ns() }, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		n += (size_t)snprintf(ret + n, SOURCE_ID_SIZE - n, "%02x", random[i]);
}

int observer_cost(const struct observer *o, struct observer_cost *ret)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(o->old ? o->skel->progs.enter_old : o->skel->progs.enter), &info,
				   &size) < 0)
		return -errno;
	ret->run_ns = info.run_time_ns;
	ret->runs = info.run_cnt;
	return 0;
}
