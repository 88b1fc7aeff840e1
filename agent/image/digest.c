/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SHA-256 through libcrypto, which uses the processor's instructions for it. A failure of the
 * library is remembered and told at the end.
 */
#include "batten/image/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

struct digester {
	EVP_MD_CTX *ctx;
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

	if (!s)
		return NULL;
	s->ctx = EVP_MD_CTX_new();
	if (!s->ctx)
		return digester_free(s);
	s->failed = EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1;
	return s;
}

struct digester *digester_free(struct digester *s)
{
	if (s)
		EVP_MD_CTX_free(s->ctx);
	free(s);
	return NULL;
}

void digester_add(struct digester *s, const void *data, size_t n)
{
	s->failed |= EVP_DigestUpdate(s->ctx, data, n) != 1;
}

void digester_copy(struct digester *to, const struct digester *from)
{
	to->failed = from->failed | (EVP_MD_CTX_copy_ex(to->ctx, from->ctx) != 1);
}

int digester_end(struct digester *s, struct digest *ret)
{
	unsigned int n = 0;
	bool ok;

	ok = !s->failed && EVP_DigestFinal_ex(s->ctx, ret->bytes, &n) == 1 && n == DIGEST_SIZE;
	s->failed = EVP_DigestInit_ex(s->ctx, NULL, NULL) != 1;
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
