/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Checks of the host area, by the file that holds them; their rows stand in host.c.
 */
#include "batten/audit/control.h"

/* host-kernel.c */
int check_unprivileged_bpf(struct audit *a, const struct control *c, const struct subject *s);
int check_kernel_switches(struct audit *a, const struct control *c, const struct subject *s);
int check_network_switches(struct audit *a, const struct control *c, const struct subject *s);
