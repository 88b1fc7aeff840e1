/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /proc/net/{tcp,udp}{,6}, then one walk over /proc/PID/fd for the inodes that were found there.
 * The walk is the dear part: it is made once, and only when somebody asks.
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
#include "batten/base/parse.h"

#define MAX_LISTENERS 4096
#define TCP_LISTEN_TEXT "0A"
#define UDP_UNCONNECTED_TEXT "07"

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
	if (!inet_ntop(family, bytes, l->address, sizeof(l->address)))
		return false;
	l->any = strcmp(l->address, "0.0.0.0") == 0 || strcmp(l->address, "::") == 0;
	l->loopback = strncmp(l->address, "127.", 4) == 0 || strcmp(l->address, "::1") == 0 ||
		      strncmp(l->address, "::ffff:127.", 11) == 0;
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

static size_t read_table(struct facts *f, const char *path, int family, bool udp, struct listener *list, size_t n)
{
	const char *text;

	if (facts_read(f, path, &text, NULL) < 0)
		return n;
	for (const char *p = strchr(text, '\n'); p && p[1] && n < MAX_LISTENERS; p = strchr(p + 1, '\n'))
		n += parse_row(&list[n], p + 1, family, udp);
	return n;
}

static void match_descriptor(struct listener *list, size_t n, const char *link, const struct process_facts *p)
{
	uint64_t inode;
	size_t length = strlen(link);

	if (strncmp(link, "socket:[", 8) != 0 || link[length - 1] != ']' ||
	    parse_u64((struct slice){ link + 8, length - 9 }, 0, UINT32_MAX, &inode) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (list[i].inode == inode && !list[i].process)
			list[i].process = p;
}

static void match_process(struct facts *f, struct listener *list, size_t n, const struct process_facts *p)
{
	char path[32], link[64];
	DIR *dir;
	int fd;

	(void)snprintf(path, sizeof(path), "%d/fd", p->pid);
	fd = openat(f->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

int listeners_read(struct facts *f, const struct listener **ret)
{
	const struct process_facts *processes;
	struct listener *list;
	size_t n = 0, n_processes;

	if (!f->listeners) {
		list = arena_alloc(&f->arena, MAX_LISTENERS * sizeof(*list));
		if (!list)
			return -ENOMEM;
		n = read_table(f, "/proc/net/tcp", AF_INET, false, list, n);
		n = read_table(f, "/proc/net/tcp6", AF_INET6, false, list, n);
		n = read_table(f, "/proc/net/udp", AF_INET, true, list, n);
		n = read_table(f, "/proc/net/udp6", AF_INET6, true, list, n);
		n_processes = facts_processes(f, &processes);
		for (size_t i = 0; i < n_processes && n > 0; i++)
			if (!processes[i].kernel_thread)
				match_process(f, list, n, &processes[i]);
		f->listeners = list;
		f->n_listeners = n;
	}
	*ret = f->listeners;
	return (int)f->n_listeners;
}
