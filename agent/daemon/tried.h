/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Who was refused by the cgroup programs, and how often: the kernel's counters, by group.
 */
#include <jansson.h>

#include "batten/host/model.h"
#include "batten/imds/cgroup.h"

/* The groups that tried most, as rows of imds-status/1; NULL when nobody did. @layer may be NULL. */
json_t *tried_json(struct cgroup_layer *layer, const struct host_model *m);
