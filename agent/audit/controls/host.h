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

/*
 * kernel_switch_value - the value that mends a switch without taking more than is needed
 * @name: as sysctl(8) writes it, with dots
 * Return: false for a switch that is none of ours
 */
bool kernel_switch_value(const char *name, char *ret, size_t size);

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

/* Paths that are there and that the kernel's audit does not watch; in the run's arena. */
size_t kernel_audit_unwatched(struct audit *a, const char *const **ret);
