/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten imds block, unblock, plan, status: the guard without a daemon. Where a daemon runs it is
 * asked instead, for it may own the table and it would put back what we change.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/daemon/control.h"
#include "batten/imds/guard.h"
#include "cli/commands.h"
#include "cli/guard-options.h"

int assumed_features(const struct invocation *inv, struct imds_features *ret, struct diag *d)
{
	const char *text;

	for (unsigned int i = 0; (text = invocation_nth(inv, "assume-feature", i)); i++) {
		int r = imds_features_assume(ret, text, d);

		if (r < 0)
			return r;
	}
	return 0;
}

int invocation_settings(const struct invocation *inv, struct settings *ret, struct diag *d)
{
	const char *path = invocation_value(inv, "config");

	return settings_read(ret, path ? path : DEFAULT_CONFIG, !path, d);
}

static const char *runtime_dir(const struct invocation *inv)
{
	const char *dir = invocation_value(inv, "runtime-dir");

	return dir ? dir : DEFAULT_RUNTIME_DIR;
}

/* The guard as this command's configuration and options describe it; @presume: see imds_guard_new(). */
static int open_guard(const struct invocation *inv, bool presume, struct imds_guard **ret, struct diag *d)
{
	_cleanup_(imds_guard_freep) struct imds_guard *g = NULL;
	struct imds_features assume = { 0 };
	struct settings s;
	int r;

	r = invocation_settings(inv, &s, d);
	if (r >= 0)
		r = assumed_features(inv, &assume, d);
	if (r >= 0)
		r = imds_guard_new(&g, &assume, presume, -1, d);
	s.imds.table_owner = TABLE_OWNER_COMMAND;
	if (r >= 0)
		r = imds_guard_configure(g, &s.imds, NULL, false);
	if (r < 0)
		return r;
	*ret = take_ptr(g);
	return 0;
}

/*
 * Asks the daemon. Return: 1 when one answered (with @ret_exit set), 0 when none runs, or a
 * negative errno.
 */
static int ask_daemon(const struct invocation *inv, const char *method, json_t **ret,
		      enum exit_status *ret_exit, struct diag *d)
{
	int status = EXIT_UNABLE, r;

	r = control_call(runtime_dir(inv), method, NULL, ret, &status, d);
	if (r == -ENOENT)
		return 0;
	if (r == -EREMOTEIO) {
		*ret_exit = (enum exit_status)status;
		return 1;
	}
	if (r < 0)
		return r;
	*ret_exit = EXIT_DONE;
	return 1;
}

int guard_switch(const struct invocation *inv, bool on, bool *ret_by_daemon, enum exit_status *ret_status,
		 struct diag *d)
{
	_cleanup_(imds_guard_freep) struct imds_guard *g = NULL;
	_cleanup_(json_freep) json_t *result = NULL;
	int r;

	*ret_status = EXIT_DONE;
	r = ask_daemon(inv, on ? "imds.block" : "imds.unblock", &result, ret_status, d);
	*ret_by_daemon = r > 0;
	if (r != 0)
		return r < 0 ? r : *ret_status == EXIT_DONE ? 0 : -EREMOTEIO;
	r = open_guard(inv, on, &g, d);
	if (r >= 0 && on && !imds_guard_plan(g)->enabled)
		r = diag_fail(d, -EINVAL, "[imds]", "enabled = no in the configuration");
	if (r >= 0)
		r = on ? imds_guard_apply(g, d) : imds_guard_remove(g, d);
	return r;
}

static enum exit_status change(struct invocation *inv, bool block)
{
	enum exit_status status;
	struct diag d = { 0 };
	bool by_daemon;
	int r = guard_switch(inv, block, &by_daemon, &status, &d);

	if (r == -EREMOTEIO) {
		diag_print(&d, r);
		return status;
	}
	if (r < 0)
		return invocation_fail(&d, r);
	if (!inv->quiet)
		(void)printf("IMDS is %s%s.\n", block ? "blocked" : "no longer blocked",
			     by_daemon ? " by the running daemon" : "");
	return EXIT_DONE;
}

static enum exit_status block_run(struct invocation *inv)
{
	return change(inv, true);
}

static enum exit_status unblock_run(struct invocation *inv)
{
	return change(inv, false);
}

static const struct option_row options[] = {
	RUNTIME_DIR_OPTION,
	ASSUME_FEATURE_OPTION,
	{ 0 },
};

const struct command cmd_imds_block = {
	.name = "imds block",
	.args = "",
	.help = "close the metadata service to containers, once",
	.details = "One atomic change; doing it again changes nothing. Beside a running daemon the daemon is asked.\n"
		   "Without one the table is a plain one: nobody puts it back when somebody flushes it, but the\n"
		   "routing rules stay.",
	.options = options,
	.exits = {
		[EXIT_DONE] = "blocked",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "CAP_NET_ADMIN is missing, or another process owns the table",
	},
	.run = block_run,
};

const struct command cmd_imds_unblock = {
	.name = "imds unblock",
	.args = "",
	.help = "open the metadata service to containers again",
	.details = "A running daemon keeps it open until `batten imds block` or until the host restarts.",
	.options = options,
	.exits = {
		[EXIT_DONE] = "not blocked any more, or was not",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "CAP_NET_ADMIN is missing, or another process owns the table",
	},
	.run = unblock_run,
};

/* ---- plan ------------------------------------------------------------------------------------ */

/* What the kernel has, or everything where we may not ask it. */
static int plan_features(struct imds_features *f, bool *ret_assumed, struct diag *d)
{
	_cleanup_(nl_closep) struct nl_socket *nft = NULL, *route = NULL;
	struct imds_features asked = *f;
	int r;

	r = nl_open(&nft, NETLINK_NETFILTER, NULL, 0, d);
	if (r >= 0)
		r = nl_open(&route, NETLINK_ROUTE, NULL, 0, d);
	if (r >= 0)
		r = imds_features_probe(&asked, nft, route, NULL);
	*ret_assumed = r == -EPERM;
	if (r == -EPERM) {
		imds_features_all(f);
		return 0;
	}
	if (r >= 0)
		*f = asked;
	return r;
}

static int print_plan(const struct imds_plan *p, bool json)
{
	_cleanup_(json_freep) json_t *j = NULL;
	struct bytes b = { 0 };
	int r;

	if (json) {
		j = imds_plan_json(p);
		return j ? json_print(STDOUT_FILENO, j) : -ENOMEM;
	}
	imds_plan_text(&b, p);
	r = b.error;
	if (r == 0)
		r = fd_write_all(STDOUT_FILENO, b.data ? b.data : "", b.n);
	bytes_done(&b);
	return r;
}

static enum exit_status plan_run(struct invocation *inv)
{
	_cleanup_(imds_plan_freep) struct imds_plan *p = NULL;
	struct imds_features f = { 0 };
	bool assumed = false;
	struct diag d = { 0 };
	struct settings s;
	int r;

	r = invocation_settings(inv, &s, &d);
	if (r >= 0)
		r = assumed_features(inv, &f, &d);
	if (r >= 0)
		r = plan_features(&f, &assumed, &d);
	if (r >= 0)
		r = imds_plan_new(&p, &s.imds, &f, NULL, false);
	if (r >= 0 && assumed && !inv->quiet)
		(void)fputs("batten: the kernel may not be asked; the plan assumes that it can do everything\n",
			    stderr);
	if (r >= 0)
		r = print_plan(p, strcmp(invocation_format(inv), "json") == 0);
	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row plan_options[] = {
	ASSUME_FEATURE_OPTION,
	{ 0 },
};

const struct command cmd_imds_plan = {
	.name = "imds plan",
	.args = "",
	.help = "print the rules that would be applied",
	.details = "As text that `nft -f -` accepts (the routing rules as comments), or as batten.imds-plan/1.\n"
		   "Nothing is changed.",
	.options = plan_options,
	.formats = "nft|json",
	.exits = {
		[EXIT_DONE] = "printed",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "the kernel could not be asked",
	},
	.run = plan_run,
};

/* ---- status ---------------------------------------------------------------------------------- */

/* The program that refuses newborn containers ends with its daemon. */
static void tell_no_daemon(struct imds_status *s)
{
	for (size_t i = 0; i < s->n_layers; i++) {
		struct imds_layer_status *l = &s->layers[i];

		if (l->layer == LAYER_CGROUP_EBPF && l->state == IMDS_ACTIVE && !l->reason[0])
			(void)snprintf(l->reason, sizeof(l->reason), "no daemon runs: containers that start in no slice are open");
	}
}

int guard_status_here(const struct invocation *inv, json_t **ret, struct diag *d)
{
	_cleanup_(imds_guard_freep) struct imds_guard *g = NULL;
	struct imds_status s;
	int r;

	r = open_guard(inv, false, &g, d);
	if (r >= 0)
		r = imds_guard_status(g, &s, d);
	if (r < 0)
		return r;
	tell_no_daemon(&s);
	*ret = imds_status_json(&s);
	return *ret ? 0 : -ENOMEM;
}

/* @ret_exit: the daemon's, when it refused (-EREMOTEIO) */
static int ask_status(struct invocation *inv, json_t **ret, enum exit_status *ret_exit, struct diag *d)
{
	int r = ask_daemon(inv, "imds.status", ret, ret_exit, d);

	if (r > 0)
		return *ret_exit == EXIT_DONE ? 0 : -EREMOTEIO;
	return r == 0 ? guard_status_here(inv, ret, d) : r;
}

int guard_closed(struct invocation *inv, bool *ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	enum exit_status status;
	int r = ask_status(inv, &j, &status, d);

	if (r < 0)
		return r;
	*ret = json_is_true(json_object_get(j, "closed"));
	return 0;
}

static enum exit_status status_run(struct invocation *inv)
{
	_cleanup_(json_freep) json_t *j = NULL;
	enum exit_status status = EXIT_DONE;
	struct diag d = { 0 };
	int r;

	r = ask_status(inv, &j, &status, &d);
	if (r == -EREMOTEIO) {
		diag_print(&d, r);
		return status;
	}
	if (r >= 0)
		r = strcmp(invocation_format(inv), "json") == 0 ? json_print(STDOUT_FILENO, j) :
								  imds_status_print(j, stdout);
	if (r < 0)
		return invocation_fail(&d, r);
	return json_is_true(json_object_get(j, "closed")) ? EXIT_DONE : EXIT_NO;
}

const struct command cmd_imds_status = {
	.name = "imds status",
	.args = "",
	.help = "the layers that keep the metadata service closed",
	.details = "Read back from the kernel, not from what was once installed. BLOCKED counts packets.",
	.options = options,
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "closed to bridged containers in both families",
		[EXIT_NO] = "not closed",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "CAP_NET_ADMIN is missing",
	},
	.run = status_run,
};
