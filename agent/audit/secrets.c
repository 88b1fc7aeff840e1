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

/* scheme://user:password@host with a password that is no placeholder. */
static bool url_with_password(const char *text, const char *end)
{
	for (const char *p = text; end - p > 3; p++) {
		const char *colon = NULL, *q;

		if (memcmp(p, "://", 3) != 0)
			continue;
		for (q = p + 3; q < end && *q != '/' && *q != ' ' && *q != '"' && *q != '\'' && *q != '@'; q++)
			if (*q == ':' && !colon)
				colon = q;
		if (q < end && *q == '@' && colon && q > colon + 1 && colon[1] != '$' && colon[1] != '<' && colon[1] != '*')
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
		rule = token_at(p, end);
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

static bool harmless_value(const char *v)
{
	size_t n = strlen(v);

	if (n < 6 || v[0] == '/' || v[0] == '$' || v[0] == '<' || v[0] == '{' || strncmp(v, "arn:", 4) == 0)
		return true;
	if (strspn(v, "*xX") == n || strspn(v, "0123456789.") == n)
		return true;
	return strcasecmp(v, "changeme") == 0 || strcasecmp(v, "disabled") == 0 || strcasecmp(v, "required") == 0;
}

const char *secret_in_variable(const char *name, const char *value)
{
	static const struct {
		const char *suffix, *rule;
	} names[] = {
		{ "AWS_SECRET_ACCESS_KEY", "AWS secret access key" },
		{ "AWS_SESSION_TOKEN", "AWS session token" },
		{ "ECS_ENGINE_AUTH_DATA", "registry credentials" },
		{ "PASSWORD", "password" },
		{ "PASSWD", "password" },
		{ "_PWD", "password" },
		{ "_PASS", "password" },
		{ "SECRET", "secret" },
		{ "SECRET_KEY", "secret" },
		{ "API_KEY", "API key" },
		{ "APIKEY", "API key" },
		{ "_TOKEN", "token" },
		{ "PRIVATE_KEY", "private key" },
		{ "ACCESS_KEY", "access key" },
	};
	const char *rule = secret_in_text(value, strlen(value));

	if (rule)
		return rule;
	if (harmless_name(name) || harmless_value(value))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (ends(name, names[i].suffix))
			return names[i].rule;
	return NULL;
}
