/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every name gets one answer and stands in one group, whose comment says where it comes from. The
 * default is ENOSYS and the denials are spelled out: a call that is younger than this profile is
 * then "not there", which libraries expect, while the old ones that nobody needed are "not
 * permitted". Older engines that know no defaultErrnoRet answer EPERM to both, which is why the
 * ENOSYS names are spelled out as well.
 */
#include "batten/seccomp/generate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "batten/seccomp/base.h"
#include "batten/seccomp/filter.h"
#include "seccomp/profile-internal.h"

/*
 * From statx (Linux 4.11) on, libraries try a call and take the older road when it is missing. What
 * was there before is taken for granted, so its absence would be a riddle.
 */
#define PROBED_FROM_X86_64 332
#define PROBED_FROM_AARCH64 291

/* Calls that 32-bit x86 also makes through socketcall and ipc, with rules that libseccomp derives. */
static const char *const multiplexed[] = {
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "msgctl",
	"msgget", "msgrcv", "msgsnd", "recv", "recvfrom", "recvmmsg", "recvmsg", "semctl", "semget", "semop",
	"semtimedop", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shmat", "shmctl", "shmdt", "shmget",
	"shutdown", "socket", "socketpair",
};

/* Not observed: data says that the host needs it. */
#define PHASE_HOST (_PHASE_ALL + 1)

struct generator {
	const struct observation *o; /* with the runtime's needs in it */
	const struct generate_options *options;
	struct profile *p;
	enum abi machine;
	unsigned int phases; /* that count */
};

/* Phases that needed a call, over all interfaces. */
static unsigned int needed(const struct generator *g, const char *name)
{
	unsigned int phases = 0;

	for (enum abi a = 0; a < _ABI_MAX; a++) {
		const struct observed_call *c = observation_find(g->o, a, name);

		phases |= c ? c->phases & g->phases : 0;
	}
	return phases;
}

/* The values that the base allows the call for. Return: whether it allows it for no others */
static bool add_values_of_base(const struct generator *g, const char *name, struct observed_call *all)
{
	const struct profile *base = g->options->base;

	for (size_t i = 0; base && i < base->n_rules; i++) {
		const struct profile_rule *r = &base->rules[i];
		struct arg_value value;

		if (r->action != ACTION_ALLOW || !profile_rule_names(r, name))
			continue;
		if (!profile_rule_value(r, arg_rule_find(g->machine, name), &value) || observed_call_add_value(all, value) < 0)
			return false;
	}
	return true;
}

/*
 * Argument values of a call over all interfaces, or NULL when a rule on them would not hold: one
 * interface has it without, or has too many.
 */
static struct observed_call *values_of(const struct generator *g, const char *name, struct observation *scratch)
{
	struct observed_call *all;

	/* These always: with any arguments they would be more than Docker's default lets through. */
	if (!g->options->args && strcmp(name, "clone") != 0 && strcmp(name, "personality") != 0)
		return NULL;
	if (!arg_rule_find(g->machine, name))
		return NULL;
	if (g->options->base && profile_allows(g->options->base, name, false))
		return NULL;
	if (observation_add(scratch, g->machine, name, &all) < 0 || !add_values_of_base(g, name, all))
		return NULL;
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		const struct observed_call *c = observation_find(g->o, a, name);

		if (!c || !(c->phases & g->phases))
			continue;
		if (!c->args_known || c->args_more || !arg_rule_find(a, name))
			return NULL;
		for (unsigned int i = 0; i < c->n_values; i++)
			if (observed_call_add_value(all, c->values[i]) < 0)
				return NULL;
	}
	return all->n_values > 0 && !all->args_more ? all : NULL;
}

/* One rule on the first @n arguments of the call. */
static int add_value_rule(struct generator *g, const char *name, const struct arg_rule *rule, unsigned int n,
			  struct arg_value value, enum profile_action action, const char *comment)
{
	struct profile_rule *r;
	int e = profile_add_rule(g->p, action, action == ACTION_ERRNO ? EPERM : 0, comment, &r);

	if (e == 0)
		e = profile_rule_add_name(r, name);
	for (unsigned int k = 0; k < n && e == 0; k++)
		r->args[r->n_args++] = (struct profile_arg){
			.index = rule->index[k],
			.op = OP_MASKED_EQ,
			.value = rule->mask[k],
			.value_two = value.v[k],
		};
	return e;
}

static bool has_value(const struct observed_call *c, uint32_t first, uint32_t second, bool both)
{
	for (unsigned int i = 0; i < c->n_values; i++)
		if (c->values[i].v[0] == first && (!both || c->values[i].v[1] == second))
			return true;
	return false;
}

/*
 * Denials for the values that are not there, which would get the default and look as if the kernel
 * lacked the call. Only where they are few: a filter has 4096 instructions at most.
 */
static int deny_other_values(struct generator *g, const struct observed_call *c, const struct arg_rule *rule)
{
	int e = 0;

	for (uint32_t v = 0; v < rule->domain && e == 0; v++) {
		if (v & ~rule->mask[0])
			continue;
		if (!has_value(c, v, 0, false)) {
			e = add_value_rule(g, c->name, rule, 1, (struct arg_value){ { v, 0 } }, ACTION_ERRNO, NULL);
			continue;
		}
		for (uint32_t w = 0; rule->n > 1 && w <= rule->mask[1] && e == 0; w++)
			if (!has_value(c, v, w, true))
				e = add_value_rule(g, c->name, rule, 2, (struct arg_value){ { v, w } }, ACTION_ERRNO, NULL);
	}
	return e;
}

/* Namespaces that were never made: denied bit by bit, for their combinations are many. */
static int deny_other_bits(struct generator *g, const struct observed_call *c, const struct arg_rule *rule)
{
	uint32_t seen = 0;
	int e = 0;

	for (unsigned int i = 0; i < c->n_values; i++)
		seen |= c->values[i].v[0];
	for (unsigned int bit = 0; bit < 32 && e == 0; bit++) {
		const struct arg_rule one = { .index = { rule->index[0] }, .mask = { UINT32_C(1) << bit } };

		if (rule->mask[0] & ~seen & one.mask[0])
			e = add_value_rule(g, c->name, &one, 1, (struct arg_value){ { one.mask[0], 0 } }, ACTION_ERRNO,
					   NULL);
	}
	return e;
}

/* One rule per value: they are disjoint, so no order of theirs can matter. */
static int add_value_rules(struct generator *g, const struct observed_call *c)
{
	const struct arg_rule *rule = arg_rule_find(g->machine, c->name);
	int e = 0;

	for (unsigned int i = 0; i < c->n_values && e == 0; i++)
		e = add_value_rule(g, c->name, rule, rule->n, c->values[i], ACTION_ALLOW,
				   i == 0 ? "observed, with these arguments" : NULL);
	if (e == 0 && strcmp(c->name, "clone") == 0)
		e = deny_other_bits(g, c, rule);
	return e == 0 ? deny_other_values(g, c, rule) : e;
}

/* Was a socket of that family made, as far as that is known? */
static bool family_seen(const struct generator *g, uint32_t family)
{
	for (enum abi a = 0; a < _ABI_MAX; a++) {
		const struct observed_call *c = observation_find(g->o, a, "socket");

		if (c && (c->phases & g->phases) && has_value(c, family, 0, false))
			return true;
	}
	return false;
}

/* Does the base allow sockets of that family, as far as that is easily told? */
static bool base_has_family(const struct generator *g, uint32_t family)
{
	const struct profile *base = g->options->base;

	for (size_t i = 0; base && i < base->n_rules; i++) {
		const struct profile_rule *r = &base->rules[i];
		const struct profile_arg *a = &r->args[0];
		bool simple = r->n_args == 1 && a->index == 0;

		if (r->action != ACTION_ALLOW || !profile_rule_names(r, "socket") ||
		    (simple && a->op == OP_EQ && family != a->value) || (simple && a->op == OP_LT && family >= a->value) ||
		    (simple && a->op == OP_GT && family <= a->value))
			continue;
		return true;
	}
	return false;
}

/*
 * socket without rules on what was seen: every family but the two that Docker's default denies, in
 * ranges that share their upper bits. Return: 1 when it was added so, 0 when all families are needed.
 */
static int add_families(struct generator *g)
{
	static const struct {
		uint32_t mask, value;
		enum profile_action action;
	} rows[] = {
		{ ~0x1fu, 0, ACTION_ALLOW },  { ~0x3u, 32, ACTION_ALLOW },	{ ~0x1u, 36, ACTION_ALLOW },
		{ ~0u, AF_ALG, ACTION_ERRNO }, { ~0u, 39, ACTION_ALLOW },	{ ~0u, AF_VSOCK, ACTION_ERRNO },
		{ ~0u, 41, ACTION_ALLOW },    { ~0x1u, 42, ACTION_ALLOW },	{ ~0x3u, 44, ACTION_ALLOW },
		{ ~0xfu, 48, ACTION_ALLOW },
	};
	int e = 0;

	if (family_seen(g, AF_ALG) || family_seen(g, AF_VSOCK) || base_has_family(g, AF_ALG) || base_has_family(g, AF_VSOCK))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows) && e == 0; i++) {
		const struct arg_rule one = { .index = { 0 }, .mask = { rows[i].mask } };

		e = add_value_rule(g, "socket", &one, 1, (struct arg_value){ { rows[i].value, 0 } }, rows[i].action,
				   i == 0 ? "needed, with any family but those that Docker's default denies" : NULL);
	}
	return e == 0 ? 1 : e;
}

/* The calls needed in @phase and in none of the phases named before it. */
static int add_group(struct generator *g, unsigned int phase, unsigned int before, const char *comment)
{
	_cleanup_(observation_freep) struct observation *with_values = observation_new();
	size_t rule = g->p->n_rules;
	struct profile_rule *r;
	bool families = false;
	int e;

	if (!with_values)
		return -ENOMEM;
	e = profile_add_rule(g->p, ACTION_ALLOW, 0, comment, &r);
	for (enum abi a = 0; a < _ABI_MAX && e == 0; a++) {
		for (size_t i = 0; i < g->o->abis[a].n && e == 0; i++) {
			const char *name = g->o->abis[a].v[i].name;
			unsigned int phases = needed(g, name);

			if (!(phases & phase) || (phases & before) || name[0] == '#')
				continue;
			if (values_of(g, name, with_values))
				continue;
			if (strcmp(name, "socket") == 0)
				families = true;
			else
				e = profile_rule_add_name(&g->p->rules[rule], name);
		}
	}
	/* After the walk: it makes rules of its own, which may move this one. */
	if (e == 0 && families)
		e = add_families(g);
	if (e == 0 && families)
		e = profile_rule_add_name(&g->p->rules[rule], "socket");
	e = MIN(e, 0);
	for (size_t i = 0; i < with_values->abis[g->machine].n && e == 0; i++) {
		const struct observed_call *c = &with_values->abis[g->machine].v[i];

		if (c->n_values > 0 && !c->args_more && values_of(g, c->name, with_values))
			e = add_value_rules(g, c);
	}
	return e;
}

static bool has_name(const struct generator *g, const char *name)
{
	for (enum abi a = 0; a < _ABI_MAX; a++)
		if (g->p->abis[a] && abi_call_number(a, name) >= 0)
			return true;
	return false;
}

static int add_musts(struct generator *g, bool must, const char *comment)
{
	struct profile_rule *r;
	const struct must_row *row;
	int e = profile_add_rule(g->p, ACTION_ALLOW, 0, comment, &r);

	for (unsigned int i = 0; e == 0 && (row = must_nth(i)); i++)
		if (row->must == must && has_name(g, row->name) && !profile_allows(g->p, row->name, false))
			e = profile_rule_add_name(r, row->name);
	return e;
}

/* A pair of rules, for containers that hold a capability and for those that do not. */
struct capable {
	struct generator *g;
	size_t with, without; /* places of the rules; 0: not made yet, for there are others before */
};

static int set_text(char **to, const char *text)
{
	*to = strdup(text);
	return *to ? 0 : -ENOMEM;
}

static int add_pair(struct capable *c, const char *capability)
{
	struct profile_rule *r;
	int e;

	c->with = c->g->p->n_rules;
	e = profile_add_rule(c->g->p, ACTION_ALLOW, 0, "the ECS agent, which holds this capability", &r);
	if (e == 0)
		e = set_text(&r->with, capability);
	c->without = c->g->p->n_rules;
	if (e == 0)
		e = profile_add_rule(c->g->p, ACTION_ERRNO, EPERM, "all others", &r);
	return e == 0 ? set_text(&r->without, capability) : e;
}

static int add_capable_call(void *userdata, const char *capability, const char *name)
{
	struct capable *c = userdata;
	int e = 0;

	if (profile_allows(c->g->p, name, true) || !has_name(c->g, name))
		return 0;
	if (c->with == 0)
		e = add_pair(c, capability);
	if (e == 0)
		e = profile_rule_add_name(&c->g->p->rules[c->with], name);
	return e == 0 ? profile_rule_add_name(&c->g->p->rules[c->without], name) : e;
}

/* What the user's base allows besides, rule by rule. */
static int add_base(struct generator *g)
{
	const struct profile *base = g->options->base;
	struct profile own = *g->p; /* as far as its rules go now */
	int e = 0;

	for (size_t i = 0; base && i < base->n_rules && e == 0; i++) {
		const struct profile_rule *from = &base->rules[i];
		struct profile_rule *r;

		if (from->action != ACTION_ALLOW)
			continue;
		e = profile_add_rule(g->p, ACTION_ALLOW, 0, "from the base profile", &r);
		if (e < 0)
			return e;
		memcpy(r->args, from->args, sizeof(r->args));
		r->n_args = from->n_args;
		own.rules = g->p->rules;
		/* A call with rules of its own has the base's arguments among them. */
		for (size_t k = 0; k < from->n_names && e == 0; k++)
			if (!profile_allows(g->p, from->names[k], false) &&
			    (from->n_args == 0 || !profile_allows(&own, from->names[k], true)))
				e = profile_rule_add_name(r, from->names[k]);
	}
	return e;
}

static bool is_multiplexed(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(multiplexed); i++)
		if (strcmp(multiplexed[i], name) == 0)
			return true;
	return false;
}

/*
 * Was a call needed that 32-bit code may have made through this one? Denied by name it would be denied for
 * all that it carries, whatever the rules say that libseccomp derives.
 */
static bool carries(const struct generator *g, const char *name)
{
	bool ipc = strcmp(name, "ipc") == 0;

	for (size_t i = 0; i < ARRAY_SIZE(multiplexed) && (ipc || strcmp(name, "socketcall") == 0); i++) {
		const char *part = multiplexed[i];
		const struct observed_call *c = observation_find(g->o, ABI_X86, part);
		bool by_ipc = strncmp(part, "msg", 3) == 0 || strncmp(part, "sem", 3) == 0 || strncmp(part, "shm", 3) == 0;

		if (c && c->phases & g->phases && by_ipc == ipc)
			return true;
	}
	return false;
}

/* Does software try this call and expect ENOSYS where it is missing? */
static bool is_probed(enum abi machine, const char *name)
{
	int number = abi_call_number(machine, name);

	return number >= (machine == ABI_X86_64 ? PROBED_FROM_X86_64 : PROBED_FROM_AARCH64);
}

/* Is there an answer for the call already, other than for some arguments? */
static bool is_denied(const struct profile *p, const char *name)
{
	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t k = 0; p->rules[i].without && k < p->rules[i].n_names; k++)
			if (strcmp(p->rules[i].names[k], name) == 0)
				return true;
	return false;
}

static int add_denials(struct generator *g)
{
	struct profile_rule *missing, *denied;
	int e;

	e = profile_add_rule(g->p, ACTION_ERRNO, ENOSYS,
			     "not observed; programs try these and fall back when they are not there", &missing);
	for (int pass = 0; pass < 2 && e == 0; pass++) {
		if (pass == 1) {
			e = profile_add_rule(g->p, ACTION_ERRNO, EPERM, "not observed; deliberately denied", &denied);
			if (e < 0)
				return e;
		}
		for (enum abi a = 0; a < _ABI_MAX; a++) {
			for (int n = 0; g->p->abis[a] && n < ABI_NUMBERS && e == 0; n++) {
				char name[ABI_NAME_SIZE];

				(void)abi_call_name(a, n, name);
				if (name[0] == '#' || profile_allows(g->p, name, true) || is_denied(g->p, name))
					continue;
				if (g->p->abis[ABI_X86] && (is_multiplexed(name) || carries(g, name)))
					continue;
				if (is_probed(g->machine, name) != (pass == 0))
					continue;
				e = profile_rule_add_name(&g->p->rules[g->p->n_rules - 1], name);
			}
		}
	}
	return e;
}

/* Sub-architectures only where code of theirs was seen. */
static void choose_abis(struct generator *g)
{
	g->p->abis[g->machine] = true;
	for (enum abi a = 0; a < _ABI_MAX; a++)
		for (size_t i = 0; i < g->o->abis[a].n; i++)
			g->p->abis[a] |= observed_call_needed(&g->o->abis[a].v[i], g->phases);
}

/* A filter that the kernel refuses would keep the container from starting. */
static int check_size(const struct profile *p, struct diag *d)
{
	struct filter f = { 0 };
	int r = filter_compile(p, FILTER_PATIENCE, &f, NULL, d);

	if (r == 0 && f.n_code > BPF_MAXINSNS)
		r = diag_fail(d, -E2BIG, NULL, "the filter would have %zu instructions, the kernel takes %d; leave out --args",
			      f.n_code, BPF_MAXINSNS);
	filter_done(&f);
	return r;
}

int profile_generate(const struct observation *o, const struct generate_options *options, struct profile **ret,
		     struct diag *d)
{
	_cleanup_(observation_freep) struct observation *all = observation_new();
	_cleanup_(profile_freep) struct profile *p = profile_new();
	struct generator g = { all, options, p, o->machine, _PHASE_ALL };
	struct confidence c;
	char comment[128];
	int r;

	if (!all || !p)
		return -ENOMEM;
	observation_confidence(o, &c);
	if (o->machine == _ABI_MAX || c.n_names == 0)
		return diag_fail(d, -EINVAL, NULL, "the observation has no call that was needed; nothing would run");
	if (options->without_exec)
		g.phases &= ~(unsigned int)PHASE_EXEC;
	p->default_error = ENOSYS;
	r = observation_merge(all, o, d);
	if (r == 0 && options->host) {
		g.phases |= PHASE_HOST;
		r = host_needs_add(o->machine, PHASE_HOST, all);
	}
	if (r == 0)
		r = runtime_base_add(&options->runtime, o->machine, all, d);
	if (r < 0)
		return r;
	choose_abis(&g);
	for (enum abi a = 0; a < _ABI_MAX && r == 0; a++)
		r = p->abis[a] ? abi_load_names(a) : 0;
	if (r < 0)
		return r;
	(void)snprintf(comment, sizeof(comment), "observed in the workload's start-up (%llu run%s)",
		       (unsigned long long)c.runs, c.runs == 1 ? "" : "s");
	r = add_group(&g, PHASE_START, 0, comment);
	if (r == 0)
		r = add_group(&g, PHASE_SERVE, PHASE_START, "observed while serving only");
	if (r == 0)
		r = add_group(&g, PHASE_EXEC, PHASE_START | PHASE_SERVE, "observed in exec sessions only");
	(void)snprintf(comment, sizeof(comment), "the container runtime (%s%s%.32s), between filter and exec%s",
		       strcmp(options->runtime.name, "any") == 0 ? "runc or crun" : options->runtime.name,
		       options->runtime.version ? " " : "", options->runtime.version ? options->runtime.version : "",
		       options->runtime.nnp ? ", with no-new-privileges" : "");
	if (r == 0)
		r = add_group(&g, PHASE_RUNTIME, PHASE_START | PHASE_SERVE | PHASE_EXEC, comment);
	if (r == 0)
		r = add_group(&g, PHASE_HOST, _PHASE_ALL & g.phases,
			      "an ECS host: the agent, ECS Exec, health checks; not observed, from what they are known to need");
	if (r == 0)
		r = add_base(&g);
	if (r == 0 && options->host)
		r = host_needs_each_capable(add_capable_call, &(struct capable){ .g = &g });
	if (r == 0)
		r = add_musts(&g, true, "every program: threads and processes end, signal handlers return");
	if (r == 0)
		r = add_musts(&g, false, "called only under load, on abort, or when the clock source changes");
	if (r == 0)
		r = add_denials(&g);
	if (r == 0 && o->machine == abi_native())
		r = check_size(p, d);
	if (r < 0)
		return r;
	*ret = take_ptr(p);
	return 0;
}

size_t profile_count_allowed(const struct profile *p, enum abi machine)
{
	size_t n = 0;

	for (int i = 0; i < ABI_NUMBERS; i++) {
		char name[ABI_NAME_SIZE];

		(void)abi_call_name(machine, i, name);
		n += name[0] != '#' && profile_allows(p, name, true);
	}
	return n;
}
