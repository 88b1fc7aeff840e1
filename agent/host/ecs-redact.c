/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values without their secrets. A value that is a secret becomes "***" as a whole; in any other
 * the passwords of URLs, members of JSON objects with telling names and AWS key ids are cut out.
 * The value of an unknown name is shown only when it cannot be a secret: a bool or a number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "batten/host/go-values.h"
#include "host/ecs-internal.h"

#define MASK "***"
#define KEY_ID_LENGTH 20 /* AKIA or ASIA and 16 more */
#define MAX_HARMLESS 12	 /* characters of a number with its unit */

static bool has_word(struct slice s, const char *const *words)
{
	for (; *words; words++) {
		size_t n = strlen(*words);

		for (size_t i = 0; i + n <= s.n; i++)
			if (strncasecmp(s.p + i, *words, n) == 0)
				return true;
	}
	return false;
}

static bool key_tells(struct slice s)
{
	static const char *const words[] = { "token", "secret", "passw", "pwd", "credential", "apikey",
					     "api-key", "api_key", "auth", "private", NULL };

	return has_word(s, words);
}

static bool is_key_id(struct slice s)
{
	if (s.n < KEY_ID_LENGTH || (memcmp(s.p, "AKIA", 4) != 0 && memcmp(s.p, "ASIA", 4) != 0))
		return false;
	for (size_t i = 4; i < KEY_ID_LENGTH; i++)
		if (!((s.p[i] >= 'A' && s.p[i] <= 'Z') || (s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	return true;
}

/* Is this a port, so that what stands before it was a host? */
static bool is_number(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p == end;
}

/*
 * The user part of a URL or of a bare proxy "user:password@host:port". Return: bytes from @s to
 * the "@", with the password's start in @ret_password, or 0. A password may hold what it may not, a "/".
 */
static size_t userinfo(struct slice s, size_t *ret_password)
{
	const char *at = NULL, *colon = NULL;
	size_t end = 0;

	for (; end < s.n && !strchr(" \t\"',", s.p[end]); end++) {
		if (strchr("/?#", s.p[end]) && (at || !colon || is_number(colon + 1, s.p + end)))
			break;
		if (s.p[end] == '@')
			at = s.p + end;
		else if (s.p[end] == ':' && !colon)
			colon = s.p + end;
	}
	if (!at || !colon || colon > at)
		return 0;
	*ret_password = (size_t)(colon - s.p) + 1;
	return (size_t)(at - s.p);
}

static bool after_scheme(struct slice s, size_t i)
{
	return i >= 3 && memcmp(s.p + i - 3, "://", 3) == 0;
}

/* Masks every place that shows one, and what is no text; @found says whether there was one. */
static void scrub(struct slice s, bool start_is_authority, struct bytes *out, bool *found)
{
	for (size_t i = 0; i < s.n;) {
		struct slice rest = { s.p + i, s.n - i };
		size_t password, n;
		uint32_t c;

		if (after_scheme(s, i) || (i == 0 && start_is_authority)) {
			n = userinfo(rest, &password);
			if (n > 0) {
				bytes_append(out, rest.p, password);
				bytes_append_str(out, MASK);
				i += n;
				*found = true;
				continue;
			}
		}
		if (is_key_id(rest)) {
			bytes_append_str(out, MASK);
			i += KEY_ID_LENGTH;
			*found = true;
			continue;
		}
		n = go_utf8_next(rest, &c);
		if (c == 0 || (n == 1 && c == 0xfffd))
			bytes_append_str(out, "\xef\xbf\xbd");
		else
			bytes_append(out, rest.p, n);
		i += n;
	}
}

/* Does a member say by its name, or by a name inside, that it is nobody's business? */
static bool member_tells(const struct go_json *m)
{
	return key_tells(m->key) || (m->child && (key_tells(m->raw) || memmem(m->raw.p, m->raw.n, "\\u", 2)));
}

/*
 * A JSON value whose members tell by their names. Return: 1 when @ret was written, 0 when there is
 * nothing to hide, or a negative errno.
 */
static int redact_json(struct slice value, char **ret)
{
	_cleanup_(go_json_freep) struct go_json_doc *doc = NULL;
	const struct go_json *root, *member;
	struct bytes out = { 0 };
	size_t at;
	bool hidden = false;
	int r;

	r = go_json_parse(value, true, &doc, &at);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !doc) {
		/* Not readable, so what it holds is anybody's guess. */
		if (!key_tells(value))
			return 0;
		*ret = strdup(MASK);
		return *ret ? 1 : -ENOMEM;
	}
	root = go_json_root(doc);
	if (root->type != GO_OBJECT && key_tells(value)) {
		*ret = strdup(MASK);
		return *ret ? 1 : -ENOMEM;
	}
	for (member = root->type == GO_OBJECT ? root->child : NULL; member; member = member->next)
		hidden = hidden || member_tells(member);
	if (!hidden)
		return 0;
	bytes_append(&out, "{", 1);
	for (member = root->child; member; member = member->next) {
		bytes_printf(&out, "%s\"%.*s\":", member == root->child ? "" : ",", (int)member->key.n,
			     member->key.p);
		if (member_tells(member))
			bytes_append_str(&out, "\"" MASK "\"");
		else
			scrub(member->raw, false, &out, &hidden);
	}
	bytes_append(&out, "}", 1);
	r = bytes_take(&out, ret, NULL);
	return r < 0 ? r : 1;
}

static bool harmless(struct slice s)
{
	int64_t n;
	bool b;

	s = go_trim_space(s);
	if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0])
		s = (struct slice){ s.p + 1, s.n - 2 };
	if (s.n == 0 || go_parse_bool(s, &b) == 0 || parse_bool(s, &b) == 0)
		return true;
	return s.n <= MAX_HARMLESS && (go_parse_int(s, &n) == 0 || go_parse_duration(s, &n) == 0);
}

static bool is_json_kind(const struct ecs_variable *row)
{
	return row->kind == ECS_MAP || row->kind == ECS_LABELS || row->kind == ECS_LOG_OPTIONS;
}

char *ecs_redact(const struct ecs_variable *row, struct slice value)
{
	struct bytes out = { 0 };
	char *text = NULL;
	bool found = false;
	int r = 0;

	if (value.n == 0)
		return strdup("");
	if (row ? row->flags & ECS_SECRET : !harmless(value))
		return strdup(MASK);
	/* What a misnamed variable holds may be what its right name would have held. */
	if (row && (row->flags & ECS_DEAD) && !harmless(value))
		return strdup(MASK);
	if (row && is_json_kind(row))
		r = redact_json(value, &text);
	if (r < 0)
		return NULL;
	if (r > 0)
		return text;
	scrub(value, row && (row->flags & ECS_MAY_HIDE), &out, &found);
	return bytes_take(&out, &text, NULL) < 0 ? NULL : text;
}

bool ecs_text_hides_secret(struct slice text)
{
	struct bytes out = { 0 };
	bool found = false;

	scrub(text, true, &out, &found);
	bytes_done(&out);
	return found;
}

bool ecs_line_hides_secret(struct slice line)
{
	struct slice s = go_trim_space(line);
	const char *equals = s.n > 0 ? memchr(s.p, '=', s.n) : NULL;
	size_t n = equals ? (size_t)(equals - s.p) : 0;
	struct slice value = { equals ? equals + 1 : s.p, equals ? s.n - n - 1 : s.n };
	const struct ecs_variable *row = ecs_variable_find((struct slice){ s.p, n });
	_cleanup_(freep) char *shown = NULL;

	/* A comment, and what is no assignment, is shown unless it looks like a secret. */
	if (!equals || !row)
		return ecs_text_hides_secret(s) || (equals && key_tells((struct slice){ s.p, n }) && !harmless(value));
	shown = ecs_redact(row, value);
	return !shown || strlen(shown) != value.n || memcmp(shown, value.p, value.n) != 0;
}
