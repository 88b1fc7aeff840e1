/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Between the files that fill a container in.
 */
#include "batten/host/container.h"

/* What the container is for; reads the configuration, the labels and, when known, the cgroup. */
enum container_role container_recognise(const struct container *c);
