/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Numbers are in the machine's own order, for both ends are one binary. The reader believes nothing:
 * every number is looked up, every text must end before the record does, and the record with the last.
 */
#include <errno.h>
#include <string.h>

#include "batten/audit/life.h"
#include "batten/base/cursor.h"

#define N_TEXTS 7

struct numbers {
	uint32_t control, status, severity, kind;
};

_Static_assert(LIFE_RECORD_MIN == sizeof(struct numbers) + N_TEXTS, "the shortest record");
_Static_assert(LIFE_RECORD_MAX >= LIFE_RECORD_MIN + N_TEXTS * LIFE_TEXT_MAX, "the longest record");
_Static_assert(sizeof(((struct finding *)NULL)->fingerprint) <= LIFE_TEXT_MAX, "a fingerprint is never cut");

/* Bytes of it that are told, and never half a character. */
static size_t told(const char *text)
{
	size_t n = strnlen(text, LIFE_TEXT_MAX + 1);

	if (n <= LIFE_TEXT_MAX)
		return n;
	for (n = LIFE_TEXT_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
		n--;
	return n;
}

void life_record_write(const struct finding *f, struct bytes *b)
{
	const char *const texts[N_TEXTS] = { f->fingerprint,	 f->subject.name,   f->subject.container_id, f->subject.task_arn,
					     f->subject.family, f->subject.image, f->evidence };
	const struct numbers n = { control_number(f->control), f->status, f->severity, f->subject.kind };

	if (n.control == MAX_CONTROLS)
		return;
	bytes_append(b, &n, sizeof(n));
	for (size_t i = 0; i < N_TEXTS; i++) {
		const char *text = texts[i] ? texts[i] : "";

		bytes_append(b, text, told(text));
		bytes_append(b, "", 1);
	}
}

static int take_text(struct cursor *c, const char **ret)
{
	const uint8_t *end = memchr(c->p, '\0', cursor_left(c)), *text;

	if (!end || cursor_take(c, (size_t)(end - c->p) + 1, &text) < 0)
		return -EBADMSG;
	*ret = (const char *)text;
	return 0;
}

int life_record_read(const void *data, size_t n, struct life_finding *ret, enum status *ret_status)
{
	struct life_finding f = { 0 };
	const char **const texts[N_TEXTS] = { &f.fingerprint, &f.name,	&f.container_id, &f.task_arn,
					      &f.family,      &f.image, &f.evidence };
	struct numbers numbers;
	const uint8_t *p;
	struct cursor c;

	cursor_init(&c, data, n);
	if (cursor_take(&c, sizeof(numbers), &p) < 0)
		return -EBADMSG;
	memcpy(&numbers, p, sizeof(numbers));
	f.control = control_at(numbers.control);
	if (!f.control || numbers.status >= _STATUS_MAX || numbers.severity >= _SEV_MAX ||
	    numbers.kind >= _SUBJECT_KIND_MAX)
		return -EBADMSG;
	f.severity = (enum severity)numbers.severity;
	f.kind = (enum subject_kind)numbers.kind;
	for (size_t i = 0; i < N_TEXTS; i++)
		if (take_text(&c, texts[i]) < 0)
			return -EBADMSG;
	if (cursor_left(&c) > 0 || !f.fingerprint[0])
		return -EBADMSG;
	*ret = f;
	*ret_status = (enum status)numbers.status;
	return 0;
}
