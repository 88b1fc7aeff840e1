/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include <stddef.h>
#include <stdint.h>

/*
 * EMBED - a file of the tree as bytes in the read-only section, from SYMBOL up to SYMBOL_end
 * @file: as seen from the top of the tree, or of the build folder for what is made; the Makefile must know that the
 *        object depends on it
 */
#define EMBED(symbol, file)                                                                        \
	__asm__(".pushsection .rodata\n"                                                           \
		".global " #symbol ", " #symbol "_end\n"                                           \
		#symbol ":\n"                                                                      \
		".incbin \"" file "\"\n"                                                           \
		#symbol "_end:\n"                                                                  \
		".popsection\n");                                                                  \
	extern const char symbol[], symbol##_end[]

/* Its bytes. */
#define EMBED_SIZE(symbol) ((size_t)((uintptr_t)symbol##_end - (uintptr_t)symbol))
