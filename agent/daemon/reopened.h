/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Containers that were open when the last daemon ended: open from the first moment of the next one,
 * before Docker has been asked, as long as their first process is the same.
 */
#include <jansson.h>
#include <systemd/sd-event.h>

#include "batten/base/list.h"
#include "batten/base/macros.h"
#include "batten/host/container.h"

struct reopened;

/* One of them; in a list. */
struct reopened_container {
	struct list node;
	char *rule; /* the exception that opened it */
	struct container *container;
};

/*
 * reopened_new - read the file; what it says of processes is held against /proc
 * @path:    a file of reopened_save(); a missing or a broken one is an empty list
 * @changed: called from the loop when one has ended and is off the list
 * Return: 0 or -ENOMEM
 */
int reopened_new(struct reopened **ret, sd_event *event, const char *path, void (*changed)(void *user),
		 void *user) _must_check_;
struct reopened *reopened_free(struct reopened *r);
DEFINE_CLEANUP(struct reopened *, reopened_free)

/* The list; its members are freed by reopened_forget() alone. */
struct list *reopened_list(struct reopened *r);

/* Docker has told of this container. Return: it was on the list. */
bool reopened_forget(struct reopened *r, const char *id);

/* Adds a container to what is to be saved; @rows is a JSON array. */
void reopened_add_row(json_t *rows, const char *rule, const struct container *c);

/* Is one of reopened_add_row()'s @rows the container's? */
bool reopened_has_row(const json_t *rows, const char *id);

/* Writes the rows. A failure is logged: the next daemon then waits for Docker. */
void reopened_save(const char *path, const json_t *rows);
