/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel's audit system over its own netlink family: is it on, did it lose records, and which
 * paths does it watch.
 *
 *   {"enabled": N, "lost": N, "watches": [PATH…]}
 */
#include <errno.h>
#include <linux/audit.h>
#include <string.h>

#include "audit/facts-internal.h"
#include "batten/kernel/netlink.h"

static int on_status(const struct nlmsghdr *nlh, void *data)
{
	struct audit_status status = { 0 };

	/* Newer kernels append members, older ones end early. */
	if (nlh->nlmsg_type != AUDIT_GET)
		return 0;
	memcpy(&status, mnl_nlmsg_get_payload(nlh), MIN(mnl_nlmsg_get_payload_len(nlh), sizeof(status)));
	json_object_set_new(data, "enabled", json_integer(status.enabled));
	json_object_set_new(data, "lost", json_integer(status.lost));
	return 0;
}

/* Strings of a rule stand one after another behind it; each field that has one says how long. */
static int on_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct audit_rule_data *rule = mnl_nlmsg_get_payload(nlh);
	size_t n = mnl_nlmsg_get_payload_len(nlh), offset = 0;

	if (nlh->nlmsg_type != AUDIT_LIST_RULES || n < sizeof(*rule) || rule->field_count > AUDIT_MAX_FIELDS)
		return 0;
	for (uint32_t i = 0; i < rule->field_count; i++) {
		uint32_t field = rule->fields[i], length = rule->values[i];
		bool text = field == AUDIT_WATCH || field == AUDIT_DIR || field == AUDIT_FILTERKEY || field == AUDIT_EXE ||
			    (field >= AUDIT_SUBJ_USER && field <= AUDIT_SUBJ_CLR) ||
			    (field >= AUDIT_OBJ_USER && field <= AUDIT_OBJ_LEV_HIGH);

		if (!text)
			continue;
		if (length > n - sizeof(*rule) - offset)
			return 0;
		if (field == AUDIT_WATCH || field == AUDIT_DIR || field == AUDIT_EXE)
			json_array_append_new(json_object_get(data, "watches"), json_stringn(rule->buf + offset, length));
		offset += length;
	}
	return 0;
}

static int ask(struct nl_socket *nl, uint16_t type, nl_message_fn fn, json_t *j, struct diag *d)
{
	char buf[64] = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	return nl_request(nl, nlh, fn, j, d);
}

int source_audit_load(struct facts *f, json_t **ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = json_pack("{s:i, s:i, s:[]}", "enabled", 0, "lost", 0, "watches");
	_cleanup_(nl_closep) struct nl_socket *nl = NULL;
	struct diag why = { 0 };
	int r;

	if (!j)
		return -ENOMEM;
	r = nl_open(&nl, NETLINK_AUDIT, NULL, 0, &why);
	if (r == -EPROTONOSUPPORT)
		return diag_fail(d, -ENOENT, NULL, "this kernel has no audit system");
	if (r >= 0)
		r = ask(nl, AUDIT_GET, on_status, j, &why);
	if (r >= 0)
		r = ask(nl, AUDIT_LIST_RULES, on_rule, j, &why);
	/* Only the first namespaces may ask; the kernel refuses the connection to all others. */
	if (r == -ECONNREFUSED)
		return diag_fail(d, -EIO, "kernel audit", "answers the host's first namespaces only");
	if (r < 0)
		return diag_errno(d, r == -ENOENT ? -EIO : r, "kernel audit", "cannot be asked");
	*ret = take_ptr(j);
	return 0;
}
