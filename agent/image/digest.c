/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SHA-256 through libcrypto, which uses the processor's instructions for it. By its old interface:
 * the new one hides the state, which two sums of the same bytes need. A failure of the library is
 * remembered and told at the end.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "batten/image/digest.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "image/digest-pair.h"

struct digester {
	SHA256_CTX ctx;
	bool failed;
};

void digest_hex(const struct digest *d, char ret[static DIGEST_HEX_SIZE])
{
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", d->bytes[i]);
}

void digest_text(const struct digest *d, char ret[static DIGEST_TEXT_SIZE])
{
	memcpy(ret, "sha256:", 7);
	digest_hex(d, ret + 7);
}

int digest_from_hex(struct slice hex, struct digest *ret)
{
	struct digest v = { 0 };

	if (hex.n != 2 * DIGEST_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < hex.n; i++) {
		char c = hex.p[i];
		unsigned int nibble;

		if (c >= '0' && c <= '9')
			nibble = (unsigned int)(c - '0');
		else if (c >= 'a' && c <= 'f')
			nibble = (unsigned int)(c - 'a' + 10);
		else
			return -EINVAL;
		v.bytes[i / 2] = (uint8_t)(i % 2 ? v.bytes[i / 2] << 4 | nibble : nibble);
	}
	*ret = v;
	return 0;
}

int digest_from_text(struct slice text, struct digest *ret)
{
	if (text.n < 7 || memcmp(text.p, "sha256:", 7) != 0)
		return text.n > 0 && memchr(text.p, ':', text.n) ? -EOPNOTSUPP : -EINVAL;
	return digest_from_hex((struct slice){ text.p + 7, text.n - 7 }, ret);
}

struct digester *digester_new(void)
{
	struct digester *s = calloc(1, sizeof(*s));

	if (s)
		s->failed = SHA256_Init(&s->ctx) != 1;
	return s;
}

struct digester *digester_free(struct digester *s)
{
	free(s);
	return NULL;
}

void digester_add(struct digester *s, const void *data, size_t n)
{
	s->failed |= SHA256_Update(&s->ctx, data, n) != 1;
}

static void count_bytes(SHA256_CTX *c, uint64_t n)
{
	uint64_t bits = ((uint64_t)c->Nh << 32 | c->Nl) + 8 * n;

	c->Nl = (SHA_LONG)bits;
	c->Nh = (SHA_LONG)(bits >> 32);
}

void digester_add_both(struct digester *a, struct digester *b, const void *data, size_t n)
{
	static int possible = -1;
	const uint8_t *p = data;
	size_t first = MIN(n, (size_t)(-a->ctx.num & (DIGEST_BLOCK - 1))), n_blocks;

	if (possible < 0)
		possible = digest_pair_possible();
	/* What was removed in between may have moved their blocks against each other. */
	n_blocks = possible && a->ctx.num == b->ctx.num ? (n - first) / DIGEST_BLOCK : 0;
	if (n_blocks > 0) {
		digester_add(a, p, first);
		digester_add(b, p, first);
		p += first;
		n -= first;
		digest_pair_blocks(a->ctx.h, b->ctx.h, p, n_blocks);
		count_bytes(&a->ctx, (uint64_t)n_blocks * DIGEST_BLOCK);
		count_bytes(&b->ctx, (uint64_t)n_blocks * DIGEST_BLOCK);
		p += n_blocks * DIGEST_BLOCK;
		n -= n_blocks * DIGEST_BLOCK;
	}
	digester_add(a, p, n);
	digester_add(b, p, n);
}

void digester_copy(struct digester *to, const struct digester *from)
{
	*to = *from;
}

int digester_end(struct digester *s, struct digest *ret)
{
	bool ok = !s->failed && SHA256_Final(ret->bytes, &s->ctx) == 1;

	s->failed = SHA256_Init(&s->ctx) != 1;
	return ok ? 0 : -EIO;
}

int digest_of(const void *data, size_t n, struct digest *ret)
{
	_cleanup_(digester_freep) struct digester *s = digester_new();

	if (!s)
		return -ENOMEM;
	digester_add(s, data, n);
	return digester_end(s, ret);
}
