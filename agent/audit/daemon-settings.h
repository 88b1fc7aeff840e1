/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What dockerd was told: its command line and its file. What it does says its API; these are for
 * the questions that the API does not answer, and for finding out that the two differ.
 */
#include "batten/audit/facts.h"

struct daemon_settings {
	const struct process_facts *process; /* NULL: no dockerd is to be seen */
	const char *const *arguments;	     /* NULL-terminated, without the program's name */
	const char *file;		     /* path of daemon.json */
	const json_t *json;		     /* its contents; NULL when there is none */
	const char *file_error;		     /* why it cannot be read; NULL when it can or is missing */
	int64_t file_changed;		     /* seconds since the epoch, 0 without a file */
	int64_t started;		     /* of the process, 0 when unknown */
};

/* @ret lives as long as the facts; read once. Return: 0 or -ENOMEM. */
int daemon_settings(struct facts *f, const struct daemon_settings **ret) _must_check_;

/* "--name=VALUE" or "--name VALUE" (nth occurrence); "true" for a bare flag; NULL when not there. */
const char *daemon_argument(const struct daemon_settings *s, const char *name, size_t nth);

/* What a switch was set to, read as dockerd does; @fallback when nobody set it. */
bool daemon_switch(const struct daemon_settings *s, const char *name, bool fallback);

/*
 * daemon_sockets - Unix sockets beside the usual ones that dockerd was told to listen on, or to find containerd at
 * @ret: NULL-terminated, lives as long as the facts
 * Return: 0 or -ENOMEM
 */
int daemon_sockets(struct facts *f, const char *const **ret) _must_check_;
