/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Checks of the container area, by the file that holds them; their rows stand in containers.c. All
 * are called with a container as subject.
 */
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"

#define CONTAINER_CHECK(name)                                                                      \
	int name(struct audit *a, const struct control *c, const struct subject *s)

/* container-identity.c: who its processes are and what they may do */
CONTAINER_CHECK(check_not_privileged);
CONTAINER_CHECK(check_capabilities);
CONTAINER_CHECK(check_not_root);
CONTAINER_CHECK(check_seccomp);
/* Does the profile's text, JSON as Docker takes it, refuse nothing? */
bool seccomp_profile_allows_all(const char *text, size_t n);

/* The file that the daemon gives to every container when it allows everything; NULL when it does not. */
const char *seccomp_default_allows_all(struct audit *a);
CONTAINER_CHECK(check_lsm);
CONTAINER_CHECK(check_no_new_privs);

/* container-namespaces.c: what of the host it shares or sees */
CONTAINER_CHECK(check_network_namespace);
CONTAINER_CHECK(check_pid_namespace);
CONTAINER_CHECK(check_other_namespaces);
CONTAINER_CHECK(check_runtime_socket);
CONTAINER_CHECK(check_host_paths);
CONTAINER_CHECK(check_root_read_only);
CONTAINER_CHECK(check_masked_paths);

/* container-limits.c: how much it may use */
CONTAINER_CHECK(check_memory_and_cpu);
CONTAINER_CHECK(check_process_count);
CONTAINER_CHECK(check_process_limits);
CONTAINER_CHECK(check_restart_policy);

/* container-origin.c: where it comes from and how it is reached */
CONTAINER_CHECK(check_environment);
CONTAINER_CHECK(check_image_pinned);
CONTAINER_CHECK(check_ports);
CONTAINER_CHECK(check_remote_login);
CONTAINER_CHECK(check_belongs);
CONTAINER_CHECK(check_interactive);

/* Reports "unknown" when nothing of the container was found in /proc. Return: true when it was. */
bool container_has_process(struct audit *a, const struct subject *s);

/* Is "name[:group]" or "uid[:gid]" root, without looking at anybody's /etc/passwd? Nothing is root, too. */
bool user_is_root(const char *user);

/* What the ECS agent's introspection says of it, NULL when it does not know it or cannot be asked. */
const json_t *container_in_agent(struct audit *a, const struct container_facts *c);
