/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Everything that /etc/batten/batten.conf says, section by section.
 */
#include <stdbool.h>

#include "batten/base/diag.h"
#include "batten/imds/config.h"

struct daemon_config {
	int log_level; /* LOG_ERR … LOG_DEBUG */
	char docker[256];    /* "": DOCKER_HOST, else the default socket */
	char state_dir[256];
};

struct seccomp_config {
	bool observe; /* the system calls of all containers */
	char shadow[256]; /* "": no profile is tried */
};

struct audit_config {
	bool enabled; /* watch the host and keep its findings */
	char profile[256], waivers[256];
};

struct metrics_config {
	char textfile[256]; /* "": none */
};

struct settings {
	struct daemon_config daemon;
	struct imds_config imds;
	struct seccomp_config seccomp;
	struct audit_config audit;
	struct metrics_config metrics;
};

/*
 * settings_read - the built-in defaults, then the file
 * @path:     the file
 * @optional: a missing file is no error
 * Return: 0 or a negative errno; -EINVAL names file and line in @d. On failure @ret is untouched.
 */
int settings_read(struct settings *ret, const char *path, bool optional, struct diag *d) _must_check_;
