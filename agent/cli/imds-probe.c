/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten imds probe: who can reach the metadata service. Whoever is probed from somewhere that is no
 * EC2 instance would knock at whatever machine has that address there; so it has to be asked for.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/base/parse.h"
#include "batten/base/table.h"
#include "batten/host/model.h"
#include "batten/imds/plan.h"
#include "batten/imds/probe.h"
#include "cli/commands.h"
#include "cli/guard-options.h"

#define MAX_TIMEOUT_MS 60000
#define AGENT_TIMEOUT_MS 50 /* for names that Docker's labels lack */

/* What a target is, for the reader. */
struct subject {
	const struct container *container; /* NULL: a namespace, or the host */
	char name[64];
	bool may; /* it is meant to reach the service */
};

struct probe_run {
	struct host_model model;
	struct probe_target *targets;
	struct subject *subjects;
	size_t n, size;
	struct settings settings;
	struct exceptions stored; /* those of `batten imds allow` */
};

static void run_done(struct probe_run *p)
{
	for (size_t i = 0; i < p->n; i++)
		(void)fd_close(p->targets[i].netns);
	free(p->targets);
	free(p->subjects);
	host_model_done(&p->model);
}

/* @netns is owned by the run from here on. */
static int add(struct probe_run *p, int netns, const char *cgroup, const struct subject *s)
{
	if (p->n == p->size) {
		size_t size = p->size ? 2 * p->size : 64;
		struct probe_target *t = reallocarray(p->targets, size, sizeof(*t));
		struct subject *u;

		if (t)
			p->targets = t;
		u = reallocarray(p->subjects, size, sizeof(*u));
		if (u)
			p->subjects = u;
		if (!t || !u) {
			fd_close(netns);
			return -ENOMEM;
		}
		p->size = size;
	}
	p->targets[p->n] = (struct probe_target){ .netns = netns, .cgroup = cgroup };
	p->subjects[p->n] = *s;
	p->n++;
	return 0;
}

static void name_namespace(struct subject *s, int netns)
{
	struct stat st = { 0 };

	if (netns >= 0 ? fstat(netns, &st) == 0 : stat("/proc/self/ns/net", &st) == 0)
		(void)snprintf(s->name, sizeof(s->name), "net:[%llu]", (unsigned long long)st.st_ino);
}

/* Only then is the ECS agent asked: its labels are on whatever it starts. */
static bool has_nameless(const struct host_model *m)
{
	host_model_each(pos, m)
		if (host_container(pos)->role == ROLE_PLAIN)
			return true;
	return false;
}

static int add_containers(struct probe_run *p, const char *docker_url, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	int r;

	r = docker_new(&k, docker_url, d);
	if (r >= 0)
		r = host_model_snapshot(&p->model, k, false, 0, d);
	if (r < 0)
		return r;
	if (has_nameless(&p->model))
		(void)!host_model_introspect(&p->model, AGENT_TIMEOUT_MS, NULL); /* without it they have no task */
	host_model_each(pos, &p->model) {
		const struct container *c = host_container(pos);
		struct subject s = { .container = c, .may = imds_may_reach(&p->settings.imds, &p->stored, c) };
		char path[64];
		int netns;

		if (c->netns == 0 || c->role == ROLE_ECS_PAUSE)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)c->pid);
		netns = open(path, O_RDONLY | O_CLOEXEC);
		if (netns < 0) /* it has just ended */
			continue;
		name_namespace(&s, netns);
		/* Whoever enters a frozen group stays there. */
		r = add(p, netns, c->cgroup[0] && !c->paused ? c->cgroup : NULL, &s);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_file(struct probe_run *p, int dirfd, const char *path, struct diag *d)
{
	struct subject s = { 0 };
	int netns = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (netns < 0)
		return diag_errno(d, -errno, path, "cannot open the network namespace");
	name_namespace(&s, netns);
	return add(p, netns, NULL, &s);
}

/* A namespace, or a directory of them such as /run/netns. */
static int add_path(struct probe_run *p, const char *path, struct diag *d)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int r = 0;

	if (!dir)
		return errno == ENOTDIR ? add_file(p, AT_FDCWD, path, d) :
					  diag_errno(d, -errno, path, "cannot open");
	while (r >= 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			r = add_file(p, dirfd(dir), e->d_name, d);
	(void)closedir(dir);
	return r;
}

static int collect(const struct invocation *inv, struct probe_run *p, struct diag *d)
{
	bool named = invocation_value(inv, "host") || invocation_value(inv, "namespace");
	const char *docker = invocation_value(inv, "docker"), *path;
	int r = 0;

	if (invocation_value(inv, "host")) {
		struct subject s = { .may = true };

		name_namespace(&s, -1);
		r = add(p, -1, NULL, &s);
	}
	for (unsigned int i = 0; r >= 0 && (path = invocation_nth(inv, "namespace", i)); i++)
		r = add_path(p, path, d);
	if (r < 0 || (named && !docker))
		return r;
	return add_containers(p, docker, d);
}

static const char *outcome_name(const struct subject *s, const struct probe_try *t)
{
	return t->outcome == PROBE_REACHABLE && s->may ? "allowed" : probe_outcome_name(t->outcome);
}

static const char *target_name(const struct probe_try *t)
{
	return t->family == AF_INET ? "169.254.169.254" : "fd00:ec2::254";
}

static json_t *try_json(const struct subject *s, const struct probe_try *t)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:I}", "namespace", s->name, "target", target_name(t), "version",
			      t->version == 1 ? "v1" : "v2", "outcome", outcome_name(s, t), "latency_us",
			      (json_int_t)t->latency_us);

	if (j && s->container) {
		json_object_set_new(j, "container", json_text(s->container->name));
		if (s->container->task_arn[0])
			json_object_set_new(j, "task_arn", json_text(s->container->task_arn));
		if (s->container->family[0])
			json_object_set_new(j, "family", json_text(s->container->family));
	}
	if (j && t->error)
		json_object_set_new(j, "errno", json_string(strerrorname_np(t->error)));
	if (j && t->status)
		json_object_set_new(j, "status", json_integer(t->status));
	return j;
}

static int print_json(const struct probe_run *p, size_t n_reachable)
{
	_cleanup_(json_freep) json_t *doc = NULL;
	json_t *results = json_array();

	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < PROBE_TRIES; k++)
			json_array_append_new(results, try_json(&p->subjects[i], &p->targets[i].tries[k]));
	doc = json_pack("{s:s, s:o, s:I}", "schema", "batten.imds-probe/1", "results", results, "reachable",
			(json_int_t)n_reachable);
	return doc ? json_print(STDOUT_FILENO, doc) : -ENOMEM;
}

static void table_try(struct table *t, const struct subject *s, const struct probe_try *try)
{
	const char *name = outcome_name(s, try);
	bool open = try->outcome == PROBE_REACHABLE;

	table_cell(t, STYLE_PLAIN, s->container ? s->container->name : s->name);
	table_cell(t, STYLE_PLAIN, s->container && s->container->family[0] ? s->container->family : "-");
	table_cell(t, STYLE_PLAIN, target_name(try));
	table_cell(t, STYLE_PLAIN, try->version == 1 ? "v1" : "v2");
	table_cell(t, !open ? STYLE_GOOD : s->may ? STYLE_WARN : STYLE_BAD, name);
	if (try->error)
		table_cell(t, STYLE_DIM, strerrorname_np(try->error));
	else
		table_cellf(t, STYLE_DIM, "HTTP %d", try->status);
	table_cellf(t, STYLE_PLAIN, "%.1f ms", (double)try->latency_us / 1000);
}

static int print_text(const struct probe_run *p, size_t n_reachable)
{
	static const char *const heads[] = { "CONTAINER", "FAMILY", "TARGET", "VERSION", "OUTCOME", "WHY", "TOOK" };
	_cleanup_(table_freep) struct table *t = table_new(ARRAY_SIZE(heads));

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		table_cell(t, STYLE_HEAD, heads[i]);
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < PROBE_TRIES; k++)
			table_try(t, &p->subjects[i], &p->targets[i].tries[k]);
	if (table_print(t, stdout) < 0)
		return -ENOMEM;
	(void)printf("\n%zu probed; IMDS is %s%s%s.\n", p->n, style_begin(stdout, n_reachable ? STYLE_BAD : STYLE_GOOD),
		     n_reachable ? "REACHABLE for who is not allowed" : "out of reach for all who are not allowed",
		     style_end(stdout, STYLE_GOOD));
	return 0;
}

static int probe(struct invocation *inv, struct probe_run *p, size_t *ret_reachable, bool *ret_failed, struct diag *d)
{
	const char *timeout = invocation_value(inv, "timeout");
	uint64_t timeout_ms = PROBE_TIMEOUT_MS;
	char path[320];
	int r;

	if (timeout && parse_duration_ms(slice_of(timeout), 1, MAX_TIMEOUT_MS, &timeout_ms) < 0)
		return diag_fail(d, -EINVAL, "--timeout", "\"%.20s\" is no duration such as 100ms (at most 60s)", timeout);
	if (!invocation_value(inv, "anywhere") && !imds_on_ec2(NULL))
		return diag_fail(d, -EOPNOTSUPP, NULL,
				 "this is no EC2 instance, and whoever has the addresses here would be contacted; "
				 "--anywhere does it all the same");
	r = invocation_settings(inv, &p->settings, d);
	if (r >= 0) {
		(void)snprintf(path, sizeof(path), "%s/" EXCEPTIONS_FILE, p->settings.daemon.state_dir);
		r = exceptions_load(&p->stored, path, d);
	}
	if (r >= 0)
		r = collect(inv, p, d);
	if (r >= 0)
		r = imds_probe(p->targets, p->n, timeout_ms, -1, d);
	for (size_t i = 0; r >= 0 && i < p->n; i++) {
		for (size_t k = 0; k < PROBE_TRIES; k++) {
			enum probe_outcome o = p->targets[i].tries[k].outcome;

			*ret_reachable += o == PROBE_REACHABLE && !p->subjects[i].may;
			*ret_failed |= o == PROBE_FAILED;
		}
	}
	return r;
}

static enum exit_status probe_command_run(struct invocation *inv)
{
	struct probe_run p = { 0 };
	size_t n_reachable = 0;
	struct diag d = { 0 };
	bool failed = false;
	int r;

	host_model_init(&p.model);
	r = probe(inv, &p, &n_reachable, &failed, &d);
	if (r >= 0)
		r = strcmp(invocation_format(inv), "json") == 0 ? print_json(&p, n_reachable) :
								  print_text(&p, n_reachable);
	run_done(&p);
	if (r < 0)
		return invocation_fail(&d, r);
	return n_reachable > 0 ? EXIT_NO : failed ? EXIT_UNABLE : EXIT_DONE;
}

static const struct option_row probe_options[] = {
	{ "anywhere", 0, NULL, "also where this is no EC2 instance", false },
	{ "docker", 0, "URL", "Docker's socket (DOCKER_HOST, else /var/run/docker.sock)", false },
	{ "host", 0, NULL, "the host's own namespace", false },
	{ "namespace", 0, "FILE", "a network namespace, or a directory of them", true },
	{ "timeout", 0, "TIME", "how long each may take (100ms)", false },
	{ 0 },
};

const struct command cmd_imds_probe = {
	.name = "imds probe",
	.args = "",
	.help = "who can reach the metadata service, tried from inside",
	.details = "Tries both versions and families from inside every container's network and cgroup, all at\n"
		   "once. With --host or --namespace only those, and the containers if --docker is given too.",
	.options = probe_options,
	.formats = "text|json",
	.exits = {
		[EXIT_DONE] = "out of reach for everybody who is not allowed",
		[EXIT_NO] = "somebody who is not allowed reached it",
		[EXIT_USAGE] = "wrong usage or a bad configuration",
		[EXIT_UNABLE] = "no Docker, no permission, no EC2 instance, or something could not be tried",
	},
	.run = probe_command_run,
};
