/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The packet filter of the host's network namespace, rule by rule, as what a rule matches and does.
 * Rules of iptables-nft and of nftables look the same here. SOURCE_RULES is this document:
 *
 *   {"legacy": BOOL, "chains": [{"family", "table", "chain", "hook"?, "priority"?, "policy"?,
 *     "rules": [{"proto"?, "dport"?, "daddr"?, "daddr_not"?, "saddr"?, "saddr_not"?, "iif"?,
 *     "iif_not"?, "verdict"?, "target"?, "matches": [NAME…], "other": N}]}]}
 *
 * Addresses carry their prefix length; "other" counts the conditions that we do not read, so that
 * a rule is never taken for wider than it is.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/audit/facts.h"

/* True when rules of the old iptables interface are loaded, which nobody can list for us. */
bool rules_legacy(struct facts *f);

/* A chain by family, table and name; NULL is any. NULL when there is none. */
const json_t *rules_chain(struct facts *f, const char *family, const char *table, const char *chain);

/* Does the rule match packets to this address (text without prefix) and maybe nothing else? */
bool rule_to(const json_t *rule, const char *address);
bool rule_port(const json_t *rule, unsigned int port);
bool rule_does(const json_t *rule, const char *verdict_or_target);
/* Does it hold for every packet of its match, with no condition that we cannot read? */
bool rule_is_plain(const json_t *rule);
