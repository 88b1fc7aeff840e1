/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* crc_add - as zlib's crc32(): the checksum of what @crc is of and @data behind it */
uint32_t crc_add(uint32_t crc, const void *data, size_t n);
