/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Docker in the daemon's loop: the role that reads its answers, and the core's side of it, which
 * connects and asks, and believes of what it hears only what has the right form.
 */
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"
#include "batten/host/watch.h"

struct docker_service;

/*
 * docker_service_new - begin; the first calls come from the loop
 * @url:   as in docker_new()
 * @watch: is told what the role says; the caller's, outlives the service
 * Return: 0 or a negative errno: -EINVAL for a bad @url, -ENOMEM
 */
int docker_service_new(struct docker_service **ret, sd_event *event, const char *url, struct host_watch *watch,
		       struct diag *d) _must_check_;
struct docker_service *docker_service_free(struct docker_service *s);
DEFINE_CLEANUP(struct docker_service *, docker_service_free)
