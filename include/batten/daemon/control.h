/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The control socket: RUNTIME_DIR/control.sock, for root only by mode and by peer credentials. One
 * request is one line of JSON, {"method": NAME, parameters}, and so is its answer: {"result": …} or
 * {"error": TEXT, "status": EXIT_STATUS}.
 */
#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define DEFAULT_RUNTIME_DIR "/run/batten"

/* What a peer must be beside root. */
enum control_right {
	CONTROL_LOOK,	/* nothing more */
	CONTROL_CHANGE, /* no container: one that was handed the socket may look and change nothing */
};

/* An argument of a request; what is not in the method's list is refused. */
struct control_argument {
	const char *name;
	json_type type; /* JSON_TRUE stands for both booleans */
	bool required;
};
#define CONTROL_MAX_ARGUMENTS 6

/* A method's answer comes later: it is called again with the same request after control_wake(). */
#define CONTROL_WAIT 1

/*
 * A method. @request: the whole request, checked against the row. @ret: the result, owned by the caller, "null" when left
 * alone. Return: 0, CONTROL_WAIT, or a negative errno with the reason in @d.
 */
struct control_method {
	const char *name;
	int (*call)(void *daemon, const json_t *request, json_t **ret, struct diag *d);
	enum control_right right;
	struct control_argument arguments[CONTROL_MAX_ARGUMENTS]; /* up to a NULL name */
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

/* Requests that wait are tried again, soon and all together; @c may be NULL. */
void control_wake(struct control *c);

/*
 * control_call - ask a running daemon
 * @parameters: an object whose members go into the request, or NULL; stays the caller's
 * @ret: the result, freed by the caller
 * Return: 0; -ENOENT when no daemon listens there; -EREMOTEIO when the daemon refused, with its
 *         words in @d and its exit status in @ret_status; another negative errno
 */
int control_call(const char *runtime_dir, const char *method, json_t *parameters, json_t **ret,
		 int *ret_status, struct diag *d) _must_check_;

/* The same without a deadline, for requests that wait: until the answer or the daemon's end. */
int control_call_waiting(const char *runtime_dir, const char *method, json_t *parameters, json_t **ret,
			 int *ret_status, struct diag *d) _must_check_;
