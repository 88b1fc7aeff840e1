/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The two readers of ecs.config. ecs-init's splits lines at the first "=" and keeps everything
 * else, so quotes, "export" and comments become part of names and values. systemd's is a small
 * shell-like grammar with quotes, escapes and comments, and gives the whole file up when a byte is
 * no UTF-8. Both are one pass over the text; names are found again through a hash.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batten/host/go-values.h"
#include "host/ecs-internal.h"

void ecs_lines_done(struct ecs_lines *l)
{
	free(l->v);
	free(l->slots);
	free(l->stray);
	free(l->owned);
	*l = (struct ecs_lines){ 0 };
}

static size_t hash(struct slice s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
	return (size_t)(h ^ h >> 32);
}

static bool same(struct slice a, struct slice b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static size_t *find_slot(const struct ecs_lines *l, struct slice name)
{
	size_t i = hash(name) & (l->n_slots - 1);

	while (l->slots[i] > 0 && !same(l->v[l->slots[i] - 1].name, name))
		i = (i + 1) & (l->n_slots - 1);
	return &l->slots[i];
}

/* Builds the hash; a later line takes the place of an earlier one. */
static int lines_index(struct ecs_lines *l)
{
	l->n_slots = 16;
	while (l->n_slots < l->n * 2)
		l->n_slots *= 2;
	l->slots = calloc(l->n_slots, sizeof(*l->slots));
	if (!l->slots)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++) {
		size_t *slot = find_slot(l, l->v[i].name);

		if (*slot > 0)
			l->v[*slot - 1].last = false;
		l->v[i].last = true;
		l->v[i].previous = *slot;
		*slot = i + 1;
	}
	return 0;
}

const struct ecs_line *ecs_lines_find(const struct ecs_lines *l, struct slice name)
{
	size_t slot = l->n_slots > 0 ? *find_slot(l, name) : 0;

	return slot > 0 ? &l->v[slot - 1] : NULL;
}

static int lines_add(struct ecs_lines *l, struct slice name, struct slice value, unsigned int line)
{
	if (l->n == l->size) {
		size_t size = l->size ? l->size * 2 : 32;
		struct ecs_line *grown = reallocarray(l->v, size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->v = grown;
		l->size = size;
	}
	l->v[l->n++] = (struct ecs_line){ .name = name, .value = value, .line = line };
	return 0;
}

static int stray_add(struct ecs_lines *l, unsigned int line)
{
	if (l->n_stray == l->stray_size) {
		size_t size = l->stray_size ? l->stray_size * 2 : 8;
		unsigned int *grown = reallocarray(l->stray, size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->stray = grown;
		l->stray_size = size;
	}
	l->stray[l->n_stray++] = line;
	return 0;
}

int ecs_read_agent(struct slice text, struct ecs_lines *ret)
{
	struct slice rest = go_trim_space(text);
	struct ecs_lines l = { 0 };
	unsigned int line = 1;
	int r = 0;

	for (const char *p = text.p; p < rest.p; p++)
		line += *p == '\n';
	while (r == 0 && rest.n > 0) {
		const char *newline = memchr(rest.p, '\n', rest.n), *equals;
		size_t n = newline ? (size_t)(newline - rest.p) : rest.n;
		struct slice s = go_trim_space((struct slice){ rest.p, n });

		equals = s.n > 0 ? memchr(s.p, '=', s.n) : NULL;
		if (equals)
			r = lines_add(&l, (struct slice){ s.p, (size_t)(equals - s.p) },
				      (struct slice){ equals + 1, s.n - (size_t)(equals - s.p) - 1 }, line);
		else if (s.n > 0 && s.p[0] != '#')
			r = stray_add(&l, line);
		n += newline ? 1 : 0;
		rest.p += n;
		rest.n -= n;
		line++;
	}
	if (r == 0)
		r = lines_index(&l);
	if (r < 0) {
		ecs_lines_done(&l);
		return r;
	}
	*ret = l;
	return 0;
}

enum systemd_state {
	BEFORE_NAME,
	NAME,
	BEFORE_VALUE,
	VALUE,
	VALUE_ESCAPE,
	SINGLE_QUOTED,
	DOUBLE_QUOTED,
	DOUBLE_QUOTED_ESCAPE,
	COMMENT,
	COMMENT_ESCAPE,
};

#define UNSET SIZE_MAX

struct systemd_reader {
	struct ecs_lines lines;
	char *out;     /* next free byte of lines.owned */
	struct slice name, value;
	size_t name_blanks, value_blanks; /* where blanks at the end begin, or UNSET */
	unsigned int line;
	const char *lost;
};

static bool is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || is_newline(c);
}

/* systemd's idea of UTF-8 leaves out what Unicode calls noncharacters. */
static bool utf8_accepted(struct slice s)
{
	uint32_t c;
	size_t n;

	for (; (n = go_utf8_next(s, &c)) > 0; s.p += n, s.n -= n) {
		if (n == 1 && c == 0xfffd)
			return false;
		if ((c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe)
			return false;
	}
	return true;
}

static bool name_accepted(struct slice s)
{
	if (s.n == 0 || (s.p[0] >= '0' && s.p[0] <= '9'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

/* A name and a value are complete. Return: 0, -EINVAL when the file is lost, -ENOMEM. */
static int systemd_push(struct systemd_reader *s)
{
	if (s->name_blanks != UNSET)
		s->name.n = s->name_blanks;
	if (!utf8_accepted(s->name) || !utf8_accepted(s->value)) {
		s->lost = "a byte that is no UTF-8: systemd drops the whole file";
		return -EINVAL;
	}
	return name_accepted(s->name) ? lines_add(&s->lines, s->name, s->value, s->line) : 0;
}

static void put_name(struct systemd_reader *s, char c)
{
	if (!is_blank(c))
		s->name_blanks = UNSET;
	else if (s->name_blanks == UNSET)
		s->name_blanks = s->name.n;
	*s->out++ = c;
	s->name.n++;
}

static void put_value(struct systemd_reader *s, char c)
{
	*s->out++ = c;
	s->value.n++;
}

static void begin_name(struct systemd_reader *s)
{
	s->name = (struct slice){ s->out, 0 };
	s->name_blanks = UNSET;
}

/* One byte in one state; the next state is returned, or a negative errno. */
static int systemd_step(struct systemd_reader *s, enum systemd_state state, char c)
{
	switch (state) {
	case BEFORE_NAME:
		s->line += c == '\n';
		if (c == '#' || c == ';')
			return COMMENT;
		if (is_blank(c))
			return BEFORE_NAME;
		begin_name(s);
		put_name(s, c);
		return NAME;
	case NAME:
		if (is_newline(c)) {
			s->line += c == '\n';
			return BEFORE_NAME;
		}
		if (c == '=') {
			s->value = (struct slice){ s->out, 0 };
			s->value_blanks = UNSET;
			return BEFORE_VALUE;
		}
		put_name(s, c);
		return NAME;
	case BEFORE_VALUE:
	case VALUE:
		if (is_newline(c)) {
			int r;

			if (state == VALUE && s->value_blanks != UNSET)
				s->value.n = s->value_blanks;
			r = systemd_push(s);
			s->line += c == '\n';
			return r < 0 ? r : BEFORE_NAME;
		}
		if (c == '\\') {
			s->value_blanks = UNSET;
			return VALUE_ESCAPE;
		}
		if (state == BEFORE_VALUE) {
			if (c == '\'')
				return SINGLE_QUOTED;
			if (c == '"')
				return DOUBLE_QUOTED;
			if (is_blank(c))
				return BEFORE_VALUE;
		} else if (!is_blank(c)) {
			s->value_blanks = UNSET;
		} else if (s->value_blanks == UNSET) {
			s->value_blanks = s->value.n;
		}
		put_value(s, c);
		return VALUE;
	case VALUE_ESCAPE:
		s->line += c == '\n';
		if (!is_newline(c))
			put_value(s, c);
		return VALUE;
	case SINGLE_QUOTED:
		s->line += c == '\n';
		if (c == '\'')
			return BEFORE_VALUE;
		put_value(s, c);
		return SINGLE_QUOTED;
	case DOUBLE_QUOTED:
		s->line += c == '\n';
		if (c == '"')
			return BEFORE_VALUE;
		if (c == '\\')
			return DOUBLE_QUOTED_ESCAPE;
		put_value(s, c);
		return DOUBLE_QUOTED;
	case DOUBLE_QUOTED_ESCAPE:
		s->line += c == '\n';
		if (c != '\n') {
			if (!strchr("\"\\`$", c))
				put_value(s, '\\');
			put_value(s, c);
		}
		return DOUBLE_QUOTED;
	case COMMENT:
		s->line += c == '\n';
		return c == '\\' ? COMMENT_ESCAPE : is_newline(c) ? BEFORE_NAME : COMMENT;
	case COMMENT_ESCAPE:
	default:
		/* Until version 254 a backslash carries the comment over to the next line. */
		s->line += c == '\n';
		return COMMENT;
	}
}

static int systemd_finish(struct systemd_reader *s, enum systemd_state state)
{
	if (state < BEFORE_VALUE || state >= COMMENT)
		return 0;
	if (state == VALUE && s->value_blanks != UNSET)
		s->value.n = s->value_blanks;
	return systemd_push(s);
}

int ecs_read_systemd(struct slice text, struct ecs_lines *ret, const char **ret_lost)
{
	struct systemd_reader s = { .line = 1 };
	int state = BEFORE_NAME, r;

	*ret_lost = NULL;
	if (text.n > 0 && memchr(text.p, '\0', text.n)) {
		*ret_lost = "a NUL byte: systemd drops the whole file";
		text.n = 0;
	}
	/* Each byte adds at most two: a backslash in double quotes that escapes nothing. */
	s.lines.owned = s.out = malloc(text.n * 2 + 1);
	if (!s.out)
		return -ENOMEM;
	for (size_t i = 0; i < text.n && state >= 0; i++)
		state = systemd_step(&s, (enum systemd_state)state, text.p[i]);
	r = state < 0 ? state : systemd_finish(&s, (enum systemd_state)state);
	if (r == -EINVAL) {
		*ret_lost = s.lost;
		s.lines.n = 0;
		r = 0;
	}
	if (r == 0)
		r = lines_index(&s.lines);
	if (r < 0) {
		ecs_lines_done(&s.lines);
		return r;
	}
	*ret = s.lines;
	return 0;
}
