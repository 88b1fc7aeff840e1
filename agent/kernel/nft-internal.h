/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the writer and the reader of a table share: libnftnl's form of one rule, so that the reader
 * can hold the kernel's rule against exactly what the writer would send.
 */
#include <stdio.h> /* libnftnl/expr.h needs FILE */

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include "batten/kernel/nft.h"

static inline struct nftnl_rule *nftnl_rule_done(struct nftnl_rule *r)
{
	nftnl_rule_free(r);
	return NULL;
}
DEFINE_CLEANUP(struct nftnl_rule *, nftnl_rule_done)

/* Return: 0 and a rule that the caller frees; -ENOMEM; -EPROTO when libnftnl does not know a statement or a value. */
int nft_rule_build(struct nftnl_rule **ret, const struct nft_table *t, const struct nft_chain *c,
		   const struct nft_rule *r) _must_check_;

/* "inet" or "bridge" */
const char *nft_family_name(int family);

/* nft's numbers for set types and their key lengths. Source: nftables include/datatype.h. */
struct nft_set_type_row {
	uint32_t type, length, byte_order;
};
extern const struct nft_set_type_row nft_set_types[_NFT_SET_TYPE_MAX];
