/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What the blocking client, the streams and the event loop's client of Docker share.
 */
#include "batten/host/docker.h"
#include "host/http-internal.h"

/* Is the version known? */
bool docker_negotiated(const struct docker *k);

/* Asks for the version and takes it; errors of docker.h. */
int docker_ping(struct docker *k, uint64_t deadline_ms, struct diag *d) _must_check_;

/* Takes the Api-Version of an answer to /_ping. */
int docker_negotiate(struct docker *k, const char *api_version, struct diag *d) _must_check_;

/*
 * docker_call - connect and queue a request; never waits
 * @path:    without version; docker_call() puts it before, except for "/_ping"
 * @headers: more header lines, each ended by CRLF, or ""
 * Return: 0, -EAGAIN when Docker's queue of connections is full, or an error of docker.h
 */
int docker_call(struct http_call **ret, struct docker *k, const char *method, const char *path,
		const char *headers, struct diag *d) _must_check_;

/* docker_call(), tried again until the deadline; negotiates the version first. */
int docker_call_blocking(struct http_call **ret, struct docker *k, const char *method,
			 const char *path, const char *headers, uint64_t deadline_ms,
			 struct diag *d) _must_check_;

/* Turns an error of the HTTP layer into one of docker.h, with words. */
int docker_fail(const struct docker *k, int error, struct diag *d);

/*
 * docker_check_status - is the answer a success?
 * @body: of a refusal; Docker's {"message": …} is put into the diag
 */
int docker_check_status(const struct docker *k, int status, const char *body, size_t n_body,
			struct diag *d) _must_check_;

/* The timeout of whole answers, in milliseconds. */
uint64_t docker_timeout(const struct docker *k);
