/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Our interpreter of seccomp filters beside the kernel's (socket-machine.h), on programs that nobody
 * compiled. Each constant answer becomes a small number first. A filter that can be followed for a call
 * (decision.h) must say of its arguments what the interpreter says.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batten/seccomp/filter.h"
#include "decision-passes.h"
#include "socket-machine.h"

#define MAX_CODE 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Half of the constant answers let the call pass. */
static void follow(struct sock_filter *code, size_t n, const struct seccomp_data *call)
{
	struct decision d;
	uint32_t answer;
	uint64_t args[6];

	for (size_t i = 0; i < n; i++)
		if (code[i].code == (BPF_RET | BPF_K))
			code[i].k = code[i].k & 1 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO;
	if (decision_make(code, n, call->nr, call->arch, &d) < 0)
		return;
	memcpy(args, call->args, sizeof(args));
	if (filter_run(code, n, call, &answer) < 0 || decision_passes(&d, args) != filter_answer_passes(answer))
		abort();
	decision_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sock_filter code[MAX_CODE];
	struct seccomp_data call;
	uint32_t answer;
	size_t n_code;
	int kernel;

	if (n < sizeof(call) + sizeof(*code))
		return 0;
	memcpy(&call, data, sizeof(call));
	n_code = (n - sizeof(call)) / sizeof(*code);
	n_code = n_code < MAX_CODE ? n_code : MAX_CODE;
	memcpy(code, data + sizeof(call), n_code * sizeof(*code));
	for (size_t i = 0; i < n_code; i++) {
		/* Every code that seccomp knows, often; every other now and then. */
		static const uint16_t known[] = {
			BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_W | BPF_LEN, BPF_LDX | BPF_W | BPF_LEN, BPF_RET | BPF_K,
			BPF_RET | BPF_A, BPF_ALU | BPF_ADD | BPF_K, BPF_ALU | BPF_ADD | BPF_X, BPF_ALU | BPF_SUB | BPF_K,
			BPF_ALU | BPF_SUB | BPF_X, BPF_ALU | BPF_MUL | BPF_K, BPF_ALU | BPF_MUL | BPF_X,
			BPF_ALU | BPF_DIV | BPF_K, BPF_ALU | BPF_DIV | BPF_X, BPF_ALU | BPF_AND | BPF_K,
			BPF_ALU | BPF_AND | BPF_X, BPF_ALU | BPF_OR | BPF_K, BPF_ALU | BPF_OR | BPF_X,
			BPF_ALU | BPF_XOR | BPF_K, BPF_ALU | BPF_XOR | BPF_X, BPF_ALU | BPF_LSH | BPF_K,
			BPF_ALU | BPF_LSH | BPF_X, BPF_ALU | BPF_RSH | BPF_K, BPF_ALU | BPF_RSH | BPF_X,
			BPF_ALU | BPF_NEG, BPF_LD | BPF_IMM, BPF_LDX | BPF_IMM, BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA,
			BPF_LD | BPF_MEM, BPF_LDX | BPF_MEM, BPF_ST, BPF_STX, BPF_JMP | BPF_JA,
			BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JEQ | BPF_X, BPF_JMP | BPF_JGE | BPF_K,
			BPF_JMP | BPF_JGE | BPF_X, BPF_JMP | BPF_JGT | BPF_K, BPF_JMP | BPF_JGT | BPF_X,
			BPF_JMP | BPF_JSET | BPF_K, BPF_JMP | BPF_JSET | BPF_X,
		};

		if (code[i].code >> 8)
			code[i].code = known[(code[i].code & 0xff) % (sizeof(known) / sizeof(*known))];
		if (code[i].code == (BPF_RET | BPF_K))
			code[i].k %= sizeof(call) + 1;
		/* A socket's filter has "ancillary" loads at negative offsets, seccomp has not. */
		if (code[i].code == (BPF_LD | BPF_W | BPF_ABS) && code[i].k > sizeof(call))
			code[i].k %= sizeof(call);
	}
	kernel = machine_load(code, n_code) ? machine_answer(&call) : -1;
	/* Not so what seccomp refuses, and a path that does not end. */
	if (filter_run(code, n_code, &call, &answer) == 0 && kernel >= 0 &&
	    kernel != (int)(answer < sizeof(call) ? answer : sizeof(call)))
		abort();
	follow(code, n_code, &call);
	return 0;
}
