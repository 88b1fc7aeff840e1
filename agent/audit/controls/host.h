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

/* host-network.c */
int check_ssh(struct audit *a, const struct control *c, const struct subject *s);
int check_listeners(struct audit *a, const struct control *c, const struct subject *s);

/* host-system.c */
int check_immutable_root(struct audit *a, const struct control *c, const struct subject *s);
int check_container_storage(struct audit *a, const struct control *c, const struct subject *s);
int check_selinux(struct audit *a, const struct control *c, const struct subject *s);
int check_age(struct audit *a, const struct control *c, const struct subject *s);
int check_updates(struct audit *a, const struct control *c, const struct subject *s);
int check_kernel(struct audit *a, const struct control *c, const struct subject *s);
int check_binaries(struct audit *a, const struct control *c, const struct subject *s);
int check_kernel_audit(struct audit *a, const struct control *c, const struct subject *s);
int check_time_and_agents(struct audit *a, const struct control *c, const struct subject *s);
