/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A container as a flat record, for the way from the process that reads Docker's answers to the one
 * that believes nothing. What /proc adds (container_complete()) does not travel.
 */
#include "batten/base/bytes.h"
#include "batten/host/container.h"

#define CONTAINER_RECORD_MAX (4 * 1024 * 1024)

/* Appends the record to @b; what fails is kept in @b->error. */
void container_record_write(const struct container *c, struct bytes *b);

/*
 * container_record_read - make a container of a record that may be hostile
 * @ret: complete but for what /proc knows, as from container_parse()
 * Return: 0, -ENOMEM, or -EBADMSG for what container_record_write() never writes
 */
int container_record_read(struct container **ret, const void *data, size_t n) _must_check_;
