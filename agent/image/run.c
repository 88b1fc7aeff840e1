/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order of things: open, leave a keeper behind and give up every right, read the descriptions, let
 * workers walk the layers, check that all of it agrees, and for strip write new descriptions, write
 * the image beside its place, read it again, and only then have it put into its place.
 */
#include "image/run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "image/layer-internal.h"
#include "image/output.h"

static void tasks_free(struct worker_task *tasks, uint32_t n)
{
	for (uint32_t i = 0; tasks && i < n; i++) {
		(void)fd_close(tasks[i].source.fd);
		(void)fd_close(tasks[i].findings_fd);
		(void)fd_close(tasks[i].names_fd);
		free((void *)(uintptr_t)tasks[i].spared);
	}
	free(tasks);
}

struct image_run *image_run_free(struct image_run *run)
{
	if (!run)
		return NULL;
	tasks_free(run->tasks, run->model.n_layers);
	model_done(&run->model);
	store_done(&run->store);
	keeper_end(&run->keeper);
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
	run->keeper = KEEPER_NONE;
	run->policy = o->policy;
	run->name = strdup(o->source);
	return run->name ? run : image_run_free(run);
}

/* ---- walking -------------------------------------------------------------------------------- */

static int make_tasks(struct image_run *run, const struct keeper *k, bool write, bool names, struct diag *d)
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
			r = t->findings_fd = keeper_spool(k, d);
		if (r >= 0 && names)
			r = t->names_fd = keeper_spool(k, d);
		if (r >= 0 && write)
			r = m->layers[i].new_fd = keeper_spool(k, d);
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

/* From here on nothing is left to whoever could make us run his program by what he wrote into an image. */
static int open_source(struct image_run *run, const struct image_options *o, const struct place *from,
		       const struct place *to, struct diag *d)
{
	struct target_charge charge = { .from = from, .to = to, .source = -1, .docker_url = o->docker_url };
	int fd = place_open(from, o->docker_url, d), r;

	if (fd < 0)
		return fd;
	if (from->kind == PLACE_OCI)
		charge.source = fd;
	r = keeper_start(&run->keeper, &charge, d);
	if (r >= 0)
		r = run_confine(run->keeper.fd, d);
	if (r < 0) {
		(void)fd_close(fd);
		return r;
	}
	r = place_read(from, fd, &run->keeper, &run->store, d);
	if (r >= 0)
		r = model_load(&run->model, &run->store, from->tag, d);
	return r < 0 ? r : place_fits(from, &run->model, d);
}

int image_inspect(const struct image_options *o, struct image_run **ret, struct diag *d)
{
	_cleanup_(image_run_freep) struct image_run *run = run_new(o);
	struct place source = { 0 };
	int r;

	if (!run)
		return -ENOMEM;
	r = place_parse(o->source, NULL, &source, d);
	if (r >= 0)
		r = open_source(run, o, &source, NULL, d);
	run->model.tag = NULL;
	place_done(&source);
	if (r >= 0)
		r = make_tasks(run, &run->keeper, false, true, d);
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

/* What one image shows of its layers is shown, whatever the other images hide. */
static int merge_view(const struct worker_task *looked, const struct model_image *image, uint8_t **all,
		      struct diag *d)
{
	_cleanup_(freep) uint8_t **view = calloc(MAX(image->n_layers, 1U), sizeof(*view));
	int r;

	if (!view)
		return -ENOMEM;
	r = effective_view(looked, image->layers, image->n_layers, view, d);
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
		r = finding_reader_init(&reader, looked[layer].findings_fd);
		while (r >= 0 && (r = finding_reader_next(&reader)) > 0) {
			all[layer][n] |= view[i][n];
			n++;
		}
		finding_reader_done(&reader);
		free(view[i]);
	}
	return r;
}

/* @looked: the layers after they were looked at. @tasks: what shall be done to them */
static int spare_all(struct image_run *run, const struct worker_task *looked, struct worker_task *tasks, struct diag *d)
{
	_cleanup_(freep) uint8_t **all = calloc(MAX(run->model.n_layers, 1U), sizeof(*all));
	int r = all ? 0 : -ENOMEM;

	for (uint32_t i = 0; r >= 0 && i < run->model.n_images; i++)
		r = merge_view(looked, &run->model.images[i], all, d);
	for (uint32_t i = 0; all && i < run->model.n_layers; i++) {
		if (r >= 0 && all[i])
			r = spare(&tasks[i], looked[i].findings_fd, all[i]);
		free(all[i]);
	}
	return r;
}

/* A look at all layers first, for what an upper one hides is known only then. */
static int make_sparing_tasks(struct image_run *run, const struct image_options *o, bool write, struct diag *d)
{
	struct worker_task *looked;
	size_t n_notes = run->model.n_notes;
	int r = make_tasks(run, &run->keeper, false, true, d);

	if (r >= 0)
		r = walk(run, o, "reading", d);
	if (r < 0)
		return r;
	/* They will be made again. */
	while (run->model.n_notes > n_notes)
		free(run->model.notes[--run->model.n_notes]);
	looked = take_ptr(run->tasks);
	r = make_tasks(run, &run->keeper, write, true, d);
	if (r >= 0 && run->tasks)
		r = spare_all(run, looked, run->tasks, d);
	tasks_free(looked, run->model.n_layers);
	return r;
}

/* ---- putting it into its place -------------------------------------------------------------- */

/* Reads what was written as if it were any image. There is no memory for both, nor need of it. */
static int verify(const struct store *opened, const char *tag, struct image_run *run,
		  const struct image_options *o, struct diag *d)
{
	_cleanup_(image_run_freep) struct image_run *again = run_new(o);
	struct diag why = { 0 };
	int r;

	if (!again)
		return -ENOMEM;
	model_shed(&run->model);
	again->store = *opened;
	r = model_load(&again->model, &again->store, tag, &why);
	if (r >= 0)
		r = make_tasks(again, &run->keeper, false, false, &why);
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

static int verify_archive(int fd, struct image_run *run, const struct image_options *o,
			  struct diag *d)
{
	struct store s;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), r;

	if (copy < 0)
		return -errno;
	r = store_open_archive(&s, copy, o->destination, d);
	return r < 0 ? r : verify(&s, NULL, run, o, d);
}

/* An archive into @fd, which is empty. */
static int put_archive(struct image_run *run, const struct image_options *o, int fd, uint64_t *ret_size, struct diag *d)
{
	int r = output_archive(&run->model, fd, ret_size, d);

	return r >= 0 && !o->no_verify && run->totals.changed ? verify_archive(fd, run, o, d) : r;
}

/* A pipe or a device gets the image when it is whole. */
static int put_stream(struct image_run *run, const struct image_options *o, int to, const char *name, struct diag *d)
{
	_cleanup_(fd_closep) int fd = keeper_spool(&run->keeper, d);
	uint64_t size;
	int r;

	if (fd < 0)
		return fd;
	r = put_archive(run, o, fd, &size, d);
	return r < 0 ? r : layer_copy(fd, 0, size, to, name, d);
}

static int written(void *arg, const char *name, struct diag *d)
{
	return keeper_written(arg, name, d);
}

static int put_directory(struct image_run *run, const struct image_options *o, int fd, struct diag *d)
{
	int r = output_directory(&run->model, &run->keeper, d), copy;
	struct store s;

	if (r < 0 || o->no_verify || !run->totals.changed)
		return r;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	r = store_open_directory(&s, copy, o->destination, written, &run->keeper, d);
	return r < 0 ? r : verify(&s, NULL, run, o, d);
}

static bool is_stdout(const struct place *to)
{
	return to->kind != PLACE_OCI && to->kind != PLACE_DAEMON && strcmp(to->path, "-") == 0;
}

static int put(struct image_run *run, const struct image_options *o, const struct place *from,
	       const struct place *to, struct diag *d)
{
	const struct model_doc *config = &run->model.docs[run->model.images[0].config];
	_cleanup_(fd_closep) int fd = -1;
	enum target_kind kind;
	uint64_t size = 0;
	int r;

	if (to->kind == PLACE_DAEMON && from->kind == PLACE_DAEMON && !run->totals.changed &&
	    strcmp(from->path, to->path) == 0)
		return 0;
	if (to->kind != PLACE_OCI && to->kind != PLACE_DAEMON && !run->store.archive)
		return diag_fail(d, -EINVAL, o->destination,
				 "a layout directory goes to oci:DIR; pack it with tar if an "
				 "archive is needed");
	if (is_stdout(to))
		return put_stream(run, o, STDOUT_FILENO, "standard output", d);
	fd = keeper_target(&run->keeper, &kind, d);
	if (fd < 0)
		return fd;
	if (kind == TARGET_STREAM)
		return put_stream(run, o, fd, to->path, d);
	r = kind == TARGET_DIRECTORY ? put_directory(run, o, fd, d) : put_archive(run, o, fd, &size, d);
	if (r < 0)
		return r;
	return keeper_place(&run->keeper, size, config->changed ? &config->new_digest : &config->digest,
			    &run->old_name, d);
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
	r = o->effective_only ? make_sparing_tasks(run, o, to != NULL, d)
			      : make_tasks(run, &run->keeper, to != NULL, true, d);
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
	r = place_parse(o->source, NULL, &from, d);
	if (r >= 0 && !o->dry_run)
		r = place_parse(o->destination, &from, &to, d);
	if (r >= 0 && !o->dry_run && is_stdout(&to) && isatty(STDOUT_FILENO))
		r = diag_fail(d, -EINVAL, "-", "an image is nothing for a terminal; redirect standard output");
	if (r >= 0)
		r = open_source(run, o, &from, o->dry_run ? NULL : &to, d);
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
