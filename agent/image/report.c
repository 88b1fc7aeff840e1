/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Printing what was found. JSON is written as it goes, for an image may have any number of
 * findings.
 */
#include <cap-ng.h>
#include <errno.h>
#include <string.h>

#include "batten/base/bytes.h"
#include "batten/base/json.h"
#include "batten/base/table.h"
#include "image/run.h"

static const char *const kind_names[] = {
	[TAR_FILE] = "file",     [TAR_LINK] = "hardlink", [TAR_SYMLINK] = "symlink",
	[TAR_DEVICE] = "device", [TAR_DIR] = "directory", [TAR_FIFO] = "fifo",
	[TAR_GLOBAL] = "global",
};

static const char *kind_name(const struct worker_finding *f)
{
	return f->kind < ARRAY_SIZE(kind_names) ? kind_names[f->kind] : "unknown";
}

static uint32_t u32le(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* struct vfs_cap_data of linux/capability.h: permitted capabilities in two halves behind the magic.
 */
static void capability_names(const struct finding *f, struct bytes *out)
{
	uint64_t permitted;

	if (f->f.n_caps < 20) {
		bytes_append_str(out, "unreadable");
		return;
	}
	permitted = u32le(f->caps + 4) | (uint64_t)u32le(f->caps + 12) << 32;
	for (unsigned int i = 0; i < 64; i++) {
		const char *name;

		if (!(permitted >> i & 1))
			continue;
		name = capng_capability_to_name(i);
		if (out->n > 0)
			bytes_append_str(out, ",");
		if (name)
			bytes_append_str(out, name);
		else
			bytes_printf(out, "%u", i);
	}
	if (out->n == 0)
		bytes_append_str(out, "none");
}

struct printer {
	struct image_run *run;
	FILE *f;
	const struct model_image *image;
	uint8_t **view;
	int (*finding)(struct printer *p, uint32_t layer, const struct finding *f, bool effective);
	struct table *table;
	bool comma;
};

static int print_findings(struct printer *p, uint32_t layer)
{
	struct finding_reader reader;
	size_t i = 0;
	int r;

	r = finding_reader_init(&reader, p->run->tasks[p->image->layers[layer]].findings_fd);
	while (r >= 0 && (r = finding_reader_next(&reader)) > 0) {
		r = p->finding(p, layer, &reader.now, p->view[layer][i]);
		i++;
	}
	finding_reader_done(&reader);
	return r;
}

static int with_view(struct printer *p, int (*print)(struct printer *p))
{
	uint32_t n = p->image->n_layers;
	int r;

	p->view = calloc(MAX(n, 1U), sizeof(*p->view));
	if (!p->view)
		return -ENOMEM;
	r = p->run->tasks[0].names_fd < 0
		    ? -EINVAL
		    : effective_view(p->run->tasks, p->image->layers, n, p->view, NULL);
	if (r >= 0)
		r = print(p);
	for (uint32_t i = 0; i < n; i++)
		free(p->view[i]);
	free(p->view);
	return r;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_escaped(FILE *f, const char *s)
{
	for (; *s; s++)
		(void)fprintf(f, (unsigned char)*s < 0x20 || *s == 0x7f ? "\\x%02x" : "%c",
			      (unsigned char)*s);
}

static int text_finding(struct printer *p, uint32_t layer, const struct finding *f, bool effective)
{
	_cleanup_(freep) char *path = NULL;
	struct bytes caps = { 0 }, what = { 0 };
	size_t n;
	FILE *out = open_memstream(&path, &n);

	if (!out)
		return -ENOMEM;
	print_escaped(out, f->path);
	if (fclose(out) != 0)
		return -ENOMEM;
	if (f->f.has & TAR_STRIP_CAPS)
		capability_names(f, &caps);
	bytes_printf(&what, "%s%s%s%s%s%s", f->f.copy ? "in its table: " : "", f->f.has & TAR_STRIP_SETUID ? "setuid " : "",
		     f->f.has & TAR_STRIP_SETGID ? "setgid " : "", caps.n ? "caps=" : "",
		     caps.n ? caps.data : "", f->f.tool ? (caps.n ? " tool" : "tool") : "");
	table_cellf(p->table, STYLE_DIM, "%u", layer);
	table_cellf(p->table, STYLE_PLAIN, "%04o", f->f.mode);
	table_cellf(p->table, STYLE_PLAIN, "%llu:%llu", (unsigned long long)f->f.uid,
		    (unsigned long long)f->f.gid);
	table_cell(p->table,
		   f->f.has & ~(unsigned int)TAR_STRIP_CAPS || caps.n ? STYLE_BAD : STYLE_WARN,
		   what.data ? what.data : "");
	table_cell(p->table, effective ? STYLE_PLAIN : STYLE_DIM,
		   effective ? "effective" : "hidden");
	table_cell(p->table, STYLE_PLAIN,
		   f->f.verdict == TAR_REMOVE ? "remove"
		   : f->f.verdict             ? "strip"
		   : f->f.has                 ? "keep"
					      : "-");
	table_cell(p->table, STYLE_PLAIN, path);
	bytes_done(&caps);
	bytes_done(&what);
	return 0;
}

static int text_layers(struct printer *p)
{
	int r = 0;

	for (uint32_t i = 0; i < p->image->n_layers && r >= 0; i++)
		if (p->image->layers[i] != STORE_NONE)
			r = print_findings(p, i);
	return r;
}

int image_run_print_text(struct image_run *run, FILE *f)
{
	static const char *const head[] = {
		"LAYER", "MODE", "OWNER", "WHAT", "SEEN", "RULE", "PATH"
	};
	int r = 0;

	for (uint32_t i = 0; i < run->model.n_images && r >= 0; i++) {
		const struct model_image *image = &run->model.images[i];
		_cleanup_(table_freep) struct table *table = NULL;
		struct printer p = { .run = run, .f = f, .image = image, .finding = text_finding };
		char config[DIGEST_TEXT_SIZE];

		if (image->again || run->model.n_layers == 0)
			continue;
		digest_text(&run->model.docs[image->config].digest, config);
		(void)fprintf(f, "%s", style_begin(f, STYLE_HEAD));
		print_escaped(f, image->name[0] ? image->name : run->name);
		(void)fprintf(f, "%s  %s, %u layer%s\n", style_end(f, STYLE_HEAD), config,
			      image->n_layers, image->n_layers == 1 ? "" : "s");
		p.table = table = table_new(ARRAY_SIZE(head));
		for (size_t k = 0; k < ARRAY_SIZE(head); k++)
			table_cell(table, STYLE_HEAD, head[k]);
		r = with_view(&p, text_layers);
		if (r >= 0 && run->totals.setuid + run->totals.setgid + run->totals.capabilities +
					      run->totals.tools + run->totals.removed >
				      0)
			r = table_print(table, f);
	}
	return r;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static int put_string(FILE *f, const char *s)
{
	_cleanup_(json_freep) json_t *j = json_text(s);
	_cleanup_(freep) char *text = json_line(j, NULL);

	if (!text)
		return -ENOMEM;
	(void)fputs(text, f);
	return 0;
}

static const char *boolean(bool b)
{
	return b ? "true" : "false";
}

static int json_finding(struct printer *p, uint32_t layer, const struct finding *f, bool effective)
{
	int r;

	(void)fprintf(p->f, "%s\n    {\"path\": ", p->comma ? "," : "");
	r = put_string(p->f, f->path);
	(void)fprintf(p->f,
		      ", \"type\": \"%s\", \"mode\": \"%04o\", \"uid\": %llu, \"gid\": %llu, "
		      "\"setuid\": %s, \"setgid\": %s",
		      kind_name(&f->f), f->f.mode, (unsigned long long)f->f.uid,
		      (unsigned long long)f->f.gid, boolean(f->f.has & TAR_STRIP_SETUID),
		      boolean(f->f.has & TAR_STRIP_SETGID));
	if (f->f.has & TAR_STRIP_CAPS) {
		struct bytes caps = { 0 };

		capability_names(f, &caps);
		(void)fprintf(p->f, ", \"capabilities\": \"%s\"", caps.data ? caps.data : "");
		bytes_done(&caps);
	}
	if (f->f.copy)
		(void)fputs(", \"table_of_contents\": true", p->f);
	(void)fprintf(p->f, ", \"tool\": %s, \"rule\": \"%s\", \"effective\": %s}",
		      boolean(f->f.tool),
		      f->f.verdict == TAR_REMOVE ? "remove"
		      : f->f.verdict             ? "strip"
						 : "keep",
		      boolean(effective));
	p->comma = true;
	return r;
}

static const char *media_type(enum layer_compression c)
{
	static const char *const names[] = {
		[LAYER_PLAIN] = "application/vnd.oci.image.layer.v1.tar",
		[LAYER_GZIP] = "application/vnd.oci.image.layer.v1.tar+gzip",
		[LAYER_ZSTD] = "application/vnd.oci.image.layer.v1.tar+zstd",
	};

	return names[c];
}

static int json_layers(struct printer *p)
{
	int r = 0;

	for (uint32_t i = 0; i < p->image->n_layers && r >= 0; i++) {
		char blob[DIGEST_TEXT_SIZE], diff[DIGEST_TEXT_SIZE];
		const struct layer_result *l;

		if (p->image->layers[i] == STORE_NONE) {
			digest_text(&p->image->diff_ids[i], diff);
			(void)fprintf(
				p->f,
				"%s\n  {\"diff_id\": \"%s\", \"left_alone\": true, \"files\": []}",
				i ? "," : "", diff);
			continue;
		}
		l = &p->run->model.layers[p->image->layers[i]].result;
		digest_text(&l->old_blob, blob);
		digest_text(&l->old_diff, diff);
		(void)fprintf(p->f,
			      "%s\n  {\"digest\": \"%s\", \"diff_id\": \"%s\", \"media_type\": "
			      "\"%s\", \"files\": [",
			      i ? "," : "", blob, diff, media_type(l->compression));
		p->comma = false;
		r = print_findings(p, i);
		(void)fputs("]}", p->f);
	}
	return r;
}

static int json_image(struct image_run *run, const struct model_image *image, FILE *f)
{
	struct printer p = { .run = run, .f = f, .image = image, .finding = json_finding };
	int r;

	(void)fputs("\"image\": ", f);
	r = put_string(f, image->name[0] ? image->name : run->name);
	(void)fputs(", \"layers\": [", f);
	if (r >= 0 && run->model.n_layers > 0)
		r = with_view(&p, json_layers);
	(void)fputs("]", f);
	return r;
}

int image_run_print_json(struct image_run *run, FILE *f)
{
	const struct image_totals *t = &run->totals;
	int r;

	(void)fputs("{\"schema\": \"batten.image/1\", ", f);
	r = json_image(run, &run->model.images[0], f);
	(void)fputs(",\n\"more\": [", f);
	for (uint32_t i = 1, n = 0; i < run->model.n_images && r >= 0; i++) {
		if (run->model.images[i].again)
			continue;
		(void)fputs(n++ ? ",\n{" : "{", f);
		r = json_image(run, &run->model.images[i], f);
		(void)fputs("}", f);
	}
	(void)fputs("],\n\"notes\": [", f);
	for (size_t i = 0; i < run->model.n_notes && r >= 0; i++) {
		(void)fputs(i ? ", " : "", f);
		r = put_string(f, run->model.notes[i]);
	}
	(void)fprintf(f,
		      "],\n\"totals\": {\"setuid\": %llu, \"setgid\": %llu, \"capabilities\": "
		      "%llu, \"tools\": %llu, "
		      "\"stripped\": %llu, \"removed\": %llu, \"kept\": %llu, \"layers\": %u, "
		      "\"layers_changed\": %u}}\n",
		      (unsigned long long)t->setuid, (unsigned long long)t->setgid,
		      (unsigned long long)t->capabilities, (unsigned long long)t->tools,
		      (unsigned long long)t->stripped, (unsigned long long)t->removed,
		      (unsigned long long)t->kept, t->n_layers, t->n_changed);
	return r;
}
