/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): names from an image cannot be made to collide by
 * somebody who does not know the key.
 */
#include <errno.h>
#include <string.h>

#include "batten/base/random.h"
#include "image/worker.h"

static uint64_t key[2];

void worker_hash_key(void)
{
	/* Without the kernel's randomness the hash still tells names apart that nobody made to
	 * meet. */
	if (random_fill(key, sizeof(key)) < 0)
		key[0] = 1;
}

static uint64_t rotate(uint64_t v, unsigned int n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t worker_hash(const char *name, size_t n)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
			  key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
	uint64_t last = (uint64_t)n << 56, word;
	size_t i;

	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, name + i, 8);
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t k = 0; i + k < n; k++)
		last |= (uint64_t)(unsigned char)name[i + k] << 8 * k;
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int k = 0; k < 4; k++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- a set ------------------------------------------------------------------------------------ */

#define MAX_SET (128 * 1024) /* two megabytes of slots */

static size_t slot_of(const struct worker_set *s, uint64_t hash)
{
	size_t i = (size_t)hash & (s->size - 1);

	while (s->slots[i] && s->slots[i] != hash)
		i = (i + 1) & (s->size - 1);
	return i;
}

static int set_grow(struct worker_set *s)
{
	struct worker_set larger = { .n = s->n, .size = s->size ? 2 * s->size : 64 };

	larger.slots = calloc(larger.size, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < s->size; i++)
		if (s->slots[i])
			larger.slots[slot_of(&larger, s->slots[i])] = s->slots[i];
	free(s->slots);
	*s = larger;
	return 0;
}

int worker_set_add(struct worker_set *s, uint64_t hash)
{
	size_t i;
	int r = 0;

	if (s->n == MAX_SET)
		return 0;
	if (2 * s->n >= s->size)
		r = set_grow(s);
	if (r < 0)
		return r;
	hash |= !hash;
	i = slot_of(s, hash);
	s->n += s->slots[i] == 0;
	s->slots[i] = hash;
	return 0;
}

bool worker_set_has(const struct worker_set *s, uint64_t hash)
{
	hash |= !hash;
	return s->size > 0 && s->slots[slot_of(s, hash)] == hash;
}
