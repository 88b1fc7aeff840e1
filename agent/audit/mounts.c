/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mountinfo, line by line (proc(5)), and its inverse: a container's mount shows device and path
 * within the file system; the host's own table shows where that device stands.
 */
#include "audit/mounts.h"

#include <errno.h>
#include <string.h>

#include "audit/facts-internal.h"
#include "batten/base/parse.h"

#define MAX_MOUNTS 20000

/* "\040" and its like, in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static char *word(char **line)
{
	char *start = *line + strspn(*line, " ");
	size_t n = strcspn(start, " ");

	*line = start + n + (start[n] != '\0');
	start[n] = '\0';
	unescape(start);
	return start;
}

static bool parse_line(char *line, struct mount *m)
{
	const char *optional;

	*m = (struct mount){ 0 };
	(void)word(&line); /* the mount's number */
	(void)word(&line); /* its parent's */
	m->device = word(&line);
	m->root = word(&line);
	m->point = word(&line);
	m->options = word(&line);
	do {
		optional = word(&line);
		m->shared |= strncmp(optional, "shared:", 7) == 0;
		if (!optional[0])
			return false;
	} while (strcmp(optional, "-") != 0);
	m->type = word(&line);
	(void)word(&line); /* the device by name */
	m->super_options = word(&line);
	return m->point[0] == '/';
}

int mounts_read(struct facts *f, pid_t pid, struct mount **ret)
{
	const char *text;
	size_t n = 0, size;
	char *copy;
	int r;

	r = facts_process_read(f, pid, "mountinfo", &text, NULL);
	if (r < 0)
		return r;
	size = 1;
	for (const char *p = text; *p; p++)
		size += *p == '\n';
	*ret = arena_alloc(&f->arena, MIN(size, (size_t)MAX_MOUNTS) * sizeof(**ret));
	copy = (char *)arena_strdup(&f->arena, text); /* ours to cut apart */
	if (!*ret || f->arena.error < 0)
		return -ENOMEM;
	for (char *line = copy; *line && n < MIN(size, (size_t)MAX_MOUNTS);) {
		size_t k = strcspn(line, "\n");
		bool more = line[k] == '\n';

		line[k] = '\0';
		n += parse_line(line, &(*ret)[n]);
		line += k + more;
	}
	return (int)n;
}

bool path_within(const char *path, const char *top)
{
	size_t n = strlen(top);

	if (strcmp(top, "/") == 0)
		return true;
	return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* /var/run is a link to /run on every host that we serve. */
static const char *plain(const char *path)
{
	return path_within(path, "/var/run") ? path + strlen("/var") : path;
}

static int by_device(const void *a, const void *b)
{
	const struct mount *x = a, *y = b;
	int c = strcmp(x->device, y->device);

	return c ? c : strcmp(x->point, y->point);
}

static size_t first_of_device(const struct mount *host, size_t n, const char *device)
{
	size_t low = 0;

	while (low < n) {
		size_t middle = low + (n - low) / 2;

		if (strcmp(host[middle].device, device) < 0)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

/* @root as it is called below @host. */
static const char *path_below(struct facts *f, const struct mount *host, const char *root)
{
	const char *rest = root + (strcmp(host->root, "/") == 0 ? 0 : strlen(host->root));

	while (*rest == '/')
		rest++;
	return plain(arena_printf(&f->arena, "%s%s%s", host->point, *rest && strcmp(host->point, "/") != 0 ? "/" : "", rest));
}

static void resolve(struct facts *f, const struct mount *host, size_t n_host, struct mount *m)
{
	const struct mount *nearest = NULL, *top = NULL;

	for (size_t i = first_of_device(host, n_host, m->device);
	     i < n_host && strcmp(host[i].device, m->device) == 0; i++) {
		size_t n = strlen(host[i].root), n_point = strlen(host[i].point);

		if (!path_within(m->root, host[i].root))
			continue;
		if (!nearest || n > strlen(nearest->root) ||
		    (n == strlen(nearest->root) && n_point < strlen(nearest->point)))
			nearest = &host[i];
		if (!top || n < strlen(top->root) || (n == strlen(top->root) && n_point < strlen(top->point)))
			top = &host[i];
	}
	if (!nearest)
		return;
	m->host_path = path_below(f, nearest, m->root);
	m->plain_path = top == nearest ? m->host_path : path_below(f, top, m->root);
}

/* Our own view when we have one: it is the host's, or that of the Docker beside us. Read once. */
static int host_mounts(struct facts *f, const struct mount **ret)
{
	struct mount *list = NULL;
	uint64_t self = 1;

	if (!f->host_mounts_read) {
		const char *own = facts_link(f, "/proc/self");

		f->host_mounts_read = true;
		if (own && parse_u64(slice_of(own), 1, INT32_MAX, &self) < 0)
			self = 1;
		f->n_host_mounts = mounts_read(f, (pid_t)self, &list);
		if (f->n_host_mounts > 0) {
			qsort(list, (size_t)f->n_host_mounts, sizeof(*list), by_device);
			f->host_mounts = list;
		}
	}
	*ret = f->host_mounts;
	return f->host_mounts ? f->n_host_mounts : 0;
}

int mounts_of(struct facts *f, const struct container_facts *c, const struct mount **ret)
{
	struct container_facts *mine = &f->containers[c - f->containers];
	const struct mount *host;
	int n_host;

	if (c->n_processes == 0)
		return -ESRCH;
	if (!mine->mounts) {
		struct mount *list = NULL;

		mine->n_mounts = mounts_read(f, c->processes[0]->pid, &list);
		n_host = host_mounts(f, &host);
		for (int i = 0; i < mine->n_mounts; i++)
			resolve(f, host, (size_t)n_host, &list[i]);
		mine->mounts = list;
	}
	*ret = mine->mounts;
	return mine->n_mounts;
}

const struct mount *mounts_at(const struct mount *list, size_t n, const char *point)
{
	while (n-- > 0)
		if (strcmp(list[n].point, point) == 0)
			return &list[n];
	return NULL;
}

bool mount_option(const char *options, const char *option)
{
	size_t n = strlen(option);

	for (const char *p = options; *p; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, option, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}
