/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel's list of sockets that wait, or where it cannot be asked (and in a tree) its text in
 * /proc/net/{tcp,udp}{,6}; then the descriptors in /proc/PID/fd for the inodes that were found. These
 * are the dear part: they are looked at once, only when somebody asks, and first where an owner is likely.
 */
#include "audit/listeners.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/base/parse.h"
#include "batten/kernel/sockets.h"

#define MAX_LISTENERS 65536
#define MAX_TABLE_BYTES (64 * 1024 * 1024) /* a row has 150: as many connections as a host has ports */
#define TCP_LISTEN_TEXT "0A"
#define UDP_UNCONNECTED_TEXT "07"

struct table {
	struct listener *list;
	size_t n, size;
};

static void table_done(struct table *t)
{
	free(t->list);
}

static int table_add(struct table *t, const struct listener *l)
{
	if (t->n == MAX_LISTENERS)
		return -E2BIG;
	if (t->n == t->size) {
		size_t size = t->size ? t->size * 2 : 64;
		struct listener *list = reallocarray(t->list, size, sizeof(*list));

		if (!list)
			return -ENOMEM;
		t->list = list;
		t->size = size;
	}
	t->list[t->n++] = *l;
	return 0;
}

/* ---- the kernel's list -------------------------------------------------------------------------*/

static void set_address(struct listener *l, int family, const uint8_t *bytes)
{
	if (!inet_ntop(family, bytes, l->address, sizeof(l->address)))
		l->address[0] = '\0';
	l->any = strcmp(l->address, "0.0.0.0") == 0 || strcmp(l->address, "::") == 0;
	l->loopback = strncmp(l->address, "127.", 4) == 0 || strcmp(l->address, "::1") == 0 ||
		      strncmp(l->address, "::ffff:127.", 11) == 0;
}

static int on_waiting(const struct waiting_socket *s, void *data)
{
	struct listener l = { .udp = s->udp, .port = s->port, .inode = s->inode };

	set_address(&l, s->family, s->address);
	return table_add(data, &l);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The table prints each 32-bit word of an address as a number of the machine's own byte order. */
static bool parse_address(struct listener *l, const char *text, size_t n_digits, int family)
{
	uint8_t bytes[16] = { 0 };
	uint32_t *words = (uint32_t *)(void *)bytes;

	for (size_t i = 0; i < n_digits; i++) {
		int v = hex_digit(text[i]);

		if (v < 0)
			return false;
		words[i / 8] = words[i / 8] << 4 | (uint32_t)v;
	}
	set_address(l, family, bytes);
	return true;
}

/* "  0: 0100007F:C9F6 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 1 …" */
static bool parse_row(struct listener *l, const char *line, int family, bool udp)
{
	size_t n_digits = family == AF_INET ? 8 : 32;
	const char *field[10];
	uint64_t inode;
	size_t n = 0;

	for (const char *p = line + strspn(line, " "); *p && *p != '\n' && n < ARRAY_SIZE(field);
	     p += strspn(p, " ")) {
		field[n++] = p;
		p += strcspn(p, " \n");
	}
	*l = (struct listener){ .udp = udp };
	if (n < ARRAY_SIZE(field) || strncmp(field[3], udp ? UDP_UNCONNECTED_TEXT : TCP_LISTEN_TEXT, 2) != 0)
		return false;
	if (strcspn(field[1], ":") != n_digits || !parse_address(l, field[1], n_digits, family))
		return false;
	for (const char *p = field[1] + n_digits + 1; hex_digit(*p) >= 0; p++)
		l->port = l->port << 4 | (unsigned int)hex_digit(*p);
	if (parse_u64((struct slice){ field[9], strcspn(field[9], " \n") }, 0, UINT32_MAX, &inode) < 0)
		return false;
	l->inode = (unsigned long)inode;
	return l->port > 0;
}

static int read_text(struct facts *f, struct table *t, const char *path, int family, bool udp)
{
	_cleanup_(fd_closep) int fd = facts_file(f, path, O_RDONLY);
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd; /* without IPv6, or a tree that has none */
	r = file_read_fd(fd, path, MAX_TABLE_BYTES, &text, &n, NULL);
	for (const char *p = r < 0 ? NULL : strchr(text, '\n'); p && p[1] && r == 0; p = strchr(p + 1, '\n')) {
		struct listener l;

		if (parse_row(&l, p + 1, family, udp))
			r = table_add(t, &l);
	}
	return r;
}

static int read_sockets(struct facts *f, struct table *t)
{
	static const struct {
		const char *path;
		int family;
		bool udp;
	} texts[] = {
		{ "/proc/net/tcp", AF_INET, false },
		{ "/proc/net/tcp6", AF_INET6, false },
		{ "/proc/net/udp", AF_INET, true },
		{ "/proc/net/udp6", AF_INET6, true },
	};
	int r = 0;

	if (f->root.live && !f->stand_in && sockets_waiting(on_waiting, t, NULL) == 0)
		return 0;
	t->n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++)
		r = read_text(f, t, texts[i].path, texts[i].family, texts[i].udp);
	return r;
}

/* ---- whose they are ----------------------------------------------------------------------------*/

/*
 * Who made it for others to use (systemd, for a socket unit) is named only when nobody else has it.
 */
static bool is_open(const struct listener *l)
{
	return !l->process || l->process->pid == 1;
}

static void match_descriptor(struct listener *list, size_t n, const char *link, const struct process_facts *p)
{
	uint64_t inode;
	size_t length = strlen(link);

	if (strncmp(link, "socket:[", 8) != 0 || link[length - 1] != ']' ||
	    parse_u64((struct slice){ link + 8, length - 9 }, 0, UINT32_MAX, &inode) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (list[i].inode == inode && is_open(&list[i]))
			list[i].process = p;
}

static void match_process(struct facts *f, struct listener *list, size_t n, const struct process_facts *p)
{
	char path[32], link[64];
	DIR *dir;
	int fd;

	(void)snprintf(path, sizeof(path), "%d/fd", p->pid);
	fd = openat(f->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->owners_hidden |= fd < 0 && errno == EACCES;
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		ssize_t k = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);

		if (k <= 0)
			continue;
		link[k] = '\0';
		match_descriptor(list, n, link, p);
	}
	(void)closedir(dir);
}

/* A shim serves a socket of its own, and a process in another network seldom holds one of ours. */
static bool is_likely(struct facts *f, const struct process_facts *p, const char *network)
{
	const char *own;

	if (strncmp(p->name, "containerd-shim", 15) == 0)
		return false;
	own = network ? facts_process_link(f, p->pid, "ns/net") : NULL;
	return !own || strcmp(own, network) == 0;
}

static void find_owners(struct facts *f, struct listener *list, size_t n)
{
	const struct process_facts *processes;
	size_t n_processes = facts_processes(f, &processes);
	const char *init, *network;

	facts_host_namespaces(f, "net", &init, &network);
	for (int unlikely = 0; unlikely < 2; unlikely++) {
		size_t n_open = 0;

		for (size_t i = 0; i < n; i++)
			n_open += unlikely ? !list[i].process : is_open(&list[i]);
		for (size_t i = 0; i < n_processes && n_open > 0; i++)
			if (!processes[i].kernel_thread && is_likely(f, &processes[i], network) == !unlikely)
				match_process(f, list, n, &processes[i]);
	}
}

int listeners_read(struct facts *f, const struct listener **ret)
{
	_cleanup_(table_done) struct table t = { 0 };
	struct listener *list;
	int r;

	if (!f->listeners) {
		r = read_sockets(f, &t);
		if (r < 0)
			return r;
		list = arena_alloc(&f->arena, (t.n + 1) * sizeof(*list));
		if (!list)
			return -ENOMEM;
		if (t.n > 0)
			memcpy(list, t.list, t.n * sizeof(*list));
		find_owners(f, list, t.n);
		f->listeners = list;
		f->n_listeners = t.n;
	}
	*ret = f->listeners;
	return (int)f->n_listeners;
}

bool listener_is_hidden(const struct facts *f, const struct listener *l)
{
	return !l->process && f->owners_hidden;
}
