/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two kinds of rules: shapes that are credentials wherever they stand, and names whose value is one
 * unless it is plainly none (empty, a reference to somewhere else, a path, a number, true/false).
 */
#include "audit/secrets.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "batten/base/macros.h"

/*
 * Who writes an image or user data writes what is read here, as much as he likes: nothing that is looked for
 * may take more than so many bytes, so that a text of n bytes takes n steps.
 */
#define MAX_NAME_BYTES 128   /* of a variable, from its end: a longer name is judged by that */
#define MAX_VALUE_BYTES 256  /* of a variable in a text: more of it tells no more */
#define MAX_USER_BYTES 1024  /* "://user:password@" */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static size_t run(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && is_word(p[n]))
		n++;
	return n;
}

/* Tokens with a prefix of their own: prefix, then at least so many word characters. */
static const struct {
	const char *prefix;
	size_t least, most; /* word characters behind it */
	const char *rule;
} shapes[] = {
	{ "AKIA", 16, 16, "AWS access key id" },
	{ "ASIA", 16, 16, "AWS temporary access key id" },
	{ "ghp_", 36, 255, "GitHub token" },
	{ "gho_", 36, 255, "GitHub token" },
	{ "ghs_", 36, 255, "GitHub token" },
	{ "github_pat_", 30, 255, "GitHub token" },
	{ "glpat-", 20, 255, "GitLab token" },
	{ "xoxb-", 20, 255, "Slack token" },
	{ "xoxp-", 20, 255, "Slack token" },
	{ "sk_live_", 16, 255, "Stripe key" },
	{ "AIza", 35, 35, "Google API key" },
	{ "npm_", 36, 36, "npm token" },
	{ "dckr_pat_", 20, 255, "Docker Hub token" },
	{ "rk_live_", 16, 255, "Stripe key" },
	{ "xapp-", 20, 255, "Slack token" },
	{ "hf_", 30, 255, "Hugging Face token" },
	{ "glrt-", 20, 255, "GitLab token" },
};

static const char *token_at(const char *p, const char *end)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		size_t n = strlen(shapes[i].prefix), k;

		if ((size_t)(end - p) < n || memcmp(p, shapes[i].prefix, n) != 0)
			continue;
		k = run(p + n, end);
		if (k >= shapes[i].least && k <= shapes[i].most)
			return shapes[i].rule;
	}
	return NULL;
}

/* A signed token: "eyJ…" (an object that begins with a quote) is its head, and its body after a dot. */
static bool is_signed_token(const char *p, const char *end)
{
	size_t n = end - p > 3 && memcmp(p, "eyJ", 3) == 0 ? run(p, end) : 0;

	return n >= 10 && end - p - (ptrdiff_t)n > 4 && memcmp(p + n, ".eyJ", 4) == 0;
}

static bool is_port(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p == end;
}

/* scheme://user:password@host with a password that is no placeholder; it may hold a "/". */
static bool url_with_password(const char *text, const char *end)
{
	for (const char *p = text; end - p > 3; p++) {
		const char *colon = NULL, *q, *stop;

		if (memcmp(p, "://", 3) != 0)
			continue;
		stop = p + MIN(end - p, (ptrdiff_t)MAX_USER_BYTES);
		q = p + 3;
		if (q < stop && *q == '[') /* an address of IPv6, and no user before it */
			continue;
		for (; q < stop && *q != ' ' && *q != '"' && *q != '\'' && *q != '@'; q++) {
			if (*q == '/' && (!colon || is_port(colon + 1, q)))
				break;
			if (*q == ':' && !colon)
				colon = q;
		}
		if (q < stop && *q == '@' && colon && q > colon + 1 && colon[1] != '$' && colon[1] != '<' && colon[1] != '*')
			return true;
	}
	return false;
}

const char *secret_in_text(const char *text, size_t n)
{
	const char *end = text + n;

	for (const char *p = text; p < end; p++) {
		const char *rule;

		if (*p == '-' && end - p > 26 && memcmp(p, "-----BEGIN ", 11) == 0 &&
		    memmem(p, (size_t)MIN(end - p, (ptrdiff_t)64), "PRIVATE KEY", 11))
			return "private key";
		if (p > text && is_word(p[-1]))
			continue;
		rule = is_signed_token(p, end) ? "signed token" : token_at(p, end);
		if (rule)
			return rule;
	}
	return url_with_password(text, end) ? "URL with a password" : NULL;
}

static bool ends(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n >= k && strcasecmp(name + n - k, suffix) == 0;
}

/* Names of ECS itself that only look like credentials. */
static bool harmless_name(const char *name)
{
	static const char *const names[] = {
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE",		  "ECS_CONTAINER_METADATA_URI",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return ends(name, "_FILE") || ends(name, "_PATH") || ends(name, "_URL") || ends(name, "_ARN") || ends(name, "_ID");
}

/* What stands where a credential is expected and is none: a reference to it, or a switch. */
static bool is_reference(const char *v)
{
	static const char *const prefixes[] = { "/",	 "$",	"<",	 "{{",	 "%",	 "arn:", "file:", "vault:", "ssm:", "secretsmanager:",
						"op://", "ref+", "ENC[", "enc:", "env:" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(v, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	/* "{0}" is filled in later, {"auths": ...} is not. */
	return strspn(v, "*xX") == strlen(v) || (v[0] == '{' && v[1] != '"');
}

static bool is_switch(const char *v)
{
	static const char *const words[] = { "true", "false", "yes", "no",   "on",   "off",  "0",
					     "1",    "none",  "null", "auto", "disabled", "enabled", "required", "optional" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(v, words[i]) == 0)
			return true;
	return false;
}

/* A password may be as short and as plain as somebody likes; a token is neither. */
static bool harmless_value(const char *v, bool password)
{
	if (is_reference(v) || is_switch(v))
		return true;
	return !password && (strlen(v) < 6 || strspn(v, "0123456789.") == strlen(v));
}

/* Names whose value is a credential. */
static const struct name_rule {
	const char *suffix, *rule;
	bool password, whole; /* whole: the name is this and no more */
} names[] = {
	{ "AWS_SECRET_ACCESS_KEY", "AWS secret access key", false, false },
	{ "AWS_SESSION_TOKEN", "AWS session token", false, false },
	{ "ECS_ENGINE_AUTH_DATA", "registry credentials", false, false },
	{ "DOCKER_AUTH_CONFIG", "registry credentials", false, false },
	{ "PASSWORD", "password", true, false },
	{ "PASSWD", "password", true, false },
	{ "_PWD", "password", true, false },
	{ "_PASS", "password", true, false },
	{ "PASS", "password", true, true },
	{ "PASSPHRASE", "password", true, false },
	{ "SECRET", "secret", false, false },
	{ "SECRET_KEY", "secret", false, false },
	{ "SECRET_KEY_BASE", "secret", false, false },
	{ "API_KEY", "API key", false, false },
	{ "APIKEY", "API key", false, false },
	{ "_TOKEN", "token", false, false },
	{ "TOKEN", "token", false, true },
	{ "PRIVATE_KEY", "private key", false, false },
	{ "ACCESS_KEY", "access key", false, false },
	{ "ENCRYPTION_KEY", "key", false, false },
};

static const struct name_rule *rule_of_name(const char *name)
{
	if (harmless_name(name))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].whole ? strcasecmp(name, names[i].suffix) == 0 : ends(name, names[i].suffix))
			return &names[i];
	return NULL;
}

static const char *judge_value(const struct name_rule *r, const char *value)
{
	return !r || !value[0] || harmless_value(value, r->password) ? NULL : r->rule;
}

/* Blanks and quotes end a word; what a shell or a builder's note puts around it counts for nothing. */
static bool ends_word(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '"' || c == '\'' || c == ';' || c == '&' || c == '|';
}

/* The value behind a "=", without its quotes. */
static const char *judge_rest(const struct name_rule *r, const char *p, const char *end)
{
	bool quoted = p < end && (*p == '"' || *p == '\'');
	char value[MAX_VALUE_BYTES + 1], quote = quoted ? *p++ : '\0';
	const char *rule;
	size_t n = 0;

	while (n < MAX_VALUE_BYTES && p + n < end && (quoted ? p[n] != quote : !ends_word(p[n])))
		n++;
	memcpy(value, p, n);
	value[n] = '\0';
	rule = judge_value(r, value);
	explicit_bzero(value, n);
	return rule;
}

const char *secret_in_assignments(struct slice *rest, struct arena *arena, const char **ret_name)
{
	const char *text = rest->p, *end = text + rest->n;

	for (const char *p = text; p < end; p++) {
		const struct name_rule *r;
		const char *name = p, *rule;
		char tail[MAX_NAME_BYTES + 1];
		size_t n;

		if (*p != '=')
			continue;
		while (name > text && is_word(name[-1]) && name[-1] != '-')
			name--;
		n = MIN((size_t)(p - name), (size_t)MAX_NAME_BYTES);
		memcpy(tail, p - n, n);
		tail[n] = '\0';
		r = rule_of_name(tail);
		rule = r ? judge_rest(r, p + 1, end) : NULL;
		if (rule) {
			if (arena)
				*ret_name = arena_strndup(arena, name, (size_t)(p - name));
			*rest = (struct slice){ p + 1, (size_t)(end - p) - 1 };
			return rule;
		}
	}
	return NULL;
}

/* A setting may hold others: "Server=db;Password=...", "jdbc:...?user=u&password=...", "-Dpassword=...". */
const char *secret_in_variable(const char *name, const char *value)
{
	const char *rule = secret_in_text(value, strlen(value));

	if (!rule)
		rule = judge_value(rule_of_name(name), value);
	return rule ? rule : secret_in_assignments(&(struct slice){ value, strlen(value) }, NULL, NULL);
}
