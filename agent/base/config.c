/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The configuration reader: inih splits lines, a table says what they mean. inih tells neither
 * line numbers nor repeated sections to its handler and cuts long lines in two, so the reader that
 * feeds it counts lines and looks at headers itself.
 */
#include "batten/base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <string.h>

#include "batten/base/file.h"

#define MAX_FILE_BYTES (256 * 1024)
#define MAX_KEYS 256 /* of all sections together */

struct config_reader {
	const char *path;
	struct slice left;
	const struct config_section *sections;
	size_t n_sections;
	void *const *targets;
	bool seen_section[16];
	bool seen_key[MAX_KEYS];
	unsigned int line;
	int error;
	struct diag *d;
};

static const struct config_section *find_section(const struct config_reader *c, struct slice name,
						 size_t *ret_index)
{
	for (size_t i = 0; i < c->n_sections; i++) {
		if (slice_eq(name, c->sections[i].name)) {
			*ret_index = i;
			return &c->sections[i];
		}
	}
	return NULL;
}

static int check_header(struct config_reader *c, struct slice line)
{
	const char *close = memchr(line.p, ']', line.n);
	struct slice name;
	size_t i;

	if (!close)
		return diag_line(c->d, -EINVAL, c->path, c->line, "a section header ends with ]");
	name = (struct slice){ line.p + 1, (size_t)(close - line.p) - 1 };
	if (!find_section(c, name, &i))
		return diag_line(c->d, -EINVAL, c->path, c->line, "unknown section [%.*s]",
				 (int)MIN(name.n, (size_t)64), name.p);
	if (c->seen_section[i])
		return diag_line(c->d, -EINVAL, c->path, c->line,
				 "section [%s] stands twice; put its keys together",
				 c->sections[i].name);
	c->seen_section[i] = true;
	return 0;
}

/* What inih would let pass is refused here, where the line number is known. */
static int check_line(struct config_reader *c, struct slice line, size_t buffer_size)
{
	struct slice text = slice_trim(line);

	if (memchr(line.p, '\0', line.n))
		return diag_line(c->d, -EINVAL, c->path, c->line, "a NUL byte; text is needed");
	if (line.n + 2 > buffer_size)
		return diag_line(c->d, -EINVAL, c->path, c->line, "line is longer than %zu bytes",
				 buffer_size - 2);
	if (text.n == 0 || text.p[0] == '#' || text.p[0] == ';')
		return 0;
	if (text.p != line.p)
		return diag_line(c->d, -EINVAL, c->path, c->line,
				 "line begins with a blank; values cannot be continued");
	if (text.p[0] == '[')
		return check_header(c, text);
	if (!memchr(text.p, '=', text.n))
		return diag_line(c->d, -EINVAL, c->path, c->line, "expected KEY = VALUE");
	return 0;
}

static char *read_line(char *buf, int size, void *user)
{
	struct config_reader *c = user;
	const char *end;
	size_t n;

	if (c->left.n == 0 || c->error < 0)
		return NULL;
	c->line++;
	end = memchr(c->left.p, '\n', c->left.n);
	n = end ? (size_t)(end - c->left.p) : c->left.n;
	c->error = check_line(c, (struct slice){ c->left.p, n }, (size_t)size);
	if (c->error < 0)
		return NULL;
	memcpy(buf, c->left.p, n);
	buf[n] = '\n';
	buf[n + 1] = '\0';
	c->left.p += n + (end ? 1 : 0);
	c->left.n -= n + (end ? 1 : 0);
	return buf;
}

static size_t key_number(const struct config_reader *c, size_t section, size_t key)
{
	size_t n = key;

	for (size_t i = 0; i < section; i++)
		n += c->sections[i].n_keys;
	return n;
}

static int parse_value(const struct config_key *k, const char *value, void *target,
		       const char *path, unsigned int line, struct diag *d)
{
	struct diag why = { 0 };
	int r;

	r = k->parse(k, slice_trim(slice_of(value)), (char *)target + k->offset, &why);
	if (r < 0)
		return diag_line(d, r, path, line, "%s = %.64s: %s", k->name, value,
				 why.what[0] ? why.what : strerror(-r));
	return 0;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct config_reader *c = user;
	const struct config_section *s;
	size_t i;

	if (c->error < 0)
		return 0;
	s = find_section(c, slice_of(section), &i);
	if (!s) {
		c->error = diag_line(c->d, -EINVAL, c->path, c->line,
				     "key %.64s stands before any [section]", name);
		return 0;
	}
	for (size_t k = 0; k < s->n_keys; k++) {
		size_t number = key_number(c, i, k);

		if (strcmp(s->keys[k].name, name) != 0)
			continue;
		if (c->seen_key[number])
			c->error = diag_line(c->d, -EINVAL, c->path, c->line,
					     "key %s stands twice in [%s]", name, s->name);
		else
			c->error = parse_value(&s->keys[k], value, c->targets[i], c->path, c->line, c->d);
		c->seen_key[number] = true;
		return c->error == 0;
	}
	c->error = diag_line(c->d, -EINVAL, c->path, c->line, "unknown key %.64s in [%s]", name, s->name);
	return 0;
}

int config_defaults(const struct config_section *sections, size_t n_sections, void *const *targets,
		    struct diag *d)
{
	for (size_t i = 0; i < n_sections; i++) {
		for (size_t k = 0; k < sections[i].n_keys; k++) {
			const struct config_key *key = &sections[i].keys[k];
			int r = parse_value(key, key->default_text, targets[i], "built-in defaults", 0, d);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

int config_read(const char *path, bool optional, const struct config_section *sections,
		size_t n_sections, void *const *targets, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	struct config_reader c = {
		.path = path,
		.sections = sections,
		.n_sections = n_sections,
		.targets = targets,
		.d = d,
	};
	size_t n;
	int r;

	r = config_defaults(sections, n_sections, targets, d);
	if (r < 0)
		return r;
	r = file_read(AT_FDCWD, path, MAX_FILE_BYTES, &text, &n, optional ? NULL : d);
	if (r == -ENOENT && optional)
		return 0;
	if (r < 0)
		return diag_errno(d, r, path, "cannot read configuration");
	c.left = (struct slice){ text, n };
	r = ini_parse_stream(read_line, &c, on_key, &c);
	if (c.error < 0)
		return c.error;
	if (r != 0) /* inih's own complaint: the number of a line that check_line() let pass */
		return r < 0 ? -ENOMEM : diag_line(d, -EINVAL, path, (unsigned int)r, "cannot be read");
	return 0;
}

int config_parse_bool(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	return parse_bool(v, target) < 0 ? diag_fail(d, -EINVAL, NULL, "use yes or no") : 0;
}

int config_parse_uint(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	uint64_t n;

	if (parse_u64(v, k->min, k->max, &n) < 0)
		return diag_fail(d, -EINVAL, NULL, "use a number from %llu to %llu",
				 (unsigned long long)k->min, (unsigned long long)k->max);
	*(unsigned int *)target = (unsigned int)n;
	return 0;
}

int config_parse_duration(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	if (parse_duration_ms(v, k->min, k->max, target) < 0)
		return diag_fail(d, -EINVAL, NULL,
				 "use a duration with its unit (ms, s, m, h) from %llums to %llums",
				 (unsigned long long)k->min, (unsigned long long)k->max);
	return 0;
}

int config_parse_word(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	char list[256] = "";
	size_t n = 0;

	for (int i = 0; k->words[i]; i++) {
		if (slice_eq(v, k->words[i])) {
			*(int *)target = i;
			return 0;
		}
		for (const char *p = i > 0 ? ", " : ""; *p && n < sizeof(list) - 1; p++)
			list[n++] = *p;
		for (const char *p = k->words[i]; *p && n < sizeof(list) - 1; p++)
			list[n++] = *p;
		list[n] = '\0';
	}
	return diag_fail(d, -EINVAL, NULL, "use one of: %s", list);
}
