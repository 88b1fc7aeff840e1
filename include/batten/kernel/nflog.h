/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Packets that a rule logged: one nflog group, headers only. Everything in a packet but the hook and
 * the input device is the sender's own word.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

struct nflog;

struct nflog_packet {
	int family; /* AF_INET, AF_INET6 */
	uint8_t source[16], destination[16];
	uint8_t protocol;
	uint16_t port;	/* of the destination; 0 where there is none, as in later fragments */
	unsigned int hook; /* NF_INET_… */
	uint32_t input;	   /* interface index; 0: none */
	uint8_t mac[6];	   /* the frame's source; zero: unknown */
};

/*
 * nflog_open - listen to a group
 * Return: 0 or a negative errno: -EPERM without CAP_NET_ADMIN or when somebody else listens
 */
int nflog_open(struct nflog **ret, uint16_t group, struct diag *d) _must_check_;
struct nflog *nflog_free(struct nflog *n);
DEFINE_CLEANUP(struct nflog *, nflog_free)

int nflog_fd(const struct nflog *n);

/*
 * nflog_read - hand over what has come, without waiting
 * @ret_lost: packets that the kernel could not deliver since the last call
 * Return: 0, or a negative errno of the socket
 */
int nflog_read(struct nflog *n, void (*fn)(void *user, const struct nflog_packet *p), void *user,
	       uint64_t *ret_lost) _must_check_;

/* The packet's headers. Return: 0, or -EBADMSG for what is no IP packet. */
int nflog_parse(const void *payload, size_t size, struct nflog_packet *ret) _must_check_;
