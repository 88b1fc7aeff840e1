/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * flood: whole IPv4 packets, half of them TCP SYN and half UDP, through a raw socket, as fast as
 * they go.
 *
 *	flood COUNT ADDRESS
 *
 * Prints {"sent": N, "refused": N, "cpu_us": N}: refused are those that the kernel answered EPERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "batten/base/fd.h"
#include "batten/base/parse.h"

#define AT_ONCE 64

struct packet {
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
} __attribute__((packed));

static void make(struct packet *p, in_addr_t to, unsigned int i)
{
	memset(p, 0, sizeof(*p));
	p->ip.version = 4;
	p->ip.ihl = 5;
	p->ip.ttl = 64;
	p->ip.protocol = i % 2 ? IPPROTO_TCP : IPPROTO_UDP;
	p->ip.daddr = to; /* the kernel writes source, length and checksum */
	if (i % 2) {
		p->tcp.source = htons((uint16_t)(1024 + i));
		p->tcp.dest = htons(80);
		p->tcp.doff = 5;
		p->tcp.syn = 1;
	} else {
		p->udp.source = htons((uint16_t)(1024 + i));
		p->udp.dest = htons(80);
		p->udp.len = htons(sizeof(p->tcp));
	}
}

int main(int argc, char **argv)
{
	_cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct mmsghdr messages[AT_ONCE];
	struct packet packets[AT_ONCE];
	struct iovec parts[AT_ONCE];
	uint64_t count, sent = 0, refused = 0;
	struct rusage u;

	if (argc != 3 || parse_u64(slice_of(argv[1]), 1, 10000000, &count) < 0 ||
	    inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
		(void)fputs("usage: flood COUNT ADDRESS\n", stderr);
		return 2;
	}
	memset(messages, 0, sizeof(messages));
	for (unsigned int i = 0; i < AT_ONCE; i++) {
		make(&packets[i], to.sin_addr.s_addr, i);
		parts[i] = (struct iovec){ &packets[i], sizeof(packets[i]) };
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &parts[i], .msg_iovlen = 1,
		};
	}
	while (fd >= 0 && sent + refused < count) {
		unsigned int n = (unsigned int)MIN(count - sent - refused, (uint64_t)AT_ONCE);
		int r = sendmmsg(fd, messages, n, 0);

		if (r > 0) {
			sent += (uint64_t)r;
		} else if (r < 0 && errno == EPERM) {
			refused++;
		} else if (r < 0 && errno != EINTR && errno != ENOBUFS) {
			break;
		}
	}
	if (sent + refused < count) {
		perror("flood");
		return 3;
	}
	(void)getrusage(RUSAGE_SELF, &u);
	(void)printf("{\"sent\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"cpu_us\": %lld}\n", sent, refused,
		     (long long)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
			     u.ru_stime.tv_usec);
	return 0;
}
