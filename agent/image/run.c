/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order of things: open, read the descriptions, let workers walk the layers, check that all of
 * it agrees, and for strip write new descriptions, write the image beside its place, read it again,
 * and only then put it into its place.
 */
#include "image/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/random.h"
#include "image/layer-internal.h"
#include "image/output.h"

struct image_run *image_run_free(struct image_run *run)
{
	if (!run)
		return NULL;
	for (uint32_t i = 0; run->tasks && i < run->model.n_layers; i++) {
		(void)fd_close(run->tasks[i].source.fd);
		(void)fd_close(run->tasks[i].findings_fd);
		(void)fd_close(run->tasks[i].names_fd);
		free((void *)(uintptr_t)run->tasks[i].spared);
	}
	free(run->tasks);
	model_done(&run->model);
	store_done(&run->store);
	free(run->name);
	free(run->old_name);
	free(run);
	return NULL;
}

static struct image_run *run_new(const struct image_options *o)
{
	struct image_run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->store.fd = -1;
	run->policy = o->policy;
	run->name = strdup(o->source);
	return run->name ? run : image_run_free(run);
}

/* ---- walking -------------------------------------------------------------------------------- */

static int make_tasks(struct image_run *run, bool write, bool names, struct diag *d)
{
	struct model *m = &run->model;
	int r = 0;

	run->tasks = calloc(MAX(m->n_layers, 1U), sizeof(*run->tasks));
	if (!run->tasks)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n_layers; i++)
		run->tasks[i] = (struct worker_task){
			.source.fd = -1, .out_fd = -1, .findings_fd = -1, .names_fd = -1
		};
	for (uint32_t i = 0; i < m->n_layers && r >= 0; i++) {
		struct worker_task *t = &run->tasks[i];
		const struct store_entry *e = &m->store->entries[m->layers[i].entry];

		t->policy = &run->policy;
		t->source.name = e->name;
		t->source.size = e->size;
		t->source.toc_at = m->layers[i].toc_at;
		t->source.toc_size = m->layers[i].toc_size;
		r = store_range(m->store, m->layers[i].entry, &t->source.fd, &t->source.offset, d);
		if (r >= 0)
			r = t->findings_fd = place_spool(NULL, d);
		if (r >= 0 && names)
			r = t->names_fd = place_spool(NULL, d);
		if (r >= 0 && write)
			r = m->layers[i].new_fd = place_spool(NULL, d);
		t->out_fd = m->layers[i].new_fd;
	}
	return r < 0 ? r : 0;
}

struct progress {
	const struct image_options *o;
	const char *what;
};

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	const struct progress *p = arg;

	p->o->progress(p->o->progress_arg, p->what, done, total);
}

static int walk(struct image_run *run, const struct image_options *o, const char *what,
		struct diag *d)
{
	struct progress p = { o, what };
	int r;

	worker_hash_key();
	r = worker_run(run->tasks, run->model.n_layers, o->progress ? on_progress : NULL, &p, d);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < run->model.n_layers; i++)
		run->model.layers[i].result = run->tasks[i].result;
	return model_verify(&run->model, d);
}

static int count(struct image_run *run)
{
	struct image_totals *t = &run->totals;
	int r = 0;

	t->n_layers = run->model.n_layers;
	for (uint32_t i = 0; i < run->model.n_layers && r >= 0; i++) {
		struct finding_reader reader;

		t->n_changed += run->model.layers[i].result.changed;
		r = finding_reader_init(&reader, run->tasks[i].findings_fd);
		while (r >= 0 && (r = finding_reader_next(&reader)) > 0) {
			const struct worker_finding *f = &reader.now.f;

			t->setuid += !!(f->has & TAR_STRIP_SETUID);
			t->setgid += !!(f->has & TAR_STRIP_SETGID);
			t->capabilities += !!(f->has & TAR_STRIP_CAPS);
			t->tools += f->tool;
			t->removed += f->verdict == TAR_REMOVE;
			t->stripped += f->verdict != 0 && f->verdict != TAR_REMOVE;
			t->kept += f->has != 0 && f->verdict == 0;
		}
		finding_reader_done(&reader);
	}
	return r;
}

static int open_source(struct image_run *run, const struct image_options *o, struct place *place,
		       struct diag *d)
{
	int r;

	r = place_parse(o->source, NULL, place, d);
	if (r >= 0)
		r = place_open(place, o->docker_url, &run->store, d);
	if (r >= 0)
		r = model_load(&run->model, &run->store, place->tag, d);
	return r < 0 ? r : place_fits(place, &run->model, d);
}

int image_inspect(const struct image_options *o, struct image_run **ret, struct diag *d)
{
	_cleanup_(image_run_freep) struct image_run *run = run_new(o);
	struct place source = { 0 };
	int r;

	if (!run)
		return -ENOMEM;
	r = open_source(run, o, &source, d);
	run->model.tag = NULL;
	place_done(&source);
	if (r >= 0)
		r = make_tasks(run, false, true, d);
	if (r >= 0)
		r = walk(run, o, "reading", d);
	if (r >= 0)
		r = count(run);
	if (r < 0)
		return r;
	*ret = take_ptr(run);
	return 0;
}

/* ---- only what is effective ----------------------------------------------------------------- */

/* Findings that are hidden in every image that has the layer: their ordinals. */
static int spare(struct worker_task *t, int findings_fd, const uint8_t *effective)
{
	struct finding_reader reader;
	uint64_t *list = NULL;
	size_t n = 0, i = 0;
	int r;

	r = finding_reader_init(&reader, findings_fd);
	while (r >= 0 && (r = finding_reader_next(&reader)) > 0) {
		uint64_t *grown;

		if (effective[i++])
			continue;
		grown = reallocarray(list, n + 1, sizeof(*list));
		if (!grown) {
			r = -ENOMEM;
			break;
		}
		list = grown;
		list[n++] = reader.now.f.ordinal;
	}
	finding_reader_done(&reader);
	t->spared = list;
	t->n_spared = n;
	return r;
}

static int merge_view(struct image_run *looked, const struct model_image *image, uint8_t **all,
		      struct diag *d)
{
	_cleanup_(freep) uint8_t **view = calloc(MAX(image->n_layers, 1U), sizeof(*view));
	int r;

	if (!view)
		return -ENOMEM;
	r = effective_view(looked->tasks, image->layers, image->n_layers, view, d);
	for (uint32_t i = 0; i < image->n_layers; i++) {
		uint32_t layer = image->layers[i];
		struct finding_reader reader;
		size_t n = 0;

		if (r < 0 || layer == STORE_NONE || !view[i] || !all[layer]) {
			if (layer != STORE_NONE && !all[layer])
				all[layer] = take_ptr(view[i]);
			free(view[i]);
			continue;
		}
		r = finding_reader_init(&reader, looked->tasks[layer].findings_fd);
		while (r >= 0 && (r = finding_reader_next(&reader)) > 0) {
			all[layer][n] |= view[i][n];
			n++;
		}
		finding_reader_done(&reader);
		free(view[i]);
	}
	return r;
}

/* A look at all layers first, for what an upper one hides is known only then. */
static int find_spared(struct image_run *run, const struct image_options *o, struct diag *d)
{
	_cleanup_(image_run_freep) struct image_run *looked = NULL;
	uint8_t **all = NULL;
	int r;

	r = image_inspect(o, &looked, d);
	if (r < 0)
		return r;
	if (looked->model.n_layers != run->model.n_layers)
		return diag_fail(d, -EIO, o->source, "changed while it was being read");
	all = calloc(MAX(run->model.n_layers, 1U), sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < looked->model.n_images && r >= 0; i++)
		r = merge_view(looked, &looked->model.images[i], all, d);
	for (uint32_t i = 0; i < run->model.n_layers; i++) {
		if (r >= 0 && all[i])
			r = spare(&run->tasks[i], looked->tasks[i].findings_fd, all[i]);
		free(all[i]);
	}
	free(all);
	return r;
}

/* ---- putting it into its place -------------------------------------------------------------- */

/* Reads what was written as if it were any image. */
static int verify(const struct store *opened, const char *tag, const struct image_run *run,
		  const struct image_options *o, struct diag *d)
{
	_cleanup_(image_run_freep) struct image_run *again = run_new(o);
	struct diag why = { 0 };
	int r;

	if (!again)
		return -ENOMEM;
	again->store = *opened;
	r = model_load(&again->model, &again->store, tag, &why);
	if (r >= 0)
		r = make_tasks(again, false, false, &why);
	if (r >= 0)
		r = walk(again, o, "verifying", &why);
	if (r >= 0)
		r = count(again);
	if (r < 0)
		return diag_fail(d, -ECANCELED, o->destination,
				 "what was written does not read back: %s: %s", why.where,
				 why.what);
	if (!o->effective_only && again->totals.stripped + again->totals.removed > 0)
		return diag_fail(d, -ECANCELED, o->destination, "what was written is not clean");
	return again->model.n_images == run->model.n_images
		       ? 0
		       : diag_fail(d, -ECANCELED, o->destination,
				   "what was written holds another number of images");
}

static int verify_archive(int fd, const struct image_run *run, const struct image_options *o,
			  struct diag *d)
{
	struct store s;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), r;

	if (copy < 0)
		return -errno;
	r = store_open_archive(&s, copy, o->destination, d);
	return r < 0 ? r : verify(&s, NULL, run, o, d);
}

/* The directory that a path stands in, and its last part. */
static int open_parent(const char *path, const char **ret_base, struct diag *d)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(freep) char *dir = NULL;
	int fd;

	*ret_base = slash ? slash + 1 : path;
	dir = !slash          ? strdup(".")
	      : slash == path ? strdup("/")
			      : strndup(path, (size_t)(slash - path));
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? diag_errno(d, -errno, dir, "cannot open the destination's directory") : fd;
}

static int temporary_name(const char *base, char *name, size_t size)
{
	uint64_t tag;
	int n;

	n = random_fill(&tag, sizeof(tag));
	if (n < 0)
		return n;
	n = snprintf(name, size, ".%.200s.%016llx", base, (unsigned long long)tag);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Nameless as long as it is being written: nothing is left of it when we are killed. */
static int put_archive(struct image_run *run, const struct image_options *o, const char *path,
		       struct diag *d)
{
	_cleanup_(fd_closep) int parent = -1, fd = -1;
	char name[256], link[64];
	const char *base;
	bool named = false;
	uint64_t size;
	mode_t mask;
	int r;

	parent = open_parent(path, &base, d);
	if (parent < 0)
		return parent;
	r = temporary_name(base, name, sizeof(name));
	if (r < 0)
		return r;
	fd = openat(parent, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0) {
		fd = openat(parent, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		named = fd >= 0;
	}
	if (fd < 0)
		return diag_errno(d, -errno, path, "cannot make a temporary file beside it");
	mask = umask(0);
	(void)umask(mask);
	r = output_archive(&run->model, fd, &size, d);
	if (r >= 0 && !o->no_verify && run->totals.changed)
		r = verify_archive(fd, run, o, d);
	if (r >= 0 && (fchmod(fd, 0666 & ~mask) < 0 || fsync(fd) < 0))
		r = diag_errno(d, -errno, path, "cannot sync");
	if (r >= 0 && !named) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		named = linkat(AT_FDCWD, link, parent, name, AT_SYMLINK_FOLLOW) == 0;
		r = named ? 0 : diag_errno(d, -errno, path, "cannot name the temporary file");
	}
	if (r >= 0 && renameat(parent, name, parent, base) < 0)
		r = diag_errno(d, -errno, path, "cannot put the new image into its place");
	if (r < 0) {
		if (named)
			(void)unlinkat(parent, name, 0);
		return r;
	}
	return fsync(parent) < 0 ? diag_errno(d, -errno, path, "cannot sync its directory") : 0;
}

static int put_spooled(struct image_run *run, const struct image_options *o, int *ret_fd,
		       uint64_t *ret_size, struct diag *d)
{
	_cleanup_(fd_closep) int fd = place_spool(NULL, d);
	int r;

	if (fd < 0)
		return fd;
	r = output_archive(&run->model, fd, ret_size, d);
	if (r >= 0 && !o->no_verify && run->totals.changed)
		r = verify_archive(fd, run, o, d);
	if (r < 0)
		return r;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* A pipe or a device gets the image when it is whole. */
static int put_stream(struct image_run *run, const struct image_options *o, int to, struct diag *d)
{
	_cleanup_(fd_closep) int fd = -1;
	uint64_t size;
	int r;

	if (isatty(to))
		return diag_fail(d, -EINVAL, "-",
				 "an image is nothing for a terminal; redirect standard output");
	r = put_spooled(run, o, &fd, &size, d);
	return r < 0 ? r : layer_copy(fd, 0, size, to, "standard output", d);
}

static void remove_directory(int parent, const char *name)
{
	static const char *const dirs[] = { "blobs/sha256", "blobs", "" };
	struct store s;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char path[512];

		if (i == 0) {
			(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", parent, name);
			if (store_open_directory(&s, path, NULL) < 0)
				return;
			for (uint32_t k = 0; k < s.n; k++)
				(void)unlinkat(s.fd, s.entries[k].name, 0);
			store_done(&s);
		}
		(void)snprintf(path, sizeof(path), "%s/%s", name, dirs[i]);
		(void)unlinkat(parent, path, AT_REMOVEDIR);
	}
}

/* A new layout, or one in the place of the very one that it was made from. */
static int put_directory(struct image_run *run, const struct image_options *o,
			 const struct place *place, struct diag *d)
{
	_cleanup_(fd_closep) int parent = -1, fd = -1;
	struct stat there, ours;
	const char *base;
	char name[256];
	bool exists, exchange;
	struct store s;
	int r;

	if (place->tag && (!run->model.tag || strcmp(place->tag, run->model.tag) != 0))
		return diag_fail(d, -EINVAL, o->destination,
				 "a tag cannot be given or changed here; leave it out");
	parent = open_parent(place->path, &base, d);
	if (parent < 0)
		return parent;
	exists = fstatat(parent, base, &there, AT_SYMLINK_NOFOLLOW) == 0;
	exchange = exists && !run->store.archive && fstat(run->store.fd, &ours) == 0 &&
		   ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
	if (exchange && run->model.tag)
		return diag_fail(d, -EINVAL, o->destination,
				 "holds other images too; name another directory");
	if (exists && !exchange && unlinkat(parent, base, AT_REMOVEDIR) < 0)
		return diag_fail(d, -EEXIST, o->destination,
				 "is there already; name a new directory, or the source itself");
	r = temporary_name(base, name, sizeof(name));
	if (r < 0)
		return r;
	if (mkdirat(parent, name, 0755) < 0)
		return diag_errno(d, -errno, place->path, "cannot make a directory beside it");
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? diag_errno(d, -errno, place->path, "cannot open the new directory")
		   : output_directory(&run->model, fd, d);
	if (r >= 0 && !o->no_verify && run->totals.changed) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		r = store_open_directory(&s, path, d);
		if (r >= 0)
			r = verify(&s, NULL, run, o, d);
	}
	if (r >= 0 && renameat2(parent, name, parent, base,
				exchange ? RENAME_EXCHANGE : RENAME_NOREPLACE) < 0)
		r = diag_errno(d, -errno, place->path, "cannot put the new image into its place");
	/* After an exchange it is the old layout that bears the temporary name. */
	if (r < 0 || exchange)
		remove_directory(parent, name);
	if (r >= 0 && fsync(parent) < 0)
		r = diag_errno(d, -errno, place->path, "cannot sync its directory");
	return r;
}

static int put_daemon(struct image_run *run, const struct image_options *o,
		      const struct place *from, const struct place *to, struct diag *d)
{
	const struct model_doc *config = &run->model.docs[run->model.images[0].config];
	const char *source = from->kind == PLACE_DAEMON ? from->path : NULL;
	_cleanup_(fd_closep) int fd = -1;
	uint64_t size;
	int r;

	if (!run->totals.changed && source && strcmp(source, to->path) == 0)
		return 0;
	r = put_spooled(run, o, &fd, &size, d);
	if (r < 0)
		return r;
	return place_load(to->path, source, o->docker_url, fd, size,
			  config->changed ? &config->new_digest : &config->digest, &run->old_name,
			  d);
}

static int put(struct image_run *run, const struct image_options *o, const struct place *from,
	       const struct place *to, struct diag *d)
{
	struct stat st;
	int r;

	if (to->kind == PLACE_OCI)
		return put_directory(run, o, to, d);
	if (to->kind == PLACE_DAEMON)
		return put_daemon(run, o, from, to, d);
	if (!run->store.archive)
		return diag_fail(d, -EINVAL, o->destination,
				 "a layout directory goes to oci:DIR; pack it with tar if an "
				 "archive is needed");
	if (strcmp(to->path, "-") == 0)
		return put_stream(run, o, STDOUT_FILENO, d);
	if (stat(to->path, &st) == 0 && !S_ISREG(st.st_mode)) {
		_cleanup_(fd_closep) int fd = open(to->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

		r = fd < 0 ? diag_errno(d, -errno, to->path, "cannot open")
			   : put_stream(run, o, fd, d);
		return r;
	}
	return put_archive(run, o, to->path, d);
}

/* @to: NULL: nothing is written */
static int strip(struct image_run *run, const struct image_options *o, const struct place *from,
		 const struct place *to, struct diag *d)
{
	struct rewrite_options rewrite = { .keep_attestations = o->keep_attestations };
	const struct model_image *first;
	uint32_t named;
	int r;

	if (to) {
		r = place_fits(to, &run->model, d);
		if (r < 0)
			return r;
	}
	r = make_tasks(run, to != NULL, true, d);
	if (r >= 0 && o->effective_only)
		r = find_spared(run, o, d);
	if (r >= 0)
		r = walk(run, o, "stripping", d);
	if (r >= 0)
		r = count(run);
	if (r < 0 || !to)
		return r;
	r = model_rewrite(&run->model, &rewrite, d);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < run->model.n_docs; i++)
		run->totals.changed |= run->model.docs[i].changed;
	first = &run->model.images[0];
	named = first->manifest != STORE_NONE ? first->manifest : first->config;
	if (run->model.docs[named].changed)
		digest_text(&run->model.docs[named].new_digest, run->new_digest);
	return put(run, o, from, to, d);
}

int image_strip(const struct image_options *o, struct image_run **ret, struct diag *d)
{
	_cleanup_(image_run_freep) struct image_run *run = run_new(o);
	struct place from = { 0 }, to = { 0 };
	int r;

	if (!run)
		return -ENOMEM;
	r = open_source(run, o, &from, d);
	if (r >= 0 && !o->dry_run)
		r = place_parse(o->destination, &from, &to, d);
	if (r >= 0)
		r = strip(run, o, &from, o->dry_run ? NULL : &to, d);
	run->model.tag = NULL;
	place_done(&from);
	place_done(&to);
	if (r < 0)
		return r;
	*ret = take_ptr(run);
	return 0;
}

struct image_totals image_run_totals(const struct image_run *run)
{
	return run->totals;
}

const char *image_run_old_name(const struct image_run *run)
{
	return run->old_name;
}

const char *image_run_note(const struct image_run *run, size_t index)
{
	return index < run->model.n_notes ? run->model.notes[index] : NULL;
}

const char *image_run_new_digest(const struct image_run *run)
{
	return run->new_digest[0] ? run->new_digest : NULL;
}
