/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cgroup layer as a part of the guard. It is the guard's strongest layer and the one that most
 * kernels can still refuse; what it cannot do is said in the status and never keeps the other
 * layers from standing.
 */
#include "imds/guard-internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/fd.h"
#include "batten/imds/cgroup.h"
#include "batten/kernel/cgroup.h"

#define RESTORE_TRIES 16

struct cgroup_view {
	struct cgroup_options options;
	const char *slices[IMDS_MAX_SLICES + 1];
};

static void view(const struct imds_guard *g, struct cgroup_view *ret)
{
	const struct imds_plan *p = g->plan;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < p->slices.n; i++)
		ret->slices[i] = p->slices.names[i];
	ret->options = (struct cgroup_options){
		.pins = p->bpf_dir,
		.root = p->cgroup_root[0] ? p->cgroup_root : NULL,
		.slices = ret->slices,
		.no_tracing = g->features.forced_off[FEATURE_CGROUP_TRACING],
	};
}

static void keep_reason(struct imds_guard *g, int error, const struct diag *d)
{
	(void)snprintf(g->cgroup_reason, sizeof(g->cgroup_reason), "%.70s%s%.120s", d->where, d->where[0] ? ": " : "",
		       d->what[0] ? d->what : strerror(-error));
}

static int install(struct imds_guard *g)
{
	struct cgroup_view v;
	struct diag d = { 0 };
	char why[160];
	int r;

	view(g, &v);
	r = cgroup_install(&v.options, &d);
	g->cgroup_reason[0] = '\0';
	g->cgroup_installed = r >= 0;
	if (r < 0) {
		keep_reason(g, r, &d);
		return r;
	}
	g->cgroup_raced = cgroup_check(&v.options, why, sizeof(why), NULL) == CGROUP_RACED;
	g->hold = cgroup_hold_free(g->hold);
	return cgroup_hold_new(&g->hold, v.options.pins, NULL);
}

/*
 * A new binary brings new programs, so that each process installs once; after that only what is
 * missing or was asked for differently, and the rows of new slices where the kernel makes none.
 */
static bool stands(struct imds_guard *g)
{
	struct cgroup_view v;
	char why[160];

	view(g, &v);
	return g->cgroup_installed && cgroup_check(&v.options, why, sizeof(why), NULL) > CGROUP_ABSENT &&
	       (!g->cgroup_raced || cgroup_guard_slices(&v.options, NULL) >= 0);
}

bool imds_guard_follows_slices(const struct imds_guard *g)
{
	return g->plan->by_slice_id || (g->plan->cgroup_ebpf && g->cgroup_raced);
}

bool imds_guard_cgroup_apply(struct imds_guard *g)
{
	struct diag d = { 0 };
	int r;

	if (g->plan->cgroup_ebpf) {
		r = stands(g) ? 0 : install(g);
		g->cgroup_refused = r < 0 && r != -ENOMEM;
		return g->cgroup_refused;
	}
	r = imds_guard_cgroup_remove(g, &d);
	if (r < 0)
		keep_reason(g, r, &d);
	return false;
}

/*
 * Is everything pinned and attached, once what was deleted is pinned again? Whoever deletes a whole
 * directory is still at it when the first of it has been put back.
 */
static bool restored(struct imds_guard *g, const struct cgroup_options *o, char *why, size_t n_why,
		     unsigned int *ret_n)
{
	*ret_n = 0;
	for (int i = 0; i < RESTORE_TRIES; i++) {
		unsigned int n = g->hold ? cgroup_hold_restore(g->hold) : 0;

		*ret_n += n;
		if (cgroup_check(o, why, n_why, NULL) != CGROUP_ABSENT)
			return true;
		if (!g->hold)
			break;
	}
	return false;
}

int imds_guard_cgroup_heal(struct imds_guard *g, char *what, size_t n_what)
{
	size_t n = strlen(what);
	unsigned int n_restored;
	struct cgroup_view v;
	char why[160];

	if (!g->plan->cgroup_ebpf || g->cgroup_reason[0])
		return 0;
	view(g, &v);
	if (restored(g, &v.options, why, sizeof(why), &n_restored)) {
		if (n_restored == 0)
			return 0;
		(void)snprintf(why, sizeof(why), "pinned programs were deleted");
	} else if (install(g) < 0) {
		return 0;
	}
	(void)snprintf(what + n, n_what - n, "%s%s", n > 0 ? "; " : "", why);
	return 1;
}

int imds_guard_cgroup_remove(struct imds_guard *g, struct diag *d)
{
	struct cgroup_view v;

	view(g, &v);
	g->cgroup_installed = false;
	g->hold = cgroup_hold_free(g->hold);
	/* Without a root to hang at we never put anything there: it is somebody else's host. */
	if (!g->features.on_host && !v.options.root)
		return 0;
	return cgroup_uninstall(&v.options, d);
}

static void count(const struct cgroup_options *o, int family, struct imds_layer_status *l)
{
	static const enum cgroup_hook hooks[2][3] = {
		{ CGROUP_CONNECT4, CGROUP_SENDMSG4, CGROUP_EGRESS4 },
		{ CGROUP_CONNECT6, CGROUP_SENDMSG6, CGROUP_EGRESS6 },
	};
	_cleanup_(cgroup_layer_freep) struct cgroup_layer *layer = NULL;
	struct cgroup_totals t;

	if (cgroup_layer_open(&layer, o, NULL) < 0 || cgroup_layer_totals(layer, &t) < 0)
		return;
	l->counted = true;
	for (size_t i = 0; i < ARRAY_SIZE(hooks[0]); i++)
		l->packets += t.refused[hooks[family == AF_INET6][i]];
}

void imds_guard_cgroup_status(struct imds_guard *g, int family, struct imds_layer_status *l)
{
	struct cgroup_view v;
	struct diag d = { 0 };
	int r;

	view(g, &v);
	r = cgroup_check(&v.options, l->reason, sizeof(l->reason), &d);
	l->state = r == CGROUP_COMPLETE ? IMDS_ACTIVE : r == CGROUP_RACED ? IMDS_DEGRADED : IMDS_MISSING;
	if (l->state != IMDS_MISSING) {
		count(&v.options, family, l);
		return;
	}
	if (r < 0)
		keep_reason(g, r, &d);
	if (g->cgroup_reason[0])
		(void)snprintf(l->reason, sizeof(l->reason), "%s", g->cgroup_reason);
}

static void find_slices(struct imds_features *f, const struct imds_config *c)
{
	char root[PATH_MAX], path[PATH_MAX];

	f->n_slices = 0;
	(void)snprintf(root, sizeof(root), "%s", c->cgroup_root);
	if (!root[0] && cgroup_mount(root, NULL) < 0)
		return;
	f->slice_level = cgroup_depth(root) + 1;
	for (size_t i = 0; i < c->slices.n; i++) {
		uint64_t id;

		if (snprintf(path, sizeof(path), "%s/%s", root, c->slices.names[i]) >= (int)sizeof(path) ||
		    cgroup_id(path, &id, NULL) < 0)
			continue;
		f->slices[f->n_slices].id = id;
		memcpy(f->slices[f->n_slices++].path, c->slices.names[i], sizeof(c->slices.names[i]));
	}
}

void imds_guard_cgroup_look(struct imds_guard *g, const struct imds_config *c)
{
	struct diag d = { 0 };
	int r;

	find_slices(&g->features, c);
	g->features.have[FEATURE_CGROUP_EBPF] = g->cgroup_ebpf;
	g->features.cgroup_lack[0] = '\0';
	if (!g->cgroup_ebpf || !c->cgroup_ebpf || (!g->features.on_host && !c->cgroup_root[0]))
		return;
	r = cgroup_pins_ok(c->bpf_dir, &d);
	if (r >= 0 && !g->cgroup_refused)
		return;
	if (r < 0)
		keep_reason(g, r, &d);
	g->features.have[FEATURE_CGROUP_EBPF] = false;
	memcpy(g->features.cgroup_lack, g->cgroup_reason, sizeof(g->features.cgroup_lack));
}

int imds_guard_leave_pins(struct imds_guard *g, const char *pins, struct diag *d)
{
	const struct cgroup_options o = { .pins = pins };

	return strcmp(pins, g->plan->bpf_dir) == 0 && g->plan->cgroup_ebpf ? 0 : cgroup_uninstall(&o, d);
}

bool imds_guard_cgroup_differs(const struct imds_plan *a, const struct imds_plan *b)
{
	return memcmp(&a->slices, &b->slices, sizeof(a->slices)) != 0 || strcmp(a->cgroup_root, b->cgroup_root) != 0 ||
	       strcmp(a->bpf_dir, b->bpf_dir) != 0;
}

int imds_guard_open_cgroups(struct imds_guard *g, struct cgroup_layer **ret, struct diag *d)
{
	struct cgroup_view v;

	if (!g->plan || !g->plan->cgroup_ebpf)
		return -ENOENT;
	view(g, &v);
	return cgroup_layer_open(ret, &v.options, d);
}

int imds_guard_open_births(struct imds_guard *g, struct cgroup_births **ret, struct diag *d)
{
	const char *names[IMDS_MAX_SLICES + 1] = { NULL };
	struct cgroup_view v;

	if (!g->plan || !g->plan->cgroup_ebpf)
		return -ENOENT;
	for (size_t i = 0; i < g->config.runtimes.n; i++)
		names[i] = g->config.runtimes.names[i];
	view(g, &v);
	return cgroup_births_new(ret, &v.options, names, d);
}
