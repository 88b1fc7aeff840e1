/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * One nftables table as data: what should be in the kernel. It can be written as netlink messages,
 * as text that `nft -f` reads, and compared with what the kernel has. Nobody's table but the named
 * one is ever touched.
 */
#include <netinet/in.h>
/* after netinet/in.h, or both define the same: */
#include <linux/netfilter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/bytes.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/kernel/netlink.h"

#define NFT_NAME_SIZE 32
#define NFT_COMMENT_SIZE 96
#define NFT_MAX_STATEMENTS 8
#define NFT_MAX_RULES 18 /* of one chain */
#define NFT_MAX_CHAINS 8
#define NFT_MAX_SETS 8
#define NFT_MAX_COUNTERS 16
#define NFT_MAX_ELEMENTS 2048 /* of one set */
#define NFT_KEY_SIZE 32	      /* of the longest element: a name and an IPv6 address */

/* An address of either family, in network order; IPv4 uses the first four bytes. */
struct ip_address {
	int family; /* AF_INET, AF_INET6 */
	uint8_t bytes[16];
};

static inline size_t ip_length(int family)
{
	return family == AF_INET ? 4 : 16;
}

enum nft_statement_kind {
	STMT_DADDR,	     /* destination is .address */
	STMT_SADDR_IN,	     /* source of .family is in set .name */
	STMT_SADDR_NOT_IN,    /* source of .family is not in set .name */
	STMT_PORT_NOT_IN,     /* input device and source of .family, as a pair, are not in set .name */
	STMT_IIFKIND_IN,	     /* kind of the input device is in set .name */
	STMT_IIF_PRESENT,     /* there is an input device: the packet is not of this host */
	STMT_IIF_NOT_LO,      /* it did not come through the loopback device */
	STMT_HOPS_SPENT,      /* IPv6 hop limit below 255: some router has passed the packet on */
	STMT_SOCKET_CGROUP,   /* the sender's cgroup2 ancestor at level .number has the id .cgroup */
	STMT_SOCKET_CGROUP_IN, /* the id of that ancestor at level .number is in set .name */
	STMT_L4PROTO,	     /* transport protocol is .number */
	STMT_LIMIT,	     /* at most .number a second, .burst at once */
	STMT_LOG,	     /* to nflog group .number with prefix .name, .snaplen bytes of the packet */
	STMT_COUNT,	     /* named counter .name */
	STMT_JUMP,	     /* chain .name */
	STMT_UNDO_TRANSLATION, /* give a TCP packet of .family the destination that its sender wrote; what
				  conntrack does not know is not matched */
	STMT_REJECT_RESET,    /* TCP reset */
	STMT_DROP,
	STMT_ACCEPT,
	_STMT_MAX,
};

struct nft_statement {
	enum nft_statement_kind kind;
	struct ip_address address;
	int family;
	char name[NFT_NAME_SIZE];
	uint32_t number, burst, snaplen;
	uint64_t cgroup;
	char cgroup_path[64]; /* below the mount; for the text */
};

struct nft_rule {
	struct nft_statement statements[NFT_MAX_STATEMENTS];
	size_t n_statements;
	char comment[NFT_COMMENT_SIZE];
};

struct nft_chain {
	char name[NFT_NAME_SIZE];
	int hook; /* NF_INET_…, or -1 for a chain that is only jumped to */
	int priority;
	char comment[NFT_COMMENT_SIZE];
	struct nft_rule rules[NFT_MAX_RULES];
	size_t n_rules;
};

enum nft_set_type {
	NFT_SET_IPV4,
	NFT_SET_IPV6,
	NFT_SET_IFNAME,
	NFT_SET_PORT4, /* the name of a device, and an address */
	NFT_SET_PORT6,
	NFT_SET_CGROUP, /* id in the host's byte order */
	_NFT_SET_TYPE_MAX,
};

struct nft_set {
	char name[NFT_NAME_SIZE];
	enum nft_set_type type;
	bool constant;
	char comment[NFT_COMMENT_SIZE];
	uint8_t (*elements)[NFT_KEY_SIZE]; /* owned by the table; names padded with NUL */
	size_t n_elements;
};

struct nft_counter {
	char name[NFT_NAME_SIZE];
	uint64_t packets, bytes; /* what it starts with */
};

struct nft_table {
	char name[NFT_NAME_SIZE];
	int family;  /* NFPROTO_INET or NFPROTO_BRIDGE */
	bool absent; /* the plan is that there be no such table */
	char comment[NFT_COMMENT_SIZE];
	bool with_comments; /* the kernel keeps comments of tables and chains (5.10) */
	uint32_t flags;	    /* NFT_TABLE_F_OWNER, NFT_F_PERSIST; text never has them */
	struct nft_counter counters[NFT_MAX_COUNTERS];
	size_t n_counters;
	struct nft_set sets[NFT_MAX_SETS];
	size_t n_sets;
	struct nft_chain chains[NFT_MAX_CHAINS];
	size_t n_chains;
};

/* Kernel 6.9; absent from the headers of Debian 12 and of libnftnl 1.2. */
#define NFT_F_PERSIST 0x4

struct nft_table *nft_table_new(int family, const char *name);
struct nft_table *nft_table_free(struct nft_table *t);
DEFINE_CLEANUP(struct nft_table *, nft_table_free)

/* Builders; they abort in debug builds when a MAX above is too small: plans are ours. */
struct nft_chain *nft_table_chain(struct nft_table *t, const char *name, int hook, int priority,
				  const char *comment);
struct nft_rule *nft_chain_rule(struct nft_chain *c, const char *comment);
void nft_rule_add(struct nft_rule *r, struct nft_statement s);
void nft_table_counter(struct nft_table *t, const char *name);
struct nft_set *nft_table_set(struct nft_table *t, const char *name, enum nft_set_type type,
			      bool constant, const char *comment);
/* Return: 0, -ENOMEM, or -E2BIG beyond NFT_MAX_ELEMENTS. */
int nft_set_add(struct nft_set *s, const void *element, size_t n) _must_check_;
/* The element of NFT_SET_PORT4 or 6 for a device and an address. */
int nft_set_add_port(struct nft_set *s, const char *device, const struct ip_address *a) _must_check_;

/* Text of one rule as `nft list` prints it, without the comment. */
void nft_rule_text(struct bytes *b, const struct nft_table *t, const struct nft_rule *r);

/* The table as text for `nft -f`: replaces it in one transaction. */
void nft_table_text(struct bytes *b, const struct nft_table *t);

/*
 * nft_replace - put the tables in the kernel in one transaction, whatever was there
 * @nl:     a NETLINK_NETFILTER socket; it owns a table whose .flags says so
 * @tables: @n of them; one that is to be absent is removed
 * Return: 0 or a negative errno: -EPERM without CAP_NET_ADMIN or when another socket owns one
 */
int nft_replace(struct nl_socket *nl, const struct nft_table *const *tables, size_t n,
		struct diag *d) _must_check_;

/*
 * nft_create - the same where there is none of them yet
 * A replacement leaves the kernel something to forget, even of a table that was not there, and who
 * closes @nl waits until it has: 5 to 15 ms.
 * Return: as nft_replace(); -EEXIST when there is one: nothing is changed
 */
int nft_create(struct nl_socket *nl, const struct nft_table *const *tables, size_t n,
	       struct diag *d) _must_check_;

/*
 * nft_try - what the kernel says to each of these tables, of different names
 * They are made dormant, put in the kernel in one batch, and removed. A batch without an end would
 * leave no trace, but the kernel checks in which hook an expression may stand only when it commits
 * (`nft -c` accepts a reject in postrouting), and forgetting takes it some 10 ms, committing 1.
 * @n:          at most NFT_MAX_TRIED
 * @ret_errors: 0 or the errno of the first refusal, for each table
 * Return: 0; -EPERM without CAP_NET_ADMIN; another negative errno: nothing is known
 */
#define NFT_MAX_TRIED 16
int nft_try(struct nl_socket *nl, struct nft_table *const *tables, size_t n, int *ret_errors,
	    struct diag *d) _must_check_;

/* Removes the table. Return: 0, also when there is none, or a negative errno. */
int nft_remove(struct nl_socket *nl, int family, const char *name, struct diag *d) _must_check_;

/*
 * nft_remove_leftovers - remove what a killed process left of nft_try()
 * @prefix: of the names that are only ever tried. Those of a process that is just trying may go as well:
 *          it has its answer with the batch that makes them.
 * Return: 0 or a negative errno; -EINTR when somebody changed the tables meanwhile
 */
int nft_remove_leftovers(struct nl_socket *nl, const char *prefix, struct diag *d) _must_check_;

/* How the kernel's table differs from the plan, part by part. */
struct nft_state {
	bool present;
	uint32_t flags;	       /* the kernel's; NFT_TABLE_F_DORMANT counts as a difference */
	uint32_t owner_portid; /* 0: none, or orphaned */
	bool table_differs;    /* flags, sets, counters, chains or elements that do not belong */
	bool chain_present[NFT_MAX_CHAINS], chain_differs[NFT_MAX_CHAINS];
	uint64_t packets[NFT_MAX_COUNTERS], bytes[NFT_MAX_COUNTERS]; /* in the plan's order */
	char first_difference[160]; /* for a human; "" when there is none */
};

/*
 * nft_compare - read the table back and hold it against the plan
 * Return: 0 or a negative errno of reading; a difference is no error
 */
int nft_compare(struct nl_socket *nl, const struct nft_table *t, struct nft_state *ret,
		struct diag *d) _must_check_;

/* True when nothing differs. */
bool nft_state_ok(const struct nft_table *t, const struct nft_state *s);

/*
 * What an event says about the table. @ret_touches: our table was changed by a message of another
 * socket than @own_portid. @ret_commit: the end of a transaction, with who did it in @who.
 */
struct nft_commit {
	uint32_t pid;
	char process[17]; /* empty when the kernel did not tell */
};
void nft_event(const struct nlmsghdr *nlh, const char *table, uint32_t own_portid, bool *ret_touches,
	       bool *ret_commit, struct nft_commit *who);
