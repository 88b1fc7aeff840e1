/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Checks of the Docker daemon, by the file that holds them; their rows stand in docker-daemon.c.
 */
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"

#define HOST_CHECK(name) int name(struct audit *a, const struct control *c, const struct subject *s)

/* docker-network.c */
HOST_CHECK(check_bridge_traffic);
HOST_CHECK(check_packet_filter);
HOST_CHECK(check_registries);
HOST_CHECK(check_api_socket);

/* docker-versions.c */
HOST_CHECK(check_versions);

/* docker-settings.c */
HOST_CHECK(check_user_remap);
HOST_CHECK(check_logs);
HOST_CHECK(check_default_no_new_privs);
HOST_CHECK(check_live_restore);
HOST_CHECK(check_default_seccomp);
HOST_CHECK(check_legacy);
HOST_CHECK(check_settings_in_force);
HOST_CHECK(check_swarm);
bool docker_in_swarm(struct audit *a);

/* docker-files.c: the widest mode that the file may have, 0 for one that is not judged. */
mode_t docker_file_mode(struct audit *a, const char *path);
/* Of the runtime's sockets: one that group docker may use, as it may not containerd's. */
bool socket_is_docker(const char *path);
