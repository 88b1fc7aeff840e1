/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Where images come from and go to, by the names of containers-transports(5).
 */
#include "batten/base/diag.h"
#include "image/model.h"
#include "image/store.h"

enum place_kind {
	PLACE_ARCHIVE, /* a bare path: whatever kind of archive it is */
	PLACE_DOCKER_ARCHIVE,
	PLACE_OCI_ARCHIVE,
	PLACE_OCI,
	PLACE_DAEMON,
};

struct place {
	enum place_kind kind;
	char *path; /* "-" for standard input or output; a reference for a daemon */
	char *tag;  /* of an OCI layout, or NULL */
};

/*
 * place_parse
 * @like: for a destination: the source, whose form a bare path takes; NULL for a source
 * Return: 0; -EINVAL for a transport that we do not speak
 */
int place_parse(const char *text, const struct place *like, struct place *ret,
		struct diag *d) _must_check_;
void place_done(struct place *p);

/* An unlinked file for what does not fit in memory. @dir: where, or NULL for TMPDIR or /var/tmp */
int place_spool(const char *dir, struct diag *d);

struct keeper;

/* Opens a place for reading; a daemon is spooled. Return: a descriptor or a negative errno. */
int place_open(const struct place *p, const char *docker_url, struct diag *d);

/* The image that was opened so; @fd is consumed. A pipe or a compressed archive is spooled first. */
int place_read(const struct place *p, int fd, struct keeper *k, struct store *ret, struct diag *d) _must_check_;

/* Can an image with these descriptions be put there? Return: 0 or -EINVAL. */
int place_fits(const struct place *p, const struct model *m, struct diag *d) _must_check_;

/* A daemon's side of place_open(): the exported archive into @fd. */
int place_export(const char *ref, const char *docker_url, int fd, struct diag *d) _must_check_;

/*
 * place_load - hand an archive to a daemon
 * @from:    the reference that it was exported by, or NULL
 * @ret_old: name under which the image is kept that @ref meant before, or NULL; freed by the caller
 */
int place_load(const char *ref, const char *from, const char *docker_url, int fd, uint64_t size,
	       const struct digest *config, char **ret_old, struct diag *d) _must_check_;
