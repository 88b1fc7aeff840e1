/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What systemd hands to ecs-init: EnvironmentFile= and Environment= of ecs.service and its
 * drop-ins. Amazon Linux reads /etc/ecs/ecs.config alone, the generic packages /var/lib/ecs/ecs.config
 * before it, SUSE's unit none of them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batten/base/fd.h"
#include "host/ecs-evaluate-internal.h"

#define MAX_UNIT (64U << 10)
#define MAX_DROP_INS 64

static const char *const names[] = { "ecs.service", "amazon-ecs.service" };
/* Highest rank first. */
static const char *const dirs[] = { "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
				    "/usr/lib/systemd/system", "/lib/systemd/system" };

void ecs_unit_done(struct ecs_unit *u)
{
	for (size_t i = 0; i < u->n_files; i++)
		free(u->files[i]);
	free(u->environment);
	*u = (struct ecs_unit){ 0 };
}

static int add_environment_file(struct ecs_unit *u, struct slice path)
{
	if (path.n == 0) {
		for (size_t i = 0; i < u->n_files; i++)
			free(u->files[i]);
		u->n_files = 0;
		return 0;
	}
	if (path.p[0] == '-') {
		path.p++;
		path.n--;
	}
	if (u->n_files == ECS_MAX_INIT_FILES - 1)
		return 0;
	u->files[u->n_files] = strndup(path.p, path.n);
	return u->files[u->n_files++] ? 0 : -ENOMEM;
}

/* Words with quotes around them or around their values; each becomes a line. */
static int add_environment(struct ecs_unit *u, struct slice words)
{
	struct bytes b = { 0 };
	char quote = 0, *text;
	int r;

	if (words.n > 0 && u->environment)
		bytes_append_str(&b, u->environment);
	for (size_t i = 0; i < words.n; i++) {
		char c = words.p[i];

		if (quote ? c == quote : c == '"' || c == '\'')
			quote = quote ? 0 : c;
		else if (!quote && (c == ' ' || c == '\t'))
			bytes_append(&b, "\n", 1);
		else
			bytes_append(&b, &c, 1);
	}
	bytes_append(&b, "\n", 1);
	r = bytes_take(&b, &text, NULL);
	if (r < 0)
		return r;
	free(u->environment);
	u->environment = text;
	return 0;
}

static int read_unit_text(struct ecs_unit *u, struct slice text)
{
	bool service = false;
	int r = 0;

	while (r == 0 && text.n > 0) {
		const char *newline = memchr(text.p, '\n', text.n), *equals;
		struct slice line = { text.p, newline ? (size_t)(newline - text.p) : text.n }, s = slice_trim(line), key;

		line.n += newline ? 1 : 0;
		text = (struct slice){ text.p + line.n, text.n - line.n };
		if (s.n > 0 && s.p[0] == '[')
			service = slice_eq(s, "[Service]");
		equals = s.n > 0 && service ? memchr(s.p, '=', s.n) : NULL;
		if (!equals || strchr("#;", s.p[0]))
			continue;
		key = slice_trim((struct slice){ s.p, (size_t)(equals - s.p) });
		s = slice_trim((struct slice){ equals + 1, s.n - (size_t)(equals - s.p) - 1 });
		if (slice_eq(key, "EnvironmentFile"))
			r = add_environment_file(u, s);
		else if (slice_eq(key, "Environment"))
			r = add_environment(u, s);
	}
	return r;
}

static int read_unit_file(const struct root *root, const char *path, struct ecs_unit *u)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r = root_read(root, path, MAX_UNIT, &text, &n, NULL);

	if (r == 0)
		r = read_unit_text(u, (struct slice){ text, n });
	return r;
}

struct drop_in {
	char name[128];
	size_t dir;
};

static int compare_drop_ins(const void *a, const void *b)
{
	const struct drop_in *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (int)x->dir - (int)y->dir;
}

/* Drop-ins in the order of their names; of two with one name the directory of higher rank counts. */
static int read_drop_ins(const struct root *root, const char *unit, struct ecs_unit *u)
{
	struct drop_in found[MAX_DROP_INS];
	size_t n = 0;
	char path[512];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		DIR *dir;
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s.d", dirs[i], unit);
		fd = root_open(root, path, O_RDONLY | O_DIRECTORY);
		dir = fd >= 0 ? fdopendir(fd) : NULL;
		if (!dir) {
			fd_close(fd);
			continue;
		}
		for (struct dirent *e; n < MAX_DROP_INS && (e = readdir(dir));) {
			size_t length = strlen(e->d_name);

			if (length < 6 || length >= sizeof(found[0].name) ||
			    strcmp(e->d_name + length - 5, ".conf") != 0)
				continue;
			memcpy(found[n].name, e->d_name, length + 1);
			found[n++].dir = i;
		}
		(void)closedir(dir);
	}
	qsort(found, n, sizeof(found[0]), compare_drop_ins);
	for (size_t i = 0; i < n && r != -ENOMEM; i++) {
		if (i > 0 && strcmp(found[i].name, found[i - 1].name) == 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s.d/%s", dirs[found[i].dir], unit, found[i].name) <
		    (int)sizeof(path))
			r = read_unit_file(root, path, u);
	}
	return r == -ENOMEM ? r : 0;
}

int ecs_unit_read(const struct root *root, struct ecs_unit *ret)
{
	struct ecs_unit u = { 0 };
	char path[256];
	int r = -ENOENT;

	for (size_t k = 0; k < ARRAY_SIZE(names) && r == -ENOENT; k++) {
		for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == -ENOENT; i++) {
			(void)snprintf(path, sizeof(path), "%s/%s", dirs[i], names[k]);
			r = read_unit_file(root, path, &u);
		}
		if (r == 0)
			r = read_drop_ins(root, names[k], &u);
	}
	/* No unit: what Amazon Linux ships. */
	if (r < 0 && r != -ENOMEM)
		r = add_environment_file(&u, slice_of(ECS_CONFIG_FILE));
	if (r < 0) {
		ecs_unit_done(&u);
		return r;
	}
	*ret = u;
	return 0;
}
