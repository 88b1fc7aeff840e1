/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The first bytes of packets that a container made.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "batten/kernel/nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct nflog_packet p = { 0 };

	if (nflog_parse(data, n, &p) == 0 && p.family != AF_INET && p.family != AF_INET6)
		__builtin_trap();
	return 0;
}
