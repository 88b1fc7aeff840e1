/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * An input cut at its zero bytes, each piece what a peer answers to one question. A piece that begins
 * with '!' goes out as it is; any other is a body, in chunks as large as its first byte says.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/base/parse.h"

static struct slice piece_rest;

/* Return: false when nothing is left. */
static inline bool piece_next(struct slice *ret)
{
	const char *end;

	if (piece_rest.n == 0)
		return false;
	end = memchr(piece_rest.p, '\0', piece_rest.n);
	*ret = (struct slice){ piece_rest.p, end ? (size_t)(end - piece_rest.p) : piece_rest.n };
	piece_rest.p += ret->n + (end ? 1 : 0);
	piece_rest.n -= ret->n + (end ? 1 : 0);
	return true;
}

static inline void piece_as_http(struct slice piece, struct bytes *out)
{
	size_t most = piece.n ? (uint8_t)piece.p[0] : 1;

	if (piece.n > 0 && piece.p[0] == '!') {
		bytes_append(out, piece.p + 1, piece.n - 1);
		return;
	}
	bytes_printf(out, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 1; at < piece.n; at += most) {
		size_t n = MIN(most, piece.n - at);

		bytes_printf(out, "%zx\r\n", n);
		bytes_append(out, piece.p + at, n);
		bytes_append(out, "\r\n", 2);
	}
	bytes_printf(out, "0\r\n\r\n");
}

/*
 * A connection whose other end has answered with the next piece.
 * @ret_peer: the other end, still open, so that the caller may send; it reads nothing
 * Return: the descriptor, not blocking; -1 when nothing is left
 */
static inline int piece_connection(int *ret_peer, bool whole)
{
	struct bytes answer = { 0 };
	struct slice piece;
	int pair[2];

	if (!piece_next(&piece) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	piece_as_http(piece, &answer);
	(void)!send(pair[1], answer.data, answer.n, MSG_NOSIGNAL);
	bytes_done(&answer);
	if (whole)
		(void)shutdown(pair[1], SHUT_WR);
	*ret_peer = pair[1];
	return pair[0];
}
