/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Writing the new image: what changed is new, everything else is copied byte for byte.
 */
#include "image/model.h"

/*
 * output_archive - the whole archive
 * @fd: empty, writable
 * Return: 0 or a negative errno
 */
int output_archive(const struct model *m, int fd, uint64_t *ret_size, struct diag *d) _must_check_;

struct keeper;

/* The files of an OCI layout into the directory that the keeper has made; all of them synced. */
int output_directory(const struct model *m, const struct keeper *k, struct diag *d) _must_check_;
