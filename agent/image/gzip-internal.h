/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A gzip layer, decoded once: its tar is read on the way, and where the tar is edited the
 * compressed stream is patched in place of being compressed again.
 *
 * Only tokens that would no longer decode to the edited bytes are replaced. A literal is replaced
 * with its block's own code, a match with the literals that it stood for; where the block has no
 * code for a literal, the block is ended, the literal goes into a small block with fixed codes, and
 * the block begins again with the same codes. Everything behind is shifted. So the result grows by
 * bytes and depends on no compressor.
 */
#include <stdint.h>

#include "image/stage-internal.h"

struct gzip_result {
	bool changed;
	struct digest old_sum, new_sum; /* of the compressed bytes; new_sum only when changed */
	uint64_t new_size;              /* bytes written to the output */
	uint64_t n_members;
};

/*
 * gzip_patch - read one gzip stream to its end
 * @in_fd, @begin, @size: the stream; read with pread()
 * @out_fd: where the patched stream goes, from its present offset on; -1 to read only. Nothing is
 *          written when nothing is edited.
 * @s:      empty; afterwards everything is committed
 * @max_plain: more plain bytes than this are -EFBIG
 * @tick:   told the bytes of input that were done; may be NULL
 * Return: 0 or a negative errno: -EBADMSG damaged or malformed, -EFBIG, or from the stage.
 */
int gzip_patch(int in_fd, uint64_t begin, uint64_t size, int out_fd, struct stage *s,
	       uint64_t max_plain, const char *name, void (*tick)(void *arg, uint64_t done),
	       void *tick_arg, struct gzip_result *ret, struct diag *d) _must_check_;
