/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent that runs against the files that lie there: what ecs-init would hand to the container
 * today, held against what the process has. A difference is an edit without a restart, or a
 * setting that came another way.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/host/go-values.h"
#include "host/ecs-evaluate-internal.h"

#define MAX_ENVIRON (1U << 20)
#define MAX_CMDLINE (64U << 10)

struct ecs_expected {
	size_t n;
	struct {
		const struct ecs_variable *row;
		char *value; /* NULL: not set */
	} v[];
};

struct ecs_expected *ecs_expected_free(struct ecs_expected *e)
{
	if (!e)
		return NULL;
	for (size_t i = 0; i < e->n; i++) {
		if (e->v[i].value)
			explicit_bzero(e->v[i].value, strlen(e->v[i].value));
		free(e->v[i].value);
	}
	free(e);
	return NULL;
}

/* It crosses Docker's API as JSON, and Go writes U+FFFD there for each byte that is no UTF-8. */
static char *as_handed_over(struct slice value)
{
	char *text = malloc(value.n * 3 + 1), *p = text;
	uint32_t c;
	size_t n;

	if (!text)
		return NULL;
	for (; (n = go_utf8_next(value, &c)) > 0; value.p += n, value.n -= n) {
		bool bad = n == 1 && c == 0xfffd;

		memcpy(p, bad ? "\xef\xbf\xbd" : value.p, bad ? 3 : n);
		p += bad ? 3 : n;
	}
	*p = '\0';
	return text;
}

int ecs_expected_new(const struct ecs_sources *s, struct ecs_expected **ret)
{
	struct ecs_expected *e = calloc(1, sizeof(*e) + n_ecs_variables * sizeof(e->v[0]));

	if (!e)
		return -ENOMEM;
	for (size_t i = 0; i < n_ecs_variables; i++) {
		struct ecs_statement st;

		e->v[e->n].row = &ecs_variables[i];
		if (ecs_environment_find(s, ecs_variables[i].name, &st)) {
			e->v[e->n].value = as_handed_over(st.value);
			if (!e->v[e->n].value) {
				ecs_expected_free(e);
				return -ENOMEM;
			}
		}
		e->n++;
	}
	*ret = e;
	return 0;
}

/* A variable in a block of NUL-separated NAME=VALUE. */
static bool block_find(struct slice block, const char *name, struct slice *ret)
{
	size_t n_name = strlen(name);

	while (block.n > 0) {
		size_t n = strnlen(block.p, block.n);

		if (n > n_name && block.p[n_name] == '=' && memcmp(block.p, name, n_name) == 0) {
			*ret = (struct slice){ block.p + n_name + 1, n - n_name - 1 };
			return true;
		}
		n += n < block.n ? 1 : 0;
		block = (struct slice){ block.p + n, block.n - n };
	}
	return false;
}

/* Found out by ecs-init at its own start or brought by the image: no file says it. */
static bool set_elsewhere(const struct ecs_variable *row)
{
	return row->flags & ECS_INTERNAL || strcmp(row->name, "ECS_EBSTA_SUPPORTED") == 0;
}

static int judge_drift(struct ecs_result *r, const char *expected, const struct slice *actual)
{
	if (!actual)
		return ecs_result_judge(r, r->verdict, "the running agent does not have it: edited, not restarted");
	if (!expected)
		return ecs_result_judge(r, r->verdict,
					"the running agent has it and no file does: taken out and not restarted, or set another way");
	return ecs_result_judge(r, r->verdict, "the running agent has another value: edited, not restarted");
}

int ecs_config_compare(struct ecs_config *c, struct slice block)
{
	c->n_drift = 0;
	for (size_t i = 0; i < c->expected->n; i++) {
		const struct ecs_variable *row = c->expected->v[i].row;
		const char *expected = c->expected->v[i].value;
		struct ecs_result *r = ecs_result_of(c, row->name);
		struct slice actual = { "", 0 };
		bool set = block_find(block, row->name, &actual);
		int e;

		if (!set && !expected)
			continue;
		free(r->running);
		r->running = set ? ecs_redact(row, actual) : NULL;
		if (set && !r->running)
			return -ENOMEM;
		if (set && expected && slice_eq(actual, expected))
			continue;
		if (set_elsewhere(row))
			continue;
		r->drift = true;
		c->n_drift++;
		e = judge_drift(r, expected, set ? &actual : NULL);
		if (e < 0)
			return e;
	}
	return 0;
}

/* Is that process the agent, and not something in a task that calls itself so? */
static bool is_agent(int proc, struct slice cmdline, struct slice block)
{
	_cleanup_(freep) char *cgroup = NULL;
	struct stat ours, theirs;
	const char *slash;
	struct slice ignored;
	size_t n;

	n = strnlen(cmdline.p, cmdline.n);
	slash = memrchr(cmdline.p, '/', n);
	if (!slash || (strcmp(slash, "/agent") != 0 && strcmp(slash, "/amazon-ecs-agent") != 0))
		return false;
	if (!block_find(block, "ECS_DATADIR", &ignored) && !block_find(block, "ECS_CLUSTER", &ignored))
		return false;
	/* The agent shares the host's network; a container with one of its own is somebody else. */
	if (fstatat(proc, "ns/net", &theirs, 0) < 0 || stat("/proc/self/ns/net", &ours) < 0 ||
	    theirs.st_ino != ours.st_ino)
		return false;
	/* Tasks live in cgroups of their own; the agent never does. */
	if (file_read_proc(proc, "cgroup", MAX_CMDLINE, &cgroup, &n) < 0)
		return false;
	return !strstr(cgroup, "ecstasks") && !strstr(cgroup, ":/ecs/");
}

/* Return: 1 when the process of that directory in /proc is the agent, else 0. */
static int read_agent(int dir, const char *name, char **ret_environ, size_t *ret_n)
{
	_cleanup_(freep) char *cmdline = NULL, *block = NULL;
	_cleanup_(fd_closep) int proc = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t n_cmdline, n_block;

	if (proc < 0 || file_read_proc(proc, "cmdline", MAX_CMDLINE, &cmdline, &n_cmdline) < 0 ||
	    !memmem(cmdline, strnlen(cmdline, n_cmdline), "agent", 5) ||
	    file_read_proc(proc, "environ", MAX_ENVIRON, &block, &n_block) < 0)
		return 0;
	if (!is_agent(proc, (struct slice){ cmdline, n_cmdline }, (struct slice){ block, n_block })) {
		explicit_bzero(block, n_block);
		return 0;
	}
	*ret_environ = take_ptr(block);
	*ret_n = n_block;
	return 1;
}

bool ecs_agent_read(pid_t pid, char **ret_environ, size_t *ret_n)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	return read_agent(AT_FDCWD, path, ret_environ, ret_n) > 0;
}

pid_t ecs_agent_find(char **ret_environ, size_t *ret_n)
{
	pid_t found = 0;
	DIR *dir = opendir("/proc");

	if (!dir)
		return (pid_t)-errno;
	for (struct dirent *e; found == 0 && (e = readdir(dir));) {
		uint64_t pid;

		if (parse_u64(slice_of(e->d_name), 1, INT32_MAX, &pid) == 0 &&
		    read_agent(dirfd(dir), e->d_name, ret_environ, ret_n) > 0)
			found = (pid_t)pid;
	}
	(void)closedir(dir);
	return found;
}
