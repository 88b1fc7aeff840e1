/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rules. A hard link shares its target's inode, and a runtime applies the link's mode to it:
 * so what is kept of a file is kept of links to it.
 */
#include "batten/image/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/embed.h"
#include "batten/base/file.h"
#include "batten/base/macros.h"
#include "batten/base/parse.h"
#include "image/tar-internal.h"

EMBED(data_login, "profiles/login.paths");
EMBED(data_tools, "profiles/tools.paths");

static const struct {
	const char *name, *text, *end;
} lists[] = {
	{ "login", data_login, data_login_end },
	{ "tools", data_tools, data_tools_end },
};

#define MAX_LIST_BYTES (256 * 1024)
#define MAX_RULES 4096

static int add_rule(char ***list, size_t *n, struct slice rule, const char *where,
		    unsigned int line, struct diag *d)
{
	char **grown;

	if (rule.n == 0 || rule.p[0] != '/') {
		if (line > 0)
			return diag_line(d, -EINVAL, where, line,
					 "a rule must be an absolute path in the image");
		return diag_fail(d, -EINVAL, where,
				 "must be an absolute path in the image, or @LIST");
	}
	if (*n == MAX_RULES)
		return diag_fail(d, -E2BIG, where, "more than %d rules", MAX_RULES);
	grown = reallocarray(*list, *n + 1, sizeof(**list));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[*n] = strndup(rule.p, rule.n);
	if (!grown[*n])
		return -ENOMEM;
	(*n)++;
	return 0;
}

static int add_lines(char ***list, size_t *n, struct slice text, const char *where, struct diag *d)
{
	const char *at = text.p, *end = text.p + text.n;
	unsigned int line = 0;
	int r = 0;

	while (at < end && r >= 0) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;
		struct slice rule = slice_trim((struct slice){ at, (size_t)(stop - at) });

		line++;
		at = newline ? newline + 1 : end;
		if (rule.n > 0 && rule.p[0] != '#')
			r = add_rule(list, n, rule, where, line, d);
	}
	return r;
}

static int add_file(char ***list, size_t *n, const char *path, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;
	int r;

	r = file_read(AT_FDCWD, path, MAX_LIST_BYTES, &text, &size, d);
	return r < 0 ? r : add_lines(list, n, (struct slice){ text, size }, path, d);
}

static int add(char ***list, size_t *n, const char *text, struct diag *d)
{
	if (text[0] != '@')
		return add_rule(list, n, slice_of(text), text, 0, d);
	if (strchr(text, '/'))
		return add_file(list, n, text + 1, d);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (strcmp(text + 1, lists[i].name) == 0)
			return add_lines(list, n,
					 (struct slice){ lists[i].text, (size_t)(lists[i].end - lists[i].text) },
					 text, d);
	return diag_fail(d, -EINVAL, text,
			 "there is no such list; @login and @tools ship with batten, @/FILE is one of your own");
}

int image_policy_keep(struct image_policy *p, const char *text, struct diag *d)
{
	return add(&p->keep, &p->n_keep, text, d);
}

int image_policy_remove(struct image_policy *p, const char *text, struct diag *d)
{
	return add(&p->remove, &p->n_remove, text, d);
}

void image_policy_done(struct image_policy *p)
{
	for (size_t i = 0; i < p->n_keep; i++)
		free(p->keep[i]);
	for (size_t i = 0; i < p->n_remove; i++)
		free(p->remove[i]);
	free(p->keep);
	free(p->remove);
	*p = (struct image_policy){ 0 };
}

static bool matches(char *const *list, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (fnmatch(list[i], path, FNM_PATHNAME) == 0)
			return true;
	return false;
}

/* Where a symbolic link in @path's directory points to; lexically, as a name in the image. */
static bool link_matches(const struct image_policy *p, const struct tar_member *m)
{
	_cleanup_(freep) char *joined = NULL, *clean = NULL;
	const char *slash = strrchr(m->path, '/');
	int n;

	if (m->link[0] == '/')
		n = asprintf(&joined, "%s", m->link);
	else
		n = asprintf(&joined, "%.*s/%s", (int)(slash - m->path), m->path, m->link);
	clean = n < 0 ? NULL : malloc((size_t)n + 2);
	/* Without memory nothing is removed that should stay; the walk fails soon after. */
	if (!clean)
		return false;
	tar_path_clean(joined, clean);
	return matches(p->remove, p->n_remove, clean);
}

static bool removed(const struct image_policy *p, const struct tar_member *m)
{
	if (p->n_remove == 0 || m->kind == TAR_GLOBAL || m->kind == TAR_DIR)
		return false;
	if (matches(p->remove, p->n_remove, m->path))
		return true;
	if (m->kind == TAR_LINK)
		return matches(p->remove, p->n_remove, m->link);
	return m->kind == TAR_SYMLINK && link_matches(p, m);
}

int image_policy_has(const struct tar_member *m)
{
	return (m->mode & TAR_SETUID ? TAR_STRIP_SETUID : 0) |
	       (m->mode & TAR_SETGID ? TAR_STRIP_SETGID : 0) | (m->has_caps ? TAR_STRIP_CAPS : 0);
}

int image_policy_judge(const struct image_policy *p, const struct tar_member *m)
{
	int verdict = image_policy_has(m);

	if (removed(p, m))
		return TAR_REMOVE;
	if (verdict == 0)
		return 0;
	if (m->kind == TAR_DIR && !p->dirs)
		verdict &= ~(TAR_STRIP_SETUID | TAR_STRIP_SETGID);
	if (p->keep_caps)
		verdict &= ~TAR_STRIP_CAPS;
	if (m->kind != TAR_GLOBAL &&
	    (matches(p->keep, p->n_keep, m->path) ||
	     (m->kind == TAR_LINK && matches(p->keep, p->n_keep, m->link))))
		return 0;
	return verdict;
}

bool image_policy_is_tool(const struct tar_member *m)
{
	static const char *const names[] = {
		"ash",  "bash", "csh",        "curl",           "dash", "fish",   "ftp",
		"ksh",  "nc",   "nc.openbsd", "nc.traditional", "ncat", "netcat", "rsync",
		"scp",  "sftp", "sh",         "socat",          "ssh",  "tcsh",   "telnet",
		"tftp", "wget", "zsh",
	};
	static const char *const dirs[] = { "/bin",      "/sbin",          "/usr/bin",
					    "/usr/sbin", "/usr/local/bin", "/usr/local/sbin" };
	const char *slash = strrchr(m->path, '/');
	bool in_dir = false;

	if (m->copy || (m->kind != TAR_FILE && m->kind != TAR_LINK && m->kind != TAR_SYMLINK))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		in_dir |= strlen(dirs[i]) == (size_t)(slash - m->path) &&
			  memcmp(dirs[i], m->path, (size_t)(slash - m->path)) == 0;
	for (size_t i = 0; in_dir && i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], slash + 1) == 0)
			return true;
	return false;
}
