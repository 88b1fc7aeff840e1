/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The checksum of gzip, several times as fast as zlib's where the processor multiplies without
 * carries: 64 bytes at a time are folded onto the next 64 (Gopal and others, "Fast CRC Computation
 * for Generic Polynomials Using PCLMULQDQ", Intel 2009), and what remains of them at the end is 16
 * bytes that have the same remainder as all of it, for which zlib is asked.
 */
#include "image/crc.h"

#include <zlib.h>

static uint32_t crc_zlib(uint32_t crc, const uint8_t *p, size_t n)
{
	return (uint32_t)crc32_z(crc, p, n);
}

#if defined(__x86_64__)

#include <immintrin.h>

/* Powers of x modulo the polynomial, bits in the reflected order, for a distance in bits. */
#define FOLD_512_HIGH 0x1c6e41596 /* 512 - 32 */
#define FOLD_512_LOW 0x154442bd4  /* 512 + 32 */
#define FOLD_128_HIGH 0x0ccaa009e /* 128 - 32 */
#define FOLD_128_LOW 0x1751997d0  /* 128 + 32 */

#define WITH_CLMUL __attribute__((target("pclmul,sse2")))

WITH_CLMUL static inline __m128i fold(__m128i x, __m128i by, const uint8_t *onto)
{
	__m128i low = _mm_clmulepi64_si128(x, by, 0x00), high = _mm_clmulepi64_si128(x, by, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, high), _mm_loadu_si128((const __m128i *)onto));
}

WITH_CLMUL static uint32_t crc_clmul(uint32_t crc, const uint8_t *p, size_t n)
{
	const __m128i by_512 = _mm_set_epi64x(FOLD_512_HIGH, FOLD_512_LOW);
	const __m128i by_128 = _mm_set_epi64x(FOLD_128_HIGH, FOLD_128_LOW);
	uint8_t rest[64];
	__m128i x[4];

	if (n < 128)
		return crc_zlib(crc, p, n);
	for (int i = 0; i < 4; i++)
		x[i] = _mm_loadu_si128((const __m128i *)(p + (size_t)(16 * i)));
	x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)~crc));
	for (p += 64, n -= 64; n >= 64; p += 64, n -= 64)
		for (int i = 0; i < 4; i++)
			x[i] = fold(x[i], by_512, p + (size_t)(16 * i));
	for (int i = 0; i < 4; i++)
		_mm_storeu_si128((__m128i *)(rest + (size_t)(16 * i)), x[i]);
	for (int i = 1; i < 4; i++)
		x[0] = fold(x[0], by_128, rest + (size_t)(16 * i));
	_mm_storeu_si128((__m128i *)rest, x[0]);
	return crc_zlib(crc_zlib(UINT32_MAX, rest, 16), p, n);
}

uint32_t crc_add(uint32_t crc, const void *data, size_t n)
{
	return __builtin_cpu_supports("pclmul") ? crc_clmul(crc, data, n) : crc_zlib(crc, data, n);
}

#else

uint32_t crc_add(uint32_t crc, const void *data, size_t n)
{
	return crc_zlib(crc, data, n);
}

#endif
