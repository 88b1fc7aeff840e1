/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The process table: one pass over /proc, two small files for each process. Everything that checks
 * ask about identities, capabilities, filters and cgroups comes from here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "batten/base/fd.h"
#include "batten/base/parse.h"

#define MAX_PROCESSES 131072
#define STATUS_BYTES 8192 /* the longest line is the list of groups */
#define MAX_GROUPS 64
#define MAX_FILE_BYTES (1024 * 1024)

/* Reads what fits; procfs has no sizes to trust. Return: bytes, or a negative errno. */
static ssize_t read_at(int dirfd, const char *path, char *buf, size_t size)
{
	_cleanup_(fd_closep) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

static uint64_t parse_mask(struct slice s)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	return v;
}

/* The next blank-separated word of @s, which moves behind it. */
static bool next_word(struct slice *s, struct slice *ret)
{
	size_t n = 0;

	while (s->n > 0 && (*s->p == ' ' || *s->p == '\t'))
		s->p++, s->n--;
	while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t')
		n++;
	*ret = (struct slice){ s->p, n };
	s->p += n;
	s->n -= n;
	return n > 0;
}

static void parse_uids(struct process_facts *p, struct slice value)
{
	struct slice word;
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(p->uid) && next_word(&value, &word); i++)
		if (parse_u64(word, 0, UINT32_MAX, &v) == 0)
			p->uid[i] = (uid_t)v;
}

/* The effective one, behind the real one. */
static void parse_group(struct process_facts *p, struct slice value)
{
	struct slice word;
	uint64_t v;

	if (next_word(&value, &word) && next_word(&value, &word) && parse_u64(word, 0, UINT32_MAX, &v) == 0)
		p->gid = (gid_t)v;
}

static void parse_groups(struct facts *f, struct process_facts *p, struct slice value)
{
	gid_t gids[MAX_GROUPS], *kept;
	struct slice word;
	uint64_t v;
	size_t n = 0;

	while (n < MAX_GROUPS && next_word(&value, &word))
		if (parse_u64(word, 0, UINT32_MAX, &v) == 0)
			gids[n++] = (gid_t)v;
	if (n == 0)
		return;
	kept = arena_alloc(&f->arena, n * sizeof(*kept));
	if (!kept)
		return;
	memcpy(kept, gids, n * sizeof(*kept));
	p->gids = kept;
	p->n_gids = n;
}

static void parse_status_line(struct facts *f, struct process_facts *p, struct slice key,
			      struct slice value)
{
	uint64_t v;

	if (slice_eq(key, "Name"))
		p->name = arena_strndup(&f->arena, value.p, value.n);
	else if (slice_eq(key, "PPid") && parse_u64(value, 0, INT32_MAX, &v) == 0)
		p->ppid = (pid_t)v;
	else if (slice_eq(key, "Uid"))
		parse_uids(p, value);
	else if (slice_eq(key, "Gid"))
		parse_group(p, value);
	else if (slice_eq(key, "Groups"))
		parse_groups(f, p, value);
	else if (slice_eq(key, "CapEff"))
		p->cap_effective = parse_mask(value);
	else if (slice_eq(key, "CapPrm"))
		p->cap_permitted = parse_mask(value);
	else if (slice_eq(key, "CapBnd"))
		p->cap_bounding = parse_mask(value);
	else if (slice_eq(key, "CapAmb"))
		p->cap_ambient = parse_mask(value);
	else if (slice_eq(key, "NoNewPrivs") && parse_u64(value, 0, 1, &v) == 0)
		p->no_new_privs = (int)v;
	else if (slice_eq(key, "Seccomp") && parse_u64(value, 0, 2, &v) == 0)
		p->seccomp = (int)v;
	else if (slice_eq(key, "VmSize"))
		p->kernel_thread = false;
}

static void parse_status(struct facts *f, struct process_facts *p, const char *text)
{
	p->no_new_privs = p->seccomp = -1;
	p->name = "";
	p->kernel_thread = true; /* the only kind of process without memory of its own */
	while (*text) {
		size_t n = strcspn(text, "\n"), key = strcspn(text, ":\n");

		if (key < n)
			parse_status_line(f, p, (struct slice){ text, key },
					  slice_trim((struct slice){ text + key + 1, n - key - 1 }));
		text += n + (text[n] == '\n');
	}
}

static bool names_container(struct facts *f, struct slice path)
{
	return container_id_in_cgroup(arena_strndup(&f->arena, path.p, path.n)) != NULL;
}

/* "0::/path" is the unified hierarchy; on a host without one, or with no more than services in it, another has to do. */
static const char *parse_cgroup(struct facts *f, const char *text)
{
	struct slice found = { "", 0 };

	while (*text) {
		size_t n = strcspn(text, "\n");
		const char *colon = memchr(text, ':', n);

		colon = colon ? memchr(colon + 1, ':', n - (size_t)(colon + 1 - text)) : NULL;
		if (colon) {
			struct slice path = { colon + 1, (size_t)(text + n - colon - 1) };
			bool unified = strncmp(text, "0::", 3) == 0;

			/*
			 * Hybrid hosts: the unified path of a container is "/" or the service's that began it, its v1
			 * paths say where.
			 */
			if (found.n <= 1 || (unified && path.n > 1 && !names_container(f, found)))
				found = path;
		}
		text += n + (text[n] == '\n');
	}
	return arena_strndup(&f->arena, found.p, found.n);
}

static int read_process(struct facts *f, pid_t pid, struct process_facts *p)
{
	char path[32], text[STATUS_BYTES];

	p->pid = pid;
	(void)snprintf(path, sizeof(path), "%d/status", pid);
	if (read_at(f->proc_fd, path, text, sizeof(text)) <= 0)
		return -ESRCH; /* it ended between the listing and now */
	parse_status(f, p, text);
	p->cgroup = "";
	(void)snprintf(path, sizeof(path), "%d/cgroup", pid);
	if (!p->kernel_thread && read_at(f->proc_fd, path, text, sizeof(text)) > 0)
		p->cgroup = parse_cgroup(f, text);
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = ((const struct process_facts *)a)->pid, y = ((const struct process_facts *)b)->pid;

	return (x > y) - (x < y);
}

static int read_processes(struct facts *f, DIR *dir)
{
	_cleanup_(freep) struct process_facts *list = NULL;
	size_t n = 0, size = 0;

	for (struct dirent *e; (e = readdir(dir)) && n < MAX_PROCESSES;) {
		uint64_t pid;

		if (parse_u64(slice_of(e->d_name), 1, INT32_MAX, &pid) < 0)
			continue;
		if (n == size) {
			struct process_facts *grown =
				reallocarray(list, size ? size * 2 : 256, sizeof(*list));

			if (!grown)
				return -ENOMEM;
			list = grown;
			size = size ? size * 2 : 256;
		}
		memset(&list[n], 0, sizeof(list[n]));
		n += read_process(f, (pid_t)pid, &list[n]) == 0;
	}
	if (n == 0)
		return -ENOENT;
	f->processes = arena_alloc(&f->arena, n * sizeof(*list));
	if (!f->processes)
		return -ENOMEM;
	qsort(list, n, sizeof(*list), by_pid);
	memcpy(f->processes, list, n * sizeof(*list));
	f->n_processes = n;
	return 0;
}

int source_proc_load(struct facts *f, json_t **ret, struct diag *d)
{
	DIR *dir;
	int fd, r;

	f->proc_fd = root_open(&f->root, "/proc", O_RDONLY | O_DIRECTORY);
	if (f->proc_fd < 0)
		return diag_errno(d, f->proc_fd, "/proc", "cannot open");
	fd = openat(f->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = -errno;
		fd_close(fd);
		return diag_errno(d, r, "/proc", "cannot list");
	}
	r = read_processes(f, dir);
	(void)closedir(dir);
	if (r == -ENOENT)
		return diag_fail(d, -ENOENT, "/proc", "no process is there: not mounted");
	return r;
}

/* What procfs gives in one piece comes whole only when read in large ones. */
static int read_whole(int fd, char **ret, size_t *ret_n)
{
	size_t size = 16384, n = 0;
	char *text = malloc(size);

	while (text) {
		ssize_t got = read(fd, text + n, size - 1 - n);

		if (got < 0) {
			int e = -errno;

			free(text);
			return e;
		}
		n += (size_t)got;
		if (got == 0) {
			*ret = text;
			*ret_n = n;
			return 0;
		}
		if (n == size - 1) {
			char *grown = size < MAX_FILE_BYTES ? realloc(text, size * 2) : NULL;

			if (!grown) {
				free(text);
				return size < MAX_FILE_BYTES ? -ENOMEM : -EFBIG;
			}
			text = grown;
			size *= 2;
		}
	}
	return -ENOMEM;
}

int facts_process_read(struct facts *f, pid_t pid, const char *name, const char **ret, size_t *ret_n)
{
	_cleanup_(fd_closep) int fd = -1;
	_cleanup_(freep) char *text = NULL;
	char path[64];
	size_t n = 0;
	int r;

	if (facts_source(f, SOURCE_PROC, NULL) != SOURCE_OK)
		return -ESRCH;
	(void)snprintf(path, sizeof(path), "%d/%s", pid, name);
	fd = openat(f->proc_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	r = read_whole(fd, &text, &n);
	if (r < 0)
		return r;
	*ret = arena_strndup(&f->arena, text, n);
	if (ret_n)
		*ret_n = n;
	return f->arena.error;
}

static const char *link_below(struct facts *f, const char *process, const char *name)
{
	char path[64], text[4096];
	ssize_t n;

	if (facts_source(f, SOURCE_PROC, NULL) != SOURCE_OK)
		return NULL;
	(void)snprintf(path, sizeof(path), "%s/%s", process, name);
	n = readlinkat(f->proc_fd, path, text, sizeof(text));
	return n < 0 ? NULL : arena_strndup(&f->arena, text, (size_t)n);
}

const char *facts_process_link(struct facts *f, pid_t pid, const char *name)
{
	char process[16];

	(void)snprintf(process, sizeof(process), "%d", pid);
	return link_below(f, process, name);
}

void facts_host_namespaces(struct facts *f, const char *kind, const char **ret_init, const char **ret_own)
{
	struct host_namespace *n = f->host_namespaces;
	char name[16];

	while (n->kind && strcmp(n->kind, kind) != 0)
		n++;
	if (!n->kind && n < f->host_namespaces + MAX_NAMESPACE_KINDS) {
		(void)snprintf(name, sizeof(name), "ns/%s", kind);
		n->kind = kind;
		n->init = link_below(f, "1", name);
		n->own = link_below(f, "self", name);
	}
	*ret_init = n->init;
	*ret_own = n->own;
}

size_t facts_processes(struct facts *f, const struct process_facts **ret)
{
	if (facts_source(f, SOURCE_PROC, NULL) != SOURCE_OK)
		return 0;
	*ret = f->processes;
	return f->n_processes;
}

const struct process_facts *facts_process(struct facts *f, pid_t pid)
{
	struct process_facts key = { .pid = pid };
	const struct process_facts *all;
	size_t n = facts_processes(f, &all);

	return n > 0 ? bsearch(&key, all, n, sizeof(*all), by_pid) : NULL;
}
