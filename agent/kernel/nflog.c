/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nfnetlink_log. The kernel numbers what it logs, so that gaps tell what a full buffer lost.
 */
#include "batten/kernel/nflog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <netinet/in.h>
#include <string.h>

#include "batten/base/cursor.h"
#include "batten/kernel/netlink.h"

#define COPY_BYTES 96
#define BUDGET 64 /* datagrams in one turn of the loop */
#define BUFFER_SIZE 512

struct nflog {
	struct nl_socket *nl;
	uint16_t group;
	bool started;
	uint32_t next_seq;
	uint64_t lost;
	void (*fn)(void *user, const struct nflog_packet *p);
	void *user;
};

static struct nlmsghdr *config_message(char *buf, uint16_t group)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	nlh->nlmsg_type = (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	g->res_id = htons(group);
	return nlh;
}

static int bind_group(struct nflog *n, struct diag *d)
{
	struct nfulnl_msg_config_mode mode = { .copy_range = htonl(COPY_BYTES), .copy_mode = NFULNL_COPY_PACKET };
	struct nfulnl_msg_config_cmd bind = { .command = NFULNL_CFG_CMD_BIND };
	char buf[BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *nlh;
	int r;

	nlh = config_message(buf, n->group);
	mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof(bind), &bind);
	r = nl_request(n->nl, nlh, NULL, NULL, NULL);
	if (r < 0)
		return diag_errno(d, r, "nflog", "cannot listen to group %u; another program may have it", n->group);
	nlh = config_message(buf, n->group);
	mnl_attr_put(nlh, NFULA_CFG_MODE, sizeof(mode), &mode);
	mnl_attr_put_u32(nlh, NFULA_CFG_QTHRESH, htonl(1));
	mnl_attr_put_u16(nlh, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	r = nl_request(n->nl, nlh, NULL, NULL, NULL);
	return r < 0 ? diag_errno(d, r, "nflog", "cannot set up group %u", n->group) : 0;
}

int nflog_open(struct nflog **ret, uint16_t group, struct diag *d)
{
	_cleanup_(nflog_freep) struct nflog *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->group = group;
	r = nl_open(&n->nl, NETLINK_NETFILTER, NULL, 0, d);
	if (r >= 0)
		r = bind_group(n, d);
	if (r < 0)
		return r;
	*ret = take_ptr(n);
	return 0;
}

struct nflog *nflog_free(struct nflog *n)
{
	if (!n)
		return NULL;
	n->nl = nl_close(n->nl);
	free(n);
	return NULL;
}

int nflog_fd(const struct nflog *n)
{
	return nl_fd(n->nl);
}

static int parse_ip4(struct cursor c, struct nflog_packet *p)
{
	uint16_t offset = 0, source_port;
	const uint8_t *address;
	uint8_t first = 0;
	int r;

	p->family = AF_INET;
	r = cursor_u8(&c, &first);
	if (r >= 0)
		r = cursor_skip(&c, 5);
	if (r >= 0)
		r = cursor_u16be(&c, &offset);
	if (r >= 0)
		r = cursor_skip(&c, 1);
	if (r >= 0)
		r = cursor_u8(&c, &p->protocol);
	if (r >= 0)
		r = cursor_skip(&c, 2);
	if (r >= 0 && (r = cursor_take(&c, 4, &address)) >= 0)
		memcpy(p->source, address, 4);
	if (r >= 0 && (r = cursor_take(&c, 4, &address)) >= 0)
		memcpy(p->destination, address, 4);
	if (r < 0)
		return r;
	/* Options come before the ports, and only a first fragment has any. */
	if ((first & 15) < 5)
		return -EBADMSG;
	if ((offset & 0x1fff) == 0 && (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP) &&
	    cursor_skip(&c, (size_t)((first & 15) - 5) * 4) == 0 && cursor_u16be(&c, &source_port) == 0)
		(void)cursor_u16be(&c, &p->port);
	return 0;
}

static int parse_ip6(struct cursor c, struct nflog_packet *p)
{
	const uint8_t *address;
	uint16_t source_port;
	int r;

	p->family = AF_INET6;
	r = cursor_skip(&c, 6);
	if (r >= 0)
		r = cursor_u8(&c, &p->protocol);
	if (r >= 0)
		r = cursor_skip(&c, 1);
	if (r >= 0 && (r = cursor_take(&c, 16, &address)) >= 0)
		memcpy(p->source, address, 16);
	if (r >= 0 && (r = cursor_take(&c, 16, &address)) >= 0)
		memcpy(p->destination, address, 16);
	if (r >= 0 && (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP) &&
	    cursor_u16be(&c, &source_port) == 0)
		(void)cursor_u16be(&c, &p->port);
	return r;
}

int nflog_parse(const void *payload, size_t size, struct nflog_packet *ret)
{
	struct cursor c;

	cursor_init(&c, payload, size);
	if (size == 0)
		return -EBADMSG;
	switch (*(const uint8_t *)payload >> 4) {
	case 4:
		return parse_ip4(c, ret);
	case 6:
		return parse_ip6(c, ret);
	default:
		return -EBADMSG;
	}
}

static int on_attribute(const struct nlattr *a, void *data)
{
	const struct nlattr **table = data;

	if (mnl_attr_get_type(a) <= NFULA_MAX)
		table[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static void count_gaps(struct nflog *n, const struct nlattr *a)
{
	uint32_t seq;

	if (!a || mnl_attr_get_payload_len(a) < sizeof(seq))
		return;
	seq = ntohl(mnl_attr_get_u32(a));
	if (n->started)
		n->lost += seq - n->next_seq;
	n->started = true;
	n->next_seq = seq + 1;
}

static int on_message(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *a[NFULA_MAX + 1] = { 0 };
	struct nflog_packet p = { 0 };
	struct nflog *n = data;

	if (nlh->nlmsg_type != ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET) ||
	    mnl_attr_parse(nlh, sizeof(struct nfgenmsg), on_attribute, a) < 0)
		return 0;
	count_gaps(n, a[NFULA_SEQ]);
	if (!a[NFULA_PAYLOAD] ||
	    nflog_parse(mnl_attr_get_payload(a[NFULA_PAYLOAD]), mnl_attr_get_payload_len(a[NFULA_PAYLOAD]), &p) < 0)
		return 0;
	if (a[NFULA_PACKET_HDR] &&
	    mnl_attr_get_payload_len(a[NFULA_PACKET_HDR]) >= sizeof(struct nfulnl_msg_packet_hdr))
		p.hook = ((const struct nfulnl_msg_packet_hdr *)mnl_attr_get_payload(a[NFULA_PACKET_HDR]))->hook;
	if (a[NFULA_IFINDEX_INDEV] && mnl_attr_get_payload_len(a[NFULA_IFINDEX_INDEV]) >= sizeof(uint32_t))
		p.input = ntohl(mnl_attr_get_u32(a[NFULA_IFINDEX_INDEV]));
	if (a[NFULA_HWADDR] && mnl_attr_get_payload_len(a[NFULA_HWADDR]) >= sizeof(struct nfulnl_msg_packet_hw)) {
		const struct nfulnl_msg_packet_hw *hw = mnl_attr_get_payload(a[NFULA_HWADDR]);

		if (ntohs(hw->hw_addrlen) == sizeof(p.mac))
			memcpy(p.mac, hw->hw_addr, sizeof(p.mac));
	}
	n->fn(n->user, &p);
	return 0;
}

int nflog_read(struct nflog *n, void (*fn)(void *user, const struct nflog_packet *p), void *user,
	       uint64_t *ret_lost)
{
	int r;

	n->fn = fn;
	n->user = user;
	r = nl_events(n->nl, BUDGET, on_message, n);
	*ret_lost = n->lost;
	n->lost = 0;
	return r == -ENOBUFS ? 0 : MIN(r, 0);
}
