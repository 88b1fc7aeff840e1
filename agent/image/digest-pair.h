/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Two SHA-256 sums over the same bytes for little more than the price of one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_BLOCK 64

/* Does this processor have the instructions? */
bool digest_pair_possible(void);

/* Takes @n blocks into both states, eight words each; only where it is possible. */
void digest_pair_blocks(uint32_t *a, uint32_t *b, const uint8_t *data, size_t n);
