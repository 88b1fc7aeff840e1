/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The walk. Layers are entered through the tree's root, then by descriptor and name alone, so that
 * a link in a layer leads nowhere. Whether something is hidden by a layer above is asked for hits
 * only: a whiteout, another file, or an opaque directory at the path or on the way to it.
 */
#include "audit/image-scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "audit/secrets.h"
#include "batten/base/fd.h"

#define MAX_DEPTH 64
#define MAX_LAYERS 128
#define MAX_HITS 4096
#define MAX_PATH 4096
#define SECRET_BYTES 4096 /* of a file that are looked at */

struct walk {
	struct facts *f;
	struct image_hit *hits;
	size_t n_hits, n_files;
	uint64_t end_ms;
	bool late;
	char path[MAX_PATH]; /* of the directory that is walked; "" is the layer's top */
};

static void add_hit(struct walk *w, enum image_hit_kind kind, const char *name, const char *what)
{
	if (w->n_hits == MAX_HITS)
		return;
	w->hits[w->n_hits++] = (struct image_hit){
		.kind = kind,
		.path = arena_printf(&w->f->arena, "%s/%s", w->path, name),
		.what = what,
		.effective = true,
	};
}

/* ---- what a file is ----------------------------------------------------------------------------*/

static void judge_privilege(struct walk *w, int dirfd, const char *name, const struct stat *st)
{
	char link[64 + NAME_MAX];

	if (!S_ISREG(st->st_mode))
		return;
	if (st->st_mode & S_ISUID)
		add_hit(w, HIT_PRIVILEGE, name, st->st_mode & S_ISGID ? "setuid and setgid" : "setuid");
	else if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP))
		add_hit(w, HIT_PRIVILEGE, name, "setgid");
	if (!(st->st_mode & 0111))
		return;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d/%s", dirfd, name);
	if (lgetxattr(link, "security.capability", NULL, 0) > 0)
		add_hit(w, HIT_PRIVILEGE, name, "file capabilities");
}

static bool in_bin(const char *path)
{
	static const char *const directories[] = { "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (strcmp(path, directories[i]) == 0)
			return true;
	return false;
}

static void judge_tool(struct walk *w, const char *name)
{
	static const char *const tools[] = { "sh",  "bash", "dash", "ash", "zsh",      "busybox", "apk",  "apt", "apt-get", "dpkg",
					     "dnf", "yum",  "rpm",  "pip", "microdnf", "curl",	  "wget", "nc",	 "ncat",    "socat" };

	if (!in_bin(w->path))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
		if (strcmp(name, tools[i]) == 0)
			add_hit(w, HIT_TOOL, name, tools[i]);
}

static bool ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && strcmp(s + n - k, suffix) == 0;
}

/* Names whose contents are worth a look, and what must stand in them. */
static const struct {
	const char *name, *directory, *contents, *what;
	bool suffix;
} secret_files[] = {
	{ "id_rsa", NULL, "PRIVATE KEY", "private key", false },
	{ "id_dsa", NULL, "PRIVATE KEY", "private key", false },
	{ "id_ecdsa", NULL, "PRIVATE KEY", "private key", false },
	{ "id_ed25519", NULL, "PRIVATE KEY", "private key", false },
	{ ".pem", NULL, "PRIVATE KEY", "private key", true },
	{ ".key", NULL, "PRIVATE KEY", "private key", true },
	{ "credentials", ".aws", "aws_secret_access_key", "AWS credentials", false },
	{ "config.json", ".docker", "\"auth\"", "registry credentials", false },
	{ ".netrc", NULL, "password", "login", false },
	{ ".pgpass", NULL, ":", "database password", false },
	{ ".git-credentials", NULL, "://", "git credentials", false },
	{ ".npmrc", NULL, "_authToken", "npm token", false },
	{ ".pypirc", NULL, "password", "package index password", false },
	{ ".dockercfg", NULL, "\"auth\"", "registry credentials", false },
	{ "config", ".kube", "client-key-data", "cluster credentials", false },
	{ "config", ".kube", "token:", "cluster credentials", false },
	{ ".s3cfg", NULL, "secret_key", "access key", false },
};

/* The beginning of a file. Return: bytes, 0 when there is nothing to be read. */
static size_t read_start(int dirfd, const char *name, char *buf, size_t size)
{
	_cleanup_(fd_closep) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size);

	return n > 0 ? (size_t)n : 0;
}

static bool contains(int dirfd, const char *name, const char *text)
{
	char buf[SECRET_BYTES];
	size_t n = read_start(dirfd, name, buf, sizeof(buf));

	return n > 0 && memmem(buf, n, text, strlen(text));
}

/* ".env", ".env.production", "app.env"; what is there to be copied and filled in is none. */
static bool is_environment_file(const char *name)
{
	static const char *const templates[] = { ".example", ".sample", ".template", ".dist" };

	if (strncmp(name, ".env", 4) == 0 ? name[4] != '\0' && name[4] != '.' : !ends(name, ".env"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(templates); i++)
		if (strstr(name, templates[i]))
			return false;
	return true;
}

/* The rule that an assignment in it falls under, or NULL. */
static const char *rule_of_environment(struct walk *w, int dirfd, const char *name)
{
	char buf[SECRET_BYTES];
	size_t n = read_start(dirfd, name, buf, sizeof(buf));
	const char *rule = NULL, *variable;

	for (const char *p = buf, *end = buf + n; p < end && !rule;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
		struct slice line = { p, (size_t)(stop - p) };

		if (*p != '#')
			rule = secret_in_text(line.p, line.n);
		if (*p != '#' && !rule)
			rule = secret_in_assignments(&line, &w->f->arena, &variable);
		p = stop + 1;
	}
	explicit_bzero(buf, n);
	return rule;
}

static void judge_secret(struct walk *w, int dirfd, const char *name, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || st->st_size == 0)
		return;
	/* Keys that a distribution ships to test with are nobody's. */
	if (strstr(w->path, "/test") || strncmp(w->path, "/usr/share/doc", 14) == 0)
		return;
	if (is_environment_file(name)) {
		const char *rule = rule_of_environment(w, dirfd, name);

		if (rule)
			add_hit(w, HIT_SECRET, name, rule);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(secret_files); i++) {
		bool named = secret_files[i].suffix ? ends(name, secret_files[i].name) : strcmp(name, secret_files[i].name) == 0;

		if (!named || (secret_files[i].directory && !ends(w->path, secret_files[i].directory)))
			continue;
		if (contains(dirfd, name, secret_files[i].contents)) {
			add_hit(w, HIT_SECRET, name, secret_files[i].what);
			return;
		}
	}
}

/* ---- the walk ----------------------------------------------------------------------------------*/

static void walk_directory(struct walk *w, int fd, unsigned int depth);

static void walk_entry(struct walk *w, int dirfd, const char *name, unsigned int depth)
{
	size_t n = strlen(w->path);
	struct stat st;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	w->n_files++;
	if ((w->n_files & 255) == 0 && facts_now_ms() > w->end_ms)
		w->late = true;
	if (S_ISDIR(st.st_mode)) {
		if (depth >= MAX_DEPTH || n + strlen(name) + 2 > sizeof(w->path))
			return;
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return;
		(void)snprintf(w->path + n, sizeof(w->path) - n, "/%s", name);
		walk_directory(w, fd, depth + 1);
		w->path[n] = '\0';
		return;
	}
	judge_privilege(w, dirfd, name, &st);
	judge_secret(w, dirfd, name, &st);
	if (!S_ISCHR(st.st_mode))
		judge_tool(w, name);
}

/* Owns @fd. */
static void walk_directory(struct walk *w, int fd, unsigned int depth)
{
	DIR *dir = fdopendir(fd);

	if (!dir) {
		fd_close(fd);
		return;
	}
	for (struct dirent *e; !w->late && (e = readdir(dir));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			walk_entry(w, dirfd(dir), e->d_name, depth);
	(void)closedir(dir);
}

/* Does the layer at @fd put something over @path: a whiteout, a file, an opaque directory? */
static bool hides(int fd, const char *path)
{
	char part[MAX_PATH], link[64 + MAX_PATH], opaque;
	size_t n = 0;

	for (const char *p = path + 1;; p++) {
		struct stat st;

		if (*p != '/' && *p != '\0')
			continue;
		n = (size_t)(p - path - 1);
		(void)snprintf(part, sizeof(part), "%.*s", (int)n, path + 1);
		if (fstatat(fd, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return false;
		if (*p == '\0' || !S_ISDIR(st.st_mode))
			return true;
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d/%s", fd, part);
		if (lgetxattr(link, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y')
			return true;
	}
}

static void find_hidden(struct image_hit *hits, size_t n, const int *fds)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < hits[i].layer && hits[i].effective; k++)
			if (hides(fds[k], hits[i].path))
				hits[i].effective = false;
}

/* "UpperDir" and the parts of "LowerDir", as overlay2 tells them. */
static size_t layer_directories(struct facts *f, const struct image_facts *m, const char **ret)
{
	const char *upper = facts_json_string(m->inspect, "GraphDriver.Data.UpperDir", NULL);
	const char *lower = facts_json_string(m->inspect, "GraphDriver.Data.LowerDir", "");
	size_t n = 0;

	if (!upper)
		return 0;
	ret[n++] = upper;
	for (const char *p = lower; *p && n < MAX_LAYERS; p += strcspn(p, ":"), p += *p == ':')
		ret[n++] = arena_strndup(&f->arena, p, strcspn(p, ":"));
	return n;
}

/* What was found in a directory: images share their lower layers, and each is walked once. */
struct layer_scan {
	const struct layer_scan *next;
	const char *path;
	const struct image_hit *hits;
	size_t n_hits, n_files;
};

/* Return: NULL when there was no time to walk all of it, or no memory */
static const struct layer_scan *scan_layer(struct facts *f, struct walk *w, const char *path, int fd)
{
	struct layer_scan *layer;
	struct image_hit *hits;

	for (const struct layer_scan *known = f->layer_scans; known; known = known->next)
		if (strcmp(known->path, path) == 0)
			return known;
	w->n_hits = w->n_files = 0;
	w->path[0] = '\0';
	walk_directory(w, fcntl(fd, F_DUPFD_CLOEXEC, 0), 0);
	if (w->late)
		return NULL;
	layer = arena_alloc(&f->arena, sizeof(*layer));
	hits = arena_alloc(&f->arena, (w->n_hits + 1) * sizeof(*hits));
	if (!layer || !hits)
		return NULL;
	memcpy(hits, w->hits, w->n_hits * sizeof(*hits));
	*layer = (struct layer_scan){ f->layer_scans, arena_strdup(&f->arena, path), hits, w->n_hits, w->n_files };
	f->layer_scans = layer;
	return layer;
}

/* All hits of all layers, with the layer that each is in. Return: false without memory. */
static bool join_layers(struct facts *f, struct image_scan *s, const struct layer_scan *const *layers, size_t n)
{
	struct image_hit *hits;
	size_t n_hits = 0;

	for (size_t i = 0; i < n; i++)
		n_hits += layers[i]->n_hits;
	hits = arena_alloc(&f->arena, (n_hits + 1) * sizeof(*hits));
	if (!hits)
		return false;
	s->hits = hits;
	for (size_t i = 0; i < n; i++) {
		s->n_files += layers[i]->n_files;
		for (size_t k = 0; k < layers[i]->n_hits && s->n_hits < MAX_HITS; k++) {
			hits[s->n_hits] = layers[i]->hits[k];
			hits[s->n_hits++].layer = i;
		}
	}
	return true;
}

static void scan(struct facts *f, struct walk *w, struct image_scan *s)
{
	const struct layer_scan *layers[MAX_LAYERS];
	int fds[MAX_LAYERS] = { 0 };
	size_t n = 0;

	for (; n < s->n_layers && !s->unknown; n++) {
		fds[n] = facts_file(f, s->layers[n], O_RDONLY | O_DIRECTORY);
		if (fds[n] < 0) {
			s->unknown = arena_printf(&f->arena, "layer %s: %s", s->layers[n], strerror(-fds[n]));
			break;
		}
		layers[n] = scan_layer(f, w, s->layers[n], fds[n]);
		if (!layers[n])
			s->unknown = "no time left for its layers; `--area images` gives them more";
	}
	if (!s->unknown && join_layers(f, s, layers, n))
		find_hidden((struct image_hit *)s->hits, s->n_hits, fds);
	while (n > 0)
		fd_close(fds[--n]);
}

static unsigned int budget_of(const struct audit *a)
{
	return a->options.thorough ? 60000 : (unsigned int)audit_parameter(a, "image-scan-ms", 40);
}

int image_scan(struct audit *a, const struct image_facts *m, const struct image_scan **ret)
{
	struct facts *f = a->facts;
	struct image_facts *mine = &f->images[m - f->images];
	unsigned int budget_ms = budget_of(a);
	_cleanup_(freep) struct walk *w = NULL;
	struct image_scan *s;
	const char **layers, *before;
	uint64_t begun = facts_now_ms();

	if (mine->scan) {
		*ret = mine->scan;
		return 0;
	}
	w = calloc(1, sizeof(*w));
	s = arena_alloc(&f->arena, sizeof(*s));
	layers = arena_alloc(&f->arena, MAX_LAYERS * sizeof(*layers));
	if (!w || !s || !layers)
		return -ENOMEM;
	w->hits = calloc(MAX_HITS, sizeof(*w->hits));
	if (!w->hits)
		return -ENOMEM;
	w->f = f;
	w->end_ms = begun + (f->image_ms_used < budget_ms ? budget_ms - f->image_ms_used : 0);
	before = facts_subject(f, m->id);
	s->layers = layers;
	s->n_layers = layer_directories(f, m, layers);
	if (!m->inspect)
		s->unknown = "Docker did not describe it";
	else if (s->n_layers == 0)
		s->unknown = arena_printf(&f->arena, "the storage driver %s does not tell where its layers are",
					  facts_json_string(m->inspect, "GraphDriver.Name", "?"));
	else
		scan(f, w, s);
	(void)facts_subject(f, before);
	free(w->hits);
	f->image_ms_used += (unsigned int)(facts_now_ms() - begun);
	mine->scan = s;
	*ret = s;
	return f->arena.error;
}

const char *image_read(struct facts *f, const struct image_scan *s, const char *path)
{
	for (size_t i = 0; i < s->n_layers; i++) {
		const char *text;

		if (facts_read(f, arena_printf(&f->arena, "%s%s", s->layers[i], path), &text, NULL) == 0)
			return text;
	}
	return NULL;
}
