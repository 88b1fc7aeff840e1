/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Profiles read. Docker's dialect adds conditions (capabilities, machines, kernels) and an archMap,
 * which dockerd resolves before a runtime sees the profile; here they are resolved the same way:
 * all of includes.caps must be held, any of excludes.caps excludes. What an argument is compared with has 64
 * bits without a sign, and our JSON has signs: before it is read such a number becomes the one below 0 that
 * has the same bits, and what was below 0 in the text, which no runtime takes here, becomes a fraction.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/bytes.h"
#include "batten/base/parse.h"
#include "seccomp/profile-internal.h"

#define MAX_ERRNO 4095
#define DOCKER_CAPABILITIES                                                                        \
	{ 0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31 }

/* Numbers of linux/capability.h; the format knows them by name. */
static const char *const capability_names[] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
};

/* Docker says amd64 where others say x86_64. */
static const char *const docker_machines[_ABI_MAX] = {
	[ABI_X86_64] = "amd64", [ABI_X86] = "x86", [ABI_X32] = "x32", [ABI_AARCH64] = "arm64", [ABI_ARM] = "arm",
};

struct reader {
	const char *name;
	const struct profile_context *context;
	struct diag *d;
};

static int bad(const struct reader *rd, size_t rule, const char *what)
{
	return diag_fail(rd->d, -EINVAL, rd->name, "syscalls[%zu]: %s", rule, what);
}

void profile_context_docker(struct profile_context *ret)
{
	static const unsigned char held[] = DOCKER_CAPABILITIES;

	*ret = (struct profile_context){ .machine = abi_native() };
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		ret->capabilities |= UINT64_C(1) << held[i];
}

static bool has_capability(const struct profile_context *c, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(capability_names); i++)
		if (name && strcmp(capability_names[i], name) == 0)
			return c->capabilities >> i & 1;
	return false;
}

static bool kernel_reaches(const struct profile_context *c, const char *wanted)
{
	unsigned int major = 0, minor = 0;

	if (!wanted || sscanf(wanted, "%u.%u", &major, &minor) != 2 || c->kernel_major == 0)
		return true;
	return c->kernel_major > major || (c->kernel_major == major && c->kernel_minor >= minor);
}

static bool names_machine(const json_t *list, enum abi machine)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), docker_machines[machine]) == 0)
			return true;
	return false;
}

bool profile_rule_applies(const json_t *rule, const struct profile_context *context)
{
	const json_t *in = json_object_get(rule, "includes"), *out = json_object_get(rule, "excludes"), *v;
	const json_t *machines = json_object_get(in, "arches");
	const char *kernel = json_string_value(json_object_get(in, "minKernel"));
	const char *too_late = json_string_value(json_object_get(out, "minKernel"));
	size_t i;

	json_array_foreach(json_object_get(in, "caps"), i, v)
		if (!has_capability(context, json_string_value(v)))
			return false;
	json_array_foreach(json_object_get(out, "caps"), i, v)
		if (has_capability(context, json_string_value(v)))
			return false;
	if (json_array_size(machines) > 0 && !names_machine(machines, context->machine))
		return false;
	if (names_machine(json_object_get(out, "arches"), context->machine))
		return false;
	if (too_late && kernel_reaches(context, too_late))
		return false;
	return !kernel || kernel_reaches(context, kernel);
}

static int take_action(const struct reader *rd, const json_t *v, const char *where, enum profile_action *ret)
{
	const char *word = json_string_value(v);

	/* The older name of the same. */
	if (word && strcmp(word, "SCMP_ACT_KILL") == 0)
		word = profile_actions[ACTION_KILL_THREAD];
	for (enum profile_action a = 0; word && a < _ACTION_MAX; a++) {
		if (strcmp(word, profile_actions[a]) == 0) {
			*ret = a;
			return 0;
		}
	}
	return diag_fail(rd->d, -EINVAL, rd->name, "%s: %s%s%s", where, word ? "unknown action \"" : "an action is missing",
			 word ? word : "", word ? "\" (SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, …)" : "");
}

static int take_errno(const struct reader *rd, const json_t *v, const char *where, int *ret)
{
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > MAX_ERRNO)
		return diag_fail(rd->d, -EINVAL, rd->name, "%s: an errno is a number from 0 to %d", where, MAX_ERRNO);
	*ret = (int)json_integer_value(v);
	return 0;
}

/* A number of 64 bits; those below 0 are what large_numbers_with_signs() has made of large ones. */
static bool take_word(const json_t *j, uint64_t *ret)
{
	if (!json_is_integer(j))
		return false;
	*ret = (uint64_t)json_integer_value(j);
	return true;
}

static int take_arg(const struct reader *rd, size_t n, const json_t *j, struct profile_rule *r)
{
	const json_t *index = json_object_get(j, "index"), *value = json_object_get(j, "value");
	const json_t *two = json_object_get(j, "valueTwo");
	const char *op = json_string_value(json_object_get(j, "op"));
	struct profile_arg *a = &r->args[r->n_args];

	if (r->n_args == MAX_RULE_ARGS)
		return bad(rd, n, "more than six arguments");
	if (!json_is_integer(index) || json_integer_value(index) < 0 || json_integer_value(index) > 5)
		return bad(rd, n, "an argument's index is a number from 0 to 5");
	*a = (struct profile_arg){ .index = (unsigned int)json_integer_value(index) };
	/* The runtimes, too, refuse a fraction, an exponent and what is below 0 here. */
	if (!take_word(value, &a->value) || (two && !take_word(two, &a->value_two)))
		return bad(rd, n, "an argument's value is a whole number from 0 to 18446744073709551615");
	a->op = _OP_MAX;
	for (enum profile_op i = 0; op && i < _OP_MAX; i++)
		if (strcmp(op, profile_ops[i]) == 0)
			a->op = i;
	if (a->op == _OP_MAX)
		return bad(rd, n, "unknown comparison (SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ, …)");
	r->n_args++;
	return 0;
}

static int take_names(const struct reader *rd, size_t n, const json_t *j, struct profile_rule *rule)
{
	const json_t *name = json_object_get(j, "name"), *names = json_object_get(j, "names"), *v;
	size_t i;
	int r = 0;

	if ((json_is_string(name) && json_string_length(name) > 0) && json_array_size(names) > 0)
		return bad(rd, n, "has name and names; keep one");
	if (json_is_string(name) && json_string_length(name) > 0)
		return profile_rule_add_name(rule, json_string_value(name));
	if (json_array_size(names) == 0)
		return bad(rd, n, "names no system call");
	json_array_foreach(names, i, v) {
		if (!json_is_string(v) || json_string_length(v) == 0 || json_string_length(v) >= ABI_NAME_SIZE)
			return bad(rd, n, "a name is no text, or far too long");
		r = profile_rule_add_name(rule, json_string_value(v));
		if (r == -E2BIG)
			return bad(rd, n, "too many names");
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_rule(const struct reader *rd, size_t n, const json_t *j, struct profile *p)
{
	const json_t *args = json_object_get(j, "args"), *v;
	enum profile_action action = ACTION_ALLOW;
	struct profile_rule *rule;
	char where[32];
	int error = EPERM, r;
	size_t i;

	(void)snprintf(where, sizeof(where), "syscalls[%zu]", n);
	if (!json_is_object(j))
		return bad(rd, n, "is no object");
	r = take_action(rd, json_object_get(j, "action"), where, &action);
	if (r == 0)
		r = take_errno(rd, json_object_get(j, "errnoRet"), where, &error);
	if (r < 0)
		return r;
	if (!profile_rule_applies(j, rd->context))
		return 0;
	r = profile_add_rule(p, action, error, json_string_value(json_object_get(j, "comment")), &rule);
	if (r == -E2BIG)
		return bad(rd, n, "too many rules");
	if (r == 0)
		r = take_names(rd, n, j, rule);
	if (r < 0)
		return r;
	if (args && !json_is_null(args) && !json_is_array(args))
		return bad(rd, n, "args is no list");
	json_array_foreach(args, i, v) {
		r = take_arg(rd, n, v, rule);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_abi(const struct reader *rd, const json_t *v, struct profile *p, bool *other)
{
	enum abi a;

	if (!json_is_string(v))
		return diag_fail(rd->d, -EINVAL, rd->name, "architectures: is no list of names");
	a = abi_by_name(json_string_value(v));
	/* MIPS, s390 … are for other machines: no harm in a profile for many. */
	if (a == _ABI_MAX || abi_machine(a) != rd->context->machine)
		*other = true;
	else
		p->abis[a] = true;
	return 0;
}

static int take_abis(const struct reader *rd, const json_t *j, struct profile *p)
{
	const json_t *list = json_object_get(j, "architectures"), *map = json_object_get(j, "archMap"), *v, *sub;
	const char *own = abi_profile_name(rd->context->machine);
	bool other = false, any = false;
	size_t i, k;
	int r = 0;

	if (json_array_size(list) > 0 && json_array_size(map) > 0)
		return diag_fail(rd->d, -EINVAL, rd->name, "has architectures and archMap; keep one");
	json_array_foreach(list, i, v)
		if (r == 0)
			r = take_abi(rd, v, p, &other);
	json_array_foreach(map, i, v) {
		const char *main_abi = json_string_value(json_object_get(v, "architecture"));

		if (!main_abi || strcmp(main_abi, own) != 0) {
			other = true;
			continue;
		}
		p->abis[rd->context->machine] = true;
		json_array_foreach(json_object_get(v, "subArchitectures"), k, sub)
			if (r == 0)
				r = take_abi(rd, sub, p, &other);
	}
	for (enum abi a = 0; a < _ABI_MAX; a++)
		any |= p->abis[a];
	if (r == 0 && !any && other)
		return diag_fail(rd->d, -EINVAL, rd->name, "is for another architecture; this is %s", own);
	/* Runtimes add the native one whether it is named or not. */
	p->abis[rd->context->machine] = true;
	return r;
}

/* What stands outside of texts, a number or not, as our JSON shall read it. */
static void put_number(const char *text, size_t n, struct bytes *ret)
{
	bool below = *text == '-';
	uint64_t value;

	/* A 0 in front of others is not JSON, and stays for the reader to refuse. */
	if (*text != '0' && parse_u64((struct slice){ text, n }, UINT64_C(1) << 63, UINT64_MAX, &value) == 0) {
		bytes_printf(ret, "%" PRId64, (int64_t)value);
		return;
	}
	bytes_append(ret, text, n);
	for (size_t i = 1; below && i < n; i++)
		below = text[i] >= '0' && text[i] <= '9';
	if (below)
		bytes_append_str(ret, ".0");
}

/* The text with all whole numbers of 64 bits in the range of our JSON, and none else below 0. */
static void large_numbers_with_signs(const char *text, size_t n, struct bytes *ret)
{
	bool quoted = false;

	for (size_t i = 0; i < n;) {
		size_t length = 1;

		if (quoted && text[i] == '\\' && i + 1 < n)
			length = 2;
		else if (text[i] == '"')
			quoted = !quoted;
		while (!quoted && length < n - i && strchr("0123456789.eE+-", text[i]) &&
		       text[i + length] != '\0' && strchr("0123456789.eE+-", text[i + length]))
			length++;
		if (quoted)
			bytes_append(ret, text + i, length);
		else
			put_number(text + i, length, ret);
		i += length;
	}
}

int profile_parse(const char *text, size_t n, const char *name, const struct profile_context *context,
		  struct profile **ret, struct diag *d)
{
	_cleanup_(profile_freep) struct profile *p = profile_new();
	_cleanup_(json_freep) json_t *doc = NULL;
	struct reader rd = { name, context, d };
	struct bytes whole = { 0 };
	const json_t *j, *rules, *v;
	size_t i;
	int r;

	if (!p)
		return -ENOMEM;
	large_numbers_with_signs(text, n, &whole);
	r = whole.error < 0 ? whole.error : json_parse(whole.data ? whole.data : "", whole.n, name, &doc, d);
	bytes_done(&whole);
	if (r < 0)
		return r;
	j = doc;
	if (!json_object_get(j, "defaultAction") && json_object_get(json_object_get(j, "linux"), "seccomp"))
		j = json_object_get(json_object_get(j, "linux"), "seccomp");
	if (!json_is_object(j) || !json_object_get(j, "defaultAction"))
		return diag_fail(d, -EINVAL, name, "is no seccomp profile: defaultAction is missing");
	r = take_action(&rd, json_object_get(j, "defaultAction"), "defaultAction", &p->default_action);
	if (r == 0)
		r = take_errno(&rd, json_object_get(j, "defaultErrnoRet"), "defaultErrnoRet", &p->default_error);
	if (r == 0)
		r = take_abis(&rd, j, p);
	if (r < 0)
		return r;
	rules = json_object_get(j, "syscalls");
	if (rules && !json_is_null(rules) && !json_is_array(rules))
		return diag_fail(d, -EINVAL, name, "syscalls is no list");
	json_array_foreach(rules, i, v) {
		r = take_rule(&rd, i, v, p);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(p);
	return 0;
}
