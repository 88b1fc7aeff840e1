/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batten/base/file.h"
#include "batten/seccomp/base.h"
#include "batten/seccomp/filter.h"
#include "batten/seccomp/generate.h"
#include "batten/seccomp/import.h"
#include "batten/seccomp/verify.h"

/* Everything here is about x86-64; the interpreter runs any machine's filter. */
static struct profile_context docker_on_x86_64(void)
{
	struct profile_context c;

	profile_context_docker(&c);
	c.machine = ABI_X86_64;
	return c;
}

static struct profile *parse(const char *text)
{
	struct profile_context c = docker_on_x86_64();
	struct profile *p = NULL;
	struct diag d = { 0 };

	if (profile_parse(text, strlen(text), "test", &c, &p, &d) < 0)
		fail_msg("%s: %s", d.where, d.what);
	return p;
}

static uint32_t ask(const struct filter *f, const char *call, uint64_t a0, uint64_t a1)
{
	struct seccomp_data data = {
		.nr = abi_call_number(ABI_X86_64, call),
		.arch = abi_audit_arch(ABI_X86_64),
		.args = { a0, a1, a0 },
	};
	uint32_t answer = 0;

	assert_int_equal(filter_run(f->code, f->n_code, &data, &answer), 0);
	return answer;
}

static void dockers_default_answers_as_it_says(void **state)
{
	struct profile_context c = docker_on_x86_64();
	struct labels unknown = { 0 };
	struct filter f = { 0 };
	struct profile *p;

	assert_int_equal(docker_default_profile(&c, &p), 0);
	assert_int_equal(filter_compile(p, FILTER_PATIENCE, &f, &unknown, NULL), 0);
	assert_int_equal(ask(&f, "read", 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&f, "clone3", 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(ask(&f, "mount", 0, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&f, "socket", 2, 1), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&f, "socket", 38, 1), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&f, "socket", 39, 1), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&f, "socket", 40, 1), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&f, "clone", 0x11, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&f, "clone", 0x10000000, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&f, "personality", 8, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&f, "personality", 0x40000, 0), SECCOMP_RET_ERRNO | EPERM);
	/* Figures that the facts give for the usual capabilities: about 300 calls. */
	assert_in_range(profile_count_allowed(p, ABI_X86_64), 285, 330);
	filter_done(&f);
	for (size_t i = 0; i < unknown.n; i++)
		free(unknown.v[i]);
	free(unknown.v);
	profile_free(p);
}

static void the_interpreter_agrees_with_itself_on_odd_programs(void **state)
{
	struct seccomp_data data = { .nr = 7, .args = { 5 } };
	uint32_t answer = 1;
	static const struct sock_filter sums[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 3),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LD | BPF_IMM, 0),		BPF_STMT(BPF_LD | BPF_MEM, 3),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 46, 1, 0), BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	static const struct sock_filter past_the_end[] = { BPF_STMT(BPF_JMP | BPF_JA, 7) };
	static const struct sock_filter no_return[] = { BPF_STMT(BPF_LD | BPF_IMM, 7) };
	static const struct sock_filter unaligned[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET, 0) };
	static const struct sock_filter outside[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET, 0) };
	static const struct sock_filter by_zero[] = { BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), BPF_STMT(BPF_RET, 0) };
	static const struct sock_filter memory[] = { BPF_STMT(BPF_ST, 16), BPF_STMT(BPF_RET, 0) };

	assert_int_equal(filter_run(sums, ARRAY_SIZE(sums), &data, &answer), 0);
	assert_int_equal(answer, 47);
	assert_int_equal(filter_run(past_the_end, 1, &data, &answer), -EINVAL);
	assert_int_equal(filter_run(no_return, 1, &data, &answer), -EINVAL);
	assert_int_equal(filter_run(unaligned, 2, &data, &answer), -EINVAL);
	assert_int_equal(filter_run(outside, 2, &data, &answer), -EINVAL);
	assert_int_equal(filter_run(by_zero, 2, &data, &answer), -EINVAL);
	assert_int_equal(filter_run(memory, 2, &data, &answer), -EINVAL);
	assert_int_equal(filter_run(NULL, 0, &data, &answer), -EINVAL);
}

static void repeated_comparisons_are_alternatives(void **state)
{
	struct profile *p = parse("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"personality\"],\"action\":"
				  "\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{\"index\":0,"
				  "\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	struct filter f = { 0 };

	assert_int_equal(filter_compile(p, FILTER_PATIENCE, &f, NULL, NULL), 0);
	assert_int_equal(ask(&f, "personality", 1, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&f, "personality", 2, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&f, "personality", 3, 0), SECCOMP_RET_ERRNO | EPERM);
	filter_done(&f);
	profile_free(p);
}

/* Runtimes read 64 bits without a sign; our JSON has one bit less. */
static void numbers_of_64_bits_are_read(void **state)
{
	struct profile *p = parse("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"personality\"],\"action\":"
				  "\"SCMP_ACT_ERRNO\",\"comment\":\"a \\\"18446744073709551615\",\"args\":[{\"index\":0,\"value\":"
				  "18446744069414584320,\"valueTwo\":9223372036854775808,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}");
	struct filter f = { 0 };

	assert_string_equal(p->rules[0].comment, "a \"18446744073709551615");
	assert_int_equal(filter_compile(p, FILTER_PATIENCE, &f, NULL, NULL), 0);
	assert_int_equal(ask(&f, "personality", UINT64_C(0x8000000000000007), 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&f, "personality", 7, 0), SECCOMP_RET_ALLOW);
	filter_done(&f);
	profile_free(p);
}

/* A profile that is read, written and read again. @ret: the text in between, freed by the caller */
static void write_again(const char *text, char **ret)
{
	char path[] = "/tmp/batten-profile-XXXXXX";
	struct profile *p = parse(text);
	struct diag d = { 0 };
	size_t n;

	assert_return_code(mkstemp(path), errno);
	assert_int_equal(profile_write(p, path, &d), 0);
	assert_int_equal(file_read(AT_FDCWD, path, 65536, ret, &n, &d), 0);
	assert_return_code(unlink(path), errno);
	profile_free(p);
}

/* A text that looks like a value stays what it is; a runtime refuses a value below 0. */
static void numbers_of_64_bits_are_written(void **state)
{
	struct profile *p;
	char *text;

	write_again("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"personality\"],\"action\":"
		    "\"SCMP_ACT_ERRNO\",\"comment\":\"- \\\"value\\\": -1\",\"args\":[{\"index\":0,\"value\":"
		    "18446744073709551615,\"valueTwo\":9223372036854775808,\"op\":\"SCMP_CMP_MASKED_EQ\"},{\"index\":1,"
		    "\"value\":9223372036854775807,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		    &text);
	assert_non_null(strstr(text, "\"value\": 18446744073709551615,"));
	assert_non_null(strstr(text, "\"valueTwo\": 9223372036854775808,"));
	assert_non_null(strstr(text, "\"value\": 9223372036854775807,"));
	p = parse(text);
	assert_string_equal(p->rules[0].comment, "- \"value\": -1");
	assert_true(p->rules[0].args[0].value == UINT64_MAX);
	assert_true(p->rules[0].args[0].value_two == UINT64_C(1) << 63);
	profile_free(p);
	free(text);
}

static struct observation *imported(const char *text)
{
	struct observation *o = NULL;
	struct diag d = { 0 };

	if (abi_native() != ABI_X86_64)
		skip_because("its traces have the numbers and constants of x86-64");
	if (import_strace(text, strlen(text), "trace", &o, &d) < 0)
		fail_msg("%s: %s", d.where, d.what);
	return o;
}

static struct profile *generated(const struct observation *o, bool args)
{
	struct profile *p = NULL;
	struct diag d = { 0 };

	if (profile_generate(o, &(struct generate_options){ .runtime = { .name = "any" }, .args = args }, &p, &d) < 0)
		fail_msg("%s: %s", d.where, d.what);
	return p;
}

static void what_is_generated_holds_and_denies(void **state)
{
	struct observation *o = imported("socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3\n"
					 "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4\n"
					 "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f0000000000\n"
					 "mmap(NULL, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE, 3, 0) = 0x7f0000000000\n"
					 "clone3({flags=CLONE_VM}, 88) = -1 ENOSYS (Function not implemented)\n"
					 "clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 7\n"
					 "uname({sysname=\"Linux\"}) = 0\n");

	for (int args = 0; args < 2; args++) {
		struct profile *p = generated(o, args);
		struct filter f = { 0 };
		struct verify_result v;

		assert_int_equal(filter_compile(p, FILTER_PATIENCE, &f, NULL, NULL), 0);
		assert_true(f.n_code <= BPF_MAXINSNS);
		for (uint64_t family = 0; family < 60; family++) {
			for (uint64_t type = 0; type < 16; type++) {
				bool seen = (family == 1 && type == 1) || (family == 2 && type == 2);
				uint32_t answer = ask(&f, "socket", family, type | 02000000),
					 high = ask(&f, "socket", family | 0xffffffff00000000u, type);

				/* Without rules on what was seen: as wide as Docker's default, no wider. */
				bool wide = !args && family != AF_ALG && family != AF_VSOCK;

				assert_int_equal(filter_answer_passes(answer), seen || wide);
				assert_int_equal(high, answer);
				if (!filter_answer_passes(answer) && family < 47)
					assert_int_equal(answer, SECCOMP_RET_ERRNO | EPERM);
			}
		}
		/* ask() passes the first argument as the third too. */
		assert_int_equal(ask(&f, "mmap", 5, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(ask(&f, "mmap", 7, 0), args ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
		assert_int_equal(ask(&f, "clone3", 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
		assert_int_equal(ask(&f, "clone", 0x01200011, 0), SECCOMP_RET_ALLOW);
		for (int bit = 0; bit < 32; bit++)
			assert_int_equal(ask(&f, "clone", UINT64_C(1) << bit | 0xffffffff00000011u, 0),
					 0x7e020000u >> bit & 1 ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
		assert_int_equal(ask(&f, "keyctl", 0, 0), SECCOMP_RET_ERRNO | EPERM);
		assert_int_equal(ask(&f, "exit_group", 0, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(ask(&f, "rt_sigreturn", 0, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(ask(&f, "restart_syscall", 0, 0), SECCOMP_RET_ALLOW);
		assert_false(p->abis[ABI_X86]);
		assert_int_equal(profile_verify(p, o, &v, NULL), 0);
		assert_int_equal(v.n_denials, 0);
		assert_false(v.thread_trap);
		verify_result_done(&v);
		filter_done(&f);
		profile_free(p);
	}
	observation_free(o);
}

static void verify_lists_what_would_be_denied(void **state)
{
	struct observation *o = imported("uname({}) = 0\nclone3({}, 88) = -1 ENOSYS (x)\nsocket(AF_INET, SOCK_STREAM, 0) = 3\n");
	/* Compares 64 bits, lacks rt_sigreturn, answers clone3 with EPERM, names a call that is none. */
	struct profile *p = parse("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"exit\",\"exit_group\","
				  "\"restart_syscall\",\"nosuchcall\"],\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"socket\"],"
				  "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	static const char *const denied[] = { "rt_sigreturn", "clone3", "socket", "uname" };
	struct verify_result v;

	assert_int_equal(profile_verify(p, o, &v, NULL), 0);
	assert_int_equal(v.n_denials, ARRAY_SIZE(denied));
	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		bool found = false;

		for (size_t k = 0; k < v.n_denials; k++)
			found |= strcmp(v.denials[k].name, denied[i]) == 0;
		assert_true(found);
	}
	assert_true(v.thread_trap);
	assert_int_equal(v.unknown.n, 1);
	assert_string_equal(v.unknown.v[0], "nosuchcall");
	verify_result_done(&v);
	profile_free(p);
	observation_free(o);
}

static void the_32_bit_interface_is_added_only_when_seen(void **state)
{
	struct observation *o = imported("[ Process PID=7 runs in 32 bit mode. ]\n7 socketcall(1) = 3\n7 write(1, \"\", 0) = 0\n"
					 "[ Process PID=7 runs in 64 bit mode. ]\n7 uname({}) = 0\n");
	struct profile *p = generated(o, false);
	struct verify_result v;

	assert_non_null(observation_find(o, ABI_X86, "socketcall"));
	assert_null(observation_find(o, ABI_X86_64, "write"));
	assert_non_null(observation_find(o, ABI_X86_64, "uname"));
	assert_true(p->abis[ABI_X86]);
	assert_false(p->abis[ABI_X32]);
	assert_int_equal(profile_verify(p, o, &v, NULL), 0);
	assert_int_equal(v.n_denials, 0);
	verify_result_done(&v);
	profile_free(p);
	observation_free(o);
}

/* What a runtime adds to an observation of one call. */
static struct observation *base_of(const char *runtime, const char *version, bool nnp)
{
	struct observation *o = observation_new();
	struct diag d = { 0 };

	if (runtime_base_add(&(struct runtime_choice){ runtime, version, nnp }, ABI_X86_64, o, &d) < 0)
		fail_msg("%s: %s", d.where, d.what);
	return o;
}

static bool base_has(const char *runtime, const char *version, bool nnp, const char *call)
{
	struct observation *o = base_of(runtime, version, nnp);
	const struct observed_call *c = observation_find(o, ABI_X86_64, call);
	bool has = c && c->phases == PHASE_RUNTIME;

	observation_free(o);
	return has;
}

static void runtime_bases_go_by_version_and_no_new_privileges(void **state)
{
	static const struct {
		const char *runtime, *version;
		bool nnp;
		const char *call;
		bool has;
	} cases[] = {
		{ "runc", "1.1.5", false, "capset", true },
		{ "runc", "1.1.5", true, "capset", false },
		{ "runc", "1.1.5", false, "openat2", false },
		{ "runc", "1.1.5", true, "fstatfs", true },
		{ "runc", "1.1.5+ds1", true, "capset", false }, /* what a distribution adds does not count */
		{ "runc", "1.0.1", true, "openat2", false },	/* older than all known: as the oldest */
		{ "runc", "1.3.6", true, "openat2", true },
		{ "runc", "1.3.4", false, "openat2", true },	/* not known: what its neighbours need */
		{ "runc", "1.3.4", false, "close_range", true },
		{ "runc", "9.9", false, "openat2", true },
		{ "runc", NULL, true, "openat2", true },	/* any version */
		{ "crun", "1.8.1", true, "close_range", false },
		{ "crun", "1.10", true, "close_range", true },
		{ "crun", "1.21", true, "capset", false },
		{ "crun", "1.21", false, "capset", true },
		{ "crun", NULL, false, "openat2", false },
		{ "any", NULL, false, "openat2", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (base_has(cases[i].runtime, cases[i].version, cases[i].nnp, cases[i].call) != cases[i].has)
			fail_msg("%s %s %d: %s", cases[i].runtime, cases[i].version ? cases[i].version : "any", cases[i].nnp,
				 cases[i].call);
	assert_true(runtime_version_order("1.1.15", "1.1.5") > 0);
	assert_int_equal(runtime_version_order("1.1.5+ds1", "1.1.5"), 0);
	assert_true(runtime_version_order("1.3.0~rc1", "1.2.9") > 0);
}

static void a_host_profile_has_what_a_host_needs(void **state)
{
	struct observation *o = imported("uname({}) = 0\n");
	struct generate_options options = { .runtime = { .name = "runc" }, .host = true };
	static const char *const wanted[] = { "epoll_pwait", "flock", "pause", "setsid", "wait4", "uname", "socket" };
	struct profile_context agent = docker_on_x86_64(), other = agent;
	struct profile *p = NULL, *for_agent = NULL, *for_other = NULL;
	json_t *j;
	char *text;

	agent.capabilities |= UINT64_C(1) << 21; /* CAP_SYS_ADMIN */
	assert_int_equal(profile_generate(o, &options, &p, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_true(profile_allows(p, wanted[i], true));
	assert_false(profile_allows(p, "clone3", true));
	assert_false(profile_allows(p, "setns", true));
	/* As dockerd resolves it: for the agent, and for any other container. */
	j = profile_json(p);
	text = json_dumps(j, 0);
	json_decref(j);
	assert_int_equal(profile_parse(text, strlen(text), "host", &agent, &for_agent, NULL), 0);
	assert_int_equal(profile_parse(text, strlen(text), "host", &other, &for_other, NULL), 0);
	free(text);
	assert_true(profile_allows(for_agent, "setns", false));
	assert_false(profile_allows(for_other, "setns", true));
	profile_free(p);
	profile_free(for_agent);
	profile_free(for_other);
	/* An image's own profile has none of that. */
	options.host = false;
	assert_int_equal(profile_generate(o, &options, &p, NULL), 0);
	assert_false(profile_allows(p, "flock", true));
	profile_free(p);
	observation_free(o);
}

static uint32_t answer_of(const struct filter *f, enum abi a, const char *call, uint64_t a0, uint64_t a2)
{
	struct seccomp_data data = {
		.nr = abi_call_number(a, call),
		.arch = abi_audit_arch(a),
		.args = { a0, 0, a2 },
	};
	uint32_t answer = 0;

	assert_true(data.nr >= 0);
	assert_int_equal(filter_run(f->code, f->n_code, &data, &answer), 0);
	return answer;
}

static void arm64_profiles_are_made_anywhere(void **state)
{
	static const char text[] = "{\"schema\":\"batten.observation/1\",\"arch\":\"aarch64\",\"abis\":{\"aarch64\":{\"syscalls\":{"
				   "\"openat\":{\"phase\":\"start\"},\"mmap\":{\"phase\":\"start\",\"args\":{\"index\":[2],\"mask\":[6],"
				   "\"values\":[[2],[4]]}},\"clone\":{\"phase\":\"start\",\"args\":{\"index\":[0],\"mask\":[2114060288],"
				   "\"values\":[[0]]}}}}}}";
	struct profile_context c = docker_on_x86_64();
	struct profile *p = NULL, *again = NULL;
	struct observation *o = NULL;
	struct filter f = { 0 };
	struct verify_result v;
	json_t *j;
	char *out;

	c.machine = ABI_AARCH64;
	assert_int_equal(observation_parse(text, strlen(text), "test", &o, NULL), 0);
	p = generated(o, true);
	/* Through the text, as the other machine would read it. */
	j = profile_json(p);
	out = json_dumps(j, 0);
	json_decref(j);
	assert_non_null(strstr(out, "SCMP_ARCH_AARCH64"));
	assert_null(strstr(out, "X86"));
	assert_int_equal(profile_parse(out, strlen(out), "p", &c, &again, NULL), 0);
	free(out);
	assert_int_equal(filter_compile(again, FILTER_PATIENCE, &f, NULL, NULL), 0);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "openat", 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "mmap", 0, 5), SECCOMP_RET_ALLOW);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "mmap", 0, 7), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "clone", 0x10000000, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "clone", 0x11, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "clone3", 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "io_uring_setup", 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "mount", 0, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "exit_group", 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer_of(&f, ABI_AARCH64, "epoll_pwait", 0, 0), SECCOMP_RET_ALLOW); /* the runtime */
	/* The other machine's calls are no business of this filter. */
	assert_int_equal(answer_of(&f, ABI_X86_64, "openat", 0, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(answer_of(&f, ABI_ARM, "openat", 0, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(profile_verify(again, o, &v, NULL), 0);
	assert_int_equal(v.n_denials, 0);
	verify_result_done(&v);
	filter_done(&f);
	profile_free(p);
	profile_free(again);
	observation_free(o);
}

static void an_empty_observation_makes_no_profile(void **state)
{
	struct observation *o = observation_new();
	struct profile *p = NULL;
	struct diag d = { 0 };

	assert_int_equal(profile_generate(o, &(struct generate_options){ .runtime = { .name = "runc" } }, &p, &d), -EINVAL);
	assert_null(p);
	assert_non_null(strstr(d.what, "no call"));
	observation_free(o);
}

static void strace_is_read_in_all_its_forms(void **state)
{
	struct observation *o = imported(
		"execve(\"/bin/x\", [\"x\"], 0x7ffd /* 9 vars */) = 0\n"
		"[pid  4711] openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 3\n"
		"4712 12:01:02.123456 read(3, \"(\", 1) = 1 <0.000010>\n"
		"12:01:02 fstat(3, {st_mode=S_IFREG|0644}) = 0\n"
		"1700000000.123456 lseek(3, 0, SEEK_SET) = 0\n"
		"     0.000012 dup(3) = 4\n"
		"[00007f1234567890] getuid() = 0\n"
		"4712 futex(0x7f, FUTEX_WAIT, 2, NULL <unfinished ...>\n"
		"4713 clone3({flags=0} <unfinished ...>\n"
		"4712 <... futex resumed>) = 0\n"
		"4713 <... clone3 resumed>) = -1 ENOSYS (Function not implemented)\n"
		"4714 exit_group(0 <unfinished ...>\n"
		"--- SIGCHLD {si_signo=SIGCHLD} ---\n"
		"+++ exited with 0 +++\n"
		"strace: Process 9 attached\n"
		"% time     seconds  usecs/call     calls    errors syscall\n"
		"------ ----------- ----------- --------- --------- ----------------\n"
		" 50.00    0.000100          10        10         1 sendto\n"
		" 50.00    0.000100          10         7           recvfrom\n"
		"------ ----------- ----------- --------- --------- ----------------\n"
		"100.00    0.000200                    17         1 total\n");
	static const char *const needed[] = { "execve", "openat", "read", "fstat", "lseek", "dup", "getuid", "futex",
					      "exit_group", "sendto", "recvfrom" };

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		struct observed_call *c = observation_find(o, ABI_X86_64, needed[i]);

		if (!c || !c->phases)
			fail_msg("%s was not taken", needed[i]);
	}
	assert_int_equal(o->abis[ABI_X86_64].n, ARRAY_SIZE(needed) + 1);
	assert_int_equal(observation_find(o, ABI_X86_64, "clone3")->phases, 0);
	assert_int_equal(observation_find(o, ABI_X86_64, "clone3")->denied, DENIED_ENOSYS);
	assert_int_equal(observation_find(o, ABI_X86_64, "sendto")->count, 10);
	assert_int_equal(observation_find(o, ABI_X86_64, "recvfrom")->count, 7);
	observation_free(o);
}

static unsigned int phases_of(const struct observation *o, enum abi a, const char *name)
{
	const struct observed_call *c = observation_find(o, a, name);

	return c ? c->phases : 0;
}

static void strace_of_32_bit_code_is_told_apart(void **state)
{
	/* Alone a task has no id before its lines; into a file its mode is not written. */
	static const char *const traces[] = {
		"execve(\"./x\", [\"./x\"], 0x7ffff62c3450 /* 37 vars */) = 0\n"
		"[ Process PID=6320 runs in 32 bit mode. ]\n"
		"getuid()                                = 0\n"
		"waitpid(-1, NULL, 0)                    = 6321\n",
		"6349  execve(\"./x\", [\"./x\"], 0x7ffc419cf128 /* 37 vars */) = 0\n"
		"6350  waitpid(-1,  <unfinished ...>\n"
		"6350  <... waitpid resumed>NULL, 0)     = 6350\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(traces); i++) {
		struct observation *o = imported(traces[i]);

		assert_int_equal(phases_of(o, ABI_X86_64, "execve"), PHASE_START);
		assert_int_equal(phases_of(o, ABI_X86_64, "waitpid"), 0);
		assert_int_equal(phases_of(o, ABI_X86, "waitpid"), PHASE_START);
		assert_int_equal(phases_of(o, ABI_X86, "getuid"), i == 0 ? PHASE_START : 0);
		observation_free(o);
	}
}

static void strace_is_read_whatever_else_stands_there(void **state)
{
	struct observation *o = imported(
		"[pid  6918<sh>] dup(3) = 4\n"
		"6946<a name>  getuid() = 0\n"
		"syscall_0x27(0, 0, 0, 0, 0x1, 0x1) = 7\n"
		"write(1, \"x = -1 ENOSYS\", 13) = 13\n"
		"clone(child_stack=NULL, flags=0x10000011) = 5\n");

	assert_int_equal(phases_of(o, ABI_X86_64, "dup"), PHASE_START);
	assert_int_equal(phases_of(o, ABI_X86_64, "getuid"), PHASE_START);
	assert_int_equal(phases_of(o, ABI_X86_64, "getpid"), PHASE_START);
	assert_int_equal(phases_of(o, ABI_X86_64, "write"), PHASE_START);
	assert_true(observation_find(o, ABI_X86_64, "clone")->args_more);
	observation_free(o);
}

/* What 32-bit code may have made through socketcall and ipc passes, and is not said to be denied. */
static void calls_that_others_carry_pass(void **state)
{
	struct observation *o = imported(
		"execve(\"./x\", [\"./x\"], 0x7ffff62c3450 /* 37 vars */) = 0\n"
		"[ Process PID=6320 runs in 32 bit mode. ]\n"
		"6320  socket(AF_INET, SOCK_STREAM, 0) = 3\n"
		"6320  accept(3, NULL, NULL) = 4\n"
		"6320  semop(0, NULL, 0) = 0\n");
	struct profile *p = generated(o, false), *none;
	struct verify_result v;
	struct diag d = { 0 };

	assert_int_equal(profile_verify(p, o, &v, &d), 0);
	if (v.n_denials > 0)
		fail_msg("%s: %s", v.denials[0].name, v.denials[0].why);
	verify_result_done(&v);
	profile_free(p);
	none = parse("{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"architectures\": [\"SCMP_ARCH_X86\"], \"syscalls\": [{\"names\": "
		     "[\"execve\", \"exit\", \"exit_group\", \"rt_sigreturn\", \"restart_syscall\", \"clone3\", \"accept\"], "
		     "\"action\": \"SCMP_ACT_ALLOW\"}]}");
	assert_int_equal(profile_verify(none, o, &v, &d), 0);
	assert_int_equal(v.n_denials, 2);
	assert_string_equal(v.denials[0].name, "semop");
	assert_string_equal(v.denials[1].name, "socket");
	verify_result_done(&v);
	profile_free(none);
	observation_free(o);
}

static uint32_t answer_under(const struct profile *p, const char *call, uint64_t a0)
{
	struct filter f = { 0 };
	struct diag d = { 0 };
	uint32_t answer;

	assert_int_equal(filter_compile(p, FILTER_PATIENCE, &f, NULL, &d), 0);
	answer = ask(&f, call, a0, 0);
	filter_done(&f);
	return answer;
}

/* A profile made of another one, or with it for a base, allows no arguments that it does not. */
static void arguments_of_another_profile_stay(void **state)
{
	static const char text[] =
		"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": ["
		"{\"names\": [\"read\", \"execve\"], \"action\": \"SCMP_ACT_ALLOW\"},"
		"{\"names\": [\"clone\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{\"index\": 0, \"value\": 2114060288, "
		"\"valueTwo\": 0, \"op\": \"SCMP_CMP_MASKED_EQ\"}]},"
		"{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{\"index\": 0, \"value\": 38, "
		"\"op\": \"SCMP_CMP_LT\"}]},"
		"{\"names\": [\"personality\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{\"index\": 0, \"value\": 8, "
		"\"op\": \"SCMP_CMP_EQ\"}]},"
		"{\"names\": [\"personality\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{\"index\": 0, \"value\": 131072, "
		"\"op\": \"SCMP_CMP_EQ\"}]}]}";
	struct observation *seen = imported("execve(\"/x\", [\"x\"], 0x7f /* 9 vars */) = 0\n"
					    "clone(child_stack=NULL, flags=CLONE_VM|SIGCHLD) = 5\n"
					    "socket(AF_INET, SOCK_STREAM, 0) = 3\n"), *o = NULL;
	struct profile *base = parse(text);
	struct diag d = { 0 };

	assert_int_equal(import_docker(text, strlen(text), "text", &o, &d), 0);
	for (int i = 0; i < 3; i++) {
		struct generate_options options = { .runtime = { .name = "any" }, .base = i > 0 ? base : NULL, .args = i > 1 };
		struct profile *p = NULL;

		assert_int_equal(profile_generate(i > 0 ? seen : o, &options, &p, &d), 0);
		assert_int_equal(answer_under(p, "clone", 0x11), SECCOMP_RET_ALLOW);
		assert_int_equal(answer_under(p, "clone", 0x10000011), SECCOMP_RET_ERRNO | EPERM);
		assert_int_equal(answer_under(p, "personality", 8), SECCOMP_RET_ALLOW);
		assert_int_equal(answer_under(p, "personality", 131072), SECCOMP_RET_ALLOW);
		assert_false(filter_answer_passes(answer_under(p, "personality", 0x40000)));
		assert_int_equal(answer_under(p, "socket", 2), SECCOMP_RET_ALLOW);
		assert_int_equal(answer_under(p, "socket", 38), SECCOMP_RET_ERRNO | EPERM);
		profile_free(p);
	}
	profile_free(base);
	observation_free(o);
	observation_free(seen);
}

/* As libseccomp and runtimes have it; what a profile allows is said of its rules, too. */
static void rules_count_in_their_order(void **state)
{
	struct profile *p = parse(
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_ERRNO\", "
		"\"args\": [{\"index\": 0, \"value\": 40, \"op\": \"SCMP_CMP_EQ\"}]}, "
		"{\"names\": [\"mount\"], \"action\": \"SCMP_ACT_ERRNO\"}]}");

	assert_true(profile_allows(p, "socket", true));
	assert_false(profile_allows(p, "socket", false));
	assert_false(profile_allows(p, "mount", true));
	assert_true(profile_allows(p, "read", false));
	profile_free(p);
	p = parse("{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{\"names\": [\"ptrace\"], \"action\": \"SCMP_ACT_KILL\"}, "
		  "{\"names\": [\"mount\"], \"action\": \"SCMP_ACT_ERRNO\"}, "
		  "{\"names\": [\"ptrace\", \"mount\"], \"action\": \"SCMP_ACT_ALLOW\"}, "
		  "{\"names\": [\"read\"], \"action\": \"SCMP_ACT_ALLOW\", \"excludes\": {\"minKernel\": \"4.8\"}}]}");
	assert_false(profile_allows(p, "ptrace", true));
	assert_int_equal(answer_under(p, "ptrace", 0), SECCOMP_RET_KILL_THREAD);
	assert_true(profile_allows(p, "mount", false));
	assert_int_equal(answer_under(p, "mount", 0), SECCOMP_RET_ALLOW);
	assert_false(profile_allows(p, "read", true));
	profile_free(p);
}

/* Go gives the soft limit of open files back before the exec; the answer nobody looks at. */
static void runc_gives_its_limit_back(void **state)
{
	struct observation *o = imported("execve(\"/x\", [\"x\"], 0x7f /* 9 vars */) = 0\n");
	struct generate_options options = { .runtime = { .name = "runc", .version = "1.3.6", .nnp = true } };
	struct profile *p = NULL;
	struct diag d = { 0 };

	assert_int_equal(profile_generate(o, &options, &p, &d), 0);
	assert_true(profile_allows(p, "prlimit64", false));
	profile_free(p);
	observation_free(o);
}

/* An engine creates a container first and starts it later: crun waits with select(). "crun exec" looks at /proc. */
static void crun_waits_for_its_start(void **state)
{
	static const char *const versions[] = { "1.8.1", "1.21", "1.28" };
	struct observation *o = imported("execve(\"/x\", [\"x\"], 0x7f /* 9 vars */) = 0\n");

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct generate_options options = { .runtime = { .name = "crun", .version = versions[i] } };
		struct profile *p = NULL;
		struct diag d = { 0 };

		assert_int_equal(profile_generate(o, &options, &p, &d), 0);
		assert_true(profile_allows(p, "pselect6", false) && profile_allows(p, "select", false));
		assert_true(profile_allows(p, "read", false) && profile_allows(p, "openat", false));
		assert_true(profile_allows(p, "setgroups", false) && profile_allows(p, "fchown", false));
		profile_free(p);
	}
	observation_free(o);
}

static void audit_records_are_read(void **state)
{
	static const char text[] =
		"type=SECCOMP msg=audit(1700000000.250:42): auid=0 uid=0 pid=7 comm=\"x\" exe=\"/usr/bin/x\" sig=0 arch=c000003e "
		"syscall=165 compat=0 ip=0x7f code=0x7ffc0000\n"
		"[  12.5] audit: type=1326 audit(1700000001.000:43): pid=7 exe=\"/usr/bin/x\" sig=31 arch=40000003 syscall=102 "
		"compat=1 ip=0x7f code=0x0\n"
		"type=SECCOMP msg=audit(1700000002.000:44): exe=\"/x\" sig=0 arch=x86_64 syscall=clone3 code=0x50026\n"
		/* As auditd adds to it, and as ausearch -i tells it. */
		"type=SECCOMP msg=audit(1700000002.000:45): exe=\"/x\" sig=0 arch=c000003e syscall=321 code=0x50001\035ARCH=x86_64 "
		"SYSCALL=bpf\n"
		"type=SECCOMP msg=audit(1700000002.000:46): exe=/x sig=SIG0 arch=x86_64 syscall=acct code=errno\n"
		"type=CWD msg=audit(1700000002.000:44): cwd=\"/\"\n"
		/* journalctl, with and without what stands before a message; the last is no record, but somebody's words. */
		"Nov 14 22:13:22 host audit[7]: SECCOMP auid=0 exe=\"/usr/bin/y\" arch=c000003e syscall=161 code=0x7ffc0000\n"
		"SYSCALL arch=c000003e syscall=162 success=yes exit=0 exe=\"/usr/bin/y\"\n"
		"Nov 14 22:13:22 host kernel: audit: type=1326 audit(1700000002.000:47): arch=c000003e syscall=163 code=0x50001\n"
		"Nov 14 22:13:22 host app[7]: SECCOMP arch=c000003e syscall=164 code=0x7ffc0000\n";
	struct observation *o = NULL;
	struct diag d = { 0 };

	assert_int_equal(import_audit(text, strlen(text), "audit", &o, &d), 0);
	assert_int_equal(observation_find(o, ABI_X86_64, "mount")->first_ms, 1700000000250);
	assert_string_equal(observation_find(o, ABI_X86_64, "mount")->by, "x");
	assert_int_equal(observation_find(o, ABI_X86, "socketcall")->phases, PHASE_START);
	assert_int_equal(observation_find(o, ABI_X86_64, "clone3")->phases, 0);
	assert_int_equal(observation_find(o, ABI_X86_64, "clone3")->denied, DENIED_ENOSYS);
	assert_int_equal(observation_find(o, ABI_X86_64, "bpf")->phases, 0);
	assert_int_equal(observation_find(o, ABI_X86_64, "bpf")->denied, DENIED_EPERM);
	assert_int_equal(observation_find(o, ABI_X86_64, "acct")->phases, 0);
	assert_int_equal(observation_find(o, ABI_X86_64, "chroot")->phases, PHASE_START);
	assert_string_equal(observation_find(o, ABI_X86_64, "chroot")->by, "y");
	assert_int_equal(observation_find(o, ABI_X86_64, "sync")->phases, PHASE_START);
	assert_null(observation_find(o, ABI_X86_64, "settimeofday"));
	observation_free(o);
	o = NULL;
	assert_int_equal(import_audit("type=SECCOMP arch=c000003e\n", 27, "audit", &o, &d), -EINVAL);
	assert_string_equal(d.where, "audit:1");
	assert_null(o);
}

#define ARGUMENT(value)                                                                                        \
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"," \
	"\"args\":[{\"index\":0," value ",\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}"

static void bad_profiles_are_refused(void **state)
{
	static const struct {
		const char *text, *what;
	} cases[] = {
		{ "", "" },
		{ "{\"syscalls\":", "" },
		{ "[]", "defaultAction" },
		{ "{}", "defaultAction" },
		{ "{\"defaultAction\":\"SCMP_ACT_PERMIT\"}", "SCMP_ACT_PERMIT" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":99999}", "errno" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_AARCH64\"]}", "architecture" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\"],\"archMap\":[{}]}", "archMap" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":{}}", "list" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"]}]}", "action" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\"}]}", "names" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"name\":\"read\",\"names\":[\"read\"],\"action\":"
		  "\"SCMP_ACT_ALLOW\"}]}",
		  "keep one" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
		  "\"args\":[{\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		  "index" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
		  "\"args\":[{\"index\":0,\"value\":1,\"op\":\"=\"}]}]}",
		  "comparison" },
		{ ARGUMENT("\"value\":\"18446744073709551615\""), "whole number" },
		{ ARGUMENT("\"value\":-1"), "whole number" },
		{ ARGUMENT("\"value\":-0"), "whole number" },
		{ ARGUMENT("\"value\":-9223372036854775808"), "whole number" },
		{ ARGUMENT("\"value\":1,\"valueTwo\":-1"), "whole number" },
		{ ARGUMENT("\"value\":18446744073709551616"), "JSON" },
		{ ARGUMENT("\"value\":00018446744073709551615"), "JSON" },
		{ ARGUMENT("\"value\":-00018446744073709551615"), "JSON" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
		  "\"args\":[{\"index\":18446744073709551615,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		  "index" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":18446744073709551615}", "errno" },
	};
	struct profile_context context = docker_on_x86_64();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct profile *p = NULL;
		struct diag d = { 0 };

		assert_true(profile_parse(cases[i].text, strlen(cases[i].text), "f", &context, &p, &d) < 0);
		assert_null(p);
		if (!strstr(d.what, cases[i].what))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, d.what, cases[i].what);
	}
}


int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dockers_default_answers_as_it_says),
		cmocka_unit_test(the_interpreter_agrees_with_itself_on_odd_programs),
		cmocka_unit_test(repeated_comparisons_are_alternatives),
		cmocka_unit_test(numbers_of_64_bits_are_read),
		cmocka_unit_test(numbers_of_64_bits_are_written),
		cmocka_unit_test(what_is_generated_holds_and_denies),
		cmocka_unit_test(verify_lists_what_would_be_denied),
		cmocka_unit_test(the_32_bit_interface_is_added_only_when_seen),
		cmocka_unit_test(runtime_bases_go_by_version_and_no_new_privileges),
		cmocka_unit_test(a_host_profile_has_what_a_host_needs),
		cmocka_unit_test(arm64_profiles_are_made_anywhere),
		cmocka_unit_test(an_empty_observation_makes_no_profile),
		cmocka_unit_test(strace_is_read_in_all_its_forms),
		cmocka_unit_test(strace_of_32_bit_code_is_told_apart),
		cmocka_unit_test(strace_is_read_whatever_else_stands_there),
		cmocka_unit_test(calls_that_others_carry_pass),
		cmocka_unit_test(arguments_of_another_profile_stay),
		cmocka_unit_test(rules_count_in_their_order),
		cmocka_unit_test(runc_gives_its_limit_back),
		cmocka_unit_test(crun_waits_for_its_start),
		cmocka_unit_test(audit_records_are_read),
		cmocka_unit_test(bad_profiles_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
