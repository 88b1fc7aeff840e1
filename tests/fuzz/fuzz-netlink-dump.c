/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answers of the kernel to what we ask over netlink: links, routing rules, the audit's watches, logged
 * packets. The functions of agent/kernel/netlink.c are replaced here; each question is answered by all
 * messages of the input. What libnftnl reads is left out: it ends the process over an attribute of
 * the wrong size.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/facts-internal.h"
#include "batten/kernel/links.h"
#include "batten/kernel/nflog.h"
#include "batten/kernel/routing-rules.h"

#define MAX_INPUT_BYTES 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct nlmsghdr *messages;
static int n_bytes;

struct nl_socket {
	uint32_t seq;
};

int nl_open(struct nl_socket **ret, int bus, const unsigned int *groups, size_t n_groups, struct diag *d)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -12;
}

int nl_adopt(struct nl_socket **ret, int fd, int bus)
{
	return nl_open(ret, bus, NULL, 0, NULL);
}

struct nl_socket *nl_close(struct nl_socket *nl)
{
	free(nl);
	return NULL;
}

int nl_fd(const struct nl_socket *nl)
{
	return -1;
}

uint32_t nl_portid(const struct nl_socket *nl)
{
	return 7;
}

uint32_t nl_next_seq(struct nl_socket *nl)
{
	return ++nl->seq;
}

static int answer(nl_message_fn fn, void *data)
{
	int left = n_bytes, r = 0;

	for (struct nlmsghdr *nlh = messages; r >= 0 && fn && mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
	     nlh = mnl_nlmsg_next(nlh, &left))
		r = fn(nlh, data);
	return r < 0 ? r : 0;
}

int nl_request(struct nl_socket *nl, struct nlmsghdr *nlh, nl_message_fn fn, void *data, struct diag *d)
{
	return answer(fn, data);
}

int nl_batch(struct nl_socket *nl, const void *batch, size_t n_batch, uint32_t first_seq, nl_refusal_fn refused,
	     void *data, struct diag *d)
{
	return 0;
}

int nl_events(struct nl_socket *nl, unsigned int budget, nl_message_fn fn, void *data)
{
	return answer(fn, data);
}

static void logged(void *user, const struct nflog_packet *p)
{
	if (p->family != AF_INET && p->family != AF_INET6)
		abort();
}

static void audited(void)
{
	struct facts_options o = { .root = "/proc/self/fdinfo" };
	struct facts *f;
	json_t *j = NULL;

	if (facts_open(&f, &o, NULL) < 0)
		return;
	if (source_audit_load(f, &j, NULL) == 0 && !json_is_object(j))
		abort();
	json_decref(j);
	facts_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	struct routing_rule *rules = NULL;
	struct bridge_port *ports = NULL;
	struct nflog *log;
	struct stat st;
	uint64_t lost;
	size_t k;

	if (n == 0 || n > MAX_INPUT_BYTES || nl_open(&nl, 0, NULL, 0, NULL) < 0)
		return 0;
	/* Padded as the kernel pads, and not a byte longer: a read past it is seen. */
	messages = calloc(1, NLMSG_ALIGN(n - 1) + 1);
	if (!messages)
		return 0;
	memcpy(messages, data + 1, n - 1);
	n_bytes = (int)n - 1;
	switch (data[0] % 4) {
	case 0:
		if (bridge_ports_read(nl, &ports, &k, NULL) == 0)
			for (size_t i = 0; i < k; i++)
				if (!memchr(ports[i].name, '\0', sizeof(ports[i].name)))
					abort();
		if (stat("/proc/self/ns/net", &st) == 0)
			(void)!netns_id(nl, getpid(), st.st_ino);
		break;
	case 1:
		(void)!routing_rules_read(nl, AF_INET6, &rules, &k, NULL);
		break;
	case 2:
		audited();
		break;
	default:
		if (nflog_open(&log, 1, NULL) == 0) {
			(void)!nflog_read(log, logged, NULL, &lost);
			nflog_free(log);
		}
	}
	free(ports);
	free(rules);
	free(messages);
	return 0;
}
