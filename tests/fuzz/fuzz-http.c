/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker's answers. The first byte says how many bytes come at a time.
 */
#include <stddef.h>
#include <stdint.h>

#include "host/http-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_parser p;
	struct cursor all;
	uint8_t piece = 0;
	int r = HTTP_WAIT;

	cursor_init(&all, data, n);
	if (cursor_u8(&all, &piece) < 0)
		return 0;
	http_parser_init(&p);
	while (r == HTTP_WAIT && cursor_left(&all) > 0) {
		struct slice body = { 0 };
		struct cursor c;

		if (cursor_sub(&all, MIN((size_t)piece + 1, cursor_left(&all)), &c) < 0)
			break;
		while ((r = http_parse(&p, &c, &body)) == HTTP_HEAD || r == HTTP_BODY)
			if (r == HTTP_BODY && (body.n == 0 || body.p + body.n > (const char *)data + n))
				__builtin_trap();
	}
	if (r == HTTP_WAIT && http_parse_eof(&p) == HTTP_WAIT)
		__builtin_trap();
	return 0;
}
