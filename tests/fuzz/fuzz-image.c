/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The descriptions of an image: read, and rewritten as if every layer had changed. An input is five
 * texts with a NUL between: configuration, manifest, index, manifest.json, repositories. In these @C,
 * @M, @I and @L stand for the digests of what came before and of the layer, and #C, #M, #I, #L for
 * sizes, so that a change in one of them is not stopped by a digest that does not fit any more.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "image/model.h"
#include "image/output.h"

#define MAX_INPUT_BYTES 32768
#define N_TEXTS 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct piece {
	struct bytes text;
	char hex[DIGEST_HEX_SIZE];
};

static const char names[] = "CMIL";

static void member(struct bytes *tar, const char *name, const struct bytes *content)
{
	unsigned char h[512] = { 0 };
	unsigned int sum = 0;

	(void)snprintf((char *)h, 100, "%s", name);
	memcpy(h + 100, "0000644", 7);
	(void)snprintf((char *)h + 124, 12, "%011zo", content->n);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 7, "%06o", sum & 0777777);
	bytes_append(tar, h, sizeof(h));
	bytes_append(tar, content->data, content->n);
	memset(h, 0, sizeof(h));
	bytes_append(tar, h, -tar->n & 511);
}

static void blob(struct bytes *tar, const struct piece *p)
{
	char name[100];

	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", p->hex);
	member(tar, name, &p->text);
}

static void seal(struct piece *p)
{
	struct digest d;

	if (digest_of(p->text.data ? p->text.data : "", p->text.n, &d) < 0)
		abort();
	digest_hex(&d, p->hex);
}

static void expand(struct bytes *out, const uint8_t *data, size_t n, const struct piece *pieces)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = i + 1 < n && data[i + 1] ? strchr(names, data[i + 1]) : NULL;

		if (at && data[i] == '@')
			bytes_append_str(out, pieces[at - names].hex);
		else if (at && data[i] == '#')
			bytes_printf(out, "%zu", pieces[at - names].text.n);
		else
			bytes_append(out, data + i, 1);
		i += at && (data[i] == '@' || data[i] == '#');
	}
}

static int archive(const uint8_t *data, size_t n)
{
	struct piece pieces[4] = { 0 };
	struct bytes tar = { 0 }, other = { 0 };
	int fd = memfd_create("image", MFD_CLOEXEC);

	bytes_append(&pieces[3].text, (char[1024]){ 0 }, 1024);
	for (int i = 0; i < 4; i++)
		seal(&pieces[i]);
	for (int i = 0; i < N_TEXTS; i++) {
		const uint8_t *nul = n ? memchr(data, '\0', n) : NULL;
		size_t k = nul ? (size_t)(nul - data) : n;
		struct bytes *to = i < 2 ? &pieces[i].text : &other;

		other.n = 0;
		expand(to, data, k, pieces);
		if (i < 2) {
			seal(&pieces[i]);
		} else if (to->n > 0) {
			bytes_append(&pieces[2].text, to->data, i == 2 ? to->n : 0);
			member(&tar, i == 2 ? "index.json" : i == 3 ? "manifest.json" : "repositories",
			       to);
		}
		data += k + !!nul;
		n -= k + !!nul;
	}
	seal(&pieces[2]);
	for (int i = 0; i < 4; i++)
		if (i != 1 || strcmp(pieces[1].hex, pieces[0].hex) != 0)
			blob(&tar, &pieces[i]);
	bytes_append(&tar, (char[1024]){ 0 }, 1024);
	if (fd >= 0 && (tar.error || fd_write_all(fd, tar.data, tar.n) < 0))
		fd = fd_close(fd);
	for (int i = 0; i < 4; i++)
		bytes_done(&pieces[i].text);
	bytes_done(&tar);
	bytes_done(&other);
	return fd;
}

/* Every layer has become another one. */
static void change(struct model *m)
{
	for (uint32_t i = 0; i < m->n_images; i++) {
		struct model_image *image = &m->images[i];

		for (uint32_t k = 0; k < image->n_layers; k++) {
			struct model_layer *l;

			if (image->layers[k] == STORE_NONE)
				continue;
			l = &m->layers[image->layers[k]];
			l->result.changed = true;
			l->result.old_diff = image->diff_ids[k];
			l->result.old_blob = l->name;
			l->result.new_diff = l->result.old_diff;
			l->result.new_diff.bytes[0] ^= 0xff;
			l->result.new_blob = l->result.old_blob;
			l->result.new_blob.bytes[0] ^= 0xff;
			l->result.new_size = 3;
			if (l->new_fd < 0)
				l->new_fd = memfd_create("new", MFD_CLOEXEC);
			if (l->new_fd < 0 || ftruncate(l->new_fd, 3) < 0)
				l->result.changed = false;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct rewrite_options options = { .keep_attestations = n & 1 };
	_cleanup_(fd_closep) int out = memfd_create("out", MFD_CLOEXEC);
	struct store store, again;
	struct model m, second;
	uint64_t size;
	int fd;

	if (n > MAX_INPUT_BYTES || out < 0)
		return 0;
	fd = archive(data, n);
	if (fd < 0 || store_open_archive(&store, fd, "fuzz", NULL) < 0)
		return 0;
	if (model_load(&m, &store, NULL, NULL) >= 0) {
		change(&m);
		if (model_rewrite(&m, &options, NULL) >= 0 &&
		    output_archive(&m, out, &size, NULL) >= 0 &&
		    store_open_archive(&again, fcntl(out, F_DUPFD_CLOEXEC, 3), "again", NULL) >= 0) {
			(void)!model_load(&second, &again, NULL, NULL);
			model_done(&second);
			store_done(&again);
		}
	}
	model_done(&m);
	store_done(&store);
	return 0;
}
