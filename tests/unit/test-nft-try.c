/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kernel says to tables that are only tried, in a network namespace of the test's own. */
#include "unit.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>

#include "batten/kernel/nft.h"

#define UNKNOWN_FLAG 0x40000000

static struct nft_table *table(const char *name, int hook)
{
	struct nft_table *t = nft_table_new(NFPROTO_INET, name);
	struct nft_rule *r;

	assert_non_null(t);
	r = nft_chain_rule(nft_table_chain(t, "probe", hook, 0, NULL), NULL);
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_L4PROTO, .number = IPPROTO_TCP });
	nft_rule_add(r, (struct nft_statement){ .kind = STMT_REJECT_RESET });
	return t;
}

static void each_table_gets_its_own_answer(void **state)
{
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	struct nft_table *tables[5];
	struct nft_state left;
	int errors[5], r;

	if (unshare(CLONE_NEWNET) < 0)
		skip_because("no network namespace of its own here");
	r = nl_open(&nl, NETLINK_NETFILTER, NULL, 0, NULL);
	if (r == -EPROTONOSUPPORT)
		skip_because("no netlink of netfilter, as under an emulator of user space");
	assert_int_equal(r, 0);
	tables[0] = table("good", NF_INET_FORWARD);
	tables[1] = table("flags", NF_INET_FORWARD);
	tables[1]->flags = UNKNOWN_FLAG;
	tables[2] = table("again_good", NF_INET_FORWARD);
	tables[3] = table("hook", NF_INET_POST_ROUTING); /* where nothing can be rejected */
	tables[4] = table("last", NF_INET_LOCAL_IN);
	assert_int_equal(nft_try(nl, tables, 5, errors, NULL), 0);
	assert_int_equal(errors[0], 0);
	assert_true(errors[1] < 0);
	assert_int_equal(errors[2], 0);
	assert_true(errors[3] < 0);
	assert_int_equal(errors[4], 0);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(nft_compare(nl, tables[i], &left, NULL), 0);
		assert_false(left.present);
		tables[i] = nft_table_free(tables[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_table_gets_its_own_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
