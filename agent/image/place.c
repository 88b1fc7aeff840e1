/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of places, and opening them for reading.
 */
#include "image/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "batten/base/fd.h"
#include "image/keeper.h"

#define MAX_WINDOW_LOG 23 /* as for layers */

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int place_parse(const char *text, const struct place *like, struct place *ret, struct diag *d)
{
	static const struct {
		const char *prefix;
		enum place_kind kind;
	} rows[] = {
		{ "docker-archive:", PLACE_DOCKER_ARCHIVE },
		{ "oci-archive:", PLACE_OCI_ARCHIVE },
		{ "oci:", PLACE_OCI },
		{ "docker-daemon:", PLACE_DAEMON },
	};
	static const char *const foreign[] = {
		"docker://", "containers-storage:", "dir:", "ostree:", "tarball:", "sif:"
	};
	struct place p = { .kind = PLACE_ARCHIVE };
	const char *path = text, *colon;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].prefix);

		if (strncmp(text, rows[i].prefix, n) == 0) {
			p.kind = rows[i].kind;
			path = text + n;
			break;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(foreign) && path == text; i++)
		if (strncmp(text, foreign[i], strlen(foreign[i])) == 0)
			return diag_fail(
				d, -EINVAL, text,
				"copy it to an archive or layout first, with skopeo for one");
	if (*path == '\0')
		return diag_fail(d, -EINVAL, text, "a path or reference is missing");
	if (path == text && (like ? like->kind == PLACE_OCI : is_directory(path)))
		p.kind = PLACE_OCI;
	colon = p.kind == PLACE_OCI && path != text ? strrchr(path, ':') : NULL;
	if (colon && !strchr(colon, '/')) {
		p.path = strndup(path, (size_t)(colon - path));
		p.tag = strdup(colon + 1);
	} else {
		p.path = strdup(path);
	}
	/* "DIR/" is DIR; what is replaced has a name. */
	for (size_t n = p.path && p.kind == PLACE_OCI ? strlen(p.path) : 0; n > 1 && p.path[n - 1] == '/'; n--)
		p.path[n - 1] = '\0';
	if (!p.path || (colon && !strchr(colon, '/') && !p.tag)) {
		place_done(&p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void place_done(struct place *p)
{
	free(p->path);
	free(p->tag);
	*p = (struct place){ 0 };
}

int place_spool(const char *dir, struct diag *d)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	if (!dir)
		dir = tmp && *tmp ? tmp : "/var/tmp";
	fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	/* A file system that has no nameless files; memory has them. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		fd = memfd_create("batten-spool", MFD_CLOEXEC);
	if (fd < 0)
		return diag_errno(d, -errno, dir, "cannot make a temporary file");
	return fd;
}

static int spool_plain(int from, int to, const char *name, struct diag *d)
{
	char buf[65536];
	int r = 0;

	while (r >= 0) {
		ssize_t n = fd_read(from, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return diag_errno(d, -errno, name, "cannot read");
		if (n == 0)
			return 0;
		r = fd_write_all(to, buf, (size_t)n);
	}
	return diag_errno(d, r, name, "cannot spool");
}

/* An archive that was compressed as a whole, as `docker save | gzip` makes it. */
static int spool_gzip(int from, int to, const char *name, struct diag *d)
{
	_cleanup_(freep) uint8_t *in = malloc(65536), *out = malloc(65536);
	z_stream z = { 0 };
	uint64_t n_in = 0, n_out = 0;
	int r = 0, status = Z_OK;
	ssize_t n = 1;

	if (!in || !out || inflateInit2(&z, 31) != Z_OK)
		return -ENOMEM;
	while (r >= 0 && n > 0) {
		n = fd_pread(from, in, 65536, (off_t)n_in);
		if (n < 0)
			r = diag_errno(d, -errno, name, "cannot read");
		z.next_in = in;
		z.avail_in = n > 0 ? (uInt)n : 0;
		n_in += z.avail_in;
		while (r >= 0 && z.avail_in > 0) {
			if (status == Z_STREAM_END)
				(void)inflateReset(&z);
			z.next_out = out;
			z.avail_out = 65536;
			status = inflate(&z, Z_NO_FLUSH);
			n_out += 65536 - z.avail_out;
			if (status != Z_OK && status != Z_STREAM_END)
				r = diag_fail(d, -EBADMSG, name, "the gzip data is damaged");
			else if (n_out > n_in * LAYER_MAX_RATIO + (1 << 20))
				r = diag_fail(d, -EFBIG, name,
					      "unpacks to more than %d times its size",
					      LAYER_MAX_RATIO);
			else
				r = fd_write_all(to, out, 65536 - z.avail_out);
		}
	}
	(void)inflateEnd(&z);
	if (r >= 0 && status != Z_STREAM_END)
		r = diag_fail(d, -EBADMSG, name, "the gzip data is cut short");
	return r < 0 ? diag_errno(d, r, name, "cannot spool") : 0;
}

static inline void dctx_freep(ZSTD_DCtx **c)
{
	(void)ZSTD_freeDCtx(*c);
}

static int spool_zstd(int from, int to, const char *name, struct diag *d)
{
	_cleanup_(freep) uint8_t *in = malloc(65536), *out = malloc(65536);
	_cleanup_(dctx_freep) ZSTD_DCtx *ctx = ZSTD_createDCtx();
	uint64_t n_in = 0, n_out = 0;
	size_t left = 1;
	int r = 0;

	if (!in || !out || !ctx ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, MAX_WINDOW_LOG)))
		return -ENOMEM;
	while (r >= 0) {
		ssize_t n = pread(from, in, 65536, (off_t)n_in);
		ZSTD_inBuffer source = { in, n > 0 ? (size_t)n : 0, 0 };
		ZSTD_outBuffer sink;

		if (n < 0)
			return diag_errno(d, -errno, name, "cannot read");
		if (n == 0)
			break;
		n_in += (uint64_t)n;
		do {
			sink = (ZSTD_outBuffer){ out, 65536, 0 };
			left = ZSTD_decompressStream(ctx, &sink, &source);
			n_out += sink.pos;
			if (ZSTD_isError(left))
				return diag_fail(d, -EBADMSG, name,
						 "the zstd data is damaged or unusual: %s",
						 ZSTD_getErrorName(left));
			if (n_out > n_in * LAYER_MAX_RATIO + (1 << 20))
				return diag_fail(d, -EFBIG, name,
						 "unpacks to more than %d times its size",
						 LAYER_MAX_RATIO);
			r = fd_write_all(to, out, sink.pos);
		} while (r >= 0 && (source.pos < source.size || sink.pos == sink.size));
	}
	if (r < 0)
		return diag_errno(d, r, name, "cannot spool");
	return left == 0 ? 0 : diag_fail(d, -EBADMSG, name, "the zstd data is cut short");
}

/* A regular file that can be read at any place; @fd is consumed. Return: a descriptor or error. */
static int seekable(int fd, const char *name, const struct keeper *k, struct diag *d)
{
	_cleanup_(fd_closep) int own = fd, spool = -1;
	uint8_t magic[4] = { 0 };
	struct stat st;
	int r;

	if (fstat(own, &st) < 0)
		return diag_errno(d, -errno, name, "cannot stat");
	if (!S_ISREG(st.st_mode)) {
		spool = keeper_spool(k, d);
		r = spool < 0 ? spool : spool_plain(own, spool, name, d);
		if (r < 0)
			return r;
		(void)fd_close(own);
		own = fd_take(&spool);
	}
	if (fd_pread(own, magic, sizeof(magic), 0) < 0)
		return diag_errno(d, -errno, name, "cannot read");
	if (magic[0] == 0x1f && magic[1] == 0x8b) {
		spool = keeper_spool(k, d);
		r = spool < 0 ? spool : spool_gzip(own, spool, name, d);
		return r < 0 ? r : fd_take(&spool);
	}
	if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0) {
		spool = keeper_spool(k, d);
		r = spool < 0 ? spool : spool_zstd(own, spool, name, d);
		return r < 0 ? r : fd_take(&spool);
	}
	if (memcmp(magic, "BZh", 3) == 0 ||
	    memcmp(magic,
		   "\xfd"
		   "7zX",
		   4) == 0)
		return diag_fail(d, -EINVAL, name,
				 "the archive is compressed as a whole; decompress it first");
	return fd_take(&own);
}

static const char *name_of(const struct place *p)
{
	return p->kind != PLACE_OCI && p->kind != PLACE_DAEMON && strcmp(p->path, "-") == 0 ? "standard input" : p->path;
}

int place_open(const struct place *p, const char *docker_url, struct diag *d)
{
	int fd, r;

	if (p->kind == PLACE_OCI) {
		fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? diag_errno(d, -errno, p->path, "cannot open the layout") : fd;
	}
	if (p->kind == PLACE_DAEMON) {
		fd = place_spool(NULL, d);
		r = fd < 0 ? fd : place_export(p->path, docker_url, fd, d);
		if (r < 0)
			(void)fd_close(fd);
		return r < 0 ? r : fd;
	}
	fd = strcmp(p->path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				       : open(p->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? diag_errno(d, -errno, name_of(p), "cannot open") : fd;
}

static int from_keeper(void *arg, const char *name, struct diag *d)
{
	return keeper_source(arg, name, d);
}

int place_read(const struct place *p, int fd, struct keeper *k, struct store *ret, struct diag *d)
{
	if (p->kind == PLACE_OCI)
		return store_open_directory(ret, fd, p->path, from_keeper, k, d);
	fd = seekable(fd, name_of(p), k, d);
	return fd < 0 ? fd : store_open_archive(ret, fd, name_of(p), d);
}

/* As Docker counts them: those of manifest.json. */
static uint32_t n_docker_images(const struct model *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n_images; i++)
		n += m->images[i].manifest == STORE_NONE;
	return n;
}

int place_fits(const struct place *p, const struct model *m, struct diag *d)
{
	if (p->kind == PLACE_DOCKER_ARCHIVE || p->kind == PLACE_DAEMON) {
		if (m->docker == STORE_NONE)
			return diag_fail(
				d, -EINVAL, p->path,
				"there is no manifest.json in the image, which Docker needs; "
				"name it oci-archive: or convert it, with skopeo for one");
		if (p->kind == PLACE_DAEMON && n_docker_images(m) > 1)
			return diag_fail(d, -EINVAL, p->path,
					 "names one image, and there are several; strip to docker-archive:- and "
					 "pipe that to docker load");
	} else if (p->kind == PLACE_OCI || p->kind == PLACE_OCI_ARCHIVE) {
		if (m->index == STORE_NONE)
			return diag_fail(d, -EINVAL, p->path,
					 "there is no index.json in the image, which an OCI layout "
					 "needs; name it docker-archive: or convert it, with "
					 "skopeo for one");
	}
	return 0;
}
