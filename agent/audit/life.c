/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A finding about a container is known by its control and the container's id: two containers of one
 * task definition have one fingerprint and a life each. Every other one is known by its fingerprint.
 * Time is counted in sights: a run forgets only what nobody, itself or another run beside it, has
 * seen since it began.
 */
#include "batten/audit/life.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "batten/audit/audit.h"
#include "batten/base/file.h"
#include "batten/base/json.h"

#define N_BUCKETS 2048
#define MAX_EVIDENCE_BYTES 400 /* the rest stands in the audit's report */
#define MAX_FILE_BYTES (64 * 1024 * 1024)

struct entry {
	struct entry *next;
	struct life_finding f;
	uint64_t seen;
	char text[]; /* every string, one behind the other */
};

struct life {
	struct entry *buckets[N_BUCKETS];
	size_t n;
	uint64_t clock;
	life_callback callback;
	void *user;
};

int life_new(struct life **ret, life_callback callback, void *user)
{
	struct life *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->callback = callback;
	l->user = user;
	*ret = l;
	return 0;
}

struct life *life_free(struct life *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < N_BUCKETS; i++) {
		while (l->buckets[i]) {
			struct entry *e = l->buckets[i];

			l->buckets[i] = e->next;
			free(e);
		}
	}
	free(l);
	return NULL;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* FNV-1a over what identifies it. */
static struct entry **bucket_of(struct life *l, const struct life_finding *f)
{
	const char *text = f->container_id[0] ? f->container_id : f->fingerprint;
	uint32_t h = 2166136261u ^ control_number(f->control);

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return &l->buckets[h % N_BUCKETS];
}

static bool same(const struct life_finding *a, const struct life_finding *b)
{
	if (a->control != b->control || strcmp(a->container_id, b->container_id) != 0)
		return false;
	return a->container_id[0] || strcmp(a->fingerprint, b->fingerprint) == 0;
}

static size_t others(const struct life *l, const struct entry *one)
{
	size_t n = 0;

	/* Only containers share one. */
	if (!one->f.container_id[0])
		return 0;
	for (size_t i = 0; i < N_BUCKETS; i++)
		for (const struct entry *e = l->buckets[i]; e; e = e->next)
			n += e != one && strcmp(e->f.fingerprint, one->f.fingerprint) == 0;
	return n;
}

static struct entry *entry_new(const struct life_finding *f)
{
	const char *const from[] = { f->fingerprint, f->name, f->container_id, f->task_arn, f->family, f->image, f->evidence };
	size_t n = 0, used = 0;
	struct entry *e;
	const char *at[ARRAY_SIZE(from)] = { NULL };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		n += strlen(from[i]) + 1;
	e = calloc(1, sizeof(*e) + n);
	if (!e)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		size_t k = strlen(from[i]) + 1;

		at[i] = memcpy(e->text + used, from[i], k);
		used += k;
	}
	e->f = *f;
	e->f.fingerprint = at[0];
	e->f.name = at[1];
	e->f.container_id = at[2];
	e->f.task_arn = at[3];
	e->f.family = at[4];
	e->f.image = at[5];
	e->f.evidence = at[6];
	return e;
}

static void remove_entry(struct life *l, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	l->n--;
	l->callback(l->user, LIFE_GONE, &e->f, others(l, e));
	free(e);
}

static struct entry *find(struct life *l, const struct life_finding *f)
{
	struct entry *e = *bucket_of(l, f);

	while (e && !same(&e->f, f))
		e = e->next;
	return e;
}

static int add(struct life *l, const struct life_finding *f, struct entry **ret)
{
	struct entry **at = bucket_of(l, f), *e;

	if (l->n >= MAX_FINDINGS)
		return -E2BIG;
	e = entry_new(f);
	if (!e)
		return -ENOMEM;
	e->next = *at;
	*at = e;
	l->n++;
	*ret = e;
	return 0;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void set_text(json_t *j, const char *key, const char *value)
{
	if (value && value[0])
		json_object_set_new(j, key, json_text(value));
}

static json_t *to_json(const struct life_finding *f, const char *status)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o}", "control", f->control->id, "status", status, "severity",
			      severity_name(f->severity), "kind", subject_kind_name(f->kind), "name", json_text(f->name));

	if (!j)
		return NULL;
	set_text(j, "container_id", f->container_id);
	set_text(j, "task_arn", f->task_arn);
	set_text(j, "family", f->family);
	set_text(j, "image", f->image);
	set_text(j, "evidence", f->evidence);
	set_text(j, "fingerprint", f->fingerprint);
	if (f->since > 0)
		json_object_set_new(j, "since", json_integer((json_int_t)f->since));
	return j;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

static int kind_of(const char *word, enum subject_kind *ret)
{
	for (int k = 0; k < _SUBJECT_KIND_MAX; k++) {
		if (strcmp(subject_kind_name((enum subject_kind)k), word) == 0) {
			*ret = (enum subject_kind)k;
			return 0;
		}
	}
	return -EPROTO;
}

/* The part of the evidence that is kept. */
static void shorten(char ret[static MAX_EVIDENCE_BYTES + 1], const char *whole)
{
	size_t n = MIN(strlen(whole), (size_t)MAX_EVIDENCE_BYTES);

	/* Never half a character. */
	while (n < strlen(whole) && n > 0 && ((unsigned char)whole[n] & 0xc0) == 0x80)
		n--;
	memcpy(ret, whole, n);
	ret[n] = '\0';
}

/* @evidence: room for the part that is kept. Strings stay the JSON's. */
static int from_json(const json_t *j, struct life_finding *ret, char evidence[static MAX_EVIDENCE_BYTES + 1])
{
	struct life_finding f = { .control = control_find(text_of(j, "control"), NULL) };

	if (!f.control)
		return -ENOENT;
	if (severity_parse(text_of(j, "severity"), &f.severity) < 0 || kind_of(text_of(j, "kind"), &f.kind) < 0 ||
	    !text_of(j, "fingerprint")[0])
		return -EPROTO;
	shorten(evidence, text_of(j, "evidence"));
	f.drift = strcmp(text_of(j, "status"), status_name(STATUS_DRIFT)) == 0;
	f.since = (int64_t)json_integer_value(json_object_get(j, "since"));
	f.fingerprint = text_of(j, "fingerprint");
	f.name = text_of(j, "name");
	f.container_id = text_of(j, "container_id");
	f.task_arn = text_of(j, "task_arn");
	f.family = text_of(j, "family");
	f.image = text_of(j, "image");
	f.evidence = evidence;
	*ret = f;
	return 0;
}

json_t *life_json(const struct life *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < N_BUCKETS; i++)
		for (const struct entry *e = l->buckets[i]; e; e = e->next)
			json_array_append_new(list, to_json(&e->f, status_name(e->f.drift ? STATUS_DRIFT : STATUS_FAIL)));
	return json_pack("{s:s, s:o}", "schema", "batten.findings/1", "findings", list);
}

int life_load(struct life *l, const char *path, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	_cleanup_(freep) char *text = NULL;
	const json_t *list, *v;
	size_t n, i;
	int r;

	r = file_read(AT_FDCWD, path, MAX_FILE_BYTES, &text, &n, d);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = json_parse(text, n, path, &j, d);
	if (r < 0)
		return r;
	list = json_object_get(j, "findings");
	if (strcmp(text_of(j, "schema"), "batten.findings/1") != 0 || !json_is_array(list))
		return diag_fail(d, -EBADMSG, path, "is no batten.findings/1");
	l->clock++;
	json_array_foreach(list, i, v) {
		char evidence[MAX_EVIDENCE_BYTES + 1];
		struct life_finding f;
		struct entry *e;

		if (from_json(v, &f, evidence) < 0 || find(l, &f))
			continue;
		r = add(l, &f, &e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- runs ------------------------------------------------------------------------------------ */

void life_run_begin(struct life *l, struct life_run *r)
{
	r->began = l->clock++;
	r->unexamined = (struct control_mask){ 0 };
}

int life_run_see(struct life *l, struct life_run *r, const struct life_finding *result, enum status status, int64_t now,
		 bool may_add)
{
	char evidence[MAX_EVIDENCE_BYTES + 1];
	struct life_finding f = *result;
	struct entry *e = find(l, &f);
	int error;

	if (status == STATUS_UNKNOWN) {
		if (e)
			e->seen = l->clock;
		else if (f.kind == SUBJECT_HOST)
			control_mask_add(&r->unexamined, f.control);
		return 0;
	}
	if (status != STATUS_FAIL && status != STATUS_DRIFT)
		return 0;
	f.drift = status == STATUS_DRIFT;
	if (e) {
		e->seen = l->clock;
		e->f.severity = f.severity;
		e->f.drift = f.drift;
		return 0;
	}
	if (!may_add)
		return 0;
	shorten(evidence, f.evidence);
	f.evidence = evidence;
	f.since = now;
	error = add(l, &f, &e);
	if (error < 0)
		return error;
	e->seen = l->clock;
	l->callback(l->user, LIFE_NEW, &e->f, others(l, e));
	return 0;
}

static bool looked_at(const struct life_run *r, const struct entry *e)
{
	if (!control_mask_has(&r->controls, e->f.control) || control_mask_has(&r->unexamined, e->f.control))
		return false;
	return !r->containers || json_object_get(r->containers, e->f.container_id);
}

void life_run_end(struct life *l, const struct life_run *r)
{
	for (size_t i = 0; i < N_BUCKETS; i++) {
		for (struct entry **at = &l->buckets[i]; *at;) {
			if ((*at)->seen <= r->began && looked_at(r, *at))
				remove_entry(l, at);
			else
				at = &(*at)->next;
		}
	}
}

void life_container_ended(struct life *l, const char *container_id)
{
	if (!container_id[0])
		return;
	for (size_t i = 0; i < N_BUCKETS; i++) {
		for (struct entry **at = &l->buckets[i]; *at;) {
			if (strcmp((*at)->f.container_id, container_id) == 0)
				remove_entry(l, at);
			else
				at = &(*at)->next;
		}
	}
}

void life_count(const struct life *l, size_t ret[static _SEV_MAX])
{
	memset(ret, 0, _SEV_MAX * sizeof(*ret));
	for (size_t i = 0; i < N_BUCKETS; i++)
		for (const struct entry *e = l->buckets[i]; e; e = e->next)
			ret[e->f.severity]++;
}

void life_each(const struct life *l, void (*fn)(void *user, const struct life_finding *f), void *user)
{
	for (size_t i = 0; i < N_BUCKETS; i++)
		for (const struct entry *e = l->buckets[i]; e; e = e->next)
			fn(user, &e->f);
}
