/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writer and reader are one walk over the struct, so that they cannot disagree. A number is eight
 * bytes in the machine's own order, for both ends are one binary; a text is its length and its bytes;
 * a list is its length and its items.
 */
#include "batten/host/container-record.h"

#include <errno.h>
#include <string.h>

#include "batten/base/cursor.h"
#include "host/container-internal.h"

struct walk {
	struct bytes *out; /* writing */
	struct cursor in;  /* reading */
	int error;
};

static void raw(struct walk *w, void *data, size_t n)
{
	const uint8_t *p;

	if (w->out) {
		bytes_append(w->out, data, n);
	} else if (w->error == 0) {
		w->error = cursor_take(&w->in, n, &p);
		if (w->error == 0)
			memcpy(data, p, n);
	}
}

static int64_t number_in(struct walk *w, int64_t value, int64_t min, int64_t max)
{
	raw(w, &value, sizeof(value));
	if (w->out)
		return value;
	if (w->error == 0 && (value < min || value > max))
		w->error = -EBADMSG;
	return w->error == 0 ? value : min;
}

#define NUMBER(w, field, min, max) ((field) = (__typeof__(field))number_in(w, (int64_t)(field), min, max))
#define FLAG(w, field) NUMBER(w, field, 0, 1)
#define ANY_NUMBER(w, field) NUMBER(w, field, INT64_MIN, INT64_MAX)

static void text(struct walk *w, char **s)
{
	uint64_t n = w->out && *s ? strlen(*s) : 0;
	const uint8_t *p;

	raw(w, &n, sizeof(n));
	if (w->out) {
		if (n > 0)
			bytes_append(w->out, *s, (size_t)n);
		return;
	}
	if (w->error == 0)
		w->error = cursor_take(&w->in, (size_t)n, &p);
	if (w->error != 0)
		return;
	/* With a NUL inside it would be shorter than it says, and two names could look like one. */
	*s = memchr(p, '\0', (size_t)n) ? NULL : strndup((const char *)p, (size_t)n);
	if (!*s)
		w->error = memchr(p, '\0', (size_t)n) ? -EBADMSG : -ENOMEM;
}

/*
 * The length of a list; when reading also its memory. @item: of the struct. Each item has at least
 * eight bytes in the record, so that no length asks for much more memory than came.
 */
static size_t items(struct walk *w, void **list, size_t *n, size_t item)
{
	uint64_t count = *n;

	raw(w, &count, sizeof(count));
	if (w->out)
		return (size_t)count;
	if (w->error == 0 && count > cursor_left(&w->in) / sizeof(uint64_t))
		w->error = -EBADMSG;
	if (w->error < 0 || count == 0)
		return 0;
	*list = calloc((size_t)count, item);
	if (!*list) {
		w->error = -ENOMEM;
		return 0;
	}
	/* Before the items are read: a half read list is freed like any other. */
	*n = (size_t)count;
	return *n;
}

#define ITEMS(w, list, n) items(w, (void **)&(list), &(n), sizeof(*(list)))

static void texts(struct walk *w, struct text_list *l)
{
	size_t n = ITEMS(w, l->items, l->n);

	for (size_t i = 0; i < n; i++)
		text(w, &l->items[i]);
}

static void pairs(struct walk *w, struct text_pair **list, size_t *n_list)
{
	size_t n = ITEMS(w, *list, *n_list);

	for (size_t i = 0; i < n; i++) {
		text(w, &(*list)[i].key);
		text(w, &(*list)[i].value);
	}
}

static void networks(struct walk *w, struct container *c)
{
	size_t n = ITEMS(w, c->networks, c->n_networks);

	for (size_t i = 0; i < n; i++) {
		struct container_network *net = &c->networks[i];

		text(w, &net->name);
		raw(w, &net->ip4, sizeof(net->ip4));
		raw(w, &net->ip6, sizeof(net->ip6));
		raw(w, net->mac, sizeof(net->mac));
	}
}

static void mounts(struct walk *w, struct container_config *g)
{
	size_t n = ITEMS(w, g->mounts, g->n_mounts);

	for (size_t i = 0; i < n; i++) {
		struct container_mount *m = &g->mounts[i];

		text(w, &m->type);
		text(w, &m->source);
		text(w, &m->destination);
		text(w, &m->propagation);
		FLAG(w, m->writable);
	}
}

static void ports(struct walk *w, struct container_config *g)
{
	size_t n = ITEMS(w, g->ports, g->n_ports);

	for (size_t i = 0; i < n; i++) {
		struct container_port *p = &g->ports[i];

		NUMBER(w, p->container_port, 0, UINT16_MAX);
		NUMBER(w, p->host_port, 0, UINT16_MAX);
		FLAG(w, p->udp);
		text(w, &p->host_ip);
	}
}

static void ulimits(struct walk *w, struct container_config *g)
{
	size_t n = ITEMS(w, g->ulimits, g->n_ulimits);

	for (size_t i = 0; i < n; i++) {
		text(w, &g->ulimits[i].name);
		ANY_NUMBER(w, g->ulimits[i].soft);
		ANY_NUMBER(w, g->ulimits[i].hard);
	}
}

static void config(struct walk *w, struct container_config *g)
{
	bool *const flags[] = { &g->privileged, &g->readonly_rootfs, &g->publish_all, &g->oom_kill_disable, &g->init,
				&g->tty, &g->auto_remove, &g->no_new_privileges, &g->selinux_disabled, &g->healthcheck };
	struct text_list *const lists[] = { &g->cap_add, &g->cap_drop, &g->security_opt, &g->devices, &g->binds,
					    &g->masked_paths, &g->readonly_paths, &g->env_names, &g->command };
	char **const single[] = { &g->apparmor, &g->pid_mode, &g->ipc_mode, &g->uts_mode, &g->userns_mode,
				  &g->cgroupns_mode, &g->network_mode_text, &g->cgroup_parent, &g->runtime, &g->user,
				  &g->restart_policy, &g->log_driver };
	int64_t *const numbers[] = { &g->memory, &g->memory_reservation, &g->memory_swap, &g->nano_cpus, &g->cpu_shares,
				     &g->cpu_quota, &g->pids_limit, &g->restart_max };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		FLAG(w, *flags[i]);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		texts(w, lists[i]);
	for (size_t i = 0; i < ARRAY_SIZE(single); i++)
		text(w, single[i]);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		ANY_NUMBER(w, *numbers[i]);
	NUMBER(w, g->seccomp, SECCOMP_DEFAULT, SECCOMP_CUSTOM);
	mounts(w, g);
	ports(w, g);
	ulimits(w, g);
	pairs(w, &g->sysctls, &g->n_sysctls);
}

static void walk(struct walk *w, struct container *c)
{
	char **const single[] = { &c->name, &c->image, &c->image_id, &c->task_arn, &c->family, &c->revision,
				  &c->container_name, &c->cluster, &c->started_at, &c->network_of };

	raw(w, c->id, sizeof(c->id));
	for (size_t i = 0; i < ARRAY_SIZE(single); i++)
		text(w, single[i]);
	pairs(w, &c->labels, &c->n_labels);
	FLAG(w, c->running);
	FLAG(w, c->paused);
	NUMBER(w, c->pid, 0, INT32_MAX);
	ANY_NUMBER(w, c->restart_count);
	NUMBER(w, c->network_mode, 0, _NETWORK_MAX - 1);
	networks(w, c);
	config(w, &c->config);
	text(w, &c->inspect_text);
}

void container_record_write(const struct container *c, struct bytes *b)
{
	struct walk w = { .out = b };

	/* The walk changes nothing when it writes. */
	walk(&w, (struct container *)c);
}

int container_record_read(struct container **ret, const void *data, size_t n)
{
	_cleanup_(container_freep) struct container *c = calloc(1, sizeof(*c));
	struct walk w = { 0 };

	if (!c)
		return -ENOMEM;
	list_init(&c->node);
	cursor_init(&w.in, data, n);
	walk(&w, c);
	if (w.error == 0 && (cursor_left(&w.in) > 0 || c->id[CONTAINER_ID_SIZE - 1] != '\0' || !container_id_ok(c->id)))
		w.error = -EBADMSG;
	if (w.error < 0)
		return w.error;
	c->cgroup = strdup("");
	if (!c->cgroup)
		return -ENOMEM;
	c->role = container_recognise(c);
	*ret = take_ptr(c);
	return 0;
}
