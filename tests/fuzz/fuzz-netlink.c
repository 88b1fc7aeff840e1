/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Messages of the nftables and routing-rule groups, as a buggy or newer kernel might send them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "batten/kernel/nft.h"
#include "batten/kernel/routing-rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	/* Padded as the kernel pads, and not a byte longer: a read past it is seen. */
	struct nlmsghdr *all = calloc(1, NLMSG_ALIGN(n) + 1), *nlh = all;
	int left = (int)n;

	if (!all)
		return 0;
	memcpy(all, data, n);
	/* mnl_nlmsg_ok() takes a length above INT_MAX for a negative one. */
	while (mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= n) {
		bool touches = false, commit = false;
		struct nft_commit who = { 0 };
		struct routing_rule rule;
		char text[160];

		nft_event(nlh, "batten", 7, &touches, &commit, &who);
		if (!memchr(who.process, '\0', sizeof(who.process)))
			abort();
		if (routing_rule_event(nlh, &rule))
			routing_rule_text(&rule, text, sizeof(text));
		nlh = mnl_nlmsg_next(nlh, &left);
	}
	free(all);
	return 0;
}
