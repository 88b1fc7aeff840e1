/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The control socket: RUNTIME_DIR/control.sock, for root only by mode and by peer credentials. One
 * request is one line of JSON, {"method": NAME, parameters}, and so is its answer: {"result": …} or
 * {"error": TEXT, "status": EXIT_STATUS}.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define DEFAULT_RUNTIME_DIR "/run/batten"

/*
 * A method. @request: the whole request, with its parameters. @ret: the result, owned by the caller, "null" when left alone.
 * Return: 0 or a negative errno with the reason in @d.
 */
struct control_method {
	const char *name;
	int (*call)(void *daemon, const json_t *request, json_t **ret, struct diag *d);
};

struct control;

/*
 * control_new - listen
 * @methods: a constant table that ends with a NULL name
 * @daemon:  handed to every method
 * Return: 0 or a negative errno
 */
int control_new(struct control **ret, sd_event *event, const char *runtime_dir,
		const struct control_method *methods, void *daemon, struct diag *d) _must_check_;
struct control *control_free(struct control *c);
DEFINE_CLEANUP(struct control *, control_free)

/*
 * control_call - ask a running daemon
 * @parameters: an object whose members go into the request, or NULL; stays the caller's
 * @ret: the result, freed by the caller
 * Return: 0; -ENOENT when no daemon listens there; -EREMOTEIO when the daemon refused, with its
 *         words in @d and its exit status in @ret_status; another negative errno
 */
int control_call(const char *runtime_dir, const char *method, json_t *parameters, json_t **ret,
		 int *ret_status, struct diag *d) _must_check_;
