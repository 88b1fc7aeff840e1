/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Classic BPF as the kernel's seccomp runs it: 32-bit registers A and X, sixteen words of memory,
 * loads from struct seccomp_data only at aligned offsets, jumps only forward.
 */
#include <errno.h>
#include <string.h>

#include "batten/seccomp/filter.h"

#define MEMORY_WORDS 16

struct machine {
	uint32_t a, x, memory[MEMORY_WORDS];
};

static int load(const struct sock_filter *i, const struct seccomp_data *data, struct machine *m)
{
	uint32_t *to = BPF_CLASS(i->code) == BPF_LD ? &m->a : &m->x;

	switch (i->code & ~BPF_CLASS(i->code)) {
	case BPF_W | BPF_ABS:
		if (to != &m->a || i->k % 4 != 0 || i->k > sizeof(*data) - 4)
			return -EINVAL;
		memcpy(to, (const char *)data + i->k, 4);
		return 0;
	case BPF_W | BPF_LEN:
		*to = sizeof(*data);
		return 0;
	case BPF_IMM:
		*to = i->k;
		return 0;
	case BPF_MEM:
		if (i->k >= MEMORY_WORDS)
			return -EINVAL;
		*to = m->memory[i->k];
		return 0;
	default:
		return -EINVAL;
	}
}

/* Return: 0; 1 for a division by an X of zero, which ends the program with the answer 0; -EINVAL */
static int compute(const struct sock_filter *i, struct machine *m)
{
	uint32_t v = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_ADD:
		m->a += v;
		break;
	case BPF_SUB:
		m->a -= v;
		break;
	case BPF_MUL:
		m->a *= v;
		break;
	case BPF_DIV:
		if (v == 0)
			return BPF_SRC(i->code) == BPF_X ? 1 : -EINVAL;
		m->a /= v;
		break;
	case BPF_AND:
		m->a &= v;
		break;
	case BPF_OR:
		m->a |= v;
		break;
	case BPF_XOR:
		m->a ^= v;
		break;
	case BPF_LSH:
		m->a <<= v & 31;
		break;
	case BPF_RSH:
		m->a >>= v & 31;
		break;
	case BPF_NEG:
		m->a = -m->a;
		break;
	default:
		return -EINVAL;
	}
	return 0;
}

/* @ret: how many instructions to leave out */
static int jump(const struct sock_filter *i, const struct machine *m, uint32_t *ret)
{
	uint32_t v = BPF_SRC(i->code) == BPF_X ? m->x : i->k;
	bool yes;

	switch (BPF_OP(i->code)) {
	case BPF_JA:
		*ret = i->k;
		return 0;
	case BPF_JEQ:
		yes = m->a == v;
		break;
	case BPF_JGT:
		yes = m->a > v;
		break;
	case BPF_JGE:
		yes = m->a >= v;
		break;
	case BPF_JSET:
		yes = m->a & v;
		break;
	default:
		return -EINVAL;
	}
	*ret = yes ? i->jt : i->jf;
	return 0;
}

int filter_run(const struct sock_filter *code, size_t n_code, const struct seccomp_data *data, uint32_t *ret)
{
	struct machine m = { 0 };

	for (size_t at = 0; at < n_code; at++) {
		const struct sock_filter *i = &code[at];
		uint32_t skip = 0;
		int r = 0;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
		case BPF_LDX:
			r = load(i, data, &m);
			break;
		case BPF_ST:
		case BPF_STX:
			if (i->k >= MEMORY_WORDS)
				return -EINVAL;
			m.memory[i->k] = BPF_CLASS(i->code) == BPF_ST ? m.a : m.x;
			break;
		case BPF_ALU:
			r = compute(i, &m);
			break;
		case BPF_JMP:
			r = jump(i, &m, &skip);
			if (r == 0 && skip >= n_code - at)
				return -EINVAL;
			at += skip;
			break;
		case BPF_RET:
			*ret = BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
			return 0;
		default: /* BPF_MISC */
			if (BPF_MISCOP(i->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
		}
		if (r < 0)
			return r;
		if (r > 0) {
			*ret = SECCOMP_RET_KILL_THREAD;
			return 0;
		}
	}
	return -EINVAL;
}
