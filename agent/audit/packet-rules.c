/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Questions about the rules document.
 */
#include "audit/packet-rules.h"

#include <string.h>

bool rules_legacy(struct facts *f)
{
	return json_is_true(json_object_get(facts_document(f, SOURCE_RULES), "legacy"));
}

static bool is(const json_t *chain, const char *key, const char *wanted)
{
	return !wanted || strcmp(facts_json_string(chain, key, ""), wanted) == 0;
}

const json_t *rules_chain(struct facts *f, const char *family, const char *table, const char *chain)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(facts_document(f, SOURCE_RULES), "chains"), i, v) {
		if (is(v, "family", family) && is(v, "table", table) && is(v, "chain", chain))
			return v;
	}
	return NULL;
}

bool rule_to(const json_t *rule, const char *address)
{
	const char *daddr = facts_json_string(rule, "daddr", "");
	size_t n = strlen(address);

	return strncmp(daddr, address, n) == 0 && (daddr[n] == '\0' || strcmp(daddr + n, "/32") == 0 ||
						   strcmp(daddr + n, "/128") == 0);
}

bool rule_port(const json_t *rule, unsigned int port)
{
	return facts_json_int(rule, "dport", -1) == (int64_t)port;
}

bool rule_does(const json_t *rule, const char *what)
{
	return strcmp(facts_json_string(rule, "verdict", ""), what) == 0 ||
	       strcmp(facts_json_string(rule, "target", ""), what) == 0;
}

bool rule_is_plain(const json_t *rule)
{
	return facts_json_int(rule, "other", 0) == 0;
}
