/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The clock that nobody sets: for pauses, deadlines and durations.
 */
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000ull + (uint64_t)t.tv_nsec / 1000;
}
