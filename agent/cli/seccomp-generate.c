/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `batten seccomp generate`: observations in, a profile out, and a word where the observations do
 * not carry it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/host/docker.h"
#include "batten/seccomp/base.h"
#include "batten/seccomp/generate.h"
#include "batten/seccomp/observation-store.h"
#include "batten/seccomp/verify.h"
#include "cli/commands.h"
#include "cli/seccomp-input.h"

/*
 * Tells when nobody has measured the version that runs, and what is allowed instead.
 * @all: what any known version needs; else what the next ones below and above it need
 */
static void warn_of_unknown(const char *name, const char *version, bool all)
{
	char from[RUNTIME_VERSION_SIZE], to[RUNTIME_VERSION_SIZE];

	if (!version)
		return;
	runtime_base_between(&(struct runtime_choice){ .name = name, .version = version }, from, to);
	if (from[0] && strcmp(from, to) == 0)
		return;
	if (from[0] && !to[0])
		(void)fprintf(stderr, "batten: %s %s is newer than the versions whose needs are known (%s); run batten seccomp "
			      "measure-runtime %s on a host that has it\n", name, version, from, name);
	else if (all)
		(void)fprintf(stderr, "batten: nobody has measured what %s %s needs: what any version needs is allowed; batten "
			      "seccomp measure-runtime %s would tell\n", name, version, name);
	else
		(void)fprintf(stderr, "batten: nobody has measured what %s %s needs: what %s%s%s needs is allowed; batten seccomp "
			      "measure-runtime %s would tell\n", name, version, from, from[0] ? " or " : "", to, name);
}

/* Docker's engine tells the versions of what it consists of, the runtime's among them. */
static void check_version(struct docker *docker, const char *name)
{
	_cleanup_(json_freep) json_t *answer = NULL;
	const json_t *part;
	size_t i;

	if (docker_get(docker, "/version", DOCKER_MAX_ANSWER, &answer, NULL) < 0)
		return;
	json_array_foreach(json_object_get(answer, "Components"), i, part) {
		const char *own = json_string_value(json_object_get(part, "Name"));

		if (own && strcmp(own, name) == 0)
			warn_of_unknown(name, json_string_value(json_object_get(part, "Version")), true);
	}
}

/* What Docker starts containers with: "any" when nobody can be asked. */
static const char *docker_runtime(const struct invocation *inv)
{
	_cleanup_(docker_freep) struct docker *docker = NULL;
	_cleanup_(json_freep) json_t *info = NULL;
	const char *name, *runtime;

	if (docker_new(&docker, invocation_value(inv, "docker"), NULL) < 0 ||
	    docker_get(docker, "/info", DOCKER_MAX_ANSWER, &info, NULL) < 0)
		return "any";
	name = json_string_value(json_object_get(info, "DefaultRuntime"));
	runtime = name && strstr(name, "crun") ? "crun" : name && strstr(name, "runc") ? "runc" : "any";
	check_version(docker, runtime);
	return runtime;
}

/* "auto", "runc", "crun" or "runc@1.1.5" */
static int choose_runtime(const struct invocation *inv, struct runtime_choice *ret, struct diag *d)
{
	const char *runtime = invocation_value(inv, "runtime"), *at = runtime ? strchr(runtime, '@') : NULL;
	size_t n = at ? (size_t)(at - runtime) : runtime ? strlen(runtime) : 0;

	ret->nnp = invocation_value(inv, "no-new-privileges") != NULL;
	if (!runtime || strcmp(runtime, "auto") == 0) {
		ret->name = docker_runtime(inv);
		return 0;
	}
	ret->name = n == 4 && strncmp(runtime, "runc", n) == 0 ? "runc" :
		    n == 4 && strncmp(runtime, "crun", n) == 0 ? "crun" : NULL;
	ret->version = at ? at + 1 : NULL;
	if (!ret->name || (at && (at[1] < '0' || at[1] > '9')))
		return diag_fail(d, -EINVAL, "--runtime", "\"%s\" is not auto, runc, crun, or one of these with a version "
				 "(runc@1.1.5)", runtime);
	warn_of_unknown(ret->name, ret->version, false);
	return 0;
}

/* What can go wrong although the profile is what was asked for. */
static void warn(const struct observation *o, const struct profile *p)
{
	struct confidence c;
	bool families = false;

	observation_confidence(o, &c);
	if (c.young)
		(void)fprintf(stderr, "batten: this observation is young: %s\n", c.why);
	for (enum abi a = 0; a < _ABI_MAX; a++)
		for (size_t i = 0; i < o->abis[a].n; i++)
			if (o->abis[a].v[i].name[0] == '#' && o->abis[a].v[i].phases)
				(void)fprintf(stderr, "batten: call %s of %s has no name in this libseccomp; no profile "
					      "can allow it here\n", o->abis[a].v[i].name, abi_name(a));
	for (size_t i = 0; i < p->n_rules; i++)
		families |= p->rules[i].n_args > 0 && p->rules[i].n_names > 0 && strcmp(p->rules[i].names[0], "socket") == 0;
	if (families && p->abis[ABI_X86])
		(void)fprintf(stderr, "batten: 32-bit code was observed: its socketcall goes round the rules on "
			      "socket families\n");
}

/* What a profile for the whole host rests on beside what was observed. */
static void warn_of_host(const struct observation *o)
{
	bool agent = false, exec = false;

	for (size_t i = 0; i < o->images.n; i++)
		agent |= strstr(o->images.v[i], "amazon-ecs-agent") != NULL;
	for (enum abi a = 0; a < _ABI_MAX; a++)
		for (size_t i = 0; i < o->abis[a].n; i++)
			exec |= (o->abis[a].v[i].phases & PHASE_EXEC) != 0;
	if (!agent)
		(void)fputs("batten: the ECS agent's own container was not observed; what it needs is taken from data\n", stderr);
	if (!exec)
		(void)fputs("batten: no exec session was observed; what docker exec, health checks and ECS Exec need is taken "
			    "from data\n", stderr);
}

/* For --host: what each image would do without. */
struct narrower {
	const struct generate_options *options;
	size_t n_host;
};

static int tell_narrower(void *userdata, const char *digest, const struct observation *o)
{
	const struct narrower *n = userdata;
	_cleanup_(profile_freep) struct profile *own = NULL;
	size_t n_own;

	if (profile_generate(o, n->options, &own, NULL) < 0)
		return 0;
	n_own = profile_count_allowed(own, o->machine);
	(void)fprintf(stderr, "batten: %s: %zu calls of its own, %zu fewer than the host's %zu\n",
		      o->images.n > 0 ? o->images.v[0] : digest, n_own, n->n_host - n_own, n->n_host);
	return 0;
}

static int generate(const struct invocation *inv, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	_cleanup_(profile_freep) struct profile *p = NULL, *base = NULL;
	struct generate_options options = {
		.args = invocation_value(inv, "args") != NULL,
		.without_exec = invocation_value(inv, "without-exec") != NULL,
	};
	const char *base_path = invocation_value(inv, "base");
	bool host = invocation_value(inv, "host") != NULL;
	struct profile_context context;
	size_t n_images = 0;
	int r;

	if (host && inv->n_args > 0)
		return diag_fail(d, -EINVAL, "--host", "takes all that was observed; name nothing besides");
	if (!host && inv->n_args == 0)
		return diag_fail(d, -EINVAL, "seccomp generate", "name an observation or an image, or give --host");
	options.host = host;
	r = choose_runtime(inv, &options.runtime, d);
	if (r == 0)
		r = host ? seccomp_load_host(inv, &o, &n_images, d) : seccomp_input_load(inv, 0, &o, d);
	if (r < 0 || !o)
		return r;
	profile_context_docker(&context);
	if (o->machine != _ABI_MAX)
		context.machine = o->machine;
	if (base_path) {
		r = profile_read(base_path, &context, &base, d);
		if (r < 0)
			return r;
		options.base = base;
	}
	r = profile_generate(o, &options, &p, d);
	if (r == 0)
		r = profile_write(p, invocation_value(inv, "output"), d);
	if (r < 0)
		return r;
	warn(o, p);
	if (host && !inv->quiet) {
		struct generate_options own = options;
		struct narrower n = { &own, profile_count_allowed(p, o->machine) };

		own.host = false;
		warn_of_host(o);
		r = observation_store_each(seccomp_state(inv), tell_narrower, &n, d);
	}
	return r;
}

static enum exit_status generate_run(struct invocation *inv)
{
	struct diag d = { 0 };
	int r = generate(inv, &d);

	return r < 0 ? invocation_fail(&d, r) : EXIT_DONE;
}

static const struct option_row options[] = {
	{ "args", 0, NULL, "rules on arguments too, where every value was seen", false },
	{ "base", 0, "FILE", "a profile whose calls are allowed besides", false },
	{ "docker", 0, "URL", "Docker's socket, asked for its runtime", false },
	{ "host", 0, NULL, "one profile for all images observed on this host", false },
	{ "no-new-privileges", 0, NULL, "for containers with no-new-privileges only: less for the runtime", false },
	{ "output", 'o', "PROFILE", "file to write instead of standard output", false },
	{ "runtime", 0, "RUNTIME", "auto (what Docker uses), runc, crun; runc@1.1.5 for this version only", false },
	STATE_OPTION,
	{ "without-exec", 0, NULL, "leave out what only exec sessions needed", false },
	{ 0 },
};

const struct command cmd_seccomp_generate = {
	.name = "seccomp generate",
	.args = "[OBSERVATION|IMAGE|CONTAINER...]",
	.help = "make a seccomp profile (Docker and OCI) of what was observed",
	.details = "Allowed is what was observed, what the container runtime needs between filter and exec,\n"
		   "and what every program needs. Calls that programs probe for answer ENOSYS, among them\n"
		   "clone3 unless it was seen to reach the kernel; all others are denied with EPERM.",
	.options = options,
	.max_args = 256,
	.exits = {
		[EXIT_DONE] = "made; warnings are on standard error",
		[EXIT_USAGE] = "wrong usage, or an invalid observation or base",
		[EXIT_UNABLE] = "the profile cannot be written",
	},
	.run = generate_run,
};
