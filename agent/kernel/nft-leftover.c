/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tables that were only tried, and whose process was killed before it could remove them.
 */
#include <errno.h>
#include <libnftnl/common.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batten/kernel/nft.h"

#define MAX_LEFTOVERS 64 /* those of some five lives; the next start takes more */

struct leftovers {
	const char *prefix;
	struct {
		int family;
		char name[NFT_NAME_SIZE];
	} tables[MAX_LEFTOVERS];
	size_t n;
};

static int on_table(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct leftovers *l = data;
	const char *name;

	if (!t)
		return -ENOMEM;
	if (nftnl_table_nlmsg_parse(nlh, t) == 0 && l->n < MAX_LEFTOVERS) {
		name = nftnl_table_get_str(t, NFTNL_TABLE_NAME);
		if (name && strlen(name) < NFT_NAME_SIZE && strncmp(name, l->prefix, strlen(l->prefix)) == 0) {
			l->tables[l->n].family = (int)nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY);
			(void)snprintf(l->tables[l->n++].name, NFT_NAME_SIZE, "%s", name);
		}
	}
	nftnl_table_free(t);
	return 0;
}

int nft_remove_leftovers(struct nl_socket *nl, const char *prefix, struct diag *d)
{
	_cleanup_(freep) struct leftovers *l = calloc(1, sizeof(*l));
	char buf[256];
	struct nlmsghdr *nlh;
	int r;

	if (!l)
		return -ENOMEM;
	l->prefix = prefix;
	memset(buf, 0, sizeof(buf));
	nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, NLM_F_DUMP, 0);
	r = nl_request(nl, nlh, on_table, l, d);
	for (size_t i = 0; r >= 0 && i < l->n; i++) {
		/* One that another process owns goes when that process does. */
		int removed = nft_remove(nl, l->tables[i].family, l->tables[i].name, NULL);

		if (removed < 0 && removed != -EPERM)
			r = diag_errno(d, removed, l->tables[i].name, "cannot remove a table that was only tried");
	}
	return r;
}
