/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Netlink sockets: one request and its answers, a batch and its errors, a stream of events. The
 * kernel answers a netlink request before sendto() returns, so nothing here waits for long.
 */
#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct nl_socket;

/*
 * nl_open - open and bind a socket
 * @bus:      NETLINK_NETFILTER, NETLINK_ROUTE…
 * @groups:   multicast groups to join, @n_groups of them; may be NULL
 * Return: 0 or a negative errno; -EPERM when joining a group needs a capability that is missing
 */
int nl_open(struct nl_socket **ret, int bus, const unsigned int *groups, size_t n_groups,
	    struct diag *d) _must_check_;

/*
 * nl_adopt - make a socket of a descriptor that somebody kept for us
 * @fd: owned by the socket on success, and still the caller's on failure
 * Return: 0; -ENOTSOCK or -EPROTOTYPE when it is no netlink socket of @bus; -ENOMEM
 */
int nl_adopt(struct nl_socket **ret, int fd, int bus) _must_check_;

struct nl_socket *nl_close(struct nl_socket *nl);
DEFINE_CLEANUP(struct nl_socket *, nl_close)

int nl_fd(const struct nl_socket *nl);
uint32_t nl_portid(const struct nl_socket *nl);

/* A sequence number that no earlier message of this socket had. */
uint32_t nl_next_seq(struct nl_socket *nl);

/* Called with each message of a dump or answer. Return: 0 to go on, or a negative errno to stop. */
typedef int (*nl_message_fn)(const struct nlmsghdr *nlh, void *data);

/*
 * nl_request - send one message, hand every answer to @fn, wait for the end
 * @nlh: complete but for its sequence number, which is set here; NLM_F_ACK or NLM_F_DUMP is set
 * @fn:  may be NULL when only the acknowledgement counts
 * Return: 0; the kernel's negative errno (its own words in @d); -EINTR when a dump was
 *         interrupted by a change and has to be repeated by the caller; what @fn returned
 */
int nl_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_message_fn fn, void *data,
	       struct diag *d) _must_check_;

/*
 * nl_batch - send many messages at once and collect what the kernel says
 * @first_seq: sequence number of the first message; the kernel's errors name one
 * @refused:   told of each refused message, by its number counted from @first_seq, and its errno
 * Return: 0, or the errno of the first refused message
 */
typedef void (*nl_refusal_fn)(uint32_t number, int error, void *data);
int nl_batch(struct nl_socket *nl, const void *batch, size_t n_batch, uint32_t first_seq,
	     nl_refusal_fn refused, void *data, struct diag *d) _must_check_;

/*
 * nl_events - hand over what has arrived, without waiting
 * @budget: at most so many datagrams in one call, so that a flood cannot hold the loop
 * Return: 0 when all is read; 1 when more may wait; -ENOBUFS when events were lost and the caller
 *         has to look at everything again; another negative errno of recv() or of @fn
 */
int nl_events(struct nl_socket *nl, unsigned int budget, nl_message_fn fn, void *data) _must_check_;
