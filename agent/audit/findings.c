/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The list of findings. A fingerprint is made of what stays the same from run to run and from
 * deployment to deployment: control, host, task family, container name, subject; no ids and no
 * times, so that whoever keeps findings can close the one that was mended.
 */
#include "audit/findings.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "batten/audit/facts.h"
#include "batten/audit/profile.h"
#include "batten/audit/waiver.h"

#define MAX_EVIDENCE_BYTES 2000

static const char *const statuses[_STATUS_MAX] = {
	[STATUS_PASS] = "pass",	    [STATUS_FAIL] = "fail",	  [STATUS_NOT_APPLICABLE] = "not_applicable",
	[STATUS_WAIVED] = "waived", [STATUS_UNKNOWN] = "unknown", [STATUS_DRIFT] = "drift",
};

const char *status_name(enum status s)
{
	return statuses[s];
}

/* An ECS container's Docker name ends in random digits; its name in the task definition does not. */
static const char *stable_name(const struct subject *s)
{
	return s->family && s->ecs_name ? s->ecs_name : s->name;
}

/*
 * A task that runs twice has two containers that nothing but random digits tells apart: they are
 * counted, in a table of the control that runs now.
 */
struct twin {
	const char *family, *name; /* name is NULL in a free place */
	enum subject_kind kind;
	unsigned int n;
};

static uint64_t mix(uint64_t hash, const char *text)
{
	for (; text && *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u; /* FNV-1a */
	return (hash ^ 0xff) * 0x100000001b3u;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static struct twin *place_of(struct twin *list, size_t size, const struct twin *key)
{
	size_t i = mix(mix(0xcbf29ce484222325u + key->kind, key->family), key->name) & (size - 1);

	while (list[i].name && !(list[i].kind == key->kind && strcmp(list[i].name, key->name) == 0 &&
				 same_text(list[i].family, key->family)))
		i = (i + 1) & (size - 1);
	return &list[i];
}

static int grow_twins(struct audit *a)
{
	size_t size = a->size_twins ? a->size_twins * 2 : 256;
	struct twin *list = calloc(size, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; a->twins && i < a->size_twins; i++)
		if (a->twins[i].name)
			*place_of(list, size, &a->twins[i]) = a->twins[i];
	free(a->twins);
	a->twins = list;
	a->size_twins = size;
	return 0;
}

/* How many findings of this control about the same one came before. */
static unsigned int count_twin(struct audit *a, const struct finding *f)
{
	struct twin key = { f->subject.family, stable_name(&f->subject), f->subject.kind, 0 }, *t;

	if (a->twins_of != f->control && a->twins)
		memset(a->twins, 0, a->size_twins * sizeof(*a->twins));
	if (a->twins_of != f->control)
		a->n_twins = 0;
	a->twins_of = f->control;
	if ((!a->twins || a->n_twins * 2 >= a->size_twins) && grow_twins(a) < 0) {
		a->error = -ENOMEM;
		return 0;
	}
	t = place_of(a->twins, a->size_twins, &key);
	if (!t->name) {
		*t = key;
		a->n_twins++;
	}
	return t->n++;
}

/* A part of what a fingerprint is made of, with the NUL that ends it. */
static bool digest_part(EVP_MD_CTX *c, const char *text)
{
	return EVP_DigestUpdate(c, text, strlen(text) + 1) == 1;
}

/* The hash is looked up once: that costs as much as using it does. */
static bool digest_begin(struct audit *a)
{
	if (a->digest)
		return EVP_DigestInit_ex(a->digest, NULL, NULL) == 1;
	a->digest = EVP_MD_CTX_new();
	return a->digest && EVP_DigestInit_ex(a->digest, EVP_sha256(), NULL) == 1;
}

static void set_fingerprint(struct audit *a, struct finding *f)
{
	static const char digits[] = "0123456789abcdef";
	unsigned int n_digest = 0, twin = count_twin(a, f);
	unsigned char digest[EVP_MAX_MD_SIZE];
	char number[16];
	int n = snprintf(number, sizeof(number), "%u", twin);

	if (!digest_begin(a) || !digest_part(a->digest, f->control->id) || !digest_part(a->digest, a->host) ||
	    !digest_part(a->digest, f->subject.family ? f->subject.family : "") ||
	    !digest_part(a->digest, stable_name(&f->subject)) ||
	    !digest_part(a->digest, subject_kind_name(f->subject.kind)) ||
	    EVP_DigestUpdate(a->digest, number, (size_t)n) != 1 ||
	    EVP_DigestFinal_ex(a->digest, digest, &n_digest) != 1) {
		a->error = -ENOMEM;
		return;
	}
	for (unsigned int i = 0; i < n_digest && i < 32; i++) {
		f->fingerprint[2 * i] = digits[digest[i] >> 4];
		f->fingerprint[2 * i + 1] = digits[digest[i] & 15];
	}
}

struct finding *finding_add(struct audit *a, const struct subject *s, enum status status,
			    enum severity severity, const char *evidence)
{
	struct finding *f;

	if (a->n_findings == a->size_findings) {
		size_t size = a->size_findings ? a->size_findings * 2 : 256;

		f = reallocarray(a->findings, size, sizeof(*f));
		if (!f) {
			a->error = -ENOMEM;
			return NULL;
		}
		a->findings = f;
		a->size_findings = size;
	}
	f = &a->findings[a->n_findings];
	*f = (struct finding){
		.control = a->current,
		.area = a->current_area,
		.severity = severity,
		.status = status,
		.subject = *s,
		.evidence = evidence,
	};
	set_fingerprint(a, f);
	if (a->options.waivers)
		waivers_apply(a->options.waivers, f, a->options.now);
	a->n_status[f->status]++;
	a->n_findings++;
	return f;
}

static void _printf_(5, 0) report(struct audit *a, const struct subject *s, enum status status, int severity,
		   const char *fmt, va_list ap)
{
	const char *evidence = arena_vprintf(&a->arena, fmt, ap);
	enum severity chosen = (enum severity)severity;

	if (severity < 0)
		chosen = a->options.profile ? audit_profile_severity(a->options.profile, a->current) :
					      a->current->severity;
	if (strlen(evidence) > MAX_EVIDENCE_BYTES)
		evidence = arena_printf(&a->arena, "%.*s ...", MAX_EVIDENCE_BYTES, evidence);
	(void)finding_add(a, s, status, chosen, evidence);
}

#define REPORT(name, status)                                                                       \
	void name(struct audit *a, const struct subject *s, const char *fmt, ...)                  \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		report(a, s, (status), -1, fmt, ap);                                               \
		va_end(ap);                                                                        \
	}
REPORT(audit_pass, STATUS_PASS)
REPORT(audit_fail, STATUS_FAIL)
REPORT(audit_drift, STATUS_DRIFT)
REPORT(audit_unknown, STATUS_UNKNOWN)
REPORT(audit_not_applicable, STATUS_NOT_APPLICABLE)
#undef REPORT

void audit_fail_as(struct audit *a, const struct subject *s, enum severity severity, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(a, s, STATUS_FAIL, (int)severity, fmt, ap);
	va_end(ap);
}

struct subject audit_subject(struct audit *a, enum subject_kind kind, const char *name)
{
	return (struct subject){ .kind = kind, .name = arena_strdup(&a->arena, name) };
}

bool audit_failed(const struct audit *a, enum severity at_least)
{
	for (size_t i = 0; i < a->n_findings; i++) {
		const struct finding *f = &a->findings[i];

		if ((f->status == STATUS_FAIL || f->status == STATUS_DRIFT) && f->severity >= at_least)
			return true;
	}
	return false;
}

void audit_done(struct audit *a)
{
	free(a->findings);
	a->findings = NULL;
	a->n_findings = a->size_findings = 0;
	free(a->twins);
	a->twins = NULL;
	a->n_twins = a->size_twins = 0;
	EVP_MD_CTX_free(a->digest);
	a->digest = NULL;
	arena_done(&a->arena);
}

/* The first part is told in any case, cut where it is too long: without one a check has found nothing. */
static void cut_first(struct evidence *e, size_t left)
{
	size_t n = left - 5, start = n;

	while (start > 0 && ((unsigned char)e->text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (unsigned char)e->text[start - 1] >= 0xc0)
		n = start - 1; /* it may be a part of a character only */
	memcpy(e->text + n, " ...", 5);
	e->n = n + 4;
	e->n_parts = 1;
}

void evidence_add(struct evidence *e, const char *fmt, ...)
{
	size_t left = sizeof(e->text) - 32 - e->n, n_joint = e->n_parts > 0 ? 2 : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(e->text + e->n + n_joint, left > n_joint ? left - n_joint : 0, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n + n_joint >= left) {
		if (n >= 0 && e->n_parts == 0) {
			cut_first(e, left);
			return;
		}
		e->text[e->n] = '\0';
		e->n_left_out++;
		return;
	}
	memcpy(e->text + e->n, "; ", n_joint);
	e->n += (size_t)n + n_joint;
	e->n_parts++;
}

const char *evidence_text(struct evidence *e)
{
	if (e->n_left_out > 0)
		(void)snprintf(e->text + e->n, sizeof(e->text) - e->n, "; %u more", e->n_left_out);
	return e->text;
}
