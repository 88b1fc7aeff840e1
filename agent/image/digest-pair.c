/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A layer is summed as it was and as it becomes, and the two differ in a few blocks of a million.
 * A round of SHA-256 waits for the one before, so the processor idles half of the time: the rounds
 * of a second state fit between, and the schedule, which depends on the data alone, is made once
 * (Gulley and others, "Intel SHA Extensions", 2013).
 */
#include "image/digest-pair.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1")))
#define N_GROUPS 16 /* of four rounds */

static const uint32_t constants[4 * N_GROUPS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

bool digest_pair_possible(void)
{
	unsigned int a, b = 0, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA && __builtin_cpu_supports("sse4.1");
}

/* The instructions want the eight words as ABEF and CDGH. */
struct state {
	__m128i abef, cdgh;
};

WITH_SHA static inline struct state state_load(const uint32_t *words)
{
	__m128i dcba = _mm_loadu_si128((const __m128i *)words), hgfe = _mm_loadu_si128((const __m128i *)(words + 4));
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);

	return (struct state){ _mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0) };
}

WITH_SHA static inline void state_store(struct state s, uint32_t *words)
{
	__m128i feba = _mm_shuffle_epi32(s.abef, 0x1b), dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)words, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(words + 4), _mm_alignr_epi8(dchg, feba, 8));
}

WITH_SHA static inline void four_rounds(struct state *s, __m128i w)
{
	s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, w);
	s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(w, 0x0e));
}

WITH_SHA void digest_pair_blocks(uint32_t *a, uint32_t *b, const uint8_t *data, size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	struct state x = state_load(a), y = state_load(b);

	for (; n > 0; n--, data += DIGEST_BLOCK) {
		struct state x_before = x, y_before = y;
		__m128i w[4];

#pragma GCC unroll 16
		for (int g = 0; g < N_GROUPS; g++) {
			__m128i with;

			if (g < 4)
				w[g] = _mm_shuffle_epi8(
					_mm_loadu_si128((const __m128i *)(data + (size_t)(16 * g))), swap);
			else
				w[g % 4] = _mm_sha256msg2_epu32(
					_mm_add_epi32(_mm_sha256msg1_epu32(w[g % 4], w[(g + 1) % 4]),
						      _mm_alignr_epi8(w[(g + 3) % 4], w[(g + 2) % 4], 4)),
					w[(g + 3) % 4]);
			with = _mm_add_epi32(w[g % 4],
					     _mm_loadu_si128((const __m128i *)(constants + (size_t)(4 * g))));
			four_rounds(&x, with);
			four_rounds(&y, with);
		}
		x.abef = _mm_add_epi32(x.abef, x_before.abef);
		x.cdgh = _mm_add_epi32(x.cdgh, x_before.cdgh);
		y.abef = _mm_add_epi32(y.abef, y_before.abef);
		y.cdgh = _mm_add_epi32(y.cdgh, y_before.cdgh);
	}
	state_store(x, a);
	state_store(y, b);
}

#else

bool digest_pair_possible(void)
{
	return false;
}

void digest_pair_blocks(uint32_t *a, uint32_t *b, const uint8_t *data, size_t n)
{
}

#endif
